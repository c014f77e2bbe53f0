"""One event's evidence as a picture: heat behind candles, bands, the side profile and funding.

Shapes, letters and line styles repeat what red and green say. Every size is a multiple of the layout's unit,
and large: the picture is read on a phone at a third of its width.
"""

import math

import numpy as np

from bot.chart import layout, theme
from bot.chart.layout import Box, Candles, Layout, Placed, PriceScale, TimeScale
from bot.chart.pen import Pen
from bot.chart.theme import Ramp
from detectors import figures
from detectors.event import Band, Event, Evidence
from detectors.market import MINUTE_MS, Side

_SMALL, _PLAIN, _LARGE = 20.0, 22.0, 31.0
_MOST_HIDDEN = 3
"""Candles that the label of another cluster may cover; the alert's own is always said."""
_USUAL_FUNDING = 0.0001
"""The funding strip reaches at least this far up, so that a rate near nothing looks like nothing."""


def compose(event: Event, evidence: Evidence, width_px: int, height_px: int) -> Pen:
    """The whole picture, drawn on a pen and ready for `Pen.png`. Raises ValueError when no price is positive."""
    with_funding = bool(np.isfinite(evidence.funding_rate).any())
    page = layout.lay_out(width_px, height_px, with_funding=with_funding)
    candles = layout.join_bars(evidence, page.price.width)
    prices = PriceScale(*layout.price_view(event, evidence, candles), page.price.bottom, page.price.top)
    times = _time_scale(event, candles, page.price)
    pen = Pen(width_px, height_px, theme.BACKGROUND)

    ramp = _heat(pen, page, evidence, prices, times)
    _grid(pen, page, prices, times)
    bands = _visible(evidence.bands, prices)
    for band in bands:
        _band(pen, page, prices, band)
    _candles(pen, page, candles, prices, times)
    _profile(pen, page, evidence, prices)
    _gutter(pen, page, event, prices)
    _band_labels(pen, page, bands, candles, prices, times)
    if page.funding is not None:
        _funding(pen, page, page.funding, evidence, times)
    _times(pen, page, times)
    _header(pen, page, event, candles)
    _legend(pen, page, ramp)
    _foot(pen, page, event)
    return pen


def _time_scale(event: Event, candles: Candles, box: Box) -> TimeScale:
    if not len(candles.opened_at_ms):
        return TimeScale(event.taken_at_ms - 60 * MINUTE_MS, event.taken_at_ms, box.left, box.right)
    start = int(candles.opened_at_ms[0])
    end = int(candles.opened_at_ms[-1]) + candles.interval_ms
    return TimeScale(start, end + 0.02 * (end - start), box.left, box.right)


def _heat(pen: Pen, page: Layout, evidence: Evidence, prices: PriceScale, times: TimeScale) -> Ramp:
    """Draws the panels' grounds and the heat; returns the ramp that coloured it."""
    box = page.price
    pen.fill(box, theme.PANEL)
    pen.fill(page.profile, theme.PANEL)
    left, bottom = round(box.left), round(box.bottom)
    rows, columns = round(box.top) - bottom, round(box.right) - left
    heat = layout.heat_by_row(evidence, prices, rows)
    ramp = Ramp.fit(heat)
    if ramp.cap_usd:
        # Coloured a bar at a time, then spread over the columns; the added last row, all clear, stands for index -1.
        colours = np.concatenate((ramp.rgba(heat), np.zeros((1, rows, 4), np.uint8)))
        pen.image(colours[layout.bar_of_column(evidence, times, columns)].transpose(1, 0, 2), left, bottom)
    return ramp


def _grid(pen: Pen, page: Layout, prices: PriceScale, times: TimeScale) -> None:
    rows = [prices.y(price) for price, _ in layout.price_ticks(prices.low, prices.high, 9)]
    columns = [times.x(time) for time, _ in layout.time_ticks(times.start_ms, times.end_ms, 7)]
    across = [((page.price.left, y), (page.profile.right, y)) for y in rows]
    lowest = page.funding.bottom if page.funding else page.price.bottom
    up = [((x, lowest), (x, page.price.top)) for x in columns]
    if across or up:
        pen.lines(np.array(across + up), theme.GRID, 1, alpha=0.8)


