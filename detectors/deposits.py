"""Where a bar's newly opened positions would be liquidated: leverage nodes around the bar's own range."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.leverage import LeverageModel
from detectors.market import Side

CROWDING_LEVELS = 10
"""Crowding is rounded to tenths, so that bars share deposit shapes."""
SHAPES_KEPT = 1024
"""Of all markets together: 10 kB each, while a market alone, with tiers or weights of its own, comes to hundreds in a
month. One that is made anew takes some 50 us."""


def crowding_level(crowding: float) -> int:
    return round(max(-1.0, min(1.0, crowding)) * CROWDING_LEVELS)


@lru_cache(maxsize=512)
def deposit_shapes(model: LeverageModel, log_step: float) -> "DepositShapes":
    """The shapes of a model; markets with the same assumptions share them."""
    return DepositShapes(model, log_step)


class DepositShapes:
    """Liquidation levels of one unit of notional opened evenly over a range of cells."""

    def __init__(self, model: LeverageModel, log_step: float) -> None:
        self.model = model
        self.shifts: dict[Side, NDArray[np.int64]] = {
            side: np.maximum(1, np.rint(distances / log_step)).astype(np.int64)
            for side, distances in model.log_distances.items()
        }
        """Cells from entry to liquidation per node, int64[nodes], positive on both sides."""

    def shape(self, side: Side, width: int, level: int) -> tuple[int, NDArray[np.float64]]:
        """(offset of its first cell from the range's lowest cell, float64[groups, cells] that sums to 1)."""
        return _shape(self, side, width, level)

    def weights(self, side: Side, level: int) -> NDArray[np.float64]:
        return self.model.weights_at(level / CROWDING_LEVELS, side)


@lru_cache(maxsize=SHAPES_KEPT)
def _shape(shapes: DepositShapes, side: Side, width: int, level: int) -> tuple[int, NDArray[np.float64]]:
    shifts = shapes.shifts[side] * (-1 if side is Side.LONG else 1)
    first = int(shifts.min())
    share = shapes.weights(side, level) / width
    slopes = np.zeros((len(shapes.model.groups), int(shifts.max()) - first + width + 1))
    for slope, nodes in zip(slopes, shapes.model.groups, strict=True):
        np.add.at(slope, shifts[nodes] - first, share[nodes])
        np.add.at(slope, shifts[nodes] - first + width, -share[nodes])
    shape = np.cumsum(slopes, axis=1)[:, :-1]
    shape[shape < 1e-15] = 0.0
    return first, shape
