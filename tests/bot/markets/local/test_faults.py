"""Each scripted fault does what it says, as the real ccxt sees it, and is gone when cleared."""

import asyncio
import math
import time

import ccxt
import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.faults import GARBAGE, POISONS
from bot.markets.local.venues import VENUES, LocalVenues
from detectors.market import HOUR_MS, MINUTE_MS
from tests.bot.markets.local.real_ccxt import BTC, connected, get

every_venue = pytest.mark.parametrize("name", VENUES)
STATUSES = {
    418: (ccxt.DDoSProtection, ccxt.ExchangeError, ccxt.NetworkError),
    429: (ccxt.DDoSProtection, ccxt.RateLimitExceeded),
    451: (ccxt.ExchangeNotAvailable, ccxt.ExchangeError),
    # On Bybit, whose 403 says "too frequent" as often as "not from here", ccxt makes it a rate limit.
    403: (ccxt.ExchangeNotAvailable, ccxt.ExchangeError, ccxt.RateLimitExceeded),
    500: (ccxt.ExchangeError, ccxt.OperationFailed),
    503: (ccxt.ExchangeError, ccxt.ExchangeNotAvailable),
}


@every_venue
@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_comes_as_often_as_scripted_and_then_no_more(
    name: str, status: int, venues: LocalVenues
) -> None:
    async with connected(venues, name) as exchange:
        fault = venues[name].faults.answer(status, times=2, retry_after_s=7)
        for _ in range(2):
            with pytest.raises(STATUSES[status]):
                await exchange.fetch_ohlcv(BTC, "5m")
            assert exchange.last_response_headers["Retry-After"] == "8"
        assert len(await exchange.fetch_ohlcv(BTC, "5m", limit=3)) == 3
    assert fault.met == 2


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (418, ccxt.DDoSProtection, "banned until"),
        (429, ccxt.DDoSProtection, "-1003"),
        (451, ccxt.ExchangeNotAvailable, "restricted location"),
        (403, ccxt.ExchangeNotAvailable, "WAF"),
        (500, ccxt.OperationFailed, "-1000"),
        (503, ccxt.ExchangeError, "-1008"),
    ],
)
async def test_binance_s_refusals_reach_ccxt_as_measured_on_the_real_one(
    status: int, error: type[Exception], text: str, venues: LocalVenues
) -> None:
    """Trap 8 of exchanges.md."""
    venues["binance"].faults.answer(status)
    async with connected(venues, "binance", load=False) as exchange:
        with pytest.raises(error, match=text) as caught:
            await exchange.fetch_time()
    assert type(caught.value) is error


@every_venue
@pytest.mark.parametrize("text", GARBAGE)
async def test_garbage_is_a_200_with_just_that_text(name: str, text: str, venues: LocalVenues) -> None:
    venues[name].faults.garbage(text, path="time")
    async with connected(venues, name, load=False) as exchange:
        try:
            await exchange.fetch_time()
        except ccxt.BaseError:
            pass
        except (TypeError, AttributeError, KeyError):
            # ccxt itself trips over some of it, which the live feed has to survive.
            pass
        assert exchange.last_http_response == text
    path = next(path for path in venues[name].requests if path.endswith("time"))
    status, _, _ = await get(venues[name], path)
    assert status == 200


@every_venue
@pytest.mark.parametrize("number", POISONS)
async def test_poison_replaces_numbers_and_leaves_times(
    name: str, number: str, venues: LocalVenues, clock: Clock
) -> None:
    async with connected(venues, name) as exchange:
        venues[name].faults.poison(number)
        rows = await exchange.fetch_ohlcv(BTC, "5m", limit=3)
    for row in rows:
        assert clock.now_ms - HOUR_MS < row[0] <= clock.now_ms
        wanted = float(number)
        assert all(price == wanted or (math.isnan(price) and math.isnan(wanted)) for price in row[1:5])


