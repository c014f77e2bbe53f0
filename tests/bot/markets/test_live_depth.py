"""Leverage tiers and order books through the real ccxt, on local venues; and their parts alone."""

import asyncio
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from bot.markets import live_depth, live_own, live_tiers, tier_table
from bot.markets.ccxt_errors import VenueRetry
from bot.markets.live_client import CcxtClient
from bot.markets.live_depth import Books
from bot.markets.live_types import Book, Listing, WallClock
from bot.markets.venues import VENUES, AmountUnit, TierUnit, rules_for
from detectors.leverage import BINANCE_BTC_TIERS, MarginTier
from tests.bot.markets.live_rig import Rig, rig, until
from tests.bot.markets.test_live_parts import SetClock

BTC = Listing("okx", "BTC", "BTC/USDT:USDT", contract_size=0.01)


# --- tiers


async def told_tiers(rigged: Rig, venue: str) -> tuple[tuple[MarginTier, ...], str]:
    for _ in range(100):
        tiers, source = rigged.feed.tiers("BTC")
        if source.startswith(venue):
            return tiers, source
        await asyncio.sleep(0.02)
    raise AssertionError(f"no tiers of {venue}")


@pytest.mark.parametrize("venue", ["bybit", "okx", "gate"])
async def test_tiers_are_the_venue_s_own_in_dollars_where_they_are_public(venue: str) -> None:
    async with rig([venue], ["BTC", "pepe"], days=0.2) as rigged:
        tiers, source = await told_tiers(rigged, venue)
        assert source.startswith(f"{venue}'s public tiers of BTC, 20")
        for base in ("BTC", "PEPE"):
            truth = rigged.venues[venue].listed()[base].tiers
            tiers, _ = rigged.feed.tiers(base)
            assert [tier.rate for tier in tiers] == pytest.approx(list(truth.rate), abs=6e-5)
            assert [tier.max_leverage for tier in tiers] == list(truth.max_leverage)
            # OKX counts contracts; ccxt would have taken them for dollars.
            assert [tier.floor_usd for tier in tiers] == pytest.approx(list(truth.floor_usd), rel=0.02)


async def test_where_no_venue_publishes_tiers_the_dated_table_is_used_and_said() -> None:
    async with rig(["binance"], ["BTC", "DOGE"], days=0.2) as rigged:
        assert rigged.feed.tiers("BTC") == (BINANCE_BTC_TIERS, "Binance's brackets of BTC, September 2026")
        tiers, source = rigged.feed.tiers("DOGE")
        assert source == "Binance's brackets of DOGE, September 2026"
        assert tiers[:2] == (MarginTier(0, 0.0065, 75), MarginTier(80_000, 0.01, 50))
        with pytest.raises(KeyError):
            rigged.feed.tiers("NOSUCH")


def row(top: Any, rate: Any = 0.01, leverage: Any = 50) -> dict[str, Any]:
    return {"maxNotional": top, "maintenanceMarginRate": rate, "maxLeverage": leverage, "minNotional": None}


def test_floors_follow_from_the_tops_before_in_whatever_order_they_come() -> None:
    rows = [row(9_000, 0.02, 25), row(1_000, 0.005, 100), row(5_000, 0.01, 50)]
    assert live_tiers.read(rows, BTC, TierUnit.NOTIONAL, None) == (
        MarginTier(0, 0.005, 100),
        MarginTier(1_000, 0.01, 50),
        MarginTier(5_000, 0.02, 25),
    )
    in_contracts = live_tiers.read(rows, BTC, TierUnit.CONTRACTS, 100_000.0)
    assert in_contracts is not None
    assert [tier.floor_usd for tier in in_contracts] == pytest.approx([0, 1e6, 5e6])


