"""Where a bar's newly opened positions would be liquidated: leverage nodes around the bar's own range."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.leverage import LeverageModel
from detectors.market import Side

CROWDING_LEVELS = 10
"""Crowding is rounded to tenths, so that bars share deposit shapes."""


def crowding_level(crowding: float) -> int:
    return round(max(-1.0, min(1.0, crowding)) * CROWDING_LEVELS)


class DepositShapes:
    """Liquidation levels of one unit of notional opened evenly over a range of cells."""

    def __init__(self, model: LeverageModel, log_step: float) -> None:
        self.model = model
        self.shifts: dict[Side, NDArray[np.int64]] = {
            side: np.maximum(1, np.rint(distances / log_step)).astype(np.int64)
            for side, distances in model.log_distances.items()
        }
        """Cells from entry to liquidation per node, int64[nodes], positive on both sides."""
        self.shape = lru_cache(maxsize=1024)(self._shape)

    def weights(self, side: Side, level: int) -> NDArray[np.float64]:
        return self.model.weights_at(level / CROWDING_LEVELS, side)

    def _shape(self, side: Side, group: int, width: int, level: int) -> tuple[int, NDArray[np.float64]]:
        """(offset of its first cell from the range's lowest cell, float64[cells]); all groups together sum to 1."""
        nodes = self.model.groups[group]
        if not nodes.size:
            return 0, np.zeros(0)
        shifts = self.shifts[side][nodes] * (-1 if side is Side.LONG else 1)
        first = int(shifts.min())
        slope = np.zeros(int(shifts.max()) - first + width + 1)
        share = self.weights(side, level)[nodes] / width
        np.add.at(slope, shifts - first, share)
        np.add.at(slope, shifts - first + width, -share)
        shape = np.cumsum(slope)[:-1]
        shape[shape < 1e-15] = 0.0
        return first, shape