@every_venue
async def test_a_reset_cuts_the_connection(name: str, venues: LocalVenues) -> None:
    async with connected(venues, name) as exchange:
        fault = venues[name].faults.reset(times=2)
        with pytest.raises(ccxt.NetworkError):
            await exchange.fetch_ohlcv(BTC, "5m")
        # On a connection that was open already, aiohttp tries a second time by itself.
        assert fault.met == 2
        assert await exchange.fetch_ohlcv(BTC, "5m")


async def test_a_delay_holds_up_the_requests_it_names_and_no_others(venues: LocalVenues) -> None:
    venues["binance"].faults.delay(0.3, path="/fapi/v1/time")
    async with connected(venues, "binance") as slow, connected(venues, "okx") as other:
        started_s = time.monotonic()
        waiting = asyncio.create_task(slow.fetch_time())
        await slow.fetch_ohlcv(BTC, "5m", limit=2)
        await other.fetch_time()
        assert time.monotonic() - started_s < 0.25
        await waiting
        assert time.monotonic() - started_s >= 0.3
        slow.timeout = 100
        with pytest.raises(ccxt.RequestTimeout):
            await slow.fetch_time()


async def test_a_delay_and_another_fault_add_up(venues: LocalVenues) -> None:
    venues["binance"].faults.delay(0.1)
    venues["binance"].faults.answer(503)
    started_s = time.monotonic()
    status, _, _ = await get(venues["binance"], "/fapi/v1/time")
    assert (status, time.monotonic() - started_s >= 0.1) == (503, True)


@every_venue
async def test_a_skewed_clock_shows_in_stamps_but_not_in_what_has_happened(
    name: str, venues: LocalVenues, clock: Clock
) -> None:
    venues[name].faults.skew_ms = -HOUR_MS
    async with connected(venues, name) as exchange:
        assert await exchange.fetch_time() == clock.now_ms - HOUR_MS
        last = (await exchange.fetch_ohlcv(BTC, "5m", limit=2))[-1]
    assert last[0] == clock.now_ms // (5 * MINUTE_MS) * 5 * MINUTE_MS


@every_venue
async def test_statistics_can_be_published_late(name: str, venues: LocalVenues, clock: Clock) -> None:
    venues[name].faults.lag_ms = HOUR_MS
    async with connected(venues, name) as exchange:
        rows = await exchange.fetch_open_interest_history(BTC, "5m", limit=10)
    newest = max(row["timestamp"] for row in rows)
    assert clock.now_ms - HOUR_MS - 8 * MINUTE_MS < newest <= clock.now_ms - HOUR_MS


@every_venue
async def test_a_market_can_be_delisted_and_listed_while_the_venue_runs(name: str, venues: LocalVenues) -> None:
    venues[name].faults.delisted.add("BTC")
    async with connected(venues, name) as exchange:
        assert BTC not in exchange.markets
        venues[name].faults.delisted.clear()
        await exchange.load_markets(True)
        assert await exchange.fetch_ohlcv(BTC, "5m")
        venues[name].faults.delisted.add("BTC")
        with pytest.raises(ccxt.BadRequest):
            await exchange.fetch_ohlcv(BTC, "5m")
        await exchange.load_markets(True)
        assert BTC not in exchange.markets


async def test_clear_heals_everything(venues: LocalVenues) -> None:
    faults = venues["binance"].faults
    healthy = type(faults)()
    faults.answer(418)
    faults.delay(60)
    faults.skew_ms = faults.lag_ms = faults.replayed = 5
    faults.silent = faults.doubled = True
    faults.poison_frames = "NaN"
    faults.delisted.add("BTC")
    faults.clear()
    assert faults == healthy
    assert (await get(venues["binance"], "/fapi/v1/time"))[0] == 200


async def test_a_refused_websocket_is_a_network_error(venues: LocalVenues) -> None:
    async with connected(venues, "binance") as exchange:
        venues["binance"].faults.answer(418, path="/market/ws")
        with pytest.raises(ccxt.NetworkError):
            await exchange.watch_mark_price(BTC)