def _visible(bands: tuple[Band, ...], prices: PriceScale) -> list[Band]:
    """Bands within the view, smallest first and the alert's own last, so that it lies on top."""
    inside = [band for band in bands if band.high > prices.low and band.low < prices.high and band.low > 0]
    return sorted(inside, key=lambda band: (band.own, band.notional_usd))


def _band_box(page: Layout, prices: PriceScale, band: Band) -> Box:
    low, high = prices.y(band.low), prices.y(band.high)
    missing = max(0.0, 4 * page.unit - (high - low)) / 2
    return Box(page.price.left, low - missing, page.profile.right, high + missing)


def _band(pen: Pen, page: Layout, prices: PriceScale, band: Band) -> None:
    box, colour = _band_box(page, prices, band), theme.SIDE_COLOUR[band.side]
    clip = Box(page.price.left, page.price.bottom, page.profile.right, page.price.top)
    pen.fill(box, colour, alpha=0.30 if band.own else 0.12, clip=clip)
    if band.own:
        pen.fill(box, colour, alpha=0.55, clip=clip, hatch=theme.SIDE_HATCH[band.side])
    edges = np.array([((box.left, y), (box.right, y)) for y in (box.bottom, box.top)])
    dashes = None if band.own else theme.SIDE_DASHES[band.side]
    pen.lines(edges, colour, (3.2 if band.own else 1.8) * page.unit, dashes=dashes, clip=clip)


def _candles(pen: Pen, page: Layout, candles: Candles, prices: PriceScale, times: TimeScale) -> None:
    if not len(candles.opened_at_ms):
        return
    left = times.xs(candles.opened_at_ms)
    step = times.x(candles.interval_ms) - times.x(0)
    centre, body = np.round(left + step / 2 - 0.5) + 0.5, max(1.0, math.floor(step * 0.36))
    opened, high, low, closed = (prices.ys(candles.ohlc[:, column]) for column in range(4))
    rising = closed >= opened
    colours = np.where(rising, theme.RISING, theme.FALLING).tolist()
    wicks = np.stack((np.stack((centre, low), axis=1), np.stack((centre, high), axis=1)), axis=1)
    width = max(1.0, round(min(step * 0.3, 2 * page.unit)))
    # A dark rim keeps the candles apart from bright heat.
    pen.lines(wicks, theme.BACKGROUND, width + 2 * page.unit, alpha=0.75, clip=page.price)
    pen.lines(wicks, colours, width, clip=page.price)
    bottom, top = np.minimum(opened, closed), np.maximum(opened, closed)
    pen.boxes(centre - body - 0.5, bottom, centre + body + 0.5, np.maximum(top, bottom + 1), colours, clip=page.price)