@pytest.mark.parametrize(
    "rows",
    [
        None,
        [],
        [row("NaN")],
        [row(1_000, None)],
        [row(1_000, 1.5)],
        [row(1_000, 0.01, 0.5)],
        [row(1_000, 0.02), row(2_000, 0.01)],
        [row(1_000), row(1_000), row(1_000)],
    ],
)
def test_tiers_that_cannot_be_right_are_refused(rows: Any) -> None:
    assert live_tiers.read(rows, BTC, TierUnit.NOTIONAL, None) is None


def test_contracts_without_a_price_are_refused() -> None:
    assert live_tiers.read([row(1_000)], BTC, TierUnit.CONTRACTS, None) is None


class Tiered:
    def __init__(self) -> None:
        self.rules, self.asked, self.fails = rules_for("bybit"), 0, False

    async def tiers(self, _: Any) -> Any:
        self.asked += 1
        if self.fails:
            raise VenueRetry("cannot be reached")
        return {"BTC": (MarginTier(0, self.asked / 1000, 50),)}


async def test_tiers_are_asked_for_daily_and_the_last_ones_stay_while_the_venue_is_out() -> None:
    clock, client = SetClock(), Tiered()
    naps: list[float] = []

    class Enough(Exception): ...  # noqa: N818 - ends the test

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        client.fails = len(naps) == 2
        if len(naps) == 4:
            raise Enough

    clock.sleep = sleep  # type: ignore[method-assign]
    tables = live_tiers.TierTables(clock)
    with pytest.raises(Enough):
        await tables.keep(client, {"BTC": BTC})  # type: ignore[arg-type]
    assert naps == [86_400, 86_400, 3_600, 86_400]
    assert tables.of("BTC", ["binance", "bybit"])[0][0].rate == 0.004
    assert tables.of("ETH", ["binance", "bybit"]) == tier_table.of("ETH")


async def test_tiers_are_noted_as_they_come_and_one_table_that_fails_costs_no_other() -> None:
    class OneByOne(Tiered):
        def __init__(self) -> None:
            super().__init__()
            self.may_tell = asyncio.Event()

        async def tiers(self, listings: Sequence[Listing]) -> Any:
            self.asked += 1
            if self.asked == 2:
                raise VenueRetry("cannot be reached")
            if self.asked == 3:
                await self.may_tell.wait()
            return {one.base: (MarginTier(0, 0.004, 50),) for one in listings}

    client, clock = OneByOne(), SetClock()
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.Event().wait()

    clock.sleep = sleep  # type: ignore[method-assign]
    tables = live_tiers.TierTables(clock)
    listings = {f"M{n}": replace(BTC, base=f"M{n}") for n in range(45)}
    keeping = asyncio.create_task(tables.keep(client, listings))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await tables.asked(0.01)
    assert tables.are_told("M0", ["bybit"])
    assert tables.of("M0", ["bybit"])[1].startswith("bybit's public tiers of M0")
    assert not tables.are_told("M44", ["bybit"])
    assert tables.of("M44", ["bybit"]) == tier_table.of("M44")
    client.may_tell.set()
    await tables.asked(1.0)
    assert tables.are_told("M44", ["bybit"])
    assert not tables.are_told("M20", ["bybit"])
    await asyncio.sleep(0)
    assert naps == [3_600.0], "those that failed are asked for within the hour"
    keeping.cancel()


# --- depth


@pytest.mark.parametrize("venue", ["binance", "bybit", "okx", "gate"])
async def test_depth_is_what_stands_in_the_venue_s_book_in_dollars(venue: str) -> None:
    async with rig([venue], ["BTC", "pepe"], days=0.2) as rigged:
        for base in ("BTC", "PEPE"):
            listed = rigged.venues[venue].listed()[base]
            bids, asks = listed.book(rigged.clock.now_ms(), VENUES[venue].book_levels)
            scale = listed.multiplier
            price, low, high = bids[0][0] / scale, bids[40][0] / scale, asks[25][0] / scale
            below = await rigged.feed.depth_towards(base, price * 1.00001, low * 0.99999)
            above = await rigged.feed.depth_towards(base, price, high * 1.00001)
            assert below is not None
            assert above is not None
            assert below.venues == above.venues == (venue,)
            assert below.complete
            assert above.complete
            # Amounts are rounded to lots or contracts on the wire.
            assert below.usd == pytest.approx(sum(p * a for p, a in bids[:41]), rel=0.02)
            assert above.usd == pytest.approx(sum(p * a for p, a in asks[:26]), rel=0.02)


