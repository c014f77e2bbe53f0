"""The same estimate from a whole history at once: what `LiquidationMap.update` would give bar by bar.

A position opened at bar ``c`` that would be liquidated at level ``p`` is still there at the end exactly when every
later low stayed above ``p`` (every later high below, for a short), so a deposit is a box clipped by a running
minimum and scaled by a running product; boxes are summed as their slopes. Agrees with the stepwise map to 1e-9
of open interest (the map keeps 32-bit floats, this sums in 64).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.ages import ROWS, UNKNOWN_ROW
from detectors.deposits import CROWDING_LEVELS
from detectors.flows import MOST_REPLACED, UsualVolume, kept_after, relative_volumes, replaced_in_a_bar
from detectors.liquidation_map import GROUPS, RECENTRE_CELLS, LiquidationMap
from detectors.map_settings import MapSettings
from detectors.market import HOUR_MS, Side
from detectors.price_grid import PriceGrid

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BarHistory:
    """``n`` closed bars of one market in time order, each array of shape [n].

    ``open_interest_base`` is the sample known at each bar's close, NaN where there is no new one.
    """

    interval_ms: int
    opened_at_ms: Ints
    high: Floats
    low: Floats
    close: Floats
    volume_base: Floats
    open_interest_base: Floats
    open_interest_interval_ms: int
    crowding: Floats


def map_from_history(settings: MapSettings, history: BarHistory) -> LiquidationMap:
    """The map after the last bar of the history. Raises ValueError where bars are not in time order."""
    if np.any(np.diff(history.opened_at_ms) <= 0):
        raise ValueError("bars are not in time order")
    made = LiquidationMap(settings)
    if not len(history.close):
        return made
    grid = settings.grid
    low, high, reached_low, reached_high, close = reach_of(grid, history)
    origins = _origins(close, grid.cells)

    hours, hour_of_bar = np.unique(history.opened_at_ms // HOUR_MS, return_inverse=True)
    for hour in hours.tolist():
        made.rows.open(hour * HOUR_MS)
    made.origin, made.boundary = int(origins[-1]), int(close[-1])
    made.last_bar_opened_at_ms = int(history.opened_at_ms[-1])
    made.bar_interval_ms, made.open_interest_interval_ms = history.interval_ms, history.open_interest_interval_ms
    relative, usual = relative_volumes(history.volume_base)
    flows = flows_of(settings, history, relative)
    _leave_pending(made, history, (low, high), (reached_low, reached_high), relative, usual)
    if flows is None:
        return made
    made.open_interest_base, made.open_interest_at_ms = flows.open_interest_base, flows.open_interest_at_ms

    # levels at or past these cells have been traded through, or fell off the grid, since the deposit
    long_stop = _suffix(np.minimum, reached_low, close)
    short_start = _suffix(np.maximum, reached_high, close)
    left = np.maximum.accumulate(origins[::-1])[::-1]
    right = np.minimum.accumulate(origins[::-1])[::-1] + grid.cells
    spread = grid.span(settings.unknown_age_spread)
    for bar in np.flatnonzero(flows.unknown):
        since = flows.unknown_since[bar]
        low[bar] = min(close[bar] - spread, low[since : bar + 1].min())
        high[bar] = max(close[bar] + spread, high[since : bar + 1].max())

    row_at = np.array([made.rows.row_at(hour * HOUR_MS) for hour in hours.tolist()])[hour_of_bar]
    levels = np.rint(np.clip(history.crowding, -1, 1) * CROWDING_LEVELS).astype(np.int64)
    lines = grid.cells + 1
    slopes = np.zeros(GROUPS * ROWS * lines)
    for amounts, rows, crowding in (
        (flows.opened, row_at, levels),
        (flows.unknown, np.full_like(row_at, UNKNOWN_ROW), np.zeros_like(levels)),
    ):
        bars = np.flatnonzero(amounts)
        made_at = flows.made_at[bars]
        per_cell = amounts[bars] / (high[bars] - low[bars] + 1)
        for side in Side:
            table = np.array([made.shapes.weights(side, n) for n in range(-CROWDING_LEVELS, CROWDING_LEVELS + 1)])
            if side is Side.LONG:
                floor, ceiling = left[made_at], np.minimum(right[made_at], long_stop[bars])
            else:
                floor, ceiling = np.maximum(left[made_at], short_start[bars] + 1), right[made_at]
            for group, nodes in enumerate(settings.leverage.groups):
                shifts = made.shapes.shifts[side][nodes] * (-1 if side is Side.LONG else 1)
                weight = table[crowding[bars] + CROWDING_LEVELS][:, nodes]
                weight *= (per_cell * flows.kept[group, bars])[:, None]
                start = np.maximum(low[bars, None] + shifts, floor[:, None])
                stop = np.minimum(high[bars, None] + 1 + shifts, ceiling[:, None])
                survives = stop > start
                offset = ((group * ROWS + rows[bars]) * lines - made.origin)[:, None]
                weight = weight[survives]
                slopes += np.bincount((start + offset)[survives], weight, len(slopes))
                slopes -= np.bincount((stop + offset)[survives], weight, len(slopes))
    density = np.cumsum(slopes.reshape(GROUPS, ROWS, lines), axis=2)[:, :, :-1]
    density[density < 1e-12 * max(1.0, made.open_interest_base)] = 0.0
    made.exposure = density.astype(np.float32)
    made.group_known = density[:, UNKNOWN_ROW + 1 :].sum(axis=1)
    made.known = made.group_known.sum(axis=0)
    return made


def reach_of(grid: PriceGrid, history: BarHistory) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Grid cells of each bar, [n] each: lowest and highest that it is entered over, lowest and highest that it reaches
    (the close before it included), and its close. After a hole a bar is entered over all that it reaches."""
    close, low, high = (grid.cells_of(prices) for prices in (history.close, history.low, history.high))
    reached_low, reached_high = low.copy(), high.copy()
    reached_low[1:] = np.minimum(low[1:], close[:-1])
    reached_high[1:] = np.maximum(high[1:], close[:-1])
    after_gap = np.flatnonzero(np.diff(history.opened_at_ms) != history.interval_ms) + 1
    low[after_gap], high[after_gap] = reached_low[after_gap], reached_high[after_gap]
    return low, high, reached_low, reached_high, close


