"""What two samples of open interest and the volume between them say about positions opened and closed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.market import DAY_MS

MEAN_VOLUME_BARS = 2016
"""Memory of the mean volume: a week of five-minute bars."""

MOST_REPLACED = 0.5
"""However large its volume, one sample of open interest replaces no more than this part of the positions."""


def gross_flow(before: float, now: float, churn: float) -> tuple[float, float]:
    """(base units opened, fraction of open interest closed) between two samples of total open interest.

    The fraction is of *total* open interest before, not of what a map tracks, and never all of it.
    """
    net = now - before
    gross = churn * abs(net)
    closed = (gross - net) / 2
    return (gross + net) / 2, min(closed / before, 0.999) if before > 0 else 0.0


def kept_after(
    closed_fraction: float | NDArray[np.float64],
    replaced: float | NDArray[np.float64],
    hazards: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Part of each group that a sample leaves, float64[groups]; of [n] samples with hazards [groups, 1], [groups, n].

    A net fall closes alike; what turnover replaces (as a fraction of open interest) goes by each group's hazard.
    """
    kept: NDArray[np.float64] = (1 - closed_fraction) * np.exp(-np.minimum(hazards * replaced, MOST_REPLACED))
    return kept


@dataclass
class UsualVolume:
    """Running mean of a bar's volume: the plain mean at first, exponentially weighted later."""

    mean: float = 0.0
    bars: int = 0

    def relative(self, volume: float) -> float:
        """The bar's volume over the mean that now includes it; 1 where nothing was ever traded."""
        self.bars = min(self.bars + 1, MEAN_VOLUME_BARS)
        self.mean += (volume - self.mean) / self.bars
        return volume / self.mean if self.mean > 0 else 1.0


def relative_volumes(volumes: NDArray[np.float64]) -> tuple[NDArray[np.float64], UsualVolume]:
    """`UsualVolume.relative` of a whole history, float64[n], n at least 1; and the mean after it."""
    mean = np.empty_like(volumes)
    first = volumes[:MEAN_VOLUME_BARS]
    mean[: len(first)] = np.cumsum(first) / np.arange(1, len(first) + 1)
    keep = 1 - 1 / MEAN_VOLUME_BARS
    # blocks, or the powers would run out of range
    for start in range(len(first), len(volumes), MEAN_VOLUME_BARS):
        block = volumes[start : start + MEAN_VOLUME_BARS]
        powers = keep ** np.arange(1, len(block) + 1)
        mean[start : start + len(block)] = powers * (mean[start - 1] + np.cumsum(block / powers) / MEAN_VOLUME_BARS)
    relative = np.divide(volumes, mean, out=np.ones_like(volumes), where=mean > 0)
    return relative, UsualVolume(float(mean[-1]), min(len(volumes), MEAN_VOLUME_BARS))


def replaced_in_a_bar(turnover_daily: float, interval_ms: int) -> float:
    """Fraction of open interest replaced in a bar of usual volume."""
    return turnover_daily * interval_ms / DAY_MS
