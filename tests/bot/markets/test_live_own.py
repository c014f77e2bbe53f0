"""What venues say in their own words of all markets: the same as ccxt reads, and nothing malformed is believed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bot.markets import live_choice, live_exchange, live_own
from bot.markets.ccxt_errors import VenueRetry
from bot.markets.feed import Refusals
from bot.markets.live_client import CcxtClient
from bot.markets.live_connect import Venues
from bot.markets.live_exchange import make_exchange
from bot.markets.live_types import BAR_MS, Listing
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from bot.markets.venues import VENUES, AmountUnit, Budget, VenueRules
from detectors.market import DAY_MS, HOUR_MS
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
async def client(
    venues: LocalVenues, clock: SteppedClock, name: str, rules: VenueRules | None = None
) -> AsyncIterator[CcxtClient]:
    rules = rules or VENUES[name]
    async with aiohttp.ClientSession() as session:
        made = CcxtClient(rules, make_exchange(rules, session, clock, venues.rewrite), clock, Refusals())
        try:
            yield made
        finally:
            await made.close()


async def test_funding_rates_stay_within_binance_s_own_limit_on_them() -> None:
    history = History(SimulatedFeed(3, markets=["BTC"]))
    history.reach(START_MS + DAY_MS)
    time = VenueTime(START_MS + DAY_MS)
    async with LocalVenues(history, time, ["binance"], limits_scale=0.02) as venues:  # ten calls in five minutes
        clock = SteppedClock(time)
        rules = replace(VENUES["binance"], funding_budget=Budget(calls=10, window_ms=300_000))
        async with client(venues, clock, "binance", rules) as one:
            for _ in range(10):
                assert await one.funding(BTC, START_MS, wait=False)
            for _ in range(5):
                with pytest.raises(VenueRetry, match="its limit on funding rates is used up"):
                    await one.funding(BTC, START_MS, wait=False)
        assert (venues["binance"].requests["/fapi/v1/fundingRate"], venues["binance"].refused) == (10, 0)
        assert VENUES["binance"].funding_budget is not None
        assert VENUES["binance"].funding_budget.calls < 500


@pytest.mark.parametrize("name", EVERY)
async def test_each_listed_market_is_held_once_and_without_the_venue_s_raw_record(name: str) -> None:
    async with local(["BTC", "pepe"]) as (venues, clock), client(venues, clock, name) as one:
        for _ in range(2):  # and when it is asked again what it lists
            assert len(await one.load()) == 2
            held = list(one.exchange.markets.values())
            assert all(len(market["info"]) <= 3 for market in held)
            by_id = [market for alike in one.exchange.markets_by_id.values() for market in alike]
            assert {id(market) for market in by_id} == {id(market) for market in held}


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


@pytest.mark.parametrize("name", EVERY)
async def test_candles_are_those_that_ccxt_reads_and_none_that_is_not_final(name: str) -> None:
    async with local(["BTC", "pepe"]) as (venues, clock), client(venues, clock, name) as one:
        now_ms, asked = clock.now_ms(), venues[name].requests
        last_ms = now_ms // BAR_MS * BAR_MS
        for listing in (await one.load()).values():
            for since_ms in (last_ms - BAR_MS, last_ms - 20 * BAR_MS):
                bars = await one.bars(listing, since_ms, now_ms)
                rows = await one.exchange.fetch_ohlcv(listing.symbol, "5m", since_ms, 100, {"until": last_ms - 1})
                assert [bar.opened_at_ms for bar in bars] == [row[0] for row in rows]
                assert bars[-1].closed_at_ms == last_ms
                unit = one.rules.volume_unit
                assert unit is not None
                for bar, row in zip(bars, rows, strict=True):
                    told = [bar.open, bar.high, bar.low, bar.close]
                    assert told == pytest.approx([price / listing.multiplier for price in row[1:5]], rel=1e-9)
                    assert bar.volume_base == pytest.approx(listing.amount_base(row[5], unit), rel=1e-9)
                    assert (bar.taker_buy_volume_base is not None) == (name == "binance")
        # As many as ccxt asked: none was asked for twice.
        assert sum(n for path, n in asked.items() if "candle" in path or "kline" in path) == 8


async def test_a_candle_that_the_venue_calls_unfinished_is_left_out() -> None:
    call = VENUES["okx"].candles_call
    assert call is not None
    row = ["1765000200000", "1", "2", "0.5", "1", "10", "0.1", "9", "0"]
    assert live_own.candle_rows(call, {"data": [row, [*row[:8], "1"], "junk"]}) == [[*row[:8], "1"], "junk"]
    okx = Listing("okx", "BTC", "BTC/USDT:USDT", contract_size=0.01)
    assert live_own.bar(call, row[:8], okx, AmountUnit.BASE) is not None
    assert live_own.bar(call, row[:6], okx, AmountUnit.BASE) is None
    assert live_own.bar(call, [*row[:4], "NaN", *row[5:]], okx, AmountUnit.BASE) is None


async def test_calls_in_the_venue_s_own_words_keep_ccxt_s_pace_and_quote_what_is_not_plain() -> None:
    class Exchange:
        enableRateLimit = True  # noqa: N815 - ccxt's name

        def __init__(self) -> None:
            self.throttled: list[float] = []
            self.fetched: list[str] = []

        def publicGetCandles(self, params: dict[str, Any]) -> Any:  # noqa: N802 - ccxt's way
            return self.request("candles", ["public"], "GET", params, config={"cost": 2.5})

        def request(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("ccxt puts the address together")

        def calculate_rate_limiter_cost(self, *args: Any) -> float:
            return float(args[-1]["cost"])

        def sign(self, path: str, *_: Any) -> dict[str, str]:
            return {"url": f"https://venue/{path}"}

        async def throttle(self, cost: float) -> None:
            self.throttled.append(cost)

        async def fetch(self, url: str) -> str:
            self.fetched.append(url)
            return "reply"

    exchange = Exchange()
    own = live_exchange.OwnCalls(exchange)
    assert await own("publicGetCandles", {"symbol": "币安人生USDT", "limit": 1}) == "reply"
    assert await own("publicGetCandles", {}) == "reply"
    assert exchange.throttled == [2.5, 2.5]
    assert exchange.fetched == [
        "https://venue/candles?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&limit=1",
        "https://venue/candles",
    ]


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