@dataclass(frozen=True)
class Flows:
    """What opened and closed in a history."""

    opened: Floats
    """Base units opened at each bar and of known age, [n]."""
    unknown: Floats
    """The same of unknown age, [n]."""
    unknown_since: Ints
    """First bar of the range that unknown entries are spread over, [n]."""
    kept: Floats
    """Share of a bar's deposit that no later closing took, [groups, n]."""
    kept_at: Floats
    """Share of each group that the sample at each bar left, [groups, n]; 1 where there was none."""
    made_at: Ints
    """Bar whose sample of open interest made the deposit; the grid may have moved until then, [n]."""
    open_interest_base: float
    open_interest_at_ms: int


def flows_of(settings: MapSettings, history: BarHistory, relative: Floats) -> Flows | None:
    """From open interest and volume relative to what is usual (float64[n]); None without open interest."""
    longest_gap_ms = settings.longest_gap_ms(history.interval_ms, history.open_interest_interval_ms)
    count = len(history.close)
    samples = np.flatnonzero(~np.isnan(history.open_interest_base))
    if not samples.size:
        return None
    base = history.open_interest_base[samples]
    closed_at = history.opened_at_ms[samples] + history.interval_ms
    net = np.diff(base)
    gross = settings.churn(history.open_interest_interval_ms) * np.abs(net)
    before = base[:-1]
    fraction = np.minimum(np.divide((gross - net) / 2, before, out=np.zeros_like(net), where=before > 0), 0.999)
    gap = np.diff(closed_at) > longest_gap_ms

    stretches = np.concatenate([[0], samples[:-1] + 1])
    volume = np.add.reduceat(history.volume_base[: samples[-1] + 1], stretches)
    in_bars = replaced_in_a_bar(settings.leverage.turnover_daily, history.interval_ms) * relative
    replaced = np.minimum(np.add.reduceat(in_bars[: samples[-1] + 1], stretches)[1:], MOST_REPLACED)
    kept_at = np.ones((GROUPS, count + 1))
    kept_at[:, samples[1:]] = kept_after(fraction, replaced, settings.leverage.hazards[:, None])
    # a bar's deposit is made with the sample that ends its stretch, after that sample's own closing
    kept_since = np.cumprod(kept_at[:, ::-1], axis=1)[:, ::-1]
    ends = np.searchsorted(samples, np.arange(count))
    settled = ends < len(samples)
    kept = np.where(settled, kept_since[:, samples[np.minimum(ends, len(samples) - 1)] + 1], 0.0)

    opened_per_sample = np.concatenate([[0.0], np.where(gap, 0.0, (gross + net) / 2 + replaced * before)])
    bars = np.diff(np.concatenate([[-1], samples]))
    index = np.minimum(ends, len(samples) - 1)
    share = np.where(volume[index] > 0, history.volume_base / np.where(volume > 0, volume, 1.0)[index], 1 / bars[index])
    opened = np.where(settled, opened_per_sample[index] * share, 0.0)

    unknown = np.zeros(count)
    unknown_since = np.arange(count)
    unknown[samples[0]] = base[0]
    unknown_since[samples[0]] = 0
    unknown[samples[1:][gap]] = np.maximum(0.0, net[gap])
    unknown_since[samples[1:][gap]] = samples[:-1][gap] + 1
    return Flows(
        opened, unknown, unknown_since, kept, kept_at[:, :count], samples[index], float(base[-1]), int(closed_at[-1])
    )


