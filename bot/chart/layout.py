"""Where everything on the chart goes, in pixels from the bottom left. Plain arithmetic, no drawing library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors import figures
from detectors.event import PICTURE_HIGH, PICTURE_LOW, Event, Evidence
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS

_TIME_STEPS_MS = (
    *(minutes * MINUTE_MS for minutes in (5, 15, 30)),
    *(hours * HOUR_MS for hours in (1, 2, 3, 4, 6, 12)),
    *(days * DAY_MS for days in (1, 2, 4, 7, 14, 30, 90)),
)
_BARS_A_CANDLE = (1, 2, 3, 6, 12, 24, 48, 72, 144, 288)
_LEAST_CANDLE_PX = 3.6
_LEAST_SPAN = 0.012
"""A market that stands still is shown at this span of log price, not blown up to fill the panel."""
_PADDING = 0.07
_STRETCH = 1.5
"""Bands of other clusters may stretch the view by this much; those further out are left out."""


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom

    def overlaps(self, other: "Box") -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.top <= other.bottom or other.top <= self.bottom)


@dataclass(frozen=True, slots=True)
class Layout:
    """The panels. ``unit`` is one pixel of the reference size, 1100 by 825: every size is a multiple of it."""

    width: int
    height: int
    unit: float
    header: Box
    price: Box
    profile: Box
    gutter: Box
    funding: Box | None
    times: Box
    legend: Box
    foot: Box


def lay_out(width_px: int, height_px: int, *, with_funding: bool) -> Layout:
    """Panels for a picture of that size; without funding the price panel takes the strip's room."""
    unit = min(width_px / 1100, height_px / 825)
    edge, gap = 14 * unit, 8 * unit
    gutter = Box(width_px - 150 * unit, 0, width_px - 4 * unit, height_px)
    profile_left = gutter.left - max(150 * unit, 0.16 * width_px)
    foot = Box(edge, 8 * unit, width_px - edge, 34 * unit)
    legend = Box(edge, foot.top, width_px - edge, foot.top + 34 * unit)
    times = Box(edge, legend.top + gap, profile_left - gap, legend.top + gap + 30 * unit)
    header = Box(edge, height_px - 96 * unit, width_px - edge, height_px - 8 * unit)
    funding = Box(edge, times.top, profile_left - gap, times.top + 78 * unit) if with_funding else None
    bottom = funding.top + gap if funding else times.top
    price = Box(edge, bottom, profile_left - gap, header.bottom)
    profile = Box(profile_left, bottom, gutter.left - gap, header.bottom)
    return Layout(width_px, height_px, unit, header, price, profile, gutter, funding, times, legend, foot)


