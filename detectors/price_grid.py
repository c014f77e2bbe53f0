"""The log-price grid: cell ``k`` spans prices ``exp(k * log_step)`` to ``exp((k + 1) * log_step)``."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PriceGrid:
    """``step`` is the relative height of a cell (0.0005 is 0.05 %); ``cells`` how many a map holds."""

    step: float = 0.0005
    cells: int = 1024

    @cached_property
    def log_step(self) -> float:
        return math.log1p(self.step)

    def cell(self, price: float) -> int:
        """Number of the cell that holds the price. Raises ValueError for a price that is not positive."""
        return math.floor(math.log(price) / self.log_step)

    def cells_of(self, prices: NDArray[np.float64]) -> NDArray[np.int64]:
        """As `cell`, for an array of any shape."""
        return np.floor(np.log(prices) / self.log_step).astype(np.int64)

    def price(self, cell: float) -> float:
        """Price at the lower edge of a cell; fractions interpolate in log price."""
        return math.exp(cell * self.log_step)

    def edges(self, first: int, count: int) -> NDArray[np.float64]:
        """Prices of the edges of ``count`` cells from ``first``, float64[count + 1]."""
        edges: NDArray[np.float64] = np.exp(np.arange(first, first + count + 1) * self.log_step)
        return edges

    def span(self, fraction: float) -> int:
        """Cells that a band of that relative height covers, at least one."""
        return max(1, round(math.log1p(fraction) / self.log_step))