def _profile(pen: Pen, page: Layout, evidence: Evidence, prices: PriceScale) -> None:
    box = page.profile
    count = max(1, int(box.height // (7 * page.unit)))
    rows = prices.row_edges(count)
    heights = np.linspace(box.bottom, box.top, count + 1)
    sides = {
        Side.LONG: layout.by_pixel_row(evidence.long_usd, evidence.edges, rows),
        Side.SHORT: layout.by_pixel_row(evidence.short_usd, evidence.edges, rows),
    }
    most = max(float(amounts.max()) for amounts in sides.values())
    gap = max(1.0, 2 * page.unit)
    for side, amounts in sides.items():
        drawn = amounts > most * 0.005
        if not drawn.any():
            continue
        lengths = amounts[drawn] / most * (box.width - 4 * page.unit)
        bottom, top = heights[:-1][drawn], heights[1:][drawn] - gap
        left = np.full(len(lengths), box.left)
        pen.boxes(left, bottom, left + np.maximum(lengths, 2), top, theme.SIDE_COLOUR[side], clip=box)


def _gutter(pen: Pen, page: Layout, event: Event, prices: PriceScale) -> None:
    """Prices at the right: the present one and the level on chips, round ones wherever these leave room."""
    placed, box = Placed(), page.gutter
    now = prices.y(event.price)
    dashes = np.array([((page.price.left, now), (page.profile.right, now))])
    pen.lines(dashes, theme.TEXT, 1.4 * page.unit, dashes=(0, (1, 3)), alpha=0.9)
    _chip(pen, page, placed, now, figures.price(event.price, event.price_decimals), theme.TEXT)
    if event.level is not None and event.side is not None and prices.low < event.level.centre < prices.high:
        centre, away = prices.y(event.level.centre), 34 * page.unit
        if abs(centre - now) < away:
            centre = now + math.copysign(away, event.level.centre - event.price)
        _chip(
            pen,
            page,
            placed,
            centre,
            figures.level(event.level.centre, event.price_decimals),
            theme.SIDE_COLOUR[event.side],
        )
    for price, words in layout.price_ticks(prices.low, prices.high, 9):
        y, half = prices.y(price), 13 * page.unit
        row = Box(box.left, y - half, box.right, y + half)
        if placed.is_free(row) and row.bottom > page.price.bottom and row.top < page.price.top:
            pen.text(box.left + 6 * page.unit, y, words, _fitted(pen, page, words, False), theme.MUTED)


def _chip(pen: Pen, page: Layout, placed: Placed, y: float, words: str, colour: str) -> None:
    half = 16 * page.unit
    row = placed.add(Box(page.gutter.left, y - half, page.gutter.right, y + half))
    pen.fill(row, colour)
    pen.text(row.left + 6 * page.unit, y, words, _fitted(pen, page, words, True), theme.CHIP, bold=True)


def _fitted(pen: Pen, page: Layout, words: str, bold: bool) -> float:
    """The size at which ``words`` fit the gutter."""
    size, room = _PLAIN * page.unit, 0.95 * page.gutter.width - 10 * page.unit
    return min(size, size * room / max(1.0, pen.width(words, size, bold=bold)))


def _band_labels(
    pen: Pen, page: Layout, bands: list[Band], candles: Candles, prices: PriceScale, times: TimeScale
) -> None:
    """The alert's own size in large, others by size while there is room; each where it hides fewest candles."""
    placed, unit = Placed(), page.unit
    for band in reversed(bands):
        letter, size = theme.SIDE_LETTER[band.side], (25 if band.own else 19) * unit
        words = f"{letter} {figures.usd(band.notional_usd)}"
        if band.own:
            words = f"{band.side.value} · estimated {figures.usd(band.notional_usd)}"
        width, half = pen.width(words, size, bold=True) + 16 * unit, size * 0.68
        middle = prices.y(math.sqrt(band.low * band.high))
        middle = min(max(middle, page.price.bottom + half), page.price.top - half)
        lefts = np.linspace(page.price.left + 6 * unit, page.price.right - width - 6 * unit, 5)
        spots = [Box(float(left), middle - half, float(left) + width, middle + half) for left in lefts]
        free = [spot for spot in spots if placed.is_free(spot)]
        if not free:
            continue
        hidden, spot = min(((_hidden(spot, candles, prices, times), spot) for spot in free), key=lambda pair: pair[0])
        if hidden > _MOST_HIDDEN and not band.own:
            continue
        placed.add(spot)
        colour = theme.SIDE_COLOUR[band.side]
        pen.fill(spot, colour if band.own else theme.CHIP, alpha=1 if band.own else 0.8)
        ink = theme.CHIP if band.own else colour
        pen.text((spot.left + spot.right) / 2, middle, words, size, ink, bold=True, align="center")


def _hidden(spot: Box, candles: Candles, prices: PriceScale, times: TimeScale) -> int:
    """How many candles a box would hide."""
    if not len(candles.opened_at_ms):
        return 0
    xs, highs, lows = times.xs(candles.opened_at_ms), prices.ys(candles.ohlc[:, 1]), prices.ys(candles.ohlc[:, 2])
    return int(((xs >= spot.left) & (xs <= spot.right) & (highs >= spot.bottom) & (lows <= spot.top)).sum())


def _funding(pen: Pen, page: Layout, box: Box, evidence: Evidence, times: TimeScale) -> None:
    pen.fill(box, theme.PANEL)
    known = np.isfinite(evidence.funding_rate)
    at, rates = times.xs(evidence.funding_at_ms[known]), evidence.funding_rate[known]
    seen = (at >= box.left) & (at <= box.right)
    low, high = float(rates[seen].min(initial=0)), float(rates[seen].max(initial=_USUAL_FUNDING))
    room, margin = box.height - 34 * page.unit, 6 * page.unit
    zero = box.bottom + margin - low / (high - low) * room
    pen.lines(np.array([((box.left, zero), (box.right, zero))]), theme.MUTED, 1, alpha=0.6)
    tips = zero + rates[seen] / (high - low) * room
    half = np.full(len(tips), 5 * page.unit)
    pen.boxes(
        at[seen] - half, np.minimum(tips, zero), at[seen] + half, np.maximum(tips, zero + 1), theme.FUNDING, clip=box
    )
    pen.text(box.left + 8 * page.unit, box.top - 14 * page.unit, "funding", _SMALL * page.unit, theme.MUTED)
    words = figures.funding(float(rates[-1]))
    pen.text(page.profile.left, box.top - 14 * page.unit, words, _PLAIN * page.unit, theme.FUNDING, bold=True)


def _times(pen: Pen, page: Layout, times: TimeScale) -> None:
    """Round times under the panels, where they fit, and the zone once at the right."""
    y, size = (page.times.bottom + page.times.top) / 2, _PLAIN * page.unit
    for time, words in layout.time_ticks(times.start_ms, times.end_ms, 7):
        x, half = times.x(time), pen.width(words, size) / 2
        if x - half >= page.times.left and x + half <= page.times.right:
            pen.text(x, y, words, size, theme.MUTED, align="center")
    pen.text(page.profile.left, y, "UTC", size, theme.MUTED)


def _header(pen: Pen, page: Layout, event: Event, candles: Candles) -> None:
    box, unit = page.header, page.unit
    size = _LARGE * unit
    size = min(size, size * 0.97 * box.width / max(1.0, pen.width(event.headline, size, bold=True)))
    pen.text(box.left, box.top - 22 * unit, event.headline, size, theme.TEXT, bold=True)
    words = f"{event.symbol} · {figures.duration(candles.interval_ms)} candles · {figures.moment(event.taken_at_ms)}"
    pen.text(box.left, box.top - 60 * unit, words, _SMALL * unit, theme.MUTED)
    if event.simulated:
        width = pen.width("SIMULATED", _PLAIN * unit, bold=True) + 20 * unit
        chip = Box(box.right - width, box.top - 76 * unit, box.right, box.top - 44 * unit)
        pen.fill(chip, theme.SIMULATED)
        middle = (chip.bottom + chip.top) / 2
        pen.text(chip.left + 10 * unit, middle, "SIMULATED", _PLAIN * unit, theme.CHIP, bold=True)


def _legend(pen: Pen, page: Layout, ramp: Ramp) -> None:
    box, unit = page.legend, page.unit
    y, x = (box.bottom + box.top) / 2, box.left
    for side, words in ((Side.LONG, "L longs, below"), (Side.SHORT, "S shorts, above")):
        swatch, colour = Box(x, y - 8 * unit, x + 40 * unit, y + 8 * unit), theme.SIDE_COLOUR[side]
        pen.fill(swatch, colour, alpha=0.3)
        edges = np.array([((swatch.left, edge), (swatch.right, edge)) for edge in (swatch.bottom, swatch.top)])
        pen.lines(edges, colour, 2 * unit, dashes=theme.SIDE_DASHES[side])
        pen.text(swatch.right + 10 * unit, y, words, _SMALL * unit, colour, bold=True)
        x = swatch.right + pen.width(words, _SMALL * unit, bold=True) + 34 * unit
    if not ramp.cap_usd:
        pen.text(x, y, "no estimate", _SMALL * unit, theme.MUTED)
        return
    sample = np.linspace(0, ramp.cap_usd, round(110 * unit), dtype=np.float32)
    pen.image(ramp.rgba(np.tile(sample, (round(16 * unit), 1))), round(x), round(y - 8 * unit))
    pen.text(x + 120 * unit, y, f"estimated, to {figures.usd(ramp.cap_usd)} a price step", _SMALL * unit, theme.TEXT)


def _foot(pen: Pen, page: Layout, event: Event) -> None:
    box = page.foot
    y = (box.bottom + box.top) / 2
    own, size = "clusterwatch · estimated liquidation levels", _SMALL * page.unit
    pen.text(box.left, y, own, size, theme.MUTED)
    # An event that draws on several sources names them in a fact.
    sources = f"data: {event.value('sources') or event.venue}"
    room = box.width - pen.width(own, size) - 20 * page.unit
    fitted = min(size, 0.95 * size * room / max(1.0, pen.width(sources, size)))
    pen.text(box.right, y, sources, fitted, theme.MUTED, align="right")