@pytest.mark.parametrize("venue", ["binance", "bybit", "okx"])
async def test_a_book_in_the_venue_s_own_words_is_the_one_that_ccxt_reads(venue: str) -> None:
    async with rig([venue], ["BTC", "pepe"], days=0.2) as rigged:
        [part] = rigged.feed._parts.values()
        client = cast(CcxtClient, part.client)
        assert client.rules.book_call is not None
        for listing in part.listings.values():
            own = await client.book(listing)
            client.rules = replace(client.rules, book_call=None)
            by_ccxt = await client.book(listing)
            client.rules = VENUES[venue]
            assert own is not None
            assert by_ccxt is not None
            assert np.array_equal(own.bids, by_ccxt.bids)
            assert np.array_equal(own.asks, by_ccxt.asks)
            assert len(own.bids) == client.rules.book_levels


@pytest.mark.parametrize("reply", [None, "<html>", [], {}, {"data": []}, {"data": ["no"]}, {"data": {"bids": []}}])
def test_a_reply_that_is_no_book_tells_nothing(reply: Any) -> None:
    call = VENUES["okx"].book_call
    assert call is not None
    assert live_depth.read(live_own.book(call, reply), BTC, AmountUnit.CONTRACTS, 5) is None


async def test_books_are_summed_as_far_as_all_of_them_reach_and_it_is_said_how_far() -> None:
    async with rig(["binance", "gate"], ["BTC"], days=0.2) as rigged:
        price = rigged.venues.history.markets["BTC"].price(rigged.clock.now_ms())
        near = await rigged.feed.depth_towards("BTC", price, price * 0.99)
        assert near is not None
        assert (near.venues, near.complete) == (("binance", "gate"), True)
        # 300 steps of a basis point are Gate's, 1000 Binance's.
        far = await rigged.feed.depth_towards("BTC", price, price * 0.95)
        assert far is not None
        assert not far.complete
        assert far.until == pytest.approx(price * 0.97, rel=0.002)
        assert far.usd > near.usd


async def test_several_alerts_cost_one_call_a_venue_for_half_a_minute() -> None:
    async with rig(["okx"], ["BTC"], days=0.2) as rigged:
        price = rigged.venues.history.markets["BTC"].price(rigged.clock.now_ms())
        books = "/api/v5/market/books"
        levels = [price * (1 + n / 1000) for n in range(1, 6)]
        await asyncio.gather(*(rigged.feed.depth_towards("BTC", price, level) for level in levels))
        assert rigged.venues["okx"].requests[books] == 1
        await rigged.advance(31_000)
        await rigged.feed.depth_towards("BTC", price, price * 0.99)
        assert rigged.venues["okx"].requests[books] == 2


async def test_venues_in_trouble_give_no_depth_and_no_error() -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2) as rigged:
        rigged.venues["binance"].faults.answer(503, path="depth")
        rigged.venues["okx"].faults.poison("NaN", path="books")
        price = rigged.venues.history.markets["BTC"].price(rigged.clock.now_ms())
        assert await rigged.feed.depth_towards("BTC", price, price * 0.999) is None
        assert rigged.feed.refusals["book_not_understood okx/book"] == 1


