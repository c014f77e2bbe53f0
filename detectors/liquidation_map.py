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
from dataclasses import dataclass, field
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.ages import OLD_ROW, ROWS, UNKNOWN_ROW, AgeRows
from detectors.deposits import DepositShapes, crowding_level
from detectors.leverage import LeverageModel
from detectors.market import Bar, OpenInterest, Print, Side
from detectors.price_grid import PriceGrid

AnyFloat = TypeVar("AnyFloat", np.float32, np.float64)
FIVE_MINUTES_MS = 300_000
RECENTRE_CELLS = 128
"""How far the close may drift from the middle of the grid before the grid follows."""


@dataclass(frozen=True)
class MapSettings:
    """What the estimate assumes. All of it is configurable and none of it is known for certain."""

    leverage: LeverageModel
    grid: PriceGrid = field(default_factory=PriceGrid)
    longest_gap_bars: int = 3
    """A longer gap in open interest leaves what was opened in it with unknown age."""
    unknown_age_spread: float = 0.05
    """Entries of the open interest already there are spread at least this far to each side of price."""
    churn_exponent: float = 0.3
    """Coarser samples hide openings and closings that cancel out. Gross flow of a sample of n five-minute steps is
    n ** this times its net: half-lives of BTC exposure measured on winter-2025 at 5 min, 1 h and 4 h give 0.30."""

    def churn(self, interval_ms: int) -> float:
        """Gross over net change of open interest for samples that far apart, at least 1."""
        return max(1.0, math.pow(interval_ms / FIVE_MINUTES_MS, self.churn_exponent))


@dataclass(frozen=True, slots=True)
class MapChange:
    """What one bar did to exposure of known age, per cell of the map, float64[cells] each, in base units."""

    consumed: NDArray[np.float64]
    closed: NDArray[np.float64]
    deposited: NDArray[np.float64]
    closed_fraction: float
    gap: bool = False
    """Open interest was missing for longer than can be bridged."""


