"""Made-up markets: a tape written bar by bar, random walks, and one story in which every kind of event happens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from detectors.clusters import ClusterSettings, Preset
from detectors.engine import EngineSettings, MarketEngine, Step
from detectors.estimate import EstimateSettings
from detectors.event import Event
from detectors.leverage import LeverageModel, MarginTier
from detectors.map_history import BarHistory
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS, Bar, Funding, Market, MarketSnapshot, OpenInterest
from detectors.registry import find_kinds

START_MS = 1_764_547_200_000
"""2025-12-01 00:00 UTC."""
BAR_MS = 300_000
MARKET = Market("BTC", "BTC/USDT:USDT", ("binance",), ("binance",))
FLAT_TIERS = (MarginTier(0, 0.004, 150),)
ONE_NODE = LeverageModel((25.0,), (1.0,), tiers=FLAT_TIERS, turnover_daily=0.0)
"""Everything opened at 100 is liquidated at 96.386 (longs) and 103.586 (shorts), and nothing is replaced unseen."""
PLAIN = LeverageModel((5.0, 10.0, 25.0, 50.0), (0.2, 0.3, 0.3, 0.2), tiers=FLAT_TIERS, turnover_daily=0.0)


@dataclass
class Tape:
    """Snapshots of a market that goes where it is told, each open at the close before."""

    price: float
    market: Market = MARKET
    at_ms: int = START_MS
    written: list[MarketSnapshot] = field(default_factory=list)
    funding: tuple[Funding, ...] = ()

    def bar(
        self,
        close: float,
        open_interest_base: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        volume_base: float = 100.0,
    ) -> MarketSnapshot:
        low = min(self.price, close) if low is None else low
        high = max(self.price, close) if high is None else high
        bar = Bar(self.at_ms, BAR_MS, self.price, high, low, close, volume_base)
        known_at_ms = bar.closed_at_ms
        sample = None if open_interest_base is None else OpenInterest(known_at_ms, open_interest_base, BAR_MS)
        snapshot = MarketSnapshot(self.market, known_at_ms, close, low, high, bar, sample, self.funding)
        self.funding = ()
        self.at_ms, self.price = known_at_ms, close
        self.written.append(snapshot)
        return snapshot

    def walk(self, closes: Sequence[float], open_interest_base: Sequence[float]) -> None:
        for close, base in zip(closes, open_interest_base, strict=True):
            self.bar(close, base)

    def settle(self, rate: float) -> None:
        """A funding rate that becomes known with the next bar."""
        self.funding = (Funding(self.at_ms + BAR_MS, rate, 8.0),)


def straight(start: float, stop: float, count: int) -> list[float]:
    """``count`` steps from just after ``start`` to ``stop``."""
    return [float(value) for value in np.linspace(start, stop, count + 1)[1:]]


def engine(
    leverage: LeverageModel = ONE_NODE, preset: Preset = Preset.SENSITIVE, market: Market = MARKET
) -> MarketEngine:
    """An engine with every kind, that needs no history before it sees clusters (with a fixed preset)."""
    settings = EngineSettings(EstimateSettings(MapSettings(leverage)), ClusterSettings(preset=preset))
    return MarketEngine(market, settings, find_kinds())


def run(on: MarketEngine, snapshots: Sequence[MarketSnapshot]) -> list[Event]:
    return [event for step in steps(on, snapshots) for event in step.events]


def steps(on: MarketEngine, snapshots: Sequence[MarketSnapshot]) -> Iterator[Step]:
    for snapshot in snapshots:
        step = on.step(snapshot)
        if step is not None:
            yield step


def story(market: Market = MARKET, scale: float = 1.0) -> list[MarketSnapshot]:
    """Positions open at one price, longs are approached twice and swept, shorts leave before price comes.

    ``scale`` multiplies every price.
    """
    tape = Tape(100.0 * scale, market)
    for _ in range(20):
        tape.settle(0.0001)
        tape.walk([100.0 * scale] * 4, [1000.0] * 4)
    tape.walk([100.0 * scale] * 48, straight(1000, 1600, 48))
    path = [*straight(100, 97.2, 12), *straight(97.2, 99.6, 12), *straight(99.6, 97.2, 12), *straight(97.2, 95.8, 6)]
    tape.walk([price * scale for price in path], [1600.0] * len(path))
    tape.settle(0.002)
    tape.walk([95.8 * scale] * 12, straight(1600, 600, 12))
    return tape.written


@dataclass(frozen=True)
class RandomMarket:
    """What a random market is made of; see `random_market`."""

    bars: int = 600
    seed: int = 0
    price: float = 100.0
    bar_move: float = 0.0015
    missing_bars: float = 0.0
    missing_open_interest: float = 0.0
    crowded: float = 1.0


def random_market(made_of: RandomMarket) -> BarHistory:
    """A log-normal walk with wicks, volume and open interest that wander; the same at every call."""
    random = np.random.default_rng(made_of.seed)
    count = made_of.bars
    close = made_of.price * np.exp(np.cumsum(random.normal(0, made_of.bar_move, count)))
    before = np.concatenate(([made_of.price], close[:-1]))
    wicks = np.abs(random.normal(0, made_of.bar_move / 2, (2, count)))
    opened_at = START_MS + np.arange(count, dtype=np.int64) * BAR_MS
    open_interest = 10_000 * np.exp(np.cumsum(random.normal(0, 0.003, count)))
    open_interest[random.random(count) < made_of.missing_open_interest] = np.nan
    crowding = np.round(np.sin(np.arange(count, dtype=np.float64) / 200) * made_of.crowded, 1)
    kept = random.random(count) >= made_of.missing_bars
    kept[0] = True
    return BarHistory(
        interval_ms=BAR_MS,
        opened_at_ms=opened_at[kept],
        high=(np.maximum(close, before) * (1 + wicks[0]))[kept],
        low=(np.minimum(close, before) * (1 - wicks[1]))[kept],
        close=close[kept],
        volume_base=random.gamma(2.0, 50.0, count)[kept],
        open_interest_base=open_interest[kept],
        open_interest_interval_ms=BAR_MS,
        crowding=crowding[kept],
    )


def bars_of(history: BarHistory) -> Iterator[tuple[Bar, OpenInterest | None, float]]:
    """The history's bars with the sample of open interest known at each close, and crowding."""
    columns = (
        history.opened_at_ms,
        history.high,
        history.low,
        history.close,
        history.volume_base,
        history.open_interest_base,
        history.crowding,
    )
    for opened_at, high, low, close, volume, base, crowding in zip(*(c.tolist() for c in columns), strict=True):
        bar = Bar(opened_at, history.interval_ms, min(max(close, low), high), high, low, close, volume)
        sample = OpenInterest(bar.closed_at_ms, base, history.open_interest_interval_ms) if base == base else None
        yield bar, sample, crowding


