"""Websockets: every liquidation a venue tells arrives once and whole; silence, bursts and cuts can be had."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt
import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.listing import DEFAULT_TERMS
from bot.markets.local.venues import LocalVenues
from detectors.market import DAY_MS, HOUR_MS, Print, Side
from tests.bot.markets.local.real_ccxt import BTC, connected, until
from tests.bot.markets.local.scripted_feed import flat

STREAMING = ("binance", "bybit", "okx")
every_stream = pytest.mark.parametrize("name", STREAMING)
Record = tuple[int, str, float]
"""Time, side and amount in base units."""


class Watch:
    """A ccxt exchange that watches BTC's liquidations with the hook of exchanges.md, which loses none of a burst."""

    def __init__(self, name: str, exchange: Any) -> None:
        self.name, self.exchange = name, exchange
        self.messages: list[Mapping[str, Any]] = []
        exchange.handle_liquidation = lambda client, message: self.messages.append(message)

    async def drive(self) -> None:
        if self.name == "bybit":
            await self.exchange.watch_liquidations(BTC)
        else:
            await self.exchange.watch_liquidations_for_symbols([BTC])

    async def ends_with(self, made: list[Print]) -> None:
        """Wait until the last records are these; older ones may come first, as OKX repeats some on connect."""
        await until(lambda: alike(self.records[-len(made) :], told(made)))

    @property
    def records(self) -> list[Record]:
        found: list[Record] = []
        for message in self.messages:
            if self.name == "binance":
                order = message["o"]
                if order["s"] == "BTCUSDT":
                    found.append((order["T"], {"SELL": "long", "BUY": "short"}[order["S"]], float(order["l"])))
            elif self.name == "bybit":
                sides = {"Buy": "long", "Sell": "short"}
                found += [(one["T"], sides[one["S"]], float(one["v"])) for one in message["data"]]
            else:
                for item in message["data"]:
                    if item["instId"] == "BTC-USDT-SWAP":
                        details = item["details"]
                        assert all((one["side"] == "sell") is (one["posSide"] == "long") for one in details)
                        found += [(int(one["ts"]), one["posSide"], float(one["sz"]) * 0.01) for one in details]
        return found


@asynccontextmanager
async def watching(venues: LocalVenues, name: str) -> AsyncIterator[Watch]:
    async with connected(venues, name) as exchange:
        watch = Watch(name, exchange)
        driver = asyncio.create_task(watch.drive())
        await until(lambda: venues[name].streams and venues[name].streams[0].topics)
        yield watch
        driver.cancel()
        with contextlib.suppress(asyncio.CancelledError, ccxt.NetworkError):
            await driver


def told(prints: Sequence[Print]) -> list[Record]:
    return [(seen.taken_at_ms, seen.side.value, seen.amount_base) for seen in prints]


def alike(found: list[Record], wanted: list[Record]) -> bool:
    same = [(at, side) for at, side, _ in found] == [(at, side) for at, side, _ in wanted]
    return same and [amount for *_, amount in found] == pytest.approx([amount for *_, amount in wanted], abs=1e-3)


@every_stream
async def test_a_burst_of_500_arrives_in_one_go_and_none_is_lost(name: str, venues: LocalVenues) -> None:
    async with watching(venues, name) as watch:
        for side in Side:
            await watch.ends_with(await venues[name].burst("BTC", 500, side))


async def test_between_them_the_venues_tell_every_liquidation_of_the_market_once(
    history: History, clock: Clock
) -> None:
    async with (
        LocalVenues(history, clock, STREAMING) as venues,
        watching(venues, "binance") as one,
        watching(venues, "bybit") as two,
        watching(venues, "okx") as three,
    ):
        # OKX's old ones come first, and are older than what is to come.
        await until(lambda: three.records)
        since_ms = clock.now_ms
        for _ in range(24):
            await venues.advance(HOUR_MS)
        # Nothing more comes after these, in order.
        last = [await venues[watch.name].burst("BTC", 1) for watch in (one, two, three)]
        for watch, made in zip((one, two, three), last, strict=True):
            await watch.ends_with(made)
            watch.messages.pop()
        found = {watch.name: [one for one in watch.records if one[0] > since_ms] for watch in (one, two, three)}
    prints = history.markets["BTC"].prints_between(since_ms, clock.now_ms)
    mine = {name: venues[name].mine("BTC", prints) for name in STREAMING}
    assert all(mine.values())
    assert sorted(told([seen for part in mine.values() for seen in part])) == sorted(told(prints))
    for name in STREAMING:
        assert alike(found[name], told(venues[name].sampled(mine[name])))