@dataclass(slots=True)
class _Pending:
    """A bar whose share of the next open-interest sample is not known yet."""

    low: int
    high: int
    volume: float
    opened_at_ms: int
    crowding: int


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

    def __post_init__(self) -> None:
        cells = self.settings.grid.cells
        self.shapes = DepositShapes(self.settings.leverage, self.settings.grid.log_step)
        self.exposure = np.zeros((ROWS, cells), np.float32)
        """Base units divided by the row's scale, float32[ages, cells]: closing touches only the scales."""
        self.scales = np.ones(ROWS)
        self.known = np.zeros(cells)
        """Exposure of known age per cell, float64[cells], base units."""
        self._pending: list[_Pending] = []
        self._seen_low: int | None = None
        self._seen_high: int | None = None

    # --- reading

    @property
    def unknown(self) -> NDArray[np.float64]:
        """Exposure of unknown age per cell, float64[cells], base units."""
        exposure: NDArray[np.float64] = self.exposure[UNKNOWN_ROW] * self.scales[UNKNOWN_ROW]
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
        sums = self.exposure[:, columns].sum(axis=1, dtype=np.float64) * self.scales
        blocks = self.rows.blocks()
        oldest = blocks[0][0].started_at_ms if blocks else 0
        return [(0, oldest, float(sums[OLD_ROW]))] + [
            (block.started_at_ms, block.ended_at_ms, float(sums[row])) for block, row in blocks
        ]

    # --- one bar

    def await_open_interest(self, bars: Iterable[tuple[int, int, float, int, int]], *, sampled: bool) -> None:
        """Takes over bars (low cell, high cell, volume, opened at, crowding level) that no sample has covered yet."""
        for bar in bars:
            if sampled:
                self._pending.append(_Pending(*bar))
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
        self.last_bar_opened_at_ms = bar.opened_at_ms
        if not self.rows.is_open(bar.opened_at_ms):
            self._open_hour(bar.opened_at_ms)
        self._pending.append(_Pending(low, high, bar.volume_base, bar.opened_at_ms, level))
        deposited = np.zeros(grid.cells)
        closed_fraction, gap = 0.0, False
        if open_interest is not None:
            closed_fraction, gap = self._apply_open_interest(bar, open_interest, deposited)
        elif self.open_interest_base is None:
            self._remember_range(low, high)
            self._pending.clear()
        closed = self.known * (closed_fraction / (1 - closed_fraction)) if closed_fraction else np.zeros(grid.cells)
        self.known += deposited
        return MapChange(consumed, closed, deposited, closed_fraction, gap)

    def _apply_open_interest(
        self, bar: Bar, sample: OpenInterest, deposited: NDArray[np.float64]
    ) -> tuple[float, bool]:
        """Closes and deposits for a new sample; returns (closed fraction, gap)."""
        before, self.open_interest_base = self.open_interest_base, sample.base
        since, self.open_interest_at_ms = self.open_interest_at_ms, bar.closed_at_ms
        pending, self._pending = self._pending, []
        if before is None:
            self._deposit_unknown(pending, sample.base)
            return 0.0, False
        opened, closed_fraction = gross_flow(before, sample.base, self.settings.churn(sample.interval_ms))
        self._close(closed_fraction)
        longest = (self.settings.longest_gap_bars + 1) * bar.interval_ms + max(0, sample.interval_ms - bar.interval_ms)
        if bar.closed_at_ms - since > longest:
            self._deposit_unknown(pending, max(0.0, sample.base - before))
            return closed_fraction, True
        if opened > 0:
            self._deposit(pending, opened, deposited)
        return closed_fraction, False

    def _consume(self, low: int, high: int, consumed: NDArray[np.float64]) -> None:
        columns = slice(max(0, low - self.origin), max(0, high + 1 - self.origin))
        consumed[columns] += self.known[columns]
        self.known[columns] = 0.0
        self.exposure[:, columns] = 0.0

    def _speed_up(self, prints: Sequence[Print], previous: int, consumed: NDArray[np.float64]) -> None:
        """A print shows that a level was liquidated although trades did not reach it: nearest exposure goes first.

        Only as much as was printed is taken, since a fill or a bankruptcy price may lie off the market.
        """
        for one in prints:
            cell = self.settings.grid.cell(one.price) - self.origin
            start = previous - self.origin
            if not 0 <= cell < self.settings.grid.cells:
                continue
            span = slice(cell, start) if one.side is Side.LONG else slice(start + 1, cell + 1)
            reached = self.known[span][:: -1 if one.side is Side.LONG else 1]
            if not reached.size:
                continue
            through = np.cumsum(reached)
            keep = np.clip((through - one.amount_base) / np.where(reached > 0, reached, 1.0), 0.0, 1.0)
            keep = keep[:: -1 if one.side is Side.LONG else 1]
            consumed[span] += self.known[span] * (1 - keep)
            self.known[span] *= keep
            self.exposure[:, span] *= keep.astype(np.float32)

    def _close(self, fraction: float) -> None:
        if fraction:
            self.scales *= 1 - fraction
            self.known *= 1 - fraction

    def _deposit(self, pending: list[_Pending], base: float, deposited: NDArray[np.float64]) -> None:
        assert self.boundary is not None
        volume = sum(bar.volume for bar in pending)
        below = above = self.boundary
        for bar in reversed(pending):
            share = base * (bar.volume / volume if volume > 0 else 1 / len(pending))
            row = self.rows.row_at(bar.opened_at_ms)
            for side in Side:
                columns, amount = self._levels(side, bar, share, below, above)
                deposited[columns] += amount
                self.exposure[row, columns] += amount / self.scales[row]
            below, above = min(below, bar.low), max(above, bar.high)

    def _levels(
        self, side: Side, bar: _Pending, base: float, below: int, above: int
    ) -> tuple[slice, NDArray[np.float64]]:
        """Columns and amounts of one bar's deposit; longs at or over ``below`` and shorts at or under ``above``
        were liquidated within the bars already closed, so they are left out."""
        first, shape = self.shapes.shape(side, bar.high - bar.low + 1, bar.crowding)
        start = bar.low + first - self.origin
        stop = start + len(shape)
        left = max(0, start) if side is Side.LONG else max(0, start, above + 1 - self.origin)
        right = min(self.settings.grid.cells, stop, below - self.origin) if side is Side.LONG else stop
        right = min(self.settings.grid.cells, right)
        if right <= left:
            return slice(0, 0), shape[:0]
        return slice(left, right), shape[left - start : right - start] * base

    def _deposit_unknown(self, pending: list[_Pending], base: float) -> None:
        assert self.boundary is not None
        spread = self.settings.grid.span(self.settings.unknown_age_spread)
        low = min([self.boundary - spread, *(bar.low for bar in pending)])
        high = max([self.boundary + spread, *(bar.high for bar in pending)])
        if self._seen_low is not None and self._seen_high is not None:
            low, high = min(low, self._seen_low), max(high, self._seen_high)
        bar = _Pending(low, high, 0.0, 0, 0)
        for side in Side:
            columns, amount = self._levels(side, bar, base, self.boundary, self.boundary)
            self.exposure[UNKNOWN_ROW, columns] += amount / self.scales[UNKNOWN_ROW]

    def _remember_range(self, low: int, high: int) -> None:
        self._seen_low = low if self._seen_low is None else min(self._seen_low, low)
        self._seen_high = high if self._seen_high is None else max(self._seen_high, high)

    def _open_hour(self, at_ms: int) -> None:
        row, merges = self.rows.open(at_ms)
        for source, target in merges:
            self.exposure[target] += self.exposure[source] * np.float32(self.scales[source] / self.scales[target])
            self.exposure[source] = 0.0
        self.exposure[row] = 0.0
        self.scales[row] = 1.0
        # sums drift by rounding; once an hour they are taken anew from the rows
        self.known = self.scales[UNKNOWN_ROW + 1 :] @ self.exposure[UNKNOWN_ROW + 1 :]

    def _recentre(self, close: int) -> None:
        """Moves the grid so that ``close`` is in its middle again; what falls off its ends is forgotten."""
        moved = close - (self.origin + self.settings.grid.cells // 2)
        if abs(moved) <= RECENTRE_CELLS:
            return
        self.origin += moved
        self.exposure = _shift(self.exposure, moved)
        self.known = _shift(self.known, moved)

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
                "rows": self.rows.state(),
                "pending": [[p.low, p.high, p.volume, p.opened_at_ms, p.crowding] for p in self._pending],
                "seen": [self._seen_low, self._seen_high],
                "cells": self.settings.grid.cells,
                "step": self.settings.grid.step,
            }
        ).encode()
        # bytes of equal significance side by side compress far better than whole floats
        planes = self.exposure.view(np.uint8).reshape(-1, 4).T.tobytes()
        body = self.scales.tobytes() + self.known.tobytes() + planes
        return struct.pack("<I", len(header)) + header + zlib.compress(body, 6)

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
        )
        body = zlib.decompress(data[4 + size :])
        cells = settings.grid.cells
        floats = np.frombuffer(body, np.float64, ROWS + cells)
        loaded.scales = floats[:ROWS].copy()
        loaded.known = floats[ROWS:].copy()
        planes = np.frombuffer(body, np.uint8, offset=8 * (ROWS + cells)).reshape(4, -1)
        loaded.exposure = np.ascontiguousarray(planes.T).view(np.float32).reshape(ROWS, cells)
        loaded._pending = [_Pending(*pending) for pending in header["pending"]]
        loaded._seen_low, loaded._seen_high = header["seen"]
        return loaded


def gross_flow(before: float, now: float, churn: float) -> tuple[float, float]:
    """(base units opened, fraction of open interest closed) between two samples of total open interest.

    The fraction is of *total* open interest before, not of what a map tracks, and never all of it.
    """
    net = now - before
    gross = churn * abs(net)
    closed = (gross - net) / 2
    return (gross + net) / 2, min(closed / before, 0.999) if before > 0 else 0.0


def _shift(array: NDArray[AnyFloat], cells: int) -> NDArray[AnyFloat]:
    moved = np.zeros_like(array)
    size = array.shape[-1]
    if abs(cells) < size:
        if cells > 0:
            moved[..., : size - cells] = array[..., cells:]
        else:
            moved[..., -cells:] = array[..., : size + cells]
    return moved
