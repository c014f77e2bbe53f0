"""The estimate: where leveraged positions would be liquidated, on a log-price grid, by side and age.

A rise in open interest opens one long and one short; both are spread over the bar's range and shifted to their
liquidation levels by leverage node. Longs lie below price and shorts above, always, because a level that price
reaches is consumed; so one array holds both and the cell of the last close divides them. A fall in open interest
removes pro rata to *total open interest*. Everything is in base units, which closing and price leave comparable.
"""

import json
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.ages import OLD_ROW, ROWS, UNKNOWN_ROW, AgeRows
from detectors.deposits import crowding_level, deposit_shapes
from detectors.flows import MOST_REPLACED, UsualVolume, gross_flow, kept_after, replaced_in_a_bar
from detectors.map_settings import MapSettings
from detectors.market import Bar, OpenInterest, Print, Side
from detectors.numerics import from_planes, from_sparse_planes, shift_columns, to_planes, to_sparse_planes
from detectors.pending import PendingBar, wait

GROUPS = 2
"""Slow and fast leverage, each with rows of its own: they are replaced at different paces."""
RECENTRE_CELLS = 64
"""How far the close may drift from the middle of the grid before the grid follows."""
SMALLEST_SCALE = 2.0**-32
"""Closing only lowers a row's scale, and two rows are never opened anew: by then a part of it goes into the cells."""


@dataclass(frozen=True, slots=True)
class MapChange:
    """What one bar did to exposure of known age, per cell of the map, float64[cells] each, in base units."""

    consumed: NDArray[np.float64]
    closed: NDArray[np.float64]
    deposited: NDArray[np.float64]
    gap: bool = False
    """Open interest was missing for longer than can be bridged."""
    rebased: float = 1.0
    """By what everything was multiplied before the bar, because other venues are counted now."""


