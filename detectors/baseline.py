"""What is usual at a distance: how dense the map has been at each signed distance from price.

A threshold that is one number for all distances only ever finds bands six to nine per cent away, where
most leverage piles up. Here each distance is compared with its own past.
"""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.numerics import from_planes, to_planes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BaselineSettings:
    reach_cells: int = 240
    """Distances watched to each side of price (240 cells of 0.05 % are 12 %)."""
    half_life_hours: float = 168.0
    ready_hours: int = 72
    """Hours of history before the baseline is believed and clusters can form."""


@dataclass
class DistanceBaseline:
    """Running mean and deviation of the square root of share of open interest, by signed distance.

    The square root evens out the variance of what is roughly a count of positions. One sample an hour;
    exponentially weighted, so it is a few thousand floats whatever the history's length.
    """

    settings: BaselineSettings
    hours: int = 0
    mean: Floats = field(init=False)
    variance: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros(2 * self.settings.reach_cells)
        self.variance = np.zeros(2 * self.settings.reach_cells)

    @property
    def ready(self) -> bool:
        return self.hours >= self.settings.ready_hours

    def learn(self, share: Floats, boundary: int) -> None:
        """Takes one hourly sample: share of open interest per column (float64[cells]) with price at ``boundary``."""
        sample, inside = self._around(share, boundary)
        sample = np.sqrt(np.maximum(sample, 0.0))
        weight = max(1 - math.exp2(-1 / self.settings.half_life_hours), 1 / (self.hours + 1))
        difference = sample - self.mean[inside]
        self.mean[inside] += weight * difference
        self.variance[inside] = (1 - weight) * (self.variance[inside] + weight * difference * difference)
        self.hours += 1

    def threshold(self, deviations: float) -> Floats:
        """Share that is ``deviations`` standard deviations above usual, by signed distance, float64[2 reach]."""
        root = np.maximum(self.mean + deviations * np.sqrt(self.variance), 0.0)
        return root * root

    def _around(self, share: Floats, boundary: int) -> tuple[Floats, slice]:
        reach = self.settings.reach_cells
        first, last = max(0, boundary - reach), min(len(share), boundary + reach)
        return share[first:last], slice(first - boundary + reach, last - boundary + reach)

    def to_bytes(self) -> bytes:
        return self.hours.to_bytes(8, "little") + to_planes(self.mean) + to_planes(self.variance)

    @classmethod
    def from_bytes(cls, settings: BaselineSettings, data: bytes) -> Self:
        loaded = cls(settings, int.from_bytes(data[:8], "little"))
        shape = loaded.mean.shape
        loaded.mean = from_planes(data, np.float64, shape, 8)
        loaded.variance = from_planes(data, np.float64, shape, 8 + loaded.mean.nbytes)
        return loaded
