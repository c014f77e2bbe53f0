"""How like a real market the simulated one is: the same figures of both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import SHARED, Report
from bot.markets.feed import Refusals
from bot.markets.recorded import RecordedFeed
from bot.markets.recording import read_prints
from bot.markets.simulated import SimulatedFeed
from detectors.market import MarketSnapshot

RECORDING = SHARED / "markets/winter-2025"
PRINTS = tuple(f"prints-{date}" for date in ("2023-11-24", "2024-08-17", "2025-01-26", "2025-06-23", "2025-07-18"))
BASES = ("BTC", "ETH")
SEEDS = range(1, 7)
DAYS = 14.0
BARS_A_DAY = 288
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one market over one span; shares are fractions."""

    daily_volatility: float
    kurtosis: float
    range_over_return: float
    """Mean range of a bar over its mean absolute return."""
    open_interest_change: float
    """Mean absolute change in five minutes."""
    open_interest_falls: float
    """A day."""
    turnover: float
    """Daily volume over open interest."""
    funding: float
    funding_spread: float


ROWS = (
    ("daily volatility", "{:.1%}"),
    ("kurtosis of 5-minute returns", "{:.0f}"),
    ("mean range / mean absolute return", "{:.1f}"),
    ("mean absolute change of open interest in 5 minutes", "{:.3%}"),
    ("falls of open interest a day", "{:.0%}"),
    ("daily volume / open interest", "{:.1f}"),
    ("funding, mean", "{:.4%}"),
    ("funding, standard deviation", "{:.4%}"),
)


def figures(snapshots: Sequence[MarketSnapshot]) -> Figures:
    """Of snapshots each of which has a bar; open interest and funding where they are."""
    bars = [one.bar for one in snapshots if one.bar]
    low, high, close = (np.array([getattr(bar, name) for bar in bars]) for name in ("low", "high", "close"))
    interest = np.array([one.open_interest.base or np.nan for one in snapshots if one.open_interest])
    interest = interest[np.isfinite(interest)]
    returns, changes = np.diff(np.log(close)), np.diff(interest)
    rates = np.array([one.rate for snapshot in snapshots for one in snapshot.funding])
    days = len(bars) / BARS_A_DAY
    return Figures(
        float(returns.std() * np.sqrt(BARS_A_DAY)),
        float(((returns - returns.mean()) ** 4).mean() / returns.var() ** 2),
        float(np.log(high / low).mean() / np.abs(returns).mean()),
        float((np.abs(changes) / interest[:-1]).mean()),
        float(-changes[changes < 0].sum() / interest.mean() / days),
        sum(bar.volume_base for bar in bars) / days / float(interest.mean()),
        float(rates.mean()),
        float(rates.std()),
    )


def run(*, quick: bool = False) -> list[Report]:
    seeds, days = (range(1, 3), 2.0) if quick else (SEEDS, DAYS)
    columns: list[tuple[str, ...]] = []
    sizes: list[tuple[str, ...]] = []
    distances: list[tuple[str, ...]] = []
    for base in BASES:
        found, prints, open_usd, away = [], list[float](), list[float](), list[float]()
        for seed in seeds:
            feed = SimulatedFeed(seed, days, [base])
            (market,) = feed.load()
            snapshots = [one for (one,) in feed.steps()]
            found.append(figures(snapshots))
            prints += (one.notional_usd for snapshot in snapshots for one in snapshot.prints)
            truth = feed.truth(market)
            open_usd += truth.notional_usd.tolist()
            away += np.abs(truth.price / snapshots[-1].price - 1).tolist()
        columns.append((f"simulated {base}", *_ranges(found)))
        sizes.append(_sizes(f"simulated {base}, open positions", open_usd))
        sizes.append(_sizes(f"simulated {base}, liquidations", prints))
        distances.append((f"simulated {base}", *(f"{one:.0%}" for one in np.quantile(away, (0.1, 0.5, 0.9)))))
        if RECORDING.exists() and not quick:
            columns.append((f"real {base}", *_ranges([figures(_recorded(base))])))
            sizes.append(_sizes(f"recorded {base} on Binance, liquidations", _recorded_prints(base)))
    span = f"{days:g} days of seeds {seeds[0]} to {seeds[-1]}, median and range; real: Binance, winter of 2025-26"
    table = tuple(zip(("", *(name for name, _ in ROWS)), *columns, strict=True))
    return [
        Report(f"Simulated beside real: {span}", tuple(table[0]), tuple(table[1:])),
        Report("How large positions and liquidations are, in USD", ("", "n", "median", "mean", "99 %"), tuple(sizes)),
        Report(
            "Distance from price to liquidation, positions by number",
            ("", "10 %", "50 %", "90 %"),
            tuple(distances),
            ("Isolated positions on Hyperliquid, by one study: 3 %, 16 %, 43 %.",),
        ),
    ]


def _ranges(found: Sequence[Figures]) -> tuple[str, ...]:
    cells = []
    for (_, form), field in zip(ROWS, Figures.__slots__, strict=True):
        values = [getattr(one, field) for one in found]
        spread = f" ({form.format(min(values))} to {form.format(max(values))})" if len(values) > 1 else ""
        cells.append(form.format(float(np.median(values))) + spread)
    return tuple(cells)


def _sizes(name: str, notional_usd: Sequence[float]) -> tuple[str, ...]:
    if not notional_usd:
        return (name, "0", "", "", "")
    values = np.array(notional_usd)
    amounts = np.median(values), values.mean(), np.quantile(values, 0.99)
    return (name, f"{len(values):,}", *(f"{amount:,.0f}" for amount in amounts))


def _recorded(base: str) -> list[MarketSnapshot]:
    feed = RecordedFeed(RECORDING, [base])
    feed.load()
    return [one for moment in feed.steps() for one in moment]


def _recorded_prints(base: str) -> list[float]:
    found = []
    for folder in (RECORDING.name, *PRINTS):
        for file in sorted((SHARED / "markets" / folder / "binance").glob("prints_*")):
            kept = read_prints(file, lambda symbol: symbol == f"{base}USDT", Refusals())
            found += [one.notional_usd for prints in kept.values() for one in prints]
    return found
