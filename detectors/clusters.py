"""Bands on the map that stand out: contiguous, prominent, never wider than a cap."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import DistanceBaseline
from detectors.liquidation_map import LiquidationMap
from detectors.market import Side
from detectors.numerics import rolling_sum

Floats = NDArray[np.float64]


class Preset(StrEnum):
    ADAPTIVE = "adaptive"
    """Denser than this market usually is at the same signed distance."""
    STRICT = "strict"
    """15 % of open interest inside a 0.5 % band (the NMR cluster-trading article, step one)."""
    SENSITIVE = "sensitive"
    """10 % (the same article's FAQ)."""


FIXED_SHARE = {Preset.STRICT: 0.15, Preset.SENSITIVE: 0.10}


@dataclass(frozen=True)
class ClusterSettings:
    """What counts as a cluster. Fractions of price, or of open interest where the name says share."""

    preset: Preset = Preset.ADAPTIVE
    window: float = 0.005
    deviations: float = 0.7
    """Adaptive: standard deviations above the usual density at that distance."""
    minimum_share: float = 0.007
    """Adaptive: never less than this share of open interest in the window."""
    nearest: float = 0.015
    """No cluster is born nearer to price than this; it would be an alarm about the last hour's noise."""
    farthest: float = 0.08
    widest: float = 0.0125
    edge: float = 0.5
    """A band reaches out to where density falls below this part of its peak."""
    prominence: float = 0.25
    """A second peak in one stretch counts when it rises this part above the valley between."""
    keep: float = 0.5
    """A cluster that is no longer found lives on until its share falls below this part of that at birth."""


@dataclass(frozen=True, slots=True)
class FoundBand:
    """One band found. Cells are grid numbers, ``high`` included; ``window_share`` is the peak density."""

    side: Side
    low: int
    high: int
    peak: int
    base: float
    window_share: float


def density(estimate: LiquidationMap, window_cells: int) -> Floats:
    """Share of open interest of known age inside the window around each column, float64[cells]."""
    if not estimate.open_interest_base:
        return np.zeros(len(estimate.known))
    return rolling_sum(estimate.known, window_cells) / estimate.open_interest_base


class BandFinder:
    """Finds bands on one map; holds what does not change between bars."""

    def __init__(self, settings: ClusterSettings, log_step: float) -> None:
        self.settings = settings
        self.window_cells = max(1, round(np.log1p(settings.window) / log_step))
        self.widest_cells = max(self.window_cells, round(np.log1p(settings.widest) / log_step))
        self.nearest_cells = round(np.log1p(settings.nearest) / log_step)
        self.farthest_cells = round(np.log1p(settings.farthest) / log_step)
        self._threshold: Floats | None = None

    def learn(self, baseline: DistanceBaseline) -> None:
        """Takes the thresholds of the hour from the baseline; none while it is not ready."""
        settings = self.settings
        fixed = FIXED_SHARE.get(settings.preset)
        if fixed is not None:
            self._threshold = np.full(2 * baseline.settings.reach_cells, fixed)
        elif baseline.ready:
            self._threshold = np.maximum(baseline.threshold(settings.deviations), settings.minimum_share)

    @property
    def ready(self) -> bool:
        return self._threshold is not None

    def find(self, estimate: LiquidationMap, shares: Floats, occupied: Sequence[tuple[int, int]]) -> list[FoundBand]:
        """New bands of the map, densest first, clear of the ``occupied`` ones (grid numbers of first and last cell).

        ``shares`` is `density` of the map.
        """
        if self._threshold is None or estimate.boundary is None:
            return []
        reach = min(len(self._threshold) // 2, self.farthest_cells)
        middle = estimate.boundary - estimate.origin
        first, last = max(0, middle - reach), min(len(shares), middle + reach)
        offset = len(self._threshold) // 2 - middle
        open_to_birth = shares[first:last] >= self._threshold[first + offset : last + offset]
        self._clear(open_to_birth, middle - first, middle - first, self.nearest_cells)
        for low, high in occupied:
            self._clear(open_to_birth, low - estimate.origin - first, high - estimate.origin - first, self.window_cells)
        if not open_to_birth.any():
            return []
        return self._take(estimate, shares, np.where(open_to_birth, shares[first:last], -1.0), first, occupied)

    def _clear(self, columns: NDArray[np.bool_], low: int, high: int, margin: int) -> None:
        columns[max(0, low - margin) : max(0, high + margin + 1)] = False

    def _take(
        self,
        estimate: LiquidationMap,
        shares: Floats,
        candidates: Floats,
        first: int,
        occupied: Sequence[tuple[int, int]],
    ) -> list[FoundBand]:
        """Takes peak after peak until nothing stands out; each takes its surroundings with it."""
        origin = estimate.origin
        peaks = [(low + high) // 2 - origin for low, high in occupied]
        taken = [(low - origin, high - origin) for low, high in occupied]
        found: list[FoundBand] = []
        while candidates[peak := int(candidates.argmax())] > 0:
            column = peak + first
            left = right = column
            if self._prominent(shares, column, peaks):
                left, right = _clear_of(taken, column, *self.extent(shares, column))
                side = Side.LONG if column + origin < (estimate.boundary or 0) else Side.SHORT
                base = float(estimate.known[left : right + 1].sum())
                found.append(
                    FoundBand(side, left + origin, right + origin, column + origin, base, float(shares[column]))
                )
                peaks.append(column)
                taken.append((left, right))
            margin = self.window_cells
            candidates[max(0, left - first - margin) : max(0, right + 1 - first + margin)] = -1.0
        return found

    def extent(self, shares: Floats, peak: int) -> tuple[int, int]:
        """First and last column of the band around a peak, at most the widest allowed."""
        half = self.widest_cells // 2
        low, high = max(0, peak - half), min(len(shares), peak + half + 1)
        enough = shares[low:high] >= self.settings.edge * shares[peak]
        below = np.flatnonzero(~enough[: peak - low])
        above = np.flatnonzero(~enough[peak - low :])
        left = low + int(below[-1]) + 1 if below.size else low
        right = peak + int(above[0]) - 1 if above.size else high - 1
        return left, right

    def _prominent(self, shares: Floats, column: int, peaks: Sequence[int]) -> bool:
        for other in peaks:
            if not 0 <= other < len(shares) or abs(other - column) > 3 * self.widest_cells:
                continue
            valley = shares[min(other, column) : max(other, column) + 1].min()
            if shares[column] < valley * (1 + self.settings.prominence):
                return False
        return True


def _clear_of(taken: Sequence[tuple[int, int]], peak: int, left: int, right: int) -> tuple[int, int]:
    """The band cut back to where others begin, so that no exposure belongs to two."""
    for low, high in taken:
        if high < peak:
            left = max(left, high + 1)
        elif low > peak:
            right = min(right, low - 1)
    return left, right
