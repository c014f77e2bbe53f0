"""The recent past of the map: what a chart shows behind the candles and what build time is measured on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.numerics import from_planes, to_planes

COLUMN_MS = 30 * 60_000
COLUMNS = 192
"""Four days, so that a build of 72 hours and more can be told from one that is shorter."""
CELLS_A_BIN = 5
_ARRAYS = ("exposure", "scale", "first_bin", "taken_at_ms")
BINS = 104


@dataclass
class Trail:
    """A ring of half-hourly columns, each the known exposure around the price of its time.

    ``exposure`` float16[columns, bins] holds base units in each bin as a fraction of ``scale[column]`` (open
    interest then); ``first_bin`` int64[columns] is the grid number of a column's first cell over
    `CELLS_A_BIN`. About 40 KB a market.
    """

    exposure: NDArray[np.float16] = field(default_factory=lambda: np.zeros((COLUMNS, BINS), np.float16))
    scale: NDArray[np.float64] = field(default_factory=lambda: np.zeros(COLUMNS))
    first_bin: NDArray[np.int64] = field(default_factory=lambda: np.zeros(COLUMNS, np.int64))
    taken_at_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(COLUMNS, np.int64))
    count: int = 0

    def due(self, at_ms: int) -> bool:
        newest = self.taken_at_ms[(self.count - 1) % COLUMNS] if self.count else -COLUMN_MS
        return bool(at_ms // COLUMN_MS > newest // COLUMN_MS)

    def add(self, at_ms: int, known: NDArray[np.float64], origin: int, boundary: int, open_interest: float) -> None:
        """Appends a column from the map's known exposure (float64[cells]), its origin and price cell."""
        slot = self.count % COLUMNS
        first = boundary // CELLS_A_BIN - BINS // 2
        start = first * CELLS_A_BIN - origin
        window = np.zeros(BINS * CELLS_A_BIN)
        left, right = max(0, start), min(len(known), start + len(window))
        if right > left:
            window[left - start : right - start] = known[left:right]
        self.exposure[slot] = window.reshape(BINS, CELLS_A_BIN).sum(axis=1) / open_interest
        self.scale[slot] = open_interest
        self.first_bin[slot] = first
        self.taken_at_ms[slot] = at_ms
        self.count += 1

    def order(self) -> NDArray[np.int64]:
        """Slots from the oldest column to the newest."""
        kept = min(self.count, COLUMNS)
        return np.arange(self.count - kept, self.count) % COLUMNS

    def band_history(self, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Exposure of the band of cells ``low..high`` (grid numbers) over time: times int64[n], base float64[n].

        Bins that the band covers in part count in part. Starts after the last column too far off to see the band.
        """
        slots = self.order()
        first_cells = self.first_bin[slots] * CELLS_A_BIN
        unseen = np.flatnonzero((first_cells > low) | (first_cells + BINS * CELLS_A_BIN <= high))
        if unseen.size:
            slots = slots[int(unseen[-1]) + 1 :]
        history = (self.exposure[slots] * self._overlap(slots, low, high)).sum(axis=1) * self.scale[slots]
        return self.taken_at_ms[slots], history

    def _overlap(self, slots: NDArray[np.int64], low: int, high: int) -> NDArray[np.float64]:
        starts = (self.first_bin[slots, None] + np.arange(BINS)) * CELLS_A_BIN
        covered = np.minimum(starts + CELLS_A_BIN, high + 1) - np.maximum(starts, low)
        share: NDArray[np.float64] = np.clip(covered, 0, CELLS_A_BIN) / CELLS_A_BIN
        return share

    def columns(self) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
        """(taken at, grid number of the first bin over `CELLS_A_BIN`, base float64[bins]), oldest first."""
        for slot in self.order().tolist():
            yield int(self.taken_at_ms[slot]), int(self.first_bin[slot]), self.exposure[slot] * self.scale[slot]

    def to_bytes(self) -> bytes:
        return self.count.to_bytes(8, "little") + b"".join(to_planes(getattr(self, name)) for name in _ARRAYS)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        loaded = cls(count=int.from_bytes(data[:8], "little"))
        offset = 8
        for name in _ARRAYS:
            like = getattr(loaded, name)
            setattr(loaded, name, from_planes(data, like.dtype.type, like.shape, offset))
            offset += like.nbytes
        return loaded
