import asyncio
import gc
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from numpy.typing import NDArray

from bot import chart
from bot.chart import layout
from bot.chart.picture import compose
from bot.chart.theme import Ramp
from detectors.event import Band, Event, Evidence, Fact, Label, Unit
from detectors.market import Side
from tests.bot.sample_events import STEP_MS, sample_event

PRICES = [(0.00001234, 8), (0.25208, 5), (88_420.0, 2), (1_234_567.0, 1)]
OWN_WORDS = "clusterwatch · estimated liquidation levels"


def evidence_of(event: Event) -> Evidence:
    assert event.evidence is not None
    return event.evidence


def changed(event: Event, **changes: Any) -> Event:
    return replace(event, evidence=replace(evidence_of(event), **changes))


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(matplotlib.image.imread(io.BytesIO(png)), np.float64)


def texts(event: Event) -> list[Text]:
    pen = compose(event, evidence_of(event), chart.WIDTH_PX, chart.HEIGHT_PX)
    return [artist for artist in pen.figure.get_children() if isinstance(artist, Text)]


def words(event: Event) -> str:
    return "\n".join(text.get_text() for text in texts(event))


@pytest.mark.parametrize(("width", "height"), [(1100, 825), (640, 480), (1201, 677), (500, 900)])
def test_a_chart_is_a_png_of_the_size_asked_for(width: int, height: int) -> None:
    png = chart.draw(sample_event(), width_px=width, height_px=height)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert pixels(png).shape[:2] == (height, width)


def test_the_same_event_gives_the_same_bytes() -> None:
    assert chart.draw(sample_event()) == chart.draw(sample_event())


def test_the_alerts_own_band_stands_out() -> None:
    event = sample_event()
    plain = changed(event, bands=tuple(replace(band, own=False) for band in evidence_of(event).bands))
    assert chart.draw(event) != chart.draw(plain)
    assert "long · estimated $182M" in words(event)
    assert "long · estimated $182M" not in words(plain)
    assert "L $182M" in words(plain)


def test_a_side_is_told_by_letter_as_well_as_by_colour() -> None:
    shown = words(sample_event())
    assert "S $64M" in shown
    assert "L longs, below" in shown
    assert "S shorts, above" in shown


def test_red_and_green_mean_a_side_only() -> None:
    """Without heat, bands, level and profile nothing green or red is left above the legend: candles are neutral."""
    event = replace(sample_event(), level=None)
    evidence = evidence_of(event)
    nothing = np.zeros_like(evidence.long_usd)
    picture = pixels(chart.draw(changed(event, bands=(), long_usd=nothing, short_usd=nothing)))[:-70, :, :3]
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert not np.any(red > np.maximum(green, blue) + 0.15)
    assert not np.any(green > np.maximum(red, blue) + 0.15)


@pytest.mark.parametrize(("price", "decimals"), PRICES)
def test_prices_of_any_size_are_drawn_in_plain_decimals_without_warnings(price: float, decimals: int) -> None:
    event = sample_event(price, decimals)
    chart.draw(event)
    shown = words(event)
    assert f"{price:,.{decimals}f}" in shown
    assert "e-" not in shown
    assert "×" not in shown


@pytest.mark.parametrize(("price", "decimals"), PRICES)
@pytest.mark.parametrize("nearness", [0.98, 0.998, 0.9995])
def test_no_text_lies_on_another_or_beyond_the_picture(price: float, decimals: int, nearness: float) -> None:
    event = sample_event(price, decimals)
    assert event.level is not None
    event = replace(event, simulated=True, level=replace(event.level, centre=price * nearness))
    boxes = [text.get_window_extent() for text in texts(event)]
    shown = [text.get_text() for text in texts(event)]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0, shown[index]
        assert box.x1 <= chart.WIDTH_PX, shown[index]
        for other in range(index):
            across = min(box.x1, boxes[other].x1) - max(box.x0, boxes[other].x0)
            up = min(box.y1, boxes[other].y1) - max(box.y0, boxes[other].y0)
            # A line's box counts the tails of letters that it may not have: a few pixels are no collision.
            assert across <= 1 or up <= 6, (shown[index], shown[other])


def test_an_estimate_is_called_one_on_the_picture() -> None:
    shown = words(sample_event())
    assert OWN_WORDS in shown
    assert "estimated, to $" in shown


def test_the_venue_and_the_zone_are_named() -> None:
    shown = words(sample_event())
    assert "data: binance" in shown
    assert "2026-01-02 00:00 UTC" in shown


def test_several_sources_are_all_named_and_fit() -> None:
    text = "binance+bybit+okx prices, hyperliquid+binance+bybit+okx open interest"
    event = replace(sample_event(), facts=(Fact("sources", text, Unit.TEXT, Label.OBSERVED),))
    foot = [shown for shown in texts(event) if shown.get_text() in {f"data: {text}", OWN_WORDS}]
    left, right = sorted((shown.get_window_extent() for shown in foot), key=lambda box: box.x0)
    assert left.x1 < right.x0


def test_a_simulated_market_is_called_one_on_the_picture() -> None:
    event = sample_event()
    assert "SIMULATED" in words(replace(event, simulated=True))
    assert "SIMULATED" not in words(event)