def snapshots_of(history: BarHistory, market: Market = MARKET, funding_seed: int = 1) -> list[MarketSnapshot]:
    """The same history as snapshots, with a funding rate every eight hours."""
    random = np.random.default_rng(funding_seed)
    made = []
    for bar, sample, _ in bars_of(history):
        settles = bar.closed_at_ms % (8 * HOUR_MS) == 0
        funding = (Funding(bar.closed_at_ms, float(random.normal(1e-4, 5e-5)), 8.0),) if settles else ()
        made.append(MarketSnapshot(market, bar.closed_at_ms, bar.close, bar.low, bar.high, bar, sample, funding))
    return made


def looks_between(snapshots: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
    """The same market as a live feed tells it: one look inside each bar before the bar itself."""
    told = []
    for snapshot in snapshots:
        assert snapshot.bar is not None
        bar = snapshot.bar
        middle = (bar.low + bar.close) / 2
        low, high = min(bar.open, middle), max(bar.open, middle)
        early = replace(snapshot, taken_at_ms=bar.opened_at_ms + BAR_MS // 2, price=middle, low=low, high=high)
        told += [replace(early, bar=None, open_interest=None, funding=()), snapshot]
    return told


def days(count: float) -> int:
    """Bars in that many days."""
    return round(count * DAY_MS / BAR_MS)
