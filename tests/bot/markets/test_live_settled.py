"""Settled funding rates: asked for beside the bars, of all markets at once where a venue tells them so."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from bot.markets import live_rates
from bot.markets.ccxt_errors import VenueError, VenueRetry
from bot.markets.live_settled import AFTER_CLOSE_MS, SettledRates
from bot.markets.live_types import BAR_MS, BarBatch, Listing, VenueClient
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.history import History
from bot.markets.local.okx_stream import SETTLING_MS
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from bot.markets.venues import VENUES
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Funding, VenueSample
from tests.bot.markets.live_rig import SteppedClock, rig
from tests.bot.markets.local.scripted_feed import flat
from tests.bot.markets.test_live_own import client
from tests.bot.markets.test_live_parts import NOON_MS, SetClock

PATHS = {
    "binance": ("/fapi/v1/fundingRate", "/fapi/v1/fundingRate"),
    "okx": ("/api/v5/public/funding-rate", "/api/v5/public/funding-rate-history"),
}
"""Of the question about all, and of that about one."""


# --- what venues say of all markets at once


@pytest.mark.parametrize("name", PATHS)
async def test_rates_of_all_markets_are_those_of_each_with_the_same_hours(name: str) -> None:
    history = History(SimulatedFeed(3, markets=["BTC", "pepe"]))
    settled_ms = START_MS + DAY_MS
    history.reach(settled_ms)
    time = VenueTime(settled_ms - HOUR_MS)
    async with LocalVenues(history, time, [name], limits_scale=100.0) as venues:
        clock = SteppedClock(time)
        async with client(venues, clock, name) as one:
            listings = list((await one.load()).values())
            before = {listing.base: await one.funding(listing, START_MS) for listing in listings}
            await venues.advance(HOUR_MS + SETTLING_MS)
            of_all, of_one = PATHS[name]
            asked = venues[name].requests[of_all]
            told = await one.settled(listings, settled_ms - 8 * HOUR_MS)
            assert venues[name].requests[of_all] == asked + 1
            assert set(told) == {"BTC", "PEPE"}
            for listing in listings:
                mine = [*before[listing.base], *(r for r in told[listing.base] if r.taken_at_ms == settled_ms)]
                assert mine == await one.funding(listing, START_MS), listing.base
                assert mine[-1].taken_at_ms == settled_ms
            assert of_one in venues[name].requests


async def test_while_okx_settles_nothing_is_told_and_nobody_is_asked_one_by_one() -> None:
    history = History(SimulatedFeed(3, markets=["BTC"]))
    history.reach(START_MS + DAY_MS + HOUR_MS)
    time = VenueTime(START_MS + DAY_MS + 2_000)
    async with LocalVenues(history, time, ["okx"], limits_scale=100.0) as venues:
        clock = SteppedClock(time)
        async with client(venues, clock, "okx") as one:
            listings = list((await one.load()).values())
            assert await one.settled(listings, 0) == {"BTC": []}
            await venues.advance(SETTLING_MS)
            assert await one.settled(listings, 0) == {}, "how long the rate is for is not known without the one before"
            [_, *_, last] = await one.funding(listings[0], START_MS)
            assert last.taken_at_ms == START_MS + DAY_MS
            assert await one.settled(listings, 0) == {"BTC": []}, "it is had"


OKX_ROW = {
    "instId": "BTC-USDT-SWAP",
    "prevFundingTime": str(NOON_MS),
    "fundingTime": str(NOON_MS + 8 * HOUR_MS),
    "settFundingRate": "0.0002",
    "settState": "settled",
}


@pytest.mark.parametrize(
    ("changed", "known_ms", "expected"),
    [
        ({}, NOON_MS - 8 * HOUR_MS, {"BTC": [Funding(NOON_MS, 0.0002, 8.0)]}),
        ({"settState": "processing"}, NOON_MS - 8 * HOUR_MS, {"BTC": []}),
        ({}, NOON_MS, {"BTC": []}),
        # What is not plain is asked for by itself: an interval that changed, a field that is not there or no number.
        ({}, NOON_MS - 4 * HOUR_MS, {}),
        ({}, None, {}),
        ({"prevFundingTime": ""}, NOON_MS - 8 * HOUR_MS, {}),
        ({"settFundingRate": "NaN"}, NOON_MS - 8 * HOUR_MS, {}),
        ({"instId": "ETH-USDT-SWAP"}, NOON_MS - 8 * HOUR_MS, {}),
    ],
)
def test_what_okx_says_of_all_is_believed_only_where_it_is_plain(
    changed: dict[str, str], known_ms: int | None, expected: dict[str, list[Funding]]
) -> None:
    call = VENUES["okx"].settled_call
    assert call is not None
    known = {} if known_ms is None else {"BTC": known_ms}
    assert live_rates.read(call, [{**OKX_ROW, **changed}], {"BTC": "BTC-USDT-SWAP"}, known, lambda _: None) == expected


async def test_binance_is_asked_page_by_page_and_one_reply_that_is_none_is_an_error() -> None:
    call = VENUES["binance"].settled_call
    assert call is not None
    rows = [
        {"symbol": f"M{n}USDT", "fundingTime": NOON_MS + hours * HOUR_MS, "fundingRate": "0.0001"}
        for hours in range(3)
        for n in range(700)
    ]
    asked: list[Mapping[str, Any]] = []

    async def ask(query: Mapping[str, Any]) -> Any:
        asked.append(query)
        return [row for row in rows if cast("int", row["fundingTime"]) >= query["startTime"]][: query["limit"]]

    told = await live_rates.ask(call, ask, NOON_MS)
    read = live_rates.read(call, told, {"M0": "M0USDT", "M699": "M699USDT", "NEW": "NEWUSDT"}, {}, lambda _: None)
    assert [len(read[base]) for base in ("M0", "M699", "NEW")] == [3, 3, 0]
    assert {rate.interval_hours for rate in read["M699"]} == {1.0}
    assert len(asked) <= 5

    async def garbage(_: Mapping[str, Any]) -> Any:
        return "<html></html>"

    with pytest.raises(VenueRetry):
        await live_rates.ask(call, garbage, NOON_MS)


# --- when they are asked for


class Telling:
    """A venue that tells rates one market a call, or of those in ``bulk`` at once."""

    rules = VENUES["bybit"]

    def __init__(self, clock: SetClock, bulk: frozenset[str] = frozenset()) -> None:
        self._clock, self._bulk = clock, bulk
        self.asked: list[str] = []
        self.since_ms: list[int] = []
        self.settles_ms, self.fails = NOON_MS, 0

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def _told(self) -> list[Funding]:
        return [Funding(self.settles_ms + 3, 1e-4, 8.0)] if self.now_ms() >= self.settles_ms else []

    async def settled(self, listings: Sequence[Listing], since_ms: int) -> Mapping[str, Sequence[Funding]]:
        self.since_ms.append(since_ms)
        self.asked.append("all")
        return {one.base: self._told() for one in listings if one.base in self._bulk}

    async def funding(self, listing: Listing, since_ms: int, *, wait: bool = True) -> Sequence[Funding]:
        assert not wait, "it was to wait for minutes"
        del since_ms
        self.asked.append(listing.base)
        if self.fails:
            self.fails -= 1
            raise VenueRetry("its limit on funding rates is used up")
        return self._told()


def rates(venue: Telling, clock: SetClock, count: int) -> tuple[SettledRates, list[BarBatch], list[VenueError]]:
    batches: list[BarBatch] = []
    failed: list[VenueError] = []
    listings = {f"M{n}": Listing("bybit", f"M{n}", f"M{n}/USDT:USDT") for n in range(count)}
    as_client = cast("VenueClient", venue)
    made = SettledRates(as_client, listings, clock, batches.append, lambda error, _: failed.append(error), NOON_MS)
    return made, batches, failed


def told(batches: Sequence[BarBatch]) -> dict[str, list[int]]:
    return {base: [r.taken_at_ms for r in one.funding] for batch in batches for base, one in batch.markets.items()}


async def test_what_is_told_at_once_is_not_asked_for_again_and_the_rest_one_by_one() -> None:
    clock = SetClock(NOON_MS + AFTER_CLOSE_MS)
    venue = Telling(clock, bulk=frozenset({"M0", "M2"}))
    asking, batches, _ = rates(venue, clock, 4)
    await asking.ask(NOON_MS)
    assert venue.asked == ["all", "M1", "M3"]
    assert told(batches) == {f"M{n}": [NOON_MS + 3] for n in range(4)}
    assert {batch.closed_at_ms for batch in batches} == {NOON_MS}
    assert venue.since_ms == [NOON_MS - BAR_MS - 8 * HOUR_MS], "the rate before tells the interval"
    await asking.ask(NOON_MS)
    await asking.ask(NOON_MS + BAR_MS)
    assert venue.asked == ["all", "M1", "M3"], "it is had, and none is due"


async def test_a_rate_not_told_yet_is_asked_for_again_before_the_bar_it_goes_with() -> None:
    clock = SetClock(NOON_MS + AFTER_CLOSE_MS)
    venue = Telling(clock)
    venue.settles_ms, venue.fails = NOON_MS + 70_000, 1
    asking, batches, failed = rates(venue, clock, 1)
    asking.note({"M0": VenueSample("bybit", "M0", NOON_MS, NOON_MS, next_funding_at_ms=NOON_MS)}, NOON_MS - BAR_MS)
    await asking.ask(NOON_MS)
    assert venue.asked == ["all", "M0"] * 2
    assert told(batches) == {"M0": [NOON_MS + 70_003]}
    assert clock.now_ms() < NOON_MS + BAR_MS
    assert len(failed) == 1


async def test_one_that_is_due_stays_so_and_one_that_is_not_is_not_asked_for() -> None:
    clock = SetClock(NOON_MS + AFTER_CLOSE_MS)
    venue = Telling(clock)
    venue.settles_ms = NOON_MS + 2 * BAR_MS
    asking, batches, _ = rates(venue, clock, 2)
    later_ms = {"M0": NOON_MS, "M1": NOON_MS + 4 * HOUR_MS}
    samples = {
        base: VenueSample("bybit", base, NOON_MS, NOON_MS, next_funding_at_ms=at) for base, at in later_ms.items()
    }
    asking.note(samples, NOON_MS - BAR_MS)
    await asking.ask(NOON_MS)
    asking.note({"M0": VenueSample("bybit", "M0", 0, 0, next_funding_at_ms=NOON_MS + 8 * HOUR_MS)}, NOON_MS + BAR_MS)
    assert not batches
    await clock.sleep(2 * BAR_MS / 1000)
    await asking.ask(NOON_MS + 2 * BAR_MS)
    assert told(batches) == {"M0": [NOON_MS + 2 * BAR_MS + 3]}
    assert "M1" not in venue.asked


async def test_the_next_rate_is_asked_for_from_the_last_one_on() -> None:
    clock = SetClock(NOON_MS + AFTER_CLOSE_MS)
    venue = Telling(clock, bulk=frozenset({"M0"}))
    asking, _, _ = rates(venue, clock, 1)
    await asking.ask(NOON_MS)
    venue.settles_ms += HOUR_MS
    await clock.sleep(HOUR_MS / 1000)
    await asking.ask(NOON_MS + HOUR_MS)
    assert venue.since_ms[1] == NOON_MS - MINUTE_MS
    assert len(venue.since_ms) == 2


async def test_a_venue_that_does_not_tell_a_rate_for_an_hour_is_asked_on_the_hour_alone() -> None:
    clock = SetClock(NOON_MS + AFTER_CLOSE_MS)
    venue = Telling(clock, bulk=frozenset({"M0"}))
    venue.settles_ms = NOON_MS + DAY_MS
    asking, _, _ = rates(venue, clock, 1)
    asking.note({"M0": VenueSample("bybit", "M0", 0, 0, next_funding_at_ms=NOON_MS)}, NOON_MS - BAR_MS)
    asked_at = []
    for n in range(37):
        venue.asked.clear()
        await asking.ask(NOON_MS + n * BAR_MS)
        asked_at += [n] if venue.asked else []
    assert asked_at == [*range(13), 24, 36]


@pytest.mark.parametrize(("hours", "is_asked"), [(8.0, True), (None, True), (4.0, False)])
async def test_after_a_start_what_may_have_settled_at_the_first_close_is_asked_for(
    hours: float | None, is_asked: bool
) -> None:
    clock = SetClock(NOON_MS + AFTER_CLOSE_MS)
    venue = Telling(clock)
    asking, batches, _ = rates(venue, clock, 1)
    sample = VenueSample("bybit", "M0", NOON_MS, NOON_MS, None, None, None, None, None, hours, NOON_MS + 8 * HOUR_MS)
    asking.note({"M0": sample}, NOON_MS)
    await asking.ask(NOON_MS)
    assert ("M0" in told(batches)) == is_asked
    venue.asked.clear()
    await asking.ask(NOON_MS + HOUR_MS)
    assert not venue.asked


# --- the whole feed over a funding hour


async def test_500_markets_are_asked_for_their_rates_in_one_call_and_no_bar_waits() -> None:
    history = History(flat(400), copies=499)
    settled_ms = history.start_ms + DAY_MS
    time = VenueTime(settled_ms - HOUR_MS)
    async with LocalVenues(history, time, ["okx"], limits_scale=100.0) as venues:
        clock = SteppedClock(time)
        async with client(venues, clock, "okx") as one:
            listings = await one.load()
            for listing in listings.values():
                one._settled_ms[listing.base] = settled_ms - 8 * HOUR_MS
            batches: list[BarBatch] = []
            asking = SettledRates(one, listings, clock, batches.append, lambda *_: None, settled_ms - BAR_MS)
            await venues.advance(HOUR_MS + AFTER_CLOSE_MS)
            await asking.ask(settled_ms)
            assert sum(len(batch.markets) for batch in batches) == 500
            assert venues["okx"].requests[PATHS["okx"][0]] == 1
            assert venues["okx"].requests[PATHS["okx"][1]] == 0


async def test_a_rate_goes_with_the_same_bar_live_and_of_the_past() -> None:
    async with rig(("binance", "bybit", "okx"), ["BTC"], days=1.0 - 1 / 288, seed=3) as rigged:
        for _ in range(3):
            assert await rigged.next_bar()
        live = {one.bar.closed_at_ms: one.funding for one in rigged.bars if one.bar}
        past = {one.bar.closed_at_ms: one.funding for one in await rigged.past(0.02) if one.bar}
    settled_ms = START_MS + DAY_MS
    assert [at_ms for at_ms, funding in live.items() if funding] == [settled_ms + BAR_MS]
    assert {at_ms: past[at_ms] for at_ms in live} == live
    assert not rigged.feed.refusals.get("late live/bars")