def test_without_funding_the_price_panel_takes_the_room() -> None:
    nothing = {"funding_at_ms": np.array([], np.int64), "funding_rate": np.array([])}
    assert "funding" in words(sample_event())
    assert "funding" not in words(changed(sample_event(), **nothing))
    tall, short = (layout.lay_out(1100, 825, with_funding=with_funding) for with_funding in (False, True))
    assert tall.price.height > short.price.height
    chart.draw(changed(sample_event(), **nothing))


def test_without_any_heat_the_picture_says_that_there_is_no_estimate() -> None:
    event = sample_event()
    evidence = evidence_of(event)
    cold = changed(event, heat_usd=np.zeros_like(evidence.heat_usd), bands=())
    chart.draw(cold)
    assert "no estimate" in words(cold)


def test_a_market_without_a_map_is_drawn() -> None:
    event = replace(sample_event(), level=None, side=None, notional_usd=None)
    bars = len(evidence_of(event).ohlc)
    none = np.array([])
    empty = changed(
        event, edges=none, heat_usd=np.zeros((bars, 0), np.float32), long_usd=none, short_usd=none, bands=()
    )
    chart.draw(empty)
    assert "no estimate" in words(empty)


@pytest.mark.parametrize("bars", [1, 2, 3000])
def test_any_number_of_bars_is_drawn(bars: int) -> None:
    chart.draw(sample_event(bars=bars))


def test_without_a_single_bar_the_price_and_bands_are_drawn() -> None:
    event = sample_event()
    evidence = evidence_of(event)
    chart.draw(
        changed(event, opened_at_ms=evidence.opened_at_ms[:0], ohlc=evidence.ohlc[:0], heat_usd=evidence.heat_usd[:0])
    )


def test_bars_that_are_not_numbers_are_left_out() -> None:
    event = sample_event()
    evidence = evidence_of(event)
    ohlc, heat, rates = evidence.ohlc.copy(), evidence.heat_usd.copy(), evidence.funding_rate.copy()
    ohlc[5], ohlc[6], heat[7], rates[0] = np.nan, 0, np.nan, np.nan
    spoiled = changed(event, ohlc=ohlc, heat_usd=heat, funding_rate=rates)
    chart.draw(spoiled)
    assert not re.search(r"\bnan\b", words(spoiled))


def test_what_the_font_cannot_draw_is_left_out_of_the_title() -> None:
    event = replace(sample_event(), headline="🟢 BTC 柴犬 long $5M and $6M")
    chart.draw(event)
    assert "BTC  long $5M and $6M" in words(event)
    # Two dollar signs would make mathematics of what lies between them.
    assert not any(text.get_parse_math() for text in texts(event))


def test_an_event_without_evidence_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="carries no evidence"):
        chart.draw(replace(sample_event(), evidence=None))


def test_joined_candles_keep_first_open_highest_high_lowest_low_and_last_close() -> None:
    evidence = evidence_of(sample_event(bars=600))
    candles = layout.join_bars(evidence, 740)
    assert candles.interval_ms == 15 * 60_000
    assert candles.ohlc[1].tolist() == [
        evidence.ohlc[3, 0],
        evidence.ohlc[3:6, 1].max(),
        evidence.ohlc[3:6, 2].min(),
        evidence.ohlc[5, 3],
    ]
    assert candles.ohlc[:, 1].max() == evidence.ohlc[:, 1].max()


def test_a_gap_in_the_bars_shows_as_a_gap_in_the_heat() -> None:
    evidence = evidence_of(sample_event(bars=10))
    late = evidence.opened_at_ms.copy()
    late[5:] += 10 * STEP_MS
    gapped = replace(evidence, opened_at_ms=late)
    times = layout.TimeScale(int(late[0]), int(late[-1]) + STEP_MS, 0, 200)
    bars = layout.bar_of_column(gapped, times, 200)
    assert set(bars[50:150]) == {-1}
    assert bars[:50].tolist() == np.repeat(np.arange(5), 10).tolist()


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=30), st.integers(1, 60))
def test_spreading_amounts_over_pixel_rows_keeps_their_total(amounts: list[float], rows: int) -> None:
    edges = 100 * np.exp(np.arange(len(amounts) + 1) * 0.0005)
    spread = layout.by_pixel_row(np.array(amounts), edges, np.geomspace(edges[0], edges[-1], rows + 1))
    assert spread.sum() == pytest.approx(sum(amounts))
    assert spread.min() >= -1e-6 * max(amounts)


@given(st.floats(1e-9, 1e7), st.floats(0.001, 3))
@example(2.0, 2.0)
@example(0.005, 0.015625)
def test_price_ticks_are_few_inside_and_distinct(low: float, span: float) -> None:
    high = low * (1 + span)
    ticks = layout.price_ticks(low, high, 7)
    labels = [label for _, label in ticks]
    assert 1 <= len(ticks) <= 7
    assert all(low < price < high for price, _ in ticks)
    assert len(set(labels)) == len(labels)
    assert all(float(label.replace(",", "")) == pytest.approx(price) for price, label in ticks)