def _suffix(best: np.ufunc, reached: Ints, close: Ints) -> Ints:
    """Extreme cell reached by the bars after each one, and at the least its own and the last close."""
    later = np.append(reached[1:], close[-1])
    accumulated: Ints = best.accumulate(later[::-1])[::-1]
    return accumulated


def _origins(close: Ints, cells: int) -> Ints:
    """The grid's first cell after each bar, following the close as `LiquidationMap` does."""
    origins = np.empty_like(close)
    start, centre = 0, int(close[0])
    while True:
        drifted = np.flatnonzero(np.abs(close[start:] - centre) > RECENTRE_CELLS)
        stop = start + int(drifted[0]) if drifted.size else len(close)
        origins[start:stop] = centre - cells // 2
        if stop == len(close):
            return origins
        start, centre = stop, int(close[stop])


def _leave_pending(
    made: LiquidationMap,
    history: BarHistory,
    spread: tuple[Ints, Ints],
    reached: tuple[Ints, Ints],
    relative: Floats,
    usual: UsualVolume,
) -> None:
    """Bars after the last sample wait for the next one, as they would stepwise."""
    samples = np.flatnonzero(~np.isnan(history.open_interest_base))
    start = int(samples[-1]) + 1 if samples.size else 0
    crowding = np.rint(np.clip(history.crowding[start:], -1, 1) * CROWDING_LEVELS).astype(int)
    replaced = replaced_in_a_bar(made.settings.leverage.turnover_daily, history.interval_ms) * relative[start:]
    columns = (
        *(cells[start:] for cells in spread),
        history.volume_base[start:],
        history.opened_at_ms[start:],
        crowding,
        replaced,
        *(cells[start:] for cells in reached),
    )
    bars = zip(*(column.tolist() for column in columns), strict=True)
    made.await_open_interest(bars, usual, sampled=bool(samples.size))
