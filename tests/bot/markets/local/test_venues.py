"""Starting local venues, pointing ccxt at them, and letting their time pass."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ccxt.pro
import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.feed import LocalFeed
from bot.markets.local.history import History
from bot.markets.local.venues import VENUES, LocalVenues
from bot.markets.recorded import RecordedFeed
from detectors.market import DAY_MS
from tests.bot.markets.local.real_ccxt import CCXT_NAMES, connected


def addresses(urls: Any) -> Iterator[str]:
    if isinstance(urls, dict):
        for value in urls.values():
            yield from addresses(value)
    else:
        yield urls


@pytest.mark.parametrize("name", VENUES)
async def test_after_the_rewrite_no_address_leads_to_a_real_venue(name: str, venues: LocalVenues) -> None:
    exchange = getattr(ccxt.pro, CCXT_NAMES[name])()
    before = list(addresses(exchange.urls["api"]))
    venues.rewrite(exchange)
    after = list(addresses(exchange.urls["api"]))
    assert len(after) == len(before) > 1
    assert {urlsplit(url).netloc for url in after} == {f"127.0.0.1:{venues[name].port}"}
    assert {urlsplit(url).scheme for url in after} <= {"http", "ws"}
    await exchange.close()


async def test_a_venue_there_is_none_of_is_named(history: History, clock: Clock) -> None:
    with pytest.raises(ValueError, match="'kraken'; there are binance, bybit, okx, gate"):
        LocalVenues(history, clock, ["kraken"])
    async with LocalVenues(history, clock, ["okx"]) as venues:
        assert list(venues) == ["okx"]
        with pytest.raises(KeyError):
            venues.rewrite(ccxt.pro.bybit())


async def test_served_venues_trade_from_a_moment_on_and_push_by_themselves() -> None:
    now_ms = time.time_ns() // 1_000_000
    feed = LocalFeed(3, ["binance"], ["BTC"], history_days=0.5, speed=0.2, now_ms=now_ms)
    async with feed.serving() as venues:
        history = venues.history
        assert 0.5 * DAY_MS <= now_ms - history.start_ms < 1.5 * DAY_MS
        assert history.start_ms % DAY_MS == 0
        url = f"ws://127.0.0.1:{venues['binance'].port}/market/ws/0"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as stream:
            await stream.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 1})
            await stream.receive_json(timeout=1)
            stamps = [(await stream.receive_json(timeout=2))["E"] for _ in range(2)]
    assert stamps[1] - stamps[0] > 20_000


async def test_leaving_closes_the_ports(history: History, clock: Clock) -> None:
    async with LocalVenues(history, clock, push_every_s=0.01) as venues:
        ports = [venues[name].port for name in venues]
        assert len(set(ports)) == len(VENUES)
        await asyncio.sleep(0.05)
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_requests_are_counted_by_path(venues: LocalVenues) -> None:
    async with connected(venues, "binance") as exchange:
        await exchange.fetch_time()
    assert venues["binance"].requests == {"/fapi/v1/exchangeInfo": 1, "/fapi/v1/time": 1}


async def test_a_recording_can_be_behind_the_venues(shared_markets: Path) -> None:
    history = History(RecordedFeed(shared_markets / "crash-2025-10-10", ["BTC"]))
    clock = Clock(history.start_ms + DAY_MS)
    async with LocalVenues(history, clock, ["binance"]) as venues, connected(venues, "binance") as exchange:
        assert list(exchange.markets) == ["BTC/USDT:USDT"]
        rows = await exchange.fetch_ohlcv("BTC/USDT:USDT", "5m", since=history.start_ms, limit=288)
        held = await exchange.fetch_open_interest_history("BTC/USDT:USDT", "1h", limit=10)
    bars = history.markets["BTC"].bars[:288]
    assert [row[:5] for row in rows] == [[bar.opened_at_ms, bar.open, bar.high, bar.low, bar.close] for bar in bars]
    assert len(held) == 10
    assert held[-1]["openInterestAmount"] > 0


async def test_a_thousand_requests_at_once_are_all_answered(venues: LocalVenues) -> None:
    async with connected(venues, "bybit") as exchange:
        venues["bybit"].limiter.scale = 10
        answers = await asyncio.gather(*(exchange.fetch_time() for _ in range(1000)))
    assert set(answers) == {venues.clock.now_ms}


async def test_advancing_pushes_what_has_happened_once(venues: LocalVenues) -> None:
    server = venues["bybit"]
    await venues.advance(DAY_MS)
    told = server.pushed_prints
    await venues.push()
    assert server.pushed_prints == told > 0
