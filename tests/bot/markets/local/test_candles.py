"""OKX's candle channels are as strict as the real ones, and a candle's row is the one REST gives."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.limits import Limiter
from bot.markets.local.venues import LocalVenues
from detectors.market import MINUTE_MS
from tests.bot.markets.local.real_ccxt import get
from tests.bot.markets.local.test_streams import opened

BUSINESS = "/ws/v5/business"
BTC = {"channel": "candle5m", "instId": "BTC-USDT-SWAP"}
Socket = aiohttp.ClientWebSocketResponse


async def told(socket: Socket) -> Any:
    return json.loads(await socket.receive_str(timeout=1))


async def subscribed(socket: Socket, *topics: dict[str, str]) -> list[Any]:
    """What comes for it: an acknowledgement or an error each, and the candle as it stands."""
    await socket.send_json({"op": "subscribe", "args": list(topics)})
    return [await told(socket) for _ in range(2 * len(topics))]


async def test_an_open_candle_is_pushed_as_it_changes_and_the_final_one_is_rest_s_to_the_digit(
    venues: LocalVenues, clock: Clock
) -> None:
    async with opened(venues, "okx", BUSINESS) as socket:
        acknowledged, first = await subscribed(socket, BTC)
        assert acknowledged == {"event": "subscribe", "arg": BTC, "connId": "local"}
        assert first["arg"] == BTC
        opened_ms = clock.now_ms // 300_000 * 300_000
        assert (first["data"][0][0], first["data"][0][8]) == (str(opened_ms), "0")
        await venues.advance(MINUTE_MS)
        [changed] = (await told(socket))["data"]
        assert changed[8] == "0"
        assert float(changed[6]) > float(first["data"][0][6]), "volume only grows"
        await venues.advance(opened_ms + 5 * MINUTE_MS + 700 - clock.now_ms)
        [final], [following] = (await told(socket))["data"], (await told(socket))["data"]
        assert (final[0], final[8]) == (str(opened_ms), "1")
        assert (following[0], following[8]) == (str(opened_ms + 5 * MINUTE_MS), "0")
        query = f"instId=BTC-USDT-SWAP&bar=5m&before={opened_ms - 1}&after={opened_ms + 1}"
        _, body, _ = await get(venues["okx"], f"/api/v5/market/candles?{query}")
        assert body["data"] == [final]


@pytest.mark.parametrize(
    ("path", "topic", "code"),
    [
        ("/ws/v5/public", BTC, "64001"),
        (BUSINESS, {"channel": "candle5m", "instId": "NO-USDT-SWAP"}, "60018"),
        (BUSINESS, {"channel": "candle7m", "instId": "BTC-USDT-SWAP"}, "60018"),
        (BUSINESS, {"channel": "tickers", "instId": "BTC-USDT-SWAP"}, "60018"),
    ],
)
async def test_a_topic_that_is_not_there_is_refused_and_the_others_are_pushed(
    path: str, topic: dict[str, str], code: str, venues: LocalVenues
) -> None:
    async with opened(venues, "okx", path) as socket:
        await socket.send_json({"op": "subscribe", "args": [topic]})
        refused = await told(socket)
        assert (refused["event"], refused["code"]) == ("error", code)
        if path == BUSINESS:
            assert (await subscribed(socket, BTC))[1]["arg"] == BTC


async def test_what_is_unsubscribed_is_pushed_no_more_and_a_ping_is_answered(venues: LocalVenues) -> None:
    async with opened(venues, "okx", BUSINESS) as socket:
        await subscribed(socket, BTC)
        await socket.send_json({"op": "unsubscribe", "args": [BTC]})
        assert (await told(socket))["event"] == "unsubscribe"
        await venues.advance(1000)
        await socket.send_str("ping")
        assert await socket.receive_str(timeout=1) == "pong"


class _Timed:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def timed(history: History, clock: Clock) -> AsyncIterator[tuple[LocalVenues, _Timed]]:
    """OKX alone, whose limits follow a time of the test's."""
    now = _Timed()
    async with LocalVenues(history, clock, ["okx"]) as venues:
        venues["okx"].limiter = Limiter(monotonic_s=now)
        yield venues, now


async def test_a_connection_is_cut_after_30_s_in_which_nothing_was_sent_unless_it_pings(
    history: History, clock: Clock
) -> None:
    async with timed(history, clock) as (venues, now), opened(venues, "okx", BUSINESS) as socket:
        await socket.send_str("ping")
        assert await socket.receive_str(timeout=1) == "pong"
        await venues.push()
        now.now_s += 29
        await socket.send_str("ping")
        assert await socket.receive_str(timeout=1) == "pong"
        await venues.push()
        now.now_s += 29
        await venues.push()
        now.now_s += 2
        await venues.push()
        message = await socket.receive(timeout=1)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4004)


async def test_a_connection_may_send_480_operations_at_once_and_one_more_each_7_5_s(
    history: History, clock: Clock
) -> None:
    async with timed(history, clock) as (venues, now), opened(venues, "okx", BUSINESS) as socket:

        async def asks() -> str:
            await socket.send_json({"op": "unsubscribe", "args": [BTC]})
            answer = await told(socket)
            return str(answer.get("code", answer["event"]))

        assert {await asks() for _ in range(480)} == {"unsubscribe"}
        assert await asks() == "60014"
        now.now_s += 15.1
        assert [await asks() for _ in range(2)] == ["unsubscribe", "60014"]


async def test_a_fourth_handshake_within_a_second_is_refused(history: History, clock: Clock) -> None:
    async with timed(history, clock) as (venues, now):
        for _ in range(3):
            async with opened(venues, "okx", BUSINESS):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            async with opened(venues, "okx", BUSINESS):
                pass
        now.now_s += 1
        async with opened(venues, "okx", BUSINESS):
            pass