def test_binance_tells_only_the_latest_of_each_second(history: History, clock: Clock) -> None:
    server = LocalVenues(history, clock)["binance"]
    prints = [Print(at_ms, Side.LONG, 1.0, at_ms, at_ms) for at_ms in (1000, 1500, 1999, 2000, 3100, 3900)]
    assert [seen.taken_at_ms for seen in server.sampled(prints)] == [1999, 2000, 3900]
    assert LocalVenues(history, clock)["bybit"].sampled(prints) == prints


@every_stream
async def test_prices_of_liquidations_are_the_venue_s_kind(name: str, venues: LocalVenues) -> None:
    """Binance names the fill and the bankruptcy price, Bybit and OKX the latter only (exchanges.md, trap 3)."""
    async with watching(venues, name) as watch:
        made = await venues[name].burst("BTC", 1, Side.LONG)
        await watch.ends_with(made)
        message = watch.messages[-1]
    fill = made[0].price * (1 + DEFAULT_TERMS[name].price_offset_bps / 1e4)
    if name == "binance":
        assert float(message["o"]["ap"]) == pytest.approx(fill)
        price = float(message["o"]["p"])
    else:
        price = float(message["data"][0]["p"] if name == "bybit" else message["data"][0]["details"][0]["bkPx"])
    assert 0.003 < 1 - price / fill < 0.006


async def test_okx_repeats_old_liquidations_on_connect_and_the_others_do_if_told(
    venues: LocalVenues, clock: Clock
) -> None:
    async with watching(venues, "okx") as watch:
        await until(lambda: watch.records)
        assert 1 <= len(watch.records) <= 3
        assert all(at_ms <= clock.now_ms for at_ms, *_ in watch.records)
    venues["bybit"].faults.replayed = 2
    async with watching(venues, "bybit") as watch:
        await until(lambda: watch.records)
        assert len(watch.records) == 2
        assert all(clock.now_ms - DAY_MS <= at_ms <= clock.now_ms for at_ms, *_ in watch.records)


async def test_a_doubled_liquidation_comes_twice(venues: LocalVenues) -> None:
    venues["binance"].faults.doubled = True
    async with watching(venues, "binance") as watch:
        await venues["binance"].burst("BTC", 2)
        await until(lambda: len(watch.records) == 4)
        assert watch.records[:2] == watch.records[2:]


async def test_numbers_in_frames_can_be_poisoned(venues: LocalVenues) -> None:
    venues["binance"].faults.poison_frames = "NaN"
    async with watching(venues, "binance") as watch:
        await venues["binance"].burst("BTC", 1)
        await until(lambda: watch.messages)
        assert watch.messages[0]["o"]["ap"] == watch.messages[0]["o"]["l"] == "NaN"


async def test_the_path_of_before_april_2026_acknowledges_and_stays_silent(venues: LocalVenues) -> None:
    frames = {}
    for path in ("/ws", "/market/ws/0"):
        async with opened(venues, "binance", path) as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": ["!forceOrder@arr", "!markPrice@arr"], "id": 7})
            assert await socket.receive_json() == {"result": None, "id": 7}
            await venues["binance"].burst("BTC", 1)
            await venues.push()
            frames[path] = await frames_of(socket)
    assert frames["/ws"] == []
    assert [type(frame) for frame in frames["/market/ws/0"]] == [dict, list]


@every_stream
async def test_a_silent_venue_takes_connections_and_says_nothing_not_even_pong(name: str, venues: LocalVenues) -> None:
    path = {"binance": "/market/ws/0", "bybit": "/v5/public/linear", "okx": "/ws/v5/public"}[name]
    ping = {"binance": {"method": "LIST_SUBSCRIPTIONS", "id": 1}, "bybit": {"op": "ping"}}.get(name)
    text = "ping" if ping is None else json.dumps(ping)
    async with opened(venues, name, path) as socket:
        await socket.send_str(text)
        assert (await socket.receive(timeout=1)).type is aiohttp.WSMsgType.TEXT
        await socket.ping()
        assert (await socket.receive(timeout=1)).type is aiohttp.WSMsgType.PONG
        venues[name].faults.silent = True
        await socket.send_str(text)
        await socket.ping()
        await venues.push()
        assert await frames_of(socket) == []
        venues[name].faults.silent = False
        await socket.send_str(text)
        assert (await socket.receive(timeout=1)).type is aiohttp.WSMsgType.TEXT


