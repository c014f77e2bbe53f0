"""Requests that go past ccxt's own ``fetch``: what comes back, and what goes wrong, is as it was with ccxt's."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bot.markets import live_requests
from bot.markets.ccxt_errors import classify
from bot.markets.live_exchange import make_exchange
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.faults import GARBAGE
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from bot.markets.venues import VENUES
from detectors.market import HOUR_MS
from tests.bot.markets.live_rig import SteppedClock

EVERY = ["binance", "bybit", "okx", "gate"]
TIME = {
    "binance": "fapiPublicGetTime",
    "bybit": "publicGetV5MarketTime",
    "okx": "publicGetPublicTime",
    "gate": "publicSpotGetTime",
}


WORDS = ('{"retCode": 10006, "retMsg": "Too many visits!"}', '{"code": "50011", "msg": "Too Many Requests"}')
"""Refusals under a status of 200, Bybit's and OKX's."""


@pytest.fixture(scope="module")
def history() -> History:
    made = History(SimulatedFeed(3, markets=["BTC"]))
    made.reach(START_MS + 6 * HOUR_MS)
    return made


@asynccontextmanager
async def exchanges(history: History, name: str) -> AsyncIterator[tuple[LocalVenues, Any, Callable[..., Any]]]:
    """The local venues, an exchange that asks them, and the ``fetch`` that ccxt would have it ask with."""
    time = VenueTime(START_MS + 6 * HOUR_MS)
    async with LocalVenues(history, time, EVERY) as venues, aiohttp.ClientSession() as session:
        exchange = make_exchange(VENUES[name], session, SteppedClock(time), venues.rewrite)
        exchange.timeout_on_exit = 1  # ms; TLS needs more, loopback does not
        try:
            yield venues, exchange, exchange.fetch.__self__.by_ccxt
        finally:
            await exchange.close()


async def told(call: Callable[[], Awaitable[Any]], exchange: Any) -> tuple[object, ...]:
    """What came back, or what a venue's error made of it says."""
    try:
        return ("reply", await call())
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
        fault = classify(error, exchange.last_response_headers, START_MS)
        return (type(error).__name__, fault.verdict, fault.reason, fault.wait_s)


def address(exchange: Any, name: str) -> str:
    unbound = getattr(type(exchange), TIME[name])
    found: list[Any] = []

    class Heard:
        def request(self, path: str, api: Any, method: str, *_: Any, **__: Any) -> None:
            found.append((path, api, method))

    unbound(Heard(), {})
    return str(exchange.sign(*found[0], {})["url"])


@pytest.mark.parametrize("name", EVERY)
async def test_replies_refusals_and_garbage_are_what_ccxt_makes_of_them(name: str, history: History) -> None:
    async with exchanges(history, name) as (venues, exchange, by_ccxt):
        url, faults = address(exchange, name), venues[name].faults
        cases: list[Callable[[], object]] = [
            lambda: None,
            faults.reset,
            *(partial(faults.answer, status, retry_after_s=7) for status in (403, 418, 429, 451, 500, 503)),
            *(partial(faults.garbage, text) for text in (*GARBAGE, *WORDS)),
        ]
        for case in cases:
            faults.clear()
            case()
            expected = await told(lambda: by_ccxt(url), exchange)
            headers = {key: exchange.last_response_headers[key] for key in ("Content-Type",)}
            exchange.last_response_headers = None
            assert await told(lambda: exchange.fetch(url), exchange) == expected
            if expected[0] != "ExchangeNotAvailable":
                assert exchange.last_response_headers.items() >= headers.items()


async def test_a_market_that_is_not_listed_is_ccxt_s_bad_symbol(history: History) -> None:
    async with exchanges(history, "binance") as (_, exchange, by_ccxt):
        url = address(exchange, "binance").replace("time", "openInterest") + "?symbol=NOSUCHUSDT"
        expected = await told(lambda: by_ccxt(url), exchange)
        assert await told(lambda: exchange.fetch(url), exchange) == expected
        assert expected[0] == "BadSymbol"


# --- what ccxt's own had no part in


@asynccontextmanager
async def server(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def alone(*, trust_env: bool = False) -> AsyncIterator[Any]:
    """An exchange at nobody's address."""
    async with aiohttp.ClientSession(trust_env=trust_env) as session:
        exchange = make_exchange(VENUES["binance"], session, SteppedClock(VenueTime(START_MS)), None)
        exchange.timeout_on_exit = 1
        try:
            yield exchange
        finally:
            await exchange.close()


@pytest.mark.parametrize("begins", [False, True])
async def test_a_venue_that_takes_the_request_and_goes_silent_is_given_up(
    begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_requests, "_WITHIN_S", 0.05)
    over = asyncio.Event()

    async def silence(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if begins:  # half a reply, and nothing after it
            await response.prepare(request)
            await response.write(b'{"serverTime": ')
        await over.wait()
        return response

    async with server(silence) as port, alone() as exchange:
        fault = await told(lambda: exchange.fetch(f"http://127.0.0.1:{port}/time"), exchange)
        over.set()
    assert fault[0] == "RequestTimeout"
    assert fault[2] == "cannot be reached"


async def test_nobody_there_is_a_venue_that_cannot_be_reached() -> None:
    async def nothing(_: web.Request) -> web.StreamResponse:
        return web.Response()

    async with server(nothing) as port:
        pass
    async with alone() as exchange:
        fault = await told(lambda: exchange.fetch(f"http://127.0.0.1:{port}/time"), exchange)
        assert fault[0] == "ExchangeNotAvailable"
        assert fault[2] == "cannot be reached"


async def test_an_exchange_that_was_closed_asks_nothing_any_more() -> None:
    async with alone() as exchange:
        await exchange.close()
        fault = await told(lambda: exchange.fetch("http://127.0.0.1:9/time"), exchange)
        assert fault[0] == "ExchangeClosedByUser"


async def test_a_proxy_of_the_environment_is_used_and_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    async def forward(request: web.Request) -> web.StreamResponse:
        asked.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return web.json_response({"through": "proxy"})

    looked_up: list[URL] = []
    look_up = live_requests.proxy_of

    def noting(url: URL) -> live_requests.Proxy:
        assert threading.current_thread() is not threading.main_thread(), "some systems take a while for it"
        looked_up.append(url)
        return look_up(url)

    monkeypatch.setattr(live_requests, "proxy_of", noting)
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with server(forward) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        async with alone(trust_env=True) as exchange:
            for _ in range(3):
                assert await exchange.fetch("http://venue.example/time") == {"through": "proxy"}
        assert asked == [("http://venue.example/time", None)] * 3
        assert len(looked_up) == 1
        async with alone(trust_env=False) as exchange:  # a local venue
            reply = await exchange.fetch(f"http://127.0.0.1:{port}/time")
            assert reply == {"through": "proxy"}
        assert len(looked_up) == 1


def test_where_the_environment_says_no_proxy_none_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = URL("https://fapi.binance.com/fapi/v1/time")
    assert live_requests.proxy_of(url) == (None, None)
    monkeypatch.setenv("https_proxy", "http://someone:se:cret@proxy.example:3128")
    address, headers = live_requests.proxy_of(url)
    assert address == URL("http://proxy.example:3128")
    assert headers == {"Proxy-Authorization": aiohttp.encode_basic_auth("someone", "se:cret")}
    monkeypatch.setenv("no_proxy", "binance.com")
    assert live_requests.proxy_of(url) == (None, None)
