"""From the tracker's record to the `Cluster` that detectors, charts and commands see."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.cluster import CONSUMED_FRACTION, Build, Cluster
from detectors.event import Level
from detectors.liquidation_map import LiquidationMap
from detectors.market import HOUR_MS, Side
from detectors.numerics import densest_half
from detectors.trail import CELLS_A_BIN, COLUMN_MS, COLUMNS, Trail

ROUNDING = 2**-9
"""The trail keeps 16-bit floats; a rise this small a part of the peak is none."""
LOW_ENOUGH = 0.25
"""A first column remembered that is under this part of the peak is as good as the trough before it."""
BUMP = 0.1
"""A dip this part of the peak deep ends the rise that came before it."""


class Tracked(Protocol):
    identity: str
    side: Side
    born_bar_opened_at_ms: int
    low: int
    high: int
    base: float
    centre: float
    build_hours: float
    build_at_least: bool


def describe(cluster: Tracked, estimate: LiquidationMap, price: float) -> Cluster:
    """The cluster with its prices, size, distance and build time as of now."""
    grid = estimate.settings.grid
    first = max(0, cluster.low - estimate.origin)
    cells = estimate.known[first : max(0, cluster.high + 1 - estimate.origin)]
    low, high = grid.price(cluster.low), grid.price(cluster.high + 1)
    if cells.size and cells.any():
        start, stop = densest_half(cells)
        core_low, core_high = grid.price(cluster.low + start), grid.price(cluster.low + stop + 1)
    else:
        core_low, core_high = low, high
    centre = grid.price(cluster.centre)
    consumed_at = _consumed_at(cells if cluster.side is Side.SHORT else cells[::-1])
    outer = high if cluster.side is Side.LONG else low
    sign = 1 if cluster.side is Side.LONG else -1
    return Cluster(
        identity=cluster.identity,
        side=cluster.side,
        born_bar_opened_at_ms=cluster.born_bar_opened_at_ms,
        level=Level(low, high, centre),
        core_low=core_low,
        core_high=core_high,
        consumed_at=None
        if consumed_at is None
        else grid.price(cluster.low + consumed_at)
        if cluster.side is Side.SHORT
        else grid.price(cluster.high + 1 - consumed_at),
        base=cluster.base,
        notional_usd=cluster.base * centre,
        share_of_open_interest=cluster.base / estimate.open_interest_base if estimate.open_interest_base else 0.0,
        distance=max(0.0, sign * (price - centre) / price),
        distance_to_edge=max(0.0, sign * (price - outer) / price),
        build=Build(cluster.build_hours, cluster.build_at_least),
    )


def _consumed_at(cells: NDArray[np.float64]) -> int | None:
    """How many cells price must have left behind to stand in the one that makes the band consumed; None: it is empty.

    ``cells``: the band's exposure in the order in which price comes to it.
    """
    through = np.cumsum(cells)
    if not through.size or not through[-1] > 0:
        return None
    return int(np.searchsorted(through, CONSUMED_FRACTION * through[-1]))


def build_of(low: int, high: int, base: float, estimate: LiquidationMap, trail: Trail) -> Build:
    """Time from 10 % to 90 % of the rise from the band's last trough to its peak.

    On half-hourly columns, and on eighteen-hourly ones where it began more than three days ago. The peak is that of the
    last three days: one before that was another build's.

    The band is that of cells ``low..high`` (grid numbers), which holds ``base`` now. Taking 10-90 % of the mass
    instead would call nearly every cluster slow, for a band is seldom empty.
    """
    times, history = trail.band_history(low, high)
    now = estimate.last_bar_opened_at_ms or 0
    times = np.append(times, now + COLUMN_MS // 6)
    seen = _as_the_trail_sees(estimate, low, high)
    history = np.append(history * (base / seen if seen > 0 else 1.0), base)
    recent = int(np.searchsorted(times, times[-1] - COLUMNS * COLUMN_MS))
    before = history[: recent + int(np.argmax(history[recent:])) + 1]
    trough = last_trough(before)
    rise = before[trough:]
    floor, height = rise[0], rise[-1] - rise[0]
    if height <= ROUNDING * rise[-1]:
        return Build(0.0, at_least=True)
    started = trough + int(np.argmax(rise >= floor + 0.1 * height))
    finished = trough + int(np.argmax(rise >= floor + 0.9 * height))
    # nothing shorter than a column can be told
    hours = max(float(times[finished] - times[started]), COLUMN_MS) / HOUR_MS
    # numpy's bool has no place in the state that is stored as JSON
    return Build(round(hours, 2), at_least=trough == 0 and bool(floor > LOW_ENOUGH * rise[-1]))


def _as_the_trail_sees(estimate: LiquidationMap, low: int, high: int) -> float:
    """Base of the band now as a column of the trail would tell it, where bins covered in part count in part.

    Without it a band with steep edges would seem to have jumped just now, and its build to have lasted until now.
    """
    first, stop = low // CELLS_A_BIN, high // CELLS_A_BIN + 1
    starts = np.arange(first, stop) * CELLS_A_BIN
    cells = starts[:, None] + np.arange(CELLS_A_BIN) - estimate.origin
    inside = (cells >= 0) & (cells < len(estimate.known))
    bins = np.where(inside, estimate.known[np.clip(cells, 0, len(estimate.known) - 1)], 0.0).sum(axis=1)
    covered = np.minimum(starts + CELLS_A_BIN, high + 1) - np.maximum(starts, low)
    return float(bins @ covered) / CELLS_A_BIN


def last_trough(before: NDArray[np.float64]) -> int:
    """Index of the last trough in ``before`` (float64[n], whose last element is its peak).

    Going back from the peak, the lowest point found before the history stood a tenth of the peak higher again.
    """
    backwards = before[::-1]
    lowest = np.minimum.accumulate(backwards)
    higher_again = np.flatnonzero(backwards > lowest + BUMP * before[-1])
    reach = int(higher_again[0]) if higher_again.size else len(backwards)
    return len(before) - 1 - int(np.argmin(backwards[:reach]))
