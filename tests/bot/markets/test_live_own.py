"""What venues say in their own words of all markets: the same as ccxt reads, and nothing malformed is believed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bot.markets import live_choice, live_own
from bot.markets.feed import Refusals
from bot.markets.live_client import CcxtClient
from bot.markets.live_connect import Venues
from bot.markets.live_exchange import make_exchange
from bot.markets.live_types import Listing
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from bot.markets.venues import VENUES
from detectors.market import HOUR_MS
from tests.bot.markets.live_rig import SteppedClock

EVERY = ["binance", "bybit", "okx", "gate"]
BTC = Listing("binance", "BTC", "BTC/USDT:USDT")


@asynccontextmanager
async def local(markets: list[str], copies: int = 0) -> AsyncIterator[tuple[LocalVenues, SteppedClock]]:
    history = History(SimulatedFeed(3, markets=markets), copies=copies)
    now_ms = START_MS + 6 * HOUR_MS + 17_000
    history.reach(now_ms)
    time = VenueTime(now_ms)
    async with LocalVenues(history, time, EVERY, limits_scale=100.0) as venues:
        yield venues, SteppedClock(time)


@asynccontextmanager
async def client(venues: LocalVenues, clock: SteppedClock, name: str) -> AsyncIterator[CcxtClient]:
    async with aiohttp.ClientSession() as session:
        made = CcxtClient(VENUES[name], make_exchange(VENUES[name], session, clock, venues.rewrite), clock, Refusals())
        try:
            yield made
        finally:
            await made.close()


@pytest.mark.parametrize("name", EVERY)
async def test_prices_and_open_interest_are_those_that_ccxt_reads(name: str) -> None:
    async with local(["BTC", "pepe"]) as (venues, clock), client(venues, clock, name) as one:
        listings = list((await one.load()).values())
        looks, held = await one.looks(listings), await one.interest_now(listings)
        tickers = await one.exchange.fetch_tickers()
        for listing in listings:
            ticker, look = tickers[listing.symbol], looks[listing.base]
            assert look.price == pytest.approx(ticker["last"] / listing.multiplier, rel=1e-9)
            if ticker.get("markPrice") is not None:
                assert look.mark_price == pytest.approx(ticker["markPrice"] / listing.multiplier, rel=1e-9)
            behind = next(
                known
                for known in venues[name].listed().values()
                if known.base == one.exchange.market(listing.symbol)["base"]
            )
            expected = behind.open_interest(clock.now_ms())
            assert held[listing.base] == pytest.approx(expected, rel=1e-3)
    assert {look.venue for look in looks.values()} == {name}


async def test_binance_s_wrong_header_of_the_price_table_slows_nothing_down() -> None:
    async with local(["BTC"]) as (venues, clock), client(venues, clock, "binance") as one:
        listings = list((await one.load()).values())
        for _ in range(3):
            assert await one.looks(listings)
        headers = one.exchange.last_response_headers
        assert headers["X-MBX-USED-WEIGHT-1M"] == "2400", "the local venue misleads as the real one may"
        assert (one.gate.pause_s, one.gate.pace) == (0, 1)


@pytest.mark.parametrize("reply", [None, "<html>", [], {}, {"result": None}, {"result": {"list": "no"}}])
def test_a_reply_that_is_no_table_tells_nothing(reply: Any) -> None:
    assert not live_own.rows(VENUES["bybit"].prices_call, reply)


def test_rows_that_are_none_are_left_out_and_the_rest_is_kept() -> None:
    table = [None, 7, {"price": "1"}, {"symbol": "BTCUSDT", "price": "90000.5", "time": START_MS}]
    call = VENUES["binance"].prices_call
    told = live_own.rows(call, table)
    assert told is not None
    sample = live_own.look(call, told["BTCUSDT"], BTC, START_MS + 5)
    assert sample is not None
    assert (sample.price, sample.happened_at_ms, sample.seen_at_ms) == (90000.5, START_MS, START_MS + 5)


@pytest.mark.parametrize("price", [None, "NaN", "1e309", "-5", "", 0, True])
def test_a_price_that_is_none_is_no_look(price: Any) -> None:
    assert live_own.look(VENUES["binance"].prices_call, {"price": price}, BTC, START_MS) is None


async def test_a_start_asks_open_interest_one_by_one_of_the_largest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_choice, "SIZED_AT_START", 3)
    async with local(["BTC", "ETH"], copies=6) as (venues, clock):
        reached = Venues(["binance", "okx"], clock, Refusals(), rewrite=venues.rewrite)
        await reached.open()
        chosen = await live_choice.choose_views(reached, None, 8, lambda *_: None)
        await reached.close()
        asked = venues["binance"].requests["/fapi/v1/openInterest"]
    assert len(chosen) == 8
    assert asked == 3
    assert [sorted(one.interest_base) for one in chosen] == [["binance", "okx"]] * 3 + [[]] * 5
    # The others are counted all the same, from the first close on.
    assert {one.market.open_interest_venues for one in chosen} == {("binance", "okx")}
