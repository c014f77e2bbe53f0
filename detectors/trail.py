"""The recent past of the map: what a chart shows behind the candles and what build time is measured on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.market import HOUR_MS
from detectors.numerics import from_planes, to_planes

COLUMN_MS = 30 * 60_000
COLUMNS = 146
"""Three days in full."""
OLD_COLUMN_MS = 18 * HOUR_MS
OLD_COLUMNS = 36
"""Twenty-seven days more, coarsely: most slow builds began before those three days."""
CELLS_A_BIN = 5
_ARRAYS = ("exposure", "scale", "first_bin", "taken_at_ms")
BINS = 104
_ALL = COLUMNS + OLD_COLUMNS


@dataclass
class Trail:
    """A ring of half-hourly columns, each the known exposure around the price of its time, and behind it a second ring
    of what left the first, every eighteen hours.

    ``exposure`` float16[columns, bins] holds base units in each bin as a fraction of ``scale[column]`` (open
    interest then); ``first_bin`` int64[columns] is the grid number of a column's first cell over
    `CELLS_A_BIN`. The second ring's columns follow the first one's in these arrays. About 40 KB a market.
    """

    exposure: NDArray[np.float16] = field(default_factory=lambda: np.zeros((_ALL, BINS), np.float16))
    scale: NDArray[np.float32] = field(default_factory=lambda: np.zeros(_ALL, np.float32))
    first_bin: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_ALL, np.int64))
    taken_at_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_ALL, np.int64))
    count: int = 0
    old_count: int = 0

    def due(self, at_ms: int) -> bool:
        newest = self.taken_at_ms[(self.count - 1) % COLUMNS] if self.count else -COLUMN_MS
        return bool(at_ms // COLUMN_MS > newest // COLUMN_MS)

    def add(self, at_ms: int, known: NDArray[np.float64], origin: int, boundary: int, open_interest: float) -> None:
        """Appends a column from the map's known exposure (float64[cells]), its origin and price cell."""
        slot = self.count % COLUMNS
        if self.count >= COLUMNS:
            self._keep_old(slot)
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

    def rebase(self, ratio: float) -> None:
        """Open interest is counted on another scale from here on; the past is told on it too."""
        self.scale *= np.float32(ratio)

    def _keep_old(self, slot: int) -> None:
        """What is about to be overwritten, if it is the first of its eighteen hours."""
        at_ms = int(self.taken_at_ms[slot])
        newest = int(self.taken_at_ms[COLUMNS + (self.old_count - 1) % OLD_COLUMNS]) if self.old_count else -1
        if at_ms // OLD_COLUMN_MS > newest // OLD_COLUMN_MS:
            target = COLUMNS + self.old_count % OLD_COLUMNS
            for name in _ARRAYS:
                getattr(self, name)[target] = getattr(self, name)[slot]
            self.old_count += 1

    def order(self) -> NDArray[np.int64]:
        """Slots of the half-hourly columns from the oldest to the newest."""
        kept = min(self.count, COLUMNS)
        return np.arange(self.count - kept, self.count) % COLUMNS

    def _whole_order(self) -> NDArray[np.int64]:
        """The same with the older columns before them."""
        kept = min(self.old_count, OLD_COLUMNS)
        old = np.arange(self.old_count - kept, self.old_count) % OLD_COLUMNS + COLUMNS
        return np.concatenate([old, self.order()])

    def band_history(self, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Exposure of the band of cells ``low..high`` (grid numbers) over time: times int64[n], base float64[n].

        Bins that the band covers in part count in part. Starts after the last column too far off to see the band.
        Every eighteen hours until three days ago, every half hour since.
        """
        slots = self._whole_order()
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
        counts = self.count.to_bytes(8, "little") + self.old_count.to_bytes(8, "little")
        return counts + b"".join(to_planes(getattr(self, name)) for name in _ARRAYS)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        loaded = cls(count=int.from_bytes(data[:8], "little"), old_count=int.from_bytes(data[8:16], "little"))
        offset = 16
        for name in _ARRAYS:
            like = getattr(loaded, name)
            setattr(loaded, name, from_planes(data, like.dtype.type, like.shape, offset))
            offset += like.nbytes
        return loaded