async def test_a_venue_that_is_slow_is_not_waited_for_nor_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Paused:
        rules = rules_for("okx")
        asked = 0

        async def book(self, _: Any) -> Any:
            self.asked += 1
            await asyncio.sleep(60)

    monkeypatch.setattr(live_depth, "_WITHIN_S", 0.02)
    client: Any = Paused()
    clock = SetClock()
    books = Books(clock)
    for _ in range(5):
        assert await books.towards([(client, BTC)], 1.0, 2.0) is None
    assert client.asked == 1, "every alert of a storm waits for it"


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        {"bids": [], "asks": [[1, 1]]},
        {"bids": [[1, "NaN"]], "asks": [[2, 1]]},
        {"bids": [[]], "asks": [[2]]},
        {"bids": [[1, 1], [0.9, "1e309"]], "asks": [[2, 1]]},
        {"bids": [[1, 1], [0.9, -1]], "asks": [[2, 1]]},
        {"bids": [[1, 1], [0, 1]], "asks": [[2, 1]]},
        {"bids": [[1, 1], ["", 1]], "asks": [[2, 1]]},
        {"bids": [[1, 1], [True, 1]], "asks": [[2, 1]]},
        {"bids": [[1, 1], None], "asks": [[2, 1]]},
        {"bids": [[1, 1], {"p": 1, "s": 1}], "asks": [[2, 1]]},
        {"bids": "no", "asks": [[2, 1]]},
        {"bids": [[10**400, 1]], "asks": [[2, 1]]},
    ],
)
def test_a_broken_book_is_no_book(rows: Any) -> None:
    assert live_depth.read(rows, BTC, AmountUnit.CONTRACTS, 5) is None


def test_a_book_with_fewer_levels_than_asked_for_is_all_there_is() -> None:
    book = live_depth.read({"bids": [[9, 2], [10, 1]], "asks": [[11, 3]]}, BTC, AmountUnit.CONTRACTS, 2)
    assert book is not None
    assert book.bids.tolist() == [[10.0, 0.01], [9.0, 0.02]]
    assert book.asks.tolist() == [[11.0, 0.03]]
    assert (book.bids_complete, book.asks_complete) == (False, True)


async def test_a_book_is_let_go_of_though_no_further_alert_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[weakref.ref[Any]] = []

    class Telling:
        rules = rules_for("okx")

        async def book(self, _: Any) -> Book | None:
            book = live_depth.read({"bids": [[9, 2]], "asks": [[11, 3]]}, BTC, AmountUnit.CONTRACTS, 1)
            assert book is not None
            told.append(weakref.ref(book.bids))
            return book

    monkeypatch.setattr(live_depth, "FRESH_S", 0.05)
    client: Any = Telling()
    books = Books(WallClock())
    assert await books.towards([(client, BTC)], 10.0, 9.0) is not None
    assert told[0]() is not None
    await until(lambda: told[0]() is None)
    assert await books.towards([(client, BTC)], 10.0, 9.0) is not None
    await until(lambda: told[1]() is None)


# --- ratios


async def test_ratios_come_with_the_bar_and_stay_absent_where_nobody_tells_them() -> None:
    async with rig(["binance", "okx", "gate"], ["BTC"], days=0.2) as rigged:
        assert await rigged.next_bar()
        [snapshot] = rigged.bars
        told = {sample.venue: sample for sample in snapshot.by_venue}
        assert told["gate"].long_short_ratio is not None
        assert told["gate"].taker_buy_ratio is not None
        bar = snapshot.bar
        assert bar is not None
        assert bar.taker_buy_volume_base is not None
        truth = rigged.venues.history.markets["BTC"].candle(bar.opened_at_ms, bar.interval_ms, rigged.clock.now_ms())
        assert truth is not None
        bought = truth.taker_buy_volume_base
        assert bought is not None
        # Binance has the market's own candles; OKX tells no taker volume.
        assert told["binance"].taker_buy_ratio == pytest.approx(bought / (truth.volume_base - bought), rel=0.02)
        assert told["okx"].taker_buy_ratio is None