@given(st.integers(1_600_000_000_000, 1_900_000_000_000), st.integers(3_600_000, 400 * 86_400_000))
@settings(max_examples=50)
def test_time_ticks_are_few_and_round(start: int, span: int) -> None:
    ticks = layout.time_ticks(start, start + span, 7)
    assert 1 <= len(ticks) <= 7
    assert all(time % 300_000 == 0 for time, _ in ticks)


def test_a_bands_size_does_not_hide_the_alerts_own_label() -> None:
    event = sample_event()
    own = evidence_of(event).bands[0]
    rival = Band(Side.LONG, own.low, own.high, own.notional_usd * 9)
    assert "long · estimated $182M" in words(changed(event, bands=(rival, own)))


def test_the_heats_colours_get_lighter_with_size_and_noise_stays_clear() -> None:
    heat = np.linspace(0, 1e6, 500, dtype=np.float32)
    colours = Ramp.fit(heat).rgba(heat).astype(float)
    assert colours[0, 3] == 0
    lightness = (colours[:, :3] * [0.2126, 0.7152, 0.0722]).sum(axis=1)[colours[:, 3] > 0]
    assert np.all(np.diff(lightness) >= 0)
    assert lightness[-1] > 3 * lightness[0]


@pytest.fixture
async def drawer() -> AsyncIterator[chart.ChartDrawer]:
    drawer = chart.ChartDrawer(width_px=400, height_px=300, kept=2)
    yield drawer
    await drawer.close()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The thread of every drawing; each takes a tenth of a second without holding the interpreter."""
    threads: list[str] = []

    def slow(event: Event, *, width_px: int, height_px: int) -> bytes:
        threads.append(threading.current_thread().name)
        time.sleep(0.1)
        if event.headline == "broken" and len(threads) == 1:
            raise ValueError("broken")
        return event.key.encode()

    monkeypatch.setattr(chart, "draw", slow)
    return threads


async def test_an_alert_is_drawn_once_for_many_chats(drawer: chart.ChartDrawer, drawn: list[str]) -> None:
    event = sample_event()
    pictures = await asyncio.gather(*(drawer.draw(event) for _ in range(20)))
    assert set(pictures) == {event.key.encode()}
    assert len(drawn) == 1
    assert drawn[0].startswith("chart")


async def test_drawing_does_not_hold_up_the_event_loop(drawer: chart.ChartDrawer, drawn: list[str]) -> None:
    drawing = asyncio.create_task(drawer.draw(sample_event()))
    longest, last = 0.0, time.perf_counter()
    while not drawing.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert drawn
    assert longest < 0.08


async def test_pictures_are_never_drawn_side_by_side(drawer: chart.ChartDrawer, drawn: list[str]) -> None:
    """Two threads that draw leave the loop, the third, a quarter of a second behind (docs/RELIABILITY.md, P17)."""
    await asyncio.gather(*(drawer.draw(replace(sample_event(), arming=arming)) for arming in range(3)))
    assert len(drawn) == 3
    assert len(set(drawn)) == 1


async def test_only_the_last_few_pictures_are_kept(drawer: chart.ChartDrawer, drawn: list[str]) -> None:
    events = [replace(sample_event(), arming=arming) for arming in range(3)]
    for event in (*events, events[2], events[0]):
        await drawer.draw(event)
    assert len(drawn) == 4


async def test_a_picture_that_failed_is_tried_anew(drawer: chart.ChartDrawer, drawn: list[str]) -> None:
    event = replace(sample_event(), headline="broken")
    with pytest.raises(ValueError, match="broken"):
        await drawer.draw(event)
    assert await drawer.draw(event) == event.key.encode()


async def test_a_chat_that_stops_waiting_does_not_take_the_picture_from_others(
    drawer: chart.ChartDrawer, drawn: list[str]
) -> None:
    busy = asyncio.create_task(drawer.draw(replace(sample_event(), arming=9)))
    first, second = (asyncio.create_task(drawer.draw(sample_event())) for _ in range(2))
    await asyncio.sleep(0.02)
    first.cancel()
    assert await second == sample_event().key.encode()
    await busy


async def test_an_event_without_evidence_has_no_picture(drawer: chart.ChartDrawer) -> None:
    assert await drawer.draw(replace(sample_event(), evidence=None)) is None


async def test_the_drawer_makes_real_pictures(drawer: chart.ChartDrawer) -> None:
    png = await drawer.draw(sample_event())
    assert png is not None
    assert pixels(png).shape[:2] == (300, 400)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_charts_leave_no_memory_behind() -> None:
    event = sample_event()
    for _ in range(5):
        chart.draw(event)
    gc.collect()
    before = _resident_mb()
    for _ in range(30):
        chart.draw(event)
    assert _resident_mb() - before < 10


def test_pyplot_is_never_loaded() -> None:
    chart.draw(sample_event())
    assert "matplotlib.pyplot" not in sys.modules


def test_matplotlib_is_loaded_only_once_a_picture_is_wanted() -> None:
    code = "import sys, bot.chart; bot.chart.ChartDrawer(); sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