@every_stream
async def test_a_closed_stream_is_an_error_to_ccxt_and_can_be_opened_again(name: str, venues: LocalVenues) -> None:
    async with connected(venues, name) as exchange:
        watch = Watch(name, exchange)
        driver = asyncio.create_task(watch.drive())
        await until(lambda: venues[name].streams and venues[name].streams[0].topics)
        await venues[name].close_streams()
        with pytest.raises(ccxt.NetworkError):
            await driver
        again = asyncio.create_task(watch.drive())
        await until(lambda: venues[name].streams and venues[name].streams[0].topics)
        await watch.ends_with(await venues[name].burst("BTC", 3))
        again.cancel()


@pytest.mark.parametrize(
    ("name", "call"),
    [("binance", "watch_mark_price"), ("bybit", "watch_ticker"), ("okx", "watch_mark_price"), ("gate", "watch_ticker")],
)
async def test_prices_are_pushed_as_a_heartbeat(name: str, call: str, venues: LocalVenues, history: History) -> None:
    async with connected(venues, name) as exchange:
        watch = asyncio.create_task(getattr(exchange, call)(BTC))
        await until(lambda: venues[name].streams and venues[name].streams[0].topics)
        await venues.advance(1000)
        ticker = await watch
    price = history.markets["BTC"].price(venues.clock.now_ms)
    assert (ticker.get("markPrice") or ticker["last"]) == pytest.approx(price, rel=1e-3)


async def test_bybit_takes_300_topics_in_one_frame_and_refuses_one_it_does_not_know() -> None:
    history = History(flat(10), copies=300)
    clock = Clock(history.start_ms)
    async with LocalVenues(history, clock, ["bybit"]) as venues, opened(venues, "bybit", "/v5/public/linear") as socket:
        topics = [f"allLiquidation.COPY{i + 1}USDT" for i in range(300)]
        await socket.send_json({"op": "subscribe", "req_id": "1", "args": topics})
        assert (await socket.receive_json())["success"]
        await socket.send_json({"op": "subscribe", "req_id": "2", "args": ["allLiquidation.NOUSDT"]})
        answer = await socket.receive_json()
        assert (answer["success"], answer["req_id"]) == (False, "2")
        await venues["bybit"].burst("COPY299", 1)
        assert (await socket.receive_json())["topic"] == "allLiquidation.COPY299USDT"


@pytest.mark.parametrize(
    ("name", "path", "text", "word"),
    [
        ("binance", "/market/ws/0", "hello", "Invalid JSON"),
        ("binance", "/market/ws/0", '{"method": "SHOUT", "id": 1}', "unknown variant"),
        ("bybit", "/v5/public/linear", "hello", "not authorized"),
        ("okx", "/ws/v5/public", "hello", "60012"),
        ("okx", "/ws/v5/public", '{"op": "subscribe", "args": [{"channel": "no"}]}', "60018"),
        ("okx", "/ws/v5/public", '{"op": "subscribe", "args": [{"channel": "liquidation-orders"}]}', "60018"),
    ],
)
async def test_a_wrong_message_is_refused_in_the_venue_s_words(
    name: str, path: str, text: str, word: str, venues: LocalVenues
) -> None:
    async with opened(venues, name, path) as socket:
        await socket.send_str(text)
        assert word in await socket.receive_str(timeout=1)


async def test_a_websocket_elsewhere_is_refused(venues: LocalVenues) -> None:
    for path in ("/stream", "/wsx"):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with opened(venues, "binance", path):
                pass


@asynccontextmanager
async def opened(venues: LocalVenues, name: str, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"ws://127.0.0.1:{venues[name].port}{path}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, autoping=False) as socket:
        yield socket


async def frames_of(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """What has arrived, given a moment."""
    frames = []
    with contextlib.suppress(TimeoutError):
        while True:
            frames.append(json.loads(await socket.receive_str(timeout=0.05)))
    return frames
