"""``python -m bot truth``: how the estimate of one market of a recording stands against what really happened."""

import csv
import gzip
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bot.markets import symbols
from bot.markets.recorded import RecordedFeed
from bot.markets.recording import SIMULATED_VENUE, RecordingError
from detectors.estimate import EstimateSettings
from detectors.liquidation_map import LiquidationMap
from detectors.map_history import map_from_history
from detectors.map_settings import MapSettings
from detectors.market import Market, Side
from detectors.observed_history import ObservedHistory, observed_history
from detectors.truth_measures import Likeness, likeness
from detectors.truth_stick import Sides, WalkForward, fit_history, hours_of, of_model, walk_forward

REACH = 0.10
BIN = 0.0025
LEAST_HOURS = 48


@dataclass(frozen=True, slots=True)
class Known:
    """A map against the known positions of a simulated market, on 0.25 % bins within 10 % of price."""

    default: Likeness
    fitted: Likeness
    used: str


@dataclass(frozen=True, slots=True)
class Found:
    market: Market
    whole: Sides
    walk: WalkForward | None
    """None where the recording is too short to be cut in two, or no fit was asked for."""
    known: Known | None


def measure(recording: Path, word: str, settings: EstimateSettings, *, fit: bool = True) -> Found:
    """Raises RecordingError where nothing observed can be compared with, and what loading raises."""
    feed = RecordedFeed(recording, [word])
    (market,) = feed.load()
    snapshots = [snapshot for (snapshot,) in feed.steps()]
    if not market.open_interest_venues:
        raise RecordingError(f"{market.base} in {recording} has no open interest, so nothing is estimated of it.")
    history = observed_history(snapshots, settings.crowding_funding_8h)
    hours = hours_of(history)
    if hours.counted.sum() < LEAST_HOURS:
        raise RecordingError(
            f"{market.base} in {recording}: {int(hours.counted.sum())} hours with observed liquidations after the "
            f"first three days, of at least {LEAST_HOURS}. Give a longer recording with liquidations_1h or prints."
        )
    file = recording / SIMULATED_VENUE / symbols.folder(market.symbol) / "truth.csv.gz"
    return Found(
        market,
        of_model(settings.map, history, hours, hours.counted),
        walk_forward(settings.map, history, hours) if fit else None,
        _known(settings.map, history, file, snapshots[-1].price) if fit and file.is_file() else None,
    )


def _known(settings: MapSettings, history: ObservedHistory, file: Path, price: float) -> Known:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [(float(row["price"]), float(row["notional_usd"])) for row in csv.DictReader(lines)]
    edges = bin_edges(price)
    positions = np.array(rows, np.float64).reshape(len(rows), 2)
    truth = np.histogram(positions[:, 0], edges, weights=positions[:, 1])[0]
    result = fit_history(settings, history)
    leverage = settings.leverage.with_weights(result.found)

    def like(one: MapSettings) -> Likeness:
        return likeness(estimated_notional(map_from_history(one, history.bars), edges), truth)

    used = "fitted" if result.believed else "default"
    return Known(like(settings), like(replace(settings, leverage=leverage)), used)


def bin_edges(price: float) -> NDArray[np.float64]:
    """Of bins of 0.25 % within 10 % of price."""
    low, high = math.log(price * (1 - REACH)), math.log(price * (1 + REACH))
    edges: NDArray[np.float64] = np.exp(np.arange(low, high, math.log1p(BIN)))
    return edges


