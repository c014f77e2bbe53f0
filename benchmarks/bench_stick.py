"""The truth stick: is more really liquidated in the hours in which the map says that more was consumed?

Almost any map agrees with that, for both follow the move; so what counts is the partial rank correlation given the
hour's move, drawdown, and both times volume, over exposure at least an hour old and at least 1 % from its entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import bench_truth
from benchmarks.bench_truth import DEFAULT
from benchmarks.report import SHARED, Report
from bot.markets.recorded import RecordedFeed
from detectors.estimate import EstimateSettings, MarketEstimate
from detectors.leverage import LeverageModel
from detectors.liquidation_map import LiquidationMap
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS, MarketSnapshot, Side
from detectors.truth_measures import partial_rank_correlation, rank_correlation

RECORDING = SHARED / "markets/winter-2025"
NEAREST = 0.01
YOUNGEST_MS = HOUR_MS
SKIPPED_MS = 3 * DAY_MS
TARGET = {Side.LONG: 0.22, Side.SHORT: 0.20}
MODELS: Mapping[str, LeverageModel] = {
    **bench_truth.MODELS,
    "all 10x, no turnover": LeverageModel((10.0,), (1.0,), turnover_daily=0.0),
}
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stick:
    """Of one map and side: rank correlation with what was liquidated, and the same given the four baselines."""

    plain: float
    partial: float


@dataclass(frozen=True, slots=True)
class Hours:
    """Observed hours of one market, each array of one value an hour."""

    of_bar: NDArray[np.int64]
    """Hour that each snapshot's bar belongs to, as its number below; [bars]."""
    counted: NDArray[np.bool_]
    """Hours with observed liquidations, the first three days left out."""
    liquidated_usd: Mapping[Side, Floats]
    baselines: Mapping[Side, tuple[Floats, ...]]
    """Move, drawdown, move x volume and drawdown x volume, towards the side's liquidations."""

    def stick(self, side: Side, consumed: Floats) -> Stick:
        """``consumed``: of one bar each, [bars]."""
        hourly: Floats = np.zeros(len(self.counted))
        np.add.at(hourly, self.of_bar, consumed)
        truth = self.liquidated_usd[side][self.counted]
        given = [baseline[self.counted] for baseline in self.baselines[side]]
        return Stick(
            rank_correlation(hourly[self.counted], truth), partial_rank_correlation(hourly[self.counted], truth, given)
        )

    def best_baseline(self, side: Side) -> float:
        truth = self.liquidated_usd[side][self.counted]
        return max(rank_correlation(baseline[self.counted], truth) for baseline in self.baselines[side])


