"""What each leverage node alone would have lost to price, bar by bar: a map is a weighted sum of its nodes.

`LiquidationMap` adds the nodes up as it goes. Here each keeps a row of its own, so one pass over a history serves any
weights, which is what a fit needs; and each deposit is known by its own bar, so ages are exact. Weighted by the model's
own weights the rows add up to what the map consumes; a test holds it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.deposits import CROWDING_LEVELS, deposit_shapes
from detectors.flows import relative_volumes
from detectors.map_history import BarHistory, flows_of, reach_of
from detectors.map_settings import MapSettings
from detectors.market import Side

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RESCALE = 200.0
"""Amounts are kept as if nothing had closed since a reference; past this difference of logs it is moved."""
_BARS_A_PAUSE = 64


def nothing() -> None:
    """No pause."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeExposure:
    """Base units that each bar traded through of each node's exposure, by side: float64[nodes, bars]."""

    consumed: dict[Side, Floats]

    def weighted(self, side: Side, weights: Floats) -> Floats:
        """Of a map with these node weights, float64[bars]."""
        consumed: Floats = weights @ self.consumed[side]
        return consumed


def node_exposure(
    settings: MapSettings,
    history: BarHistory,
    *,
    youngest_ms: int = 0,
    nearest: float = 0.0,
    pause: Callable[[], None] = nothing,
) -> NodeExposure:
    """Of exposure whose entries are known, at least ``youngest_ms`` old when its bar opens and, in log price, at least
    ``nearest`` from where it was opened. ``pause`` is called every few milliseconds.

    Weights matter only to how fast nodes are replaced and how crowding tilts them, which is taken from the settings.
    """
    model, grid = settings.leverage, settings.grid
    bars = len(history.close)
    empty = {side: np.zeros((len(model.nodes), bars)) for side in Side}
    if not bars:
        return NodeExposure(empty)
    relative, _ = relative_volumes(history.volume_base)
    flows = flows_of(settings, history, relative)
    if flows is None:
        return NodeExposure(empty)
    low, high, reached_low, reached_high, close = reach_of(grid, history)
    group_of = np.zeros(len(model.nodes), np.int64)
    for group, nodes in enumerate(model.groups):
        group_of[nodes] = group
    shapes = deposit_shapes(model, grid.log_step)
    levels = np.rint(np.clip(history.crowding, -1, 1) * CROWDING_LEVELS).astype(np.int64) + CROWDING_LEVELS
    turn = _Turn(history, flows.made_at, youngest_ms)
    log_kept = np.cumsum(np.log(flows.kept_at), axis=1)[group_of]
    for side in Side:
        plain = model.side_weights(side)
        tilts = np.array([shapes.weights(side, n) for n in range(-CROWDING_LEVELS, CROWDING_LEVELS + 1)])
        tilts = np.divide(tilts, plain, out=np.ones_like(tilts), where=plain > 0)
        distances, far = _counted(model.log_distances[side], nearest)
        shifts = np.maximum(1, np.rint(distances / grid.log_step)).astype(np.int64)
        mirrored = (-high, -low, -reached_high, -close)
        cells = (low, high, reached_low, close) if side is Side.LONG else mirrored
        empty[side] = _one_side(cells, shifts, flows.opened, tilts[levels] * far, log_kept, turn, pause)
    return NodeExposure(empty)


_WIDEST = 1.25
"""Ratio of neighbours' distances up to which nodes are samples of one continuum, and not levels of their own."""


def _counted(distances: Floats, nearest: float) -> tuple[Floats, Floats]:
    """Distances at which nodes are counted and the share of each that is, float64[nodes] each.

    A node of a continuum stands for all distances half-way to its neighbours: where that stretch begins nearer than
    ``nearest``, the rest of it counts, from there on.
    """
    order = np.argsort(distances)
    logs = np.log(distances[order])
    apart = np.diff(logs)
    apart[apart > np.log(_WIDEST)] = 0.0
    starts = np.exp(logs - np.concatenate([[0.0], apart]) / 2)
    stops = np.exp(logs + np.concatenate([apart, [0.0]]) / 2)
    share = np.where(starts >= nearest - 1e-12, 1.0, 0.0)
    cut = (starts < nearest) & (stops > nearest)
    share[cut] = (stops[cut] - nearest) / (stops[cut] - starts[cut])
    counted = np.empty_like(distances)
    counted[order] = share
    return np.maximum(distances, nearest) if nearest > 0 else distances, counted


class _Turn:
    """Which bars' deposits take effect after each bar: once made, and old enough for the bar after it."""

    def __init__(self, history: BarHistory, made_at: Ints, youngest_ms: int) -> None:
        closed_at = history.opened_at_ms + history.interval_ms
        # the first bar that opens late enough; deposits enter the books after the bar before it
        old_enough = np.searchsorted(history.opened_at_ms, closed_at + youngest_ms) - 1
        self.after = np.maximum(made_at, old_enough)
        self.order = np.argsort(self.after, kind="stable")
        self.starts = np.searchsorted(self.after[self.order], np.arange(len(closed_at) + 1))
        self.made_at = made_at

    def at(self, bar: int) -> list[int]:
        bars: list[int] = self.order[self.starts[bar] : self.starts[bar + 1]].tolist()
        return bars


def _one_side(
    cells: tuple[Ints, Ints, Ints, Ints],
    shifts: Ints,
    opened: Floats,
    tilts: Floats,
    log_kept: Floats,
    turn: _Turn,
    pause: Callable[[], None],
) -> Floats:
    """As longs; shorts come mirrored. ``tilts`` float64[bars, nodes], ``log_kept`` float64[nodes, bars]."""
    low, high, reached, close = cells
    nodes, bars = log_kept.shape
    floor = int(reached.min())
    """Below it nothing is ever consumed, so nothing is kept."""
    width = max(1, int(high.max()) - floor + 1)
    exposure = np.zeros((nodes, width + 1))
    """The last column takes what lies outside, which is nothing."""
    consumed = np.zeros((nodes, bars))
    reference = np.zeros((nodes, 1))
    rows = np.arange(nodes)[:, None]
    top = width
    """Cells from there on are empty."""
    for bar in range(bars):
        if bar % _BARS_A_PAUSE == 0:
            pause()
        at = int(reached[bar]) - floor
        if at < top:
            gone = exposure[:, at:top].sum(axis=1)
            kept = log_kept[:, bar - 1] if bar else 0.0
            consumed[:, bar] = gone * np.exp(kept - reference[:, 0])
            exposure[:, at:top] = 0.0
            top = at
        for one in turn.at(bar):
            if opened[one] <= 0:
                continue
            ceiling = int(close[turn.made_at[one]])
            if bar > one:
                ceiling = min(ceiling, int(reached[one + 1 : bar + 1].min()))
            spread = int(high[one] - low[one]) + 1
            columns = np.arange(int(low[one]) - floor, int(high[one]) - floor + 1) - shifts[:, None]
            amount = opened[one] / spread * tilts[one] * np.exp(reference[:, 0] - log_kept[:, turn.made_at[one]])
            inside = (columns >= 0) & (columns < ceiling - floor)
            # a node's own cells are all different, so plain addition loses none
            exposure[rows, np.where(inside, columns, width)] += np.where(inside, amount[:, None], 0.0)
            top = max(top, min(width, ceiling - floor))
        behind = reference[:, 0] - log_kept[:, bar]
        if behind.max() > _RESCALE:
            exposure *= np.exp(-behind)[:, None]
            reference = log_kept[:, bar : bar + 1].copy()
    return consumed