def estimated_notional(made: LiquidationMap, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both sides together in dollars, float64[bins]."""
    middles = np.sqrt(made.edges[1:] * made.edges[:-1])
    both = made.side_usd(Side.LONG) + made.side_usd(Side.SHORT)
    notional: NDArray[np.float64] = np.histogram(middles, edges, weights=both)[0]
    return notional


# --- output


def as_record(found: Found) -> dict[str, Any]:
    """One JSON object; numbers that are not known are null."""
    record: dict[str, Any] = {"market": found.market.symbol, "venue": found.market.venue, **_sides(found.whole)}
    if found.walk is not None:
        fit = found.walk.fit
        record["walk_forward"] = {
            **_sides(found.walk.used),
            "used": "fitted" if fit.believed else "default",
            "fitted": _sides(found.walk.fitted),
            "default": _sides(found.walk.default),
            "events": _number(fit.events),
            "gain": _number(fit.gain.total),
            "gain_interval": [_number(fit.gain.low), _number(fit.gain.high)],
            "days_judged": fit.gain.days,
            "realised_share": _number(fit.realised_share),
            "weights": _weights(fit.found.nodes, fit.found.weights),
            "short_weights": _weights(fit.found.nodes, fit.found.short_weights),
        }
    if found.known is not None:
        record["known_positions"] = {
            "used": found.known.used,
            "default": {name: _number(value) for name, value in asdict(found.known.default).items()},
            "fitted": {name: _number(value) for name, value in asdict(found.known.fitted).items()},
        }
    return record


def _sides(sides: Sides) -> dict[str, Any]:
    return {
        **{
            name: {side.value: _number(getattr(sides.sticks[side], name)) for side in Side}
            for name in ("spearman", "baseline", "partial")
        },
        "interval": {
            side.value: [_number(sides.intervals[side].low), _number(sides.intervals[side].high)] for side in Side
        },
        "hours": sides.hours,
    }


def _weights(nodes: Sequence[float], weights: Sequence[float]) -> dict[str, float | None]:
    return {f"{node:.4g}": _number(weight) for node, weight in zip(nodes, weights, strict=True)}


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def show(found: Found, console: Console) -> None:
    """Tables for a reader."""
    table = _table(
        f"Truth stick, {found.market.base} on {found.market.venue}: consumed by the map against really liquidated",
        ("map", "hours", "side", "no map", "map", "partial", "90 % interval"),
    )
    shown: list[tuple[str, Sides]] = [("default, whole recording", found.whole)]
    if found.walk is not None:
        shown += [("default, second half", found.walk.default), ("fitted on the first half", found.walk.fitted)]
    for name, sides in shown:
        for side in Side:
            one, interval = sides.sticks[side], sides.intervals[side]
            span = f"{interval.low:.3f} to {interval.high:.3f}"
            row = (name, str(sides.hours), side.value, *_two(one.baseline, one.spearman), f"{one.partial:.3f}", span)
            table.add_row(*row)
    console.print(table)
    console.print(
        "Rank correlations by the hour. no map: the best of move, drawdown and both times volume. partial: what the "
        "map adds, given all four; 0 is nothing. Only exposure at least one hour old and 1 % from its entry counts."
    )
    if found.walk is not None:
        fit = found.walk.fit
        verdict = "believed" if fit.believed else "not believed, so the default is used"
        bound = f", at least {fit.gain.low:+.1f} (95 %)" if math.isfinite(fit.gain.low) else ""
        console.print(
            f"Fit of the first half: {fit.events:.0f} typical liquidations, gain {fit.gain.total:+.1f} in log "
            f"likelihood{bound} over {fit.gain.days} days it had not seen. It {fit.reason}: {verdict}."
            if fit.gain.days
            else f"Fit of the first half: {fit.reason}: {verdict}."
        )
    if found.known is not None:
        known = _table(
            f"Map against known positions, within {REACH:.0%} of price",
            ("map", "Pearson", "rank", "earth mover (bins)", "total ratio"),
        )
        for name, like in (("default", found.known.default), ("fitted", found.known.fitted)):
            mover = f"{like.earth_mover:.1f}"
            known.add_row(name, *_two(like.pearson, like.spearman), mover, f"{like.total_ratio:.2f}")
        console.print(known)
        console.print(f"By what it did out of sample, the bot would use: {found.known.used}.")


def _two(first: float, second: float) -> tuple[str, str]:
    return f"{first:.2f}", f"{second:.2f}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "side" else "right", no_wrap=True)
    return table
