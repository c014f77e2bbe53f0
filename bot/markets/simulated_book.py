"""All open positions of one side of a simulated market, as columns of one array."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Column(IntEnum):
    """Rows of `Book.rows`. Prices marked *signed* are times +1 for longs and -1 for shorts: below is then worse."""

    LOTS = 0
    """Whole numbers, so that sums are exact and both sides can be compared."""
    LEVERAGE = 1
    EXPIRES = 2
    """On the exchange's own clock, which runs faster when the market is active."""
    ENTRY = 3
    """The first of the columns that scale with the entry price."""
    LIQUIDATION = 4
    """Signed price."""
    EXIT = 5
    """Signed price of the stop, or of the liquidation where there is no stop."""
    TARGET = 6
    """Signed price at which profit is taken; infinite if never."""


class Book:
    """Positions of longs (``sign`` 1) or shorts (-1). Order is without meaning: a removal moves the last ones up."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self._store = np.empty((len(Column), 4096))
        self._n = 0
        self.nearest_exit = -np.inf
        """Signed price at which the next forced exit is due."""
        self.lots = 0

    def __len__(self) -> int:
        return self._n

    @property
    def rows(self) -> Floats:
        """A view, float64[columns, n]."""
        return self._store[:, : self._n]

    def __getitem__(self, column: Column) -> Floats:
        return self._store[column, : self._n]

    def add(self, rows: Floats) -> None:
        """Open positions, float64[columns, m]."""
        n = self._n + rows.shape[1]
        if n > self._store.shape[1]:
            larger = np.empty((len(Column), 2 * n))
            larger[:, : self._n] = self.rows
            self._store = larger
        self._store[:, self._n : n] = rows
        self._n = n
        self.lots += int(rows[Column.LOTS].sum())
        self.nearest_exit = max(self.nearest_exit, float(rows[Column.EXIT].max(initial=-np.inf)))

    def remove(self, gone: NDArray[np.intp]) -> Floats:
        """Close the positions at these indices (rising); returns their rows, float64[columns, m]."""
        rows = self._store[:, gone]
        if not len(gone):
            return rows
        n = self._n - len(gone)
        holes = gone[gone < n]
        if len(holes):
            stays = np.ones(len(gone), bool)
            stays[gone[gone >= n] - n] = False
            self._store[:, holes] = self._store[:, n : self._n][:, stays]
        self._n = n
        self.lots -= int(rows[Column.LOTS].sum())
        if rows[Column.EXIT].max() >= self.nearest_exit:
            self.nearest_exit = float(self[Column.EXIT].max(initial=-np.inf))
        return rows

    def close_some(self, lots: int, start: float) -> None:
        """Close whole positions from a random place (``start`` in 0..1) on, the last one in part, in all ``lots``."""
        first = int(start * self._n)
        # Hardly ever more than a few positions of very many: look no further than needed.
        n_seen = 64
        while True:
            order = (first + np.arange(min(n_seen, self._n))) % max(self._n, 1)
            held = np.cumsum(self[Column.LOTS][order])
            if n_seen >= self._n or held[-1] > lots:
                break
            n_seen *= 4
        n_whole = int(np.searchsorted(held, lots, side="right"))
        rest = lots - (int(held[n_whole - 1]) if n_whole else 0)
        if rest and n_whole < len(order):
            self._store[Column.LOTS, order[n_whole]] -= rest
            self.lots -= rest
        self.remove(np.sort(order[:n_whole]))