@dataclass(frozen=True, slots=True)
class PriceScale:
    """Prices to pixel heights, even in log price; ``low`` and ``high`` are the panel's edges."""

    low: float
    high: float
    bottom: float
    top: float

    def y(self, price: float) -> float:
        share = math.log(price / self.low) / math.log(self.high / self.low)
        return self.bottom + share * (self.top - self.bottom)

    def ys(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = np.log(prices / self.low) / math.log(self.high / self.low)
        return np.asarray(self.bottom + shares * (self.top - self.bottom), np.float64)

    def row_edges(self, rows: int) -> NDArray[np.float64]:
        """Prices float64[rows + 1] at the edges of that many equal rows, from the bottom up."""
        return np.exp(np.linspace(math.log(self.low), math.log(self.high), rows + 1))


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Times to pixel columns; a gap in the bars shows as a gap."""

    start_ms: float
    end_ms: float
    left: float
    right: float

    def xs(self, times_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        shares = (times_ms - self.start_ms) / (self.end_ms - self.start_ms)
        return np.asarray(self.left + shares * (self.right - self.left), np.float64)

    def x(self, time_ms: float) -> float:
        return self.left + (time_ms - self.start_ms) / (self.end_ms - self.start_ms) * (self.right - self.left)


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars joined to candles wide enough to see: ``opened_at_ms`` int64[k], ``ohlc`` float64[k, 4]."""

    interval_ms: int
    opened_at_ms: NDArray[np.int64]
    ohlc: NDArray[np.float64]


def join_bars(evidence: Evidence, width_px: float) -> Candles:
    """Candles of at least a few pixels each; their times are whole multiples of the joined interval.

    Bars that are not finite or not positive are left out.
    """
    usable = np.all(np.isfinite(evidence.ohlc) & (evidence.ohlc > 0), axis=1)
    opened, ohlc = evidence.opened_at_ms[usable], evidence.ohlc[usable]
    if not len(opened):
        return Candles(evidence.interval_ms, opened, ohlc)
    span = int(opened[-1] - opened[0]) / evidence.interval_ms + 1
    wanted = span * _LEAST_CANDLE_PX / width_px
    joined = next((count for count in _BARS_A_CANDLE if count >= wanted), _BARS_A_CANDLE[-1])
    interval_ms = evidence.interval_ms * joined
    slots, firsts = np.unique(opened // interval_ms, return_index=True)
    lasts = np.append(firsts[1:], len(opened)) - 1
    high = np.maximum.reduceat(ohlc[:, 1], firsts)
    low = np.minimum.reduceat(ohlc[:, 2], firsts)
    return Candles(interval_ms, slots * interval_ms, np.column_stack((ohlc[firsts, 0], high, low, ohlc[lasts, 3])))


def price_view(event: Event, evidence: Evidence, candles: Candles) -> tuple[float, float]:
    """The lowest and highest price shown: candles, price, level, own band and what the event names itself
    (`PICTURE_LOW`, `PICTURE_HIGH`) always, other bands if near."""
    named = (event.number(PICTURE_LOW), event.number(PICTURE_HIGH))
    inside = [event.price, *candles.ohlc[:, 1:3].ravel(), *(price for price in named if price is not None)]
    if event.level is not None:
        inside += [event.level.low, event.level.high]
    inside += [edge for band in evidence.bands if band.own for edge in (band.low, band.high)]
    low, high = _log_range(inside)
    most = _STRETCH * max(high - low, _LEAST_SPAN)
    for band in sorted(evidence.bands, key=lambda band: -band.notional_usd):
        wider = _log_range([math.exp(low), math.exp(high), band.low, band.high])
        if wider[1] - wider[0] <= most:
            low, high = wider
    missing = max(0.0, _LEAST_SPAN - (high - low)) / 2
    padding = max(high - low, _LEAST_SPAN) * _PADDING
    return math.exp(low - missing - padding), math.exp(high + missing + padding)


def _log_range(prices: Sequence[float]) -> tuple[float, float]:
    usable = [math.log(price) for price in prices if math.isfinite(price) and price > 0]
    if not usable:
        raise ValueError("no positive price to draw: the event needs a price or bars")
    return min(usable), max(usable)


def price_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """At most ``most`` round prices strictly inside, with plain decimal labels of one precision."""
    # A hair more than an even share, so that rounding never lets one tick too many in.
    rough = (high - low) / most * (1 + 1e-9)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= rough)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    prices = (index * step for index in range(math.floor(low / step), math.ceil(high / step) + 1))
    return [(price, f"{price:,.{decimals}f}") for price in prices if low < price < high]


def time_ticks(start_ms: float, end_ms: float, most: int) -> list[tuple[int, str]]:
    """At most ``most`` round times in UTC, strictly inside; midnight is shown as its day."""
    rough = (end_ms - start_ms) / most
    step = next((step for step in _TIME_STEPS_MS if step >= rough), math.ceil(rough / DAY_MS) * DAY_MS)
    first, last = math.floor(start_ms / step) + 1, math.ceil(end_ms / step) - 1
    times = [index * step for index in range(first, last + 1)]
    return [(time, figures.clock(time).removesuffix(" UTC") if time % DAY_MS else figures.day(time)) for time in times]


def by_pixel_row(
    values: NDArray[np.float64], edges: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Amounts per price cell [..., m] spread over pixel rows, as float64[..., len(rows) - 1].

    ``edges`` float64[m + 1] and ``rows`` are rising prices. Within a cell an amount is even in log price, so the
    total is kept wherever the rows cover the cells. Without cells there is nothing anywhere.
    """
    if len(edges) < 2:
        return np.zeros((*values.shape[:-1], len(rows) - 1))
    total = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), axis=-1, out=total[..., 1:])
    log_edges, log_rows = np.log(edges), np.log(rows)
    cell = np.clip(np.searchsorted(log_edges, log_rows, side="right") - 1, 0, len(edges) - 2)
    share = np.clip((log_rows - log_edges[cell]) / (log_edges[cell + 1] - log_edges[cell]), 0, 1)
    reached = total[..., cell] + share * (total[..., cell + 1] - total[..., cell])
    return np.asarray(np.diff(reached, axis=-1), np.float64)


def heat_by_row(evidence: Evidence, prices: PriceScale, rows: int) -> NDArray[np.float32]:
    """Each bar's heat over pixel rows from the bottom up, float32[n, rows], in USD a price cell."""
    if not evidence.heat_usd.size:
        return np.zeros((len(evidence.opened_at_ms), rows), np.float32)
    row_edges = prices.row_edges(rows)
    amounts = by_pixel_row(evidence.heat_usd.astype(np.float64), evidence.edges, row_edges)
    cell_log = math.log(evidence.edges[-1] / evidence.edges[0]) / (len(evidence.edges) - 1)
    return np.asarray(amounts * (cell_log / math.log(row_edges[1] / row_edges[0])), np.float32)


def bar_of_column(evidence: Evidence, times: TimeScale, columns: int) -> NDArray[np.intp]:
    """For each pixel column the index of the bar it shows; -1 in a gap and beyond the bars."""
    if not len(evidence.opened_at_ms):
        return np.full(columns, -1, np.intp)
    centres = times.start_ms + (np.arange(columns) + 0.5) / columns * (times.end_ms - times.start_ms)
    bar = np.searchsorted(evidence.opened_at_ms, centres, side="right") - 1
    return np.where(centres < evidence.opened_at_ms[bar] + evidence.interval_ms, bar, -1)


@dataclass(slots=True)
class Placed:
    """Boxes of text already on the picture, so that the next one goes where it is free."""

    boxes: list[Box] = field(default_factory=list)

    def is_free(self, box: Box) -> bool:
        return not any(box.overlaps(other) for other in self.boxes)

    def add(self, box: Box) -> Box:
        self.boxes.append(box)
        return box