@dataclass
class LiquidationMap:
    """Estimated liquidation exposure of one market; see `update` for what a bar does to it."""

    settings: MapSettings
    rows: AgeRows = field(default_factory=AgeRows)
    origin: int = 0
    """Grid number of column 0."""
    boundary: int | None = None
    """Grid number of the cell of the last close: below it longs, above it shorts. None before the first bar."""
    open_interest_base: float | None = None
    """The last sample; None means: no open interest, nothing estimated."""
    open_interest_at_ms: int = 0
    last_bar_opened_at_ms: int | None = None
    bar_interval_ms: int = 0
    open_interest_interval_ms: int = 0

    def __post_init__(self) -> None:
        cells = self.settings.grid.cells
        self.shapes = deposit_shapes(self.settings.leverage, self.settings.grid.log_step)
        self.exposure = np.zeros((GROUPS, ROWS, cells), np.float32)
        """Base units divided by the row's scale, float32[groups, ages, cells]: closing touches only the scales."""
        self.scales = np.ones((GROUPS, ROWS))
        self.group_known = np.zeros((GROUPS, cells))
        """Exposure of known age, float64[groups, cells], base units."""
        self.known = np.zeros(cells)
        """Exposure of known age of all groups, float64[cells], base units."""
        self._pending: list[PendingBar] = []
        self._usual_volume = UsualVolume()
        self._seen_low: int | None = None
        self._seen_high: int | None = None

    # --- reading

    @property
    def unknown(self) -> NDArray[np.float64]:
        """Exposure of unknown age per cell, float64[cells], base units."""
        exposure: NDArray[np.float64] = self.scales[:, UNKNOWN_ROW] @ self.exposure[:, UNKNOWN_ROW]
        return exposure

    @property
    def edges(self) -> NDArray[np.float64]:
        """Prices of the cells' edges, float64[cells + 1]."""
        return self.settings.grid.edges(self.origin, self.settings.grid.cells)

    def side_usd(self, side: Side) -> NDArray[np.float64]:
        """Estimated liquidation notional of one side per cell, float64[cells], all ages, at the cells' own prices."""
        edges = self.edges
        notional: NDArray[np.float64] = (self.known + self.unknown) * np.sqrt(edges[1:] * edges[:-1])
        column = (self.boundary or 0) - self.origin
        notional[slice(column, None) if side is Side.LONG else slice(None, column + 1)] = 0.0
        return notional

    def by_age(self, low: int, high: int) -> list[tuple[int, int, float]]:
        """Known exposure in cells ``low..high`` (grid numbers): (opened from ms, to ms, base), oldest first.

        The old row comes first, from 0 to the start of the oldest block.
        """
        columns = slice(max(0, low - self.origin), max(0, high + 1 - self.origin))
        sums = (self.exposure[:, :, columns].sum(axis=2, dtype=np.float64) * self.scales).sum(axis=0)
        blocks = self.rows.blocks()
        oldest = blocks[0][0].started_at_ms if blocks else 0
        return [(0, oldest, float(sums[OLD_ROW]))] + [
            (block.started_at_ms, block.ended_at_ms, float(sums[row])) for block, row in blocks
        ]

    # --- one bar

    def await_open_interest(
        self,
        bars: Iterable[tuple[int, int, float, int, int, float, int, int]],
        usual_volume: UsualVolume,
        *,
        sampled: bool,
    ) -> None:
        """Takes over bars that no sample has covered yet, and the mean volume after them.

        A bar is (low cell, high cell, volume, opened at, crowding level, fraction replaced, lowest and highest cell
        reached).
        """
        self._usual_volume = usual_volume
        for bar in bars:
            if sampled:
                wait(self._pending, PendingBar(*bar))
            else:
                self._remember_range(bar[0], bar[1])

    def update(
        self,
        bar: Bar,
        open_interest: OpenInterest | None = None,
        crowding: float = 0.0,
        prints: Sequence[Print] = (),
    ) -> MapChange:
        """Applies one closed bar: consume its range, close, deposit.

        ``open_interest`` is the sample known at the bar's close, if there is a new one; ``crowding`` in -1..+1.
        Bars must come in time order; raises ValueError otherwise.
        """
        if self.last_bar_opened_at_ms is not None and bar.opened_at_ms <= self.last_bar_opened_at_ms:
            raise ValueError(f"bar {bar.opened_at_ms} is not after {self.last_bar_opened_at_ms}")
        grid = self.settings.grid
        low, high, close = grid.cell(bar.low), grid.cell(bar.high), grid.cell(bar.close)
        level = crowding_level(crowding)
        previous = self.boundary
        if previous is None:
            self.origin = close - grid.cells // 2
            reached_low, reached_high = low, high
        else:
            reached_low, reached_high = min(low, previous), max(high, previous)
            contiguous = bar.opened_at_ms == (self.last_bar_opened_at_ms or 0) + bar.interval_ms
            if not contiguous:
                low, high = reached_low, reached_high
        consumed = np.zeros(grid.cells)
        self._recentre(close)
        self._consume(reached_low, reached_high, consumed)
        if prints and previous is not None:
            self._speed_up(prints, previous, consumed)
        self.boundary = close
        self.last_bar_opened_at_ms, self.bar_interval_ms = bar.opened_at_ms, bar.interval_ms
        if not self.rows.is_open(bar.opened_at_ms):
            self._open_hour(bar.opened_at_ms)
        replaced = replaced_in_a_bar(self.settings.leverage.turnover_daily, bar.interval_ms)
        replaced *= self._usual_volume.relative(bar.volume_base)
        wait(
            self._pending,
            PendingBar(low, high, bar.volume_base, bar.opened_at_ms, level, replaced, reached_low, reached_high),
        )
        before, gap = self.group_known.sum(axis=0), False
        closed = deposited = np.zeros(grid.cells)
        if open_interest is not None:
            gap, opened = self._apply_open_interest(bar, open_interest)
            left = self.group_known.sum(axis=0)
            closed, deposited = before - left, opened.sum(axis=0)
            self.group_known += opened
        elif self.open_interest_base is None:
            self._remember_range(low, high)
            self._pending.clear()
        self.known = self.group_known.sum(axis=0)
        return MapChange(consumed, closed, deposited, gap)

    def rebase(self, open_interest_base: float) -> float:
        """Open interest is counted over other venues from here on: the same market, on another scale.

        Exposure keeps its share of open interest, and the difference is no flow. Returns the new scale over the old.
        """
        if not self.open_interest_base:
            return 1.0
        ratio = open_interest_base / self.open_interest_base
        self.scales *= ratio
        self.group_known *= ratio
        self.known *= ratio
        self.open_interest_base = open_interest_base
        return ratio

    def longest_gap_ms(self, bar_interval_ms: int) -> int:
        """How far apart two samples of open interest may be and still be bridged."""
        return self.settings.longest_gap_ms(bar_interval_ms, self.open_interest_interval_ms)

    def _apply_open_interest(self, bar: Bar, sample: OpenInterest) -> tuple[bool, NDArray[np.float64]]:
        """Closes for a new sample; returns (gap, what it opens: float64[groups, cells], not yet in ``group_known``)."""
        opened = np.zeros_like(self.group_known)
        self.open_interest_interval_ms = sample.interval_ms
        before, self.open_interest_base = self.open_interest_base, sample.base
        since, self.open_interest_at_ms = self.open_interest_at_ms, bar.closed_at_ms
        pending, self._pending = self._pending, []
        if before is None:
            self._deposit_unknown(pending, sample.base)
            return False, opened
        rise, closed_fraction = gross_flow(before, sample.base, self.settings.churn(sample.interval_ms))
        replaced = min(MOST_REPLACED, sum(one.replaced for one in pending))
        self._close(kept_after(closed_fraction, replaced, self.settings.leverage.hazards))
        if bar.closed_at_ms - since > self.longest_gap_ms(bar.interval_ms):
            self._deposit_unknown(pending, max(0.0, sample.base - before))
            return True, opened
        if rise + replaced > 0:
            self._deposit(pending, rise + replaced * before, opened)
        return False, opened

    def _consume(self, low: int, high: int, consumed: NDArray[np.float64]) -> None:
        columns = slice(max(0, low - self.origin), max(0, high + 1 - self.origin))
        consumed[columns] += self.known[columns]
        self.known[columns] = 0.0
        self.group_known[:, columns] = 0.0
        self.exposure[:, :, columns] = 0.0

    def _speed_up(self, prints: Sequence[Print], previous: int, consumed: NDArray[np.float64]) -> None:
        """A print shows that a level was liquidated although trades did not reach it: nearest exposure goes first.

        Only as much as was printed is taken, since a fill or a bankruptcy price may lie off the market.
        """
        for one in prints:
            cell = self.settings.grid.cell(one.price) - self.origin
            start = min(max(-1, previous - self.origin), self.settings.grid.cells)
            if not 0 <= cell < self.settings.grid.cells:
                continue
            span = slice(cell, max(0, start)) if one.side is Side.LONG else slice(start + 1, cell + 1)
            reached = self.known[span][:: -1 if one.side is Side.LONG else 1]
            if not reached.any():  # nearly always: the bar's own range has been consumed
                continue
            through = np.cumsum(reached)
            keep = np.clip((through - one.amount_base) / np.where(reached > 0, reached, 1.0), 0.0, 1.0)
            keep = keep[:: -1 if one.side is Side.LONG else 1]
            consumed[span] += self.known[span] * (1 - keep)
            self.known[span] *= keep
            self.group_known[:, span] *= keep
            self.exposure[:, :, span] *= keep.astype(np.float32)

    def _close(self, kept: NDArray[np.float64]) -> None:
        self.scales *= kept[:, None]
        self.group_known *= kept[:, None]

    def _deposit(self, pending: list[PendingBar], base: float, opened: NDArray[np.float64]) -> None:
        assert self.boundary is not None
        volume = sum(bar.volume for bar in pending)
        below = above = self.boundary
        for bar in reversed(pending):
            share = base * (bar.volume / volume if volume > 0 else 1 / len(pending))
            row = self.rows.row_at(bar.opened_at_ms)
            scales = self.scales[:, row, None]
            for side in Side:
                columns, amount = self._levels(side, bar, share, below, above)
                opened[:, columns] += amount
                self.exposure[:, row, columns] += amount / scales
            below, above = min(below, bar.reached_low), max(above, bar.reached_high)

    def _levels(
        self, side: Side, bar: PendingBar, base: float, below: int, above: int
    ) -> tuple[slice, NDArray[np.float64]]:
        """Columns and amounts of one bar's deposit; longs at or over ``below`` and shorts at or under ``above``
        were liquidated within the bars already closed, so they are left out."""
        first, shape = self.shapes.shape(side, bar.high - bar.low + 1, bar.crowding)
        start = bar.low + first - self.origin
        stop = start + shape.shape[1]
        left = max(0, start) if side is Side.LONG else max(0, start, above + 1 - self.origin)
        right = min(self.settings.grid.cells, stop, below - self.origin) if side is Side.LONG else stop
        right = min(self.settings.grid.cells, right)
        if right <= left:
            return slice(0, 0), shape[:, :0]
        return slice(left, right), shape[:, left - start : right - start] * base

    def _deposit_unknown(self, pending: list[PendingBar], base: float) -> None:
        assert self.boundary is not None
        spread = self.settings.grid.span(self.settings.unknown_age_spread)
        low = min([self.boundary - spread, *(bar.low for bar in pending)])
        high = max([self.boundary + spread, *(bar.high for bar in pending)])
        if self._seen_low is not None and self._seen_high is not None:
            low, high = min(low, self._seen_low), max(high, self._seen_high)
            self._seen_low = self._seen_high = None
        bar = PendingBar(low, high, 0.0, 0, 0, 0.0, low, high)
        for side in Side:
            columns, amount = self._levels(side, bar, base, self.boundary, self.boundary)
            self.exposure[:, UNKNOWN_ROW, columns] += amount / self.scales[:, UNKNOWN_ROW, None]

    def _remember_range(self, low: int, high: int) -> None:
        self._seen_low = low if self._seen_low is None else min(self._seen_low, low)
        self._seen_high = high if self._seen_high is None else max(self._seen_high, high)

    def _open_hour(self, at_ms: int) -> None:
        self._fold_small_scales()
        row, merges = self.rows.open(at_ms)
        for source, target in merges:
            ratio = (self.scales[:, source] / self.scales[:, target]).astype(np.float32)
            self.exposure[:, target] += self.exposure[:, source] * ratio[:, None]
            self.exposure[:, source] = 0.0
        self.exposure[:, row] = 0.0
        self.scales[:, row] = 1.0
        # sums drift by rounding; once an hour they are taken anew from the rows
        rows = slice(UNKNOWN_ROW + 1, None)
        for group in range(GROUPS):
            self.group_known[group] = self.scales[group, rows] @ self.exposure[group, rows]

    def _fold_small_scales(self) -> None:
        """Ratios of scales must stay within 32-bit floats however long a map lives; a power of two loses nothing."""
        for group, row in np.argwhere(self.scales < SMALLEST_SCALE).tolist():
            mantissa, exponent = math.frexp(self.scales[group, row])
            self.exposure[group, row] = np.ldexp(self.exposure[group, row], exponent)
            self.scales[group, row] = mantissa

    def _recentre(self, close: int) -> None:
        """Moves the grid so that ``close`` is in its middle again; what falls off its ends is forgotten."""
        moved = close - (self.origin + self.settings.grid.cells // 2)
        if abs(moved) <= RECENTRE_CELLS:
            return
        self.origin += moved
        self.exposure = shift_columns(self.exposure, moved)
        self.known = shift_columns(self.known, moved)
        self.group_known = shift_columns(self.group_known, moved)

    # --- checkpoint

    def to_bytes(self) -> bytes:
        """The whole state, compressed; `from_bytes` continues bit for bit."""
        header = json.dumps(
            {
                "origin": self.origin,
                "boundary": self.boundary,
                "open_interest_base": self.open_interest_base,
                "open_interest_at_ms": self.open_interest_at_ms,
                "last_bar_opened_at_ms": self.last_bar_opened_at_ms,
                "bar_interval_ms": self.bar_interval_ms,
                "open_interest_interval_ms": self.open_interest_interval_ms,
                "rows": self.rows.state(),
                "pending": [astuple(pending) for pending in self._pending],
                "seen": [self._seen_low, self._seen_high],
                "volume": [self._usual_volume.mean, self._usual_volume.bars],
                "cells": self.settings.grid.cells,
                "step": self.settings.grid.step,
                "sparse": True,
            }
        ).encode()
        body = to_planes(self.scales) + to_planes(self.group_known) + to_sparse_planes(self.exposure)
        return struct.pack("<I", len(header)) + header + zlib.compress(body, 1)

    @classmethod
    def from_bytes(cls, settings: MapSettings, data: bytes) -> Self:
        """Raises ValueError where the checkpoint was made with another grid."""
        (size,) = struct.unpack_from("<I", data)
        header = json.loads(data[4 : 4 + size])
        if (header["cells"], header["step"]) != (settings.grid.cells, settings.grid.step):
            raise ValueError("the checkpoint was made with another price grid")
        loaded = cls(
            settings,
            AgeRows(header["rows"]),
            header["origin"],
            header["boundary"],
            header["open_interest_base"],
            header["open_interest_at_ms"],
            header["last_bar_opened_at_ms"],
            header["bar_interval_ms"],
            header["open_interest_interval_ms"],
        )
        body = zlib.decompress(data[4 + size :])
        offset = 0
        for name in ("scales", "group_known", "exposure"):
            like = getattr(loaded, name)
            is_sparse = name == "exposure" and "sparse" in header  # not before 2026-11-26
            read = from_sparse_planes if is_sparse else from_planes
            setattr(loaded, name, read(body, like.dtype.type, like.shape, offset))
            offset += like.nbytes
        loaded.known = loaded.group_known.sum(axis=0)
        loaded._pending = [PendingBar(*pending) for pending in header["pending"]]
        loaded._usual_volume = UsualVolume(*header["volume"])
        loaded._seen_low, loaded._seen_high = header["seen"]
        return loaded
