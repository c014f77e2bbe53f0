"""Rows of the map by age: hourly while young, merged into longer aligned blocks as they grow old.

Blocks are aligned to the calendar, never to when the process started, so a map that was stopped and one that was
not always merge the same rows at the same bar.
"""

from collections.abc import Iterable
from typing import NamedTuple

from detectors.market import HOUR_MS

UNKNOWN_ROW = 0
"""Open interest that was there before the first bar: its entries, and so its age, are unknown."""
OLD_ROW = 1
LEVELS = ((1, 6), (4, 5), (12, 3), (48, 2))
"""(hours a block spans, blocks kept). Past the last level everything goes to the old row."""
ROWS = 2 + sum(kept for _, kept in LEVELS)


class Block(NamedTuple):
    level: int
    number: int
    """Start of the block in units of its own span since the epoch."""

    @property
    def started_at_ms(self) -> int:
        return self.number * LEVELS[self.level][0] * HOUR_MS

    @property
    def ended_at_ms(self) -> int:
        return (self.number + 1) * LEVELS[self.level][0] * HOUR_MS


class Merge(NamedTuple):
    """Add row ``source`` to row ``target`` and empty it."""

    source: int
    target: int


class AgeRows:
    """Which row of the map holds which block of deposit times."""

    def __init__(self, blocks: Iterable[tuple[int, int, int]] = ()) -> None:
        self._rows = {Block(level, number): row for level, number, row in blocks}
        self._newest_hour = max((block.ended_at_ms // HOUR_MS - 1 for block in self._rows), default=-1)

    def blocks(self) -> list[tuple[Block, int]]:
        """Blocks with their rows, oldest first, without the unknown and old rows."""
        return sorted(self._rows.items(), key=lambda item: item[0].started_at_ms)

    def state(self) -> list[tuple[int, int, int]]:
        return [(block.level, block.number, row) for block, row in self.blocks()]

    def row_at(self, at_ms: int) -> int:
        """The row that holds deposits of that time; the old row where no block does."""
        hour = at_ms // HOUR_MS
        for level, (span, _) in enumerate(LEVELS):
            row = self._rows.get(Block(level, hour // span))
            if row is not None:
                return row
        return OLD_ROW

    def is_open(self, at_ms: int) -> bool:
        return at_ms // HOUR_MS <= self._newest_hour

    def open(self, at_ms: int) -> tuple[int, list[Merge]]:
        """Opens the hour of that time; returns its row and the merges that must be done first, in order."""
        merges: list[Merge] = []
        self._make_room(0, merges)
        hour = at_ms // HOUR_MS
        row = min(set(range(OLD_ROW + 1, ROWS)) - set(self._rows.values()))
        self._rows[Block(0, hour)] = row
        self._newest_hour = hour
        return row, merges

    def _make_room(self, level: int, merges: list[Merge]) -> None:
        mine = sorted(block for block in self._rows if block.level == level)
        if len(mine) < LEVELS[level][1]:
            return
        oldest = mine[0]
        row = self._rows[oldest]
        if level + 1 == len(LEVELS):
            merges.append(Merge(row, OLD_ROW))
            del self._rows[oldest]
            return
        parent = Block(level + 1, oldest.started_at_ms // (LEVELS[level + 1][0] * HOUR_MS))
        target = self._rows.get(parent)
        if target is None:
            self._make_room(level + 1, merges)
            self._rows[parent] = row
        else:
            merges.append(Merge(row, target))
        del self._rows[oldest]