def read_hours(snapshots: Sequence[MarketSnapshot]) -> Hours:
    """From snapshots that each carry a bar; one observed source of liquidations is expected."""
    bars = [snapshot.bar for snapshot in snapshots if snapshot.bar is not None]
    numbers, of_bar = np.unique([bar.opened_at_ms // HOUR_MS for bar in bars], return_inverse=True)
    starts = np.searchsorted(of_bar, np.arange(len(numbers)))
    first_open = np.array([bar.open for bar in bars])[starts]
    last_close = np.array([bar.close for bar in bars])[np.append(starts[1:], len(bars)) - 1]
    low = np.minimum.reduceat([bar.low for bar in bars], starts)
    high = np.maximum.reduceat([bar.high for bar in bars], starts)
    volume = np.add.reduceat([bar.volume_base for bar in bars], starts)
    totals = {one.started_at_ms // HOUR_MS: one for snapshot in snapshots for one in snapshot.liquidations}
    fall = (first_open - last_close) / first_open
    drawdowns = {Side.LONG: (first_open - low) / first_open, Side.SHORT: (high - first_open) / first_open}
    moves = {Side.LONG: fall, Side.SHORT: -fall}
    return Hours(
        of_bar,
        np.array([number in totals for number in numbers.tolist()]) & (numbers - numbers[0] >= SKIPPED_MS // HOUR_MS),
        {
            side: np.array([getattr(totals.get(number), f"{side.value}_usd", 0.0) for number in numbers.tolist()])
            for side in Side
        },
        {side: (moves[side], drawdowns[side], moves[side] * volume, drawdowns[side] * volume) for side in Side},
    )


def consumed_usd(model: LeverageModel, snapshots: Sequence[MarketSnapshot]) -> dict[Side, Floats]:
    """What each snapshot's bar traded through of the map before it, of exposure old and far enough; [bars] a side."""
    estimate = MarketEstimate.empty(EstimateSettings(MapSettings(without_near_nodes(model))))
    consumed = {side: np.zeros(len(snapshots)) for side in Side}
    for number, snapshot in enumerate(snapshots):
        bar = snapshot.bar
        if bar is not None and estimate.map.boundary is not None:
            for side, base in reached(estimate.map, bar.low, bar.high, bar.opened_at_ms).items():
                consumed[side][number] = base * bar.close
        # prints would tell the map what it is judged by
        estimate.apply(replace(snapshot, prints=()))
    return consumed


def reached(made: LiquidationMap, low: float, high: float, at_ms: int) -> dict[Side, float]:
    """Base units between a bar's extremes that are at least an hour old at ``at_ms``, its open."""
    assert made.boundary is not None
    grid, boundary = made.settings.grid, made.boundary
    lowest, highest = min(boundary, grid.cell(low)), max(boundary, grid.cell(high))
    scales = made.scales.copy()
    scales[:, [row for block, row in made.rows.blocks() if block.ended_at_ms > at_ms - YOUNGEST_MS]] = 0.0
    exposure = np.einsum("gr,grc->c", scales, made.exposure[:, :, lowest - made.origin : highest + 1 - made.origin])
    split = boundary - lowest
    return {Side.LONG: float(exposure[:split].sum()), Side.SHORT: float(exposure[split:].sum())}


def without_near_nodes(model: LeverageModel) -> LeverageModel:
    """Leaves out nodes nearer than 1 % to entry. The rest is normalised anew within, which ranks do not notice."""
    far = model.log_distances[Side.LONG] >= NEAREST
    pairs = [pair for pair, kept in zip(zip(model.nodes, model.weights, strict=True), far, strict=True) if kept]
    return replace(model, nodes=tuple(node for node, _ in pairs), weights=tuple(weight for _, weight in pairs))


def measure(
    recording: Path, models: Mapping[str, LeverageModel] = MODELS
) -> tuple[Hours, dict[str, dict[Side, Stick]]]:
    """The stick of each model on the recording's BTC."""
    feed = RecordedFeed(recording, ["BTC"])
    feed.load()
    snapshots = [snapshot for (snapshot,) in feed.steps()]
    hours = read_hours(snapshots)
    sticks = {}
    for name, model in models.items():
        consumed = consumed_usd(model, snapshots)
        sticks[name] = {side: hours.stick(side, consumed[side]) for side in Side}
    return hours, sticks


def run(*, quick: bool = False) -> list[Report]:
    title = "Truth stick: consumed by the map against really liquidated, winter-2025, BTC, by the hour"
    columns = ("map", "plain long", "plain short", "partial long", "partial short", "target")
    if not RECORDING.is_dir():
        return [Report(title, columns, notes=("skipped: ../shared/markets/winter-2025 is not beside this checkout",))]
    models = {DEFAULT: MODELS[DEFAULT]} if quick else MODELS
    hours, sticks = measure(RECORDING, models)
    baselines = [f"{hours.best_baseline(side):.2f}" for side in Side]
    rows = [("best of the four baselines, no map", *baselines, "", "", "")]
    for name, found in sticks.items():
        plain = [f"{found[side].plain:.2f}" for side in Side]
        partial = [f"{found[side].partial:.3f}" for side in Side]
        target = " / ".join(f"{TARGET[side]:.2f}" for side in Side) if name == DEFAULT else ""
        rows.append((name, *plain, *partial, target))
    return [Report(title, columns, tuple(rows), (f"{int(hours.counted.sum())} hours, the first three days left out.",))]
