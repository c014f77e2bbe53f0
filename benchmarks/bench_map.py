"""What the estimate of one market costs: in time against plain Python, in memory and stored."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.calibration import Timing, best_of
from benchmarks.reference import reference_map
from benchmarks.report import Report
from detectors.engine import EngineSettings, MarketEngine
from detectors.estimate import EstimateSettings, MarketEstimate
from detectors.leverage import LeverageModel, default_nodes, default_weights
from detectors.liquidation_map import LiquidationMap
from detectors.map_history import BarHistory, map_from_history
from detectors.map_settings import MapSettings
from detectors.market import MarketSnapshot
from detectors.registry import find_kinds
from tests.detectors.histories import MARKET, RandomMarket, bars_of, days, random_market, snapshots_of

NODES = 16
DAYS = 30
ROUNDS = 15
OWN_TIERS = 4
LONG_ROUNDS = 3
"""Of what takes a second or so."""


@dataclass(frozen=True, slots=True)
class MapFigures:
    final_map: Timing
    reference: Timing
    stepwise: Timing
    """Map alone, bar by bar, over the whole history."""
    engine: Timing
    """Map, clusters and events at each bar."""
    disagreement: float
    """Largest difference of a cell between map and reference, over open interest."""
    bars: int
    events: int
    array_bytes: int
    held_bytes: int
    """All that one market's engine holds, as traced by the allocator."""
    checkpoint_bytes: int
    decisions_bytes: int
    shapes_bytes: tuple[int, int]
    """Shapes of deposits kept of one market and of `OWN_TIERS`, each with tiers of its own."""


def measure(nodes: int = NODES, history_days: float = DAYS, rounds: int = ROUNDS) -> MapFigures:
    history = random_market(RandomMarket(bars=days(history_days), seed=1, price=90_000.0))
    snapshots = snapshots_of(history)
    settings = settings_with(nodes)
    long_rounds = min(rounds, LONG_ROUNDS)
    final_map, made = best_of(rounds, lambda: map_from_history(settings, history))
    reference, expected = best_of(long_rounds, lambda: reference_map(settings, history))
    stepwise, _ = best_of(long_rounds, lambda: step_by_step(settings, history))
    # the kinds are looked up once a process, not once a market
    find_kinds()
    engine_time, (engine, events) = best_of(long_rounds, lambda: run_engine(settings, snapshots))
    difference = np.abs(made.known + made.unknown - np.asarray(expected)).max()
    return MapFigures(
        final_map,
        reference,
        stepwise,
        engine_time,
        float(difference) / (made.open_interest_base or 1.0),
        len(snapshots),
        events,
        array_bytes(engine.estimate),
        held_bytes(settings, snapshots),
        len(engine.estimate.to_bytes()),
        len(engine.decisions()),
        (shapes_bytes(settings, history, 1), shapes_bytes(settings, history, OWN_TIERS)),
    )


def settings_with(nodes: int) -> MapSettings:
    """The defaults, but for the number of leverage nodes."""
    leverages = default_nodes(nodes)
    return MapSettings(LeverageModel(leverages, default_weights(leverages)))


def step_by_step(settings: MapSettings, history: BarHistory) -> LiquidationMap:
    made = LiquidationMap(settings)
    for bar, sample, crowding in bars_of(history):
        made.update(bar, sample, crowding)
    return made


def run_engine(settings: MapSettings, snapshots: Sequence[MarketSnapshot]) -> tuple[MarketEngine, int]:
    """The engine after the last snapshot and how many events it told."""
    engine = MarketEngine(MARKET, EngineSettings(EstimateSettings(settings)), find_kinds())
    events = 0
    for snapshot in snapshots:
        step = engine.step(snapshot)
        events += len(step.events) if step else 0
    return engine, events


def array_bytes(estimate: MarketEstimate) -> int:
    """Bytes of every numpy array that one market's estimate keeps."""
    parts = (estimate, estimate.map, estimate.baseline, estimate.trail)
    values = [value for part in parts for value in vars(part).values()]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def held_bytes(settings: MapSettings, snapshots: Sequence[MarketSnapshot]) -> int:
    """Growth of all memory by one more market's engine, caches included."""
    run_engine(settings, snapshots[:1])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = run_engine(settings, snapshots)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del held
    return after - before


def shapes_bytes(settings: MapSettings, history: BarHistory, markets: int) -> int:
    """What is left once the maps of so many markets, no two with the same tiers, are gone again."""
    tracemalloc.start()
    try:
        for n in range(markets):
            own = replace(settings.leverage, position_usd=settings.leverage.position_usd + 1000 * markets + n)
            step_by_step(replace(settings, leverage=own), history)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return left


def run(*, quick: bool = False) -> list[Report]:
    length, rounds = (3, 3) if quick else (DAYS, ROUNDS)
    reports = [_report(measure(NODES, length, rounds), NODES, length)]
    if not quick:
        default = len(LeverageModel().nodes)
        reports.append(_report(measure(default, length, rounds), default, length))
    return reports


def _report(found: MapFigures, nodes: int, history_days: float) -> Report:
    per_bar = Timing(found.stepwise.seconds / found.bars, found.stepwise.loops / found.bars)
    alone, together = found.shapes_bytes
    ratio = found.reference.seconds / found.final_map.seconds
    arrays, held, checkpoint, decisions = (
        f"{count / 1000:.0f} kB"
        for count in (found.array_bytes, found.held_bytes, found.checkpoint_bytes, found.decisions_bytes)
    )
    return Report(
        f"Map: {history_days:g} days of 5-minute bars ({found.bars}), {nodes} leverage nodes",
        ("what", "measured", "calibration loops", "budget"),
        (
            ("final map from the history", *found.final_map.shown, "15 ms"),
            ("the same in plain Python, without ages", *found.reference.shown, ""),
            ("plain Python / final map", f"{ratio:.0f} x", "", ""),
            ("largest difference between them / open interest", f"{found.disagreement:.1e}", "", ""),
            ("map bar by bar, whole history", *found.stepwise.shown, ""),
            ("map bar by bar, one bar", f"{per_bar.seconds * 1e6:.0f} us", f"{per_bar.loops:.3g}", ""),
            (f"map, clusters and events at each bar ({found.events} events)", *found.engine.shown, "2 s"),
            ("memory of one market: its arrays", arrays, "", "250 kB"),
            ("memory of one market: all that its engine holds", held, "", "250 kB"),
            ("stored: checkpoint of the estimate", checkpoint, "", "100 kB"),
            ("stored: decisions (tracker, kinds' memory)", decisions, "", ""),
            ("shapes of deposits, of a market with tiers of its own", f"{alone / 1e6:.1f} MB", "", ""),
            (f"shapes of deposits, of {OWN_TIERS} such markets", f"{together / 1e6:.1f} MB", "", ""),
        ),
    )
