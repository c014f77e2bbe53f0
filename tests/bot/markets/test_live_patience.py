"""Who is waited for at a bar's close, and what is handed out meanwhile."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from bot.markets.ccxt_errors import VenueError, VenueFatal
from bot.markets.live_patience import LONGEST_S, Patience
from bot.markets.live_types import BAR_MS, BarBatch, Listing, VenueClient, VenueSeries
from bot.markets.live_worker import VenueWorker
from bot.markets.venues import VENUES, VenueRules
from detectors.market import Bar, Market, VenueSample
from tests.bot.markets.test_live_parts import NOON_MS, SetClock

GRACE_S = 5.0
BAR = Bar(NOON_MS - BAR_MS, BAR_MS, 100.0, 101.0, 99.0, 100.0, 5.0)


def gave(venue: str, *bases: str) -> BarBatch:
    return BarBatch(venue, NOON_MS, {base: VenueSeries(bars=[BAR]) for base in bases})


def held(patience: Patience, asset: str, *lacking: str) -> bool:
    patience.is_over()
    return patience.waits(NOON_MS, Market(asset, f"{asset}/USDT:USDT", ("binance", "okx"), ()), lacking)


async def test_a_bar_waits_for_the_grace_and_no_longer_for_a_venue_that_is_silent() -> None:
    clock = SetClock()
    patience = Patience(clock, GRACE_S)
    patience.note(gave("binance", "BTC"))
    assert held(patience, "BTC", "okx")
    assert patience.left_s() == GRACE_S
    await clock.sleep(GRACE_S - 0.1)
    assert held(patience, "BTC", "okx")
    await clock.sleep(0.2)
    assert not held(patience, "BTC", "okx")
    assert patience.left_s() is None


async def test_a_venue_still_on_its_way_through_its_line_is_waited_for() -> None:
    clock = SetClock()
    patience = Patience(clock, GRACE_S)
    patience.note(gave("binance", "BTC", "ETH", "NMR"))
    for base in ("BTC", "ETH"):
        assert held(patience, "NMR", "okx")
        await clock.sleep(GRACE_S - 1)
        patience.note(gave("okx", base))
    assert held(patience, "NMR", "okx")
    await clock.sleep(GRACE_S + 0.1)
    assert not held(patience, "NMR", "okx")


async def test_a_venue_that_is_still_busy_with_the_close_before_is_not_waited_for() -> None:
    clock = SetClock()
    patience = Patience(clock, GRACE_S)
    patience.note(gave("binance", "NMR"))
    assert held(patience, "NMR", "okx")
    await clock.sleep(GRACE_S - 1)
    patience.note(replace(gave("okx", "BTC"), closed_at_ms=NOON_MS - BAR_MS))
    await clock.sleep(1.1)
    assert not held(patience, "NMR", "okx")


async def test_a_venue_that_has_come_to_the_market_without_a_bar_is_not_waited_for_any_longer() -> None:
    clock = SetClock()
    patience = Patience(clock, GRACE_S)
    patience.note(gave("binance", "BTC", "NMR"))
    assert held(patience, "NMR", "okx")
    await clock.sleep(GRACE_S + 0.1)
    patience.note(BarBatch("okx", NOON_MS, {"NMR": VenueSeries(), "BTC": VenueSeries(bars=[BAR])}))
    assert not held(patience, "NMR", "okx")


async def test_what_comes_of_an_earlier_close_meanwhile_does_not_make_a_venue_waited_for_again() -> None:
    clock = SetClock()
    patience = Patience(clock, GRACE_S)
    patience.note(gave("binance", "BTC"))
    patience.note(BarBatch("okx", NOON_MS, {"NMR": VenueSeries(), "BTC": VenueSeries(bars=[BAR])}))
    assert held(patience, "NMR", "okx")
    patience.note(BarBatch("okx", NOON_MS - BAR_MS, {"NMR": VenueSeries()}))
    await clock.sleep(GRACE_S + 0.1)
    assert not held(patience, "NMR", "okx")


async def test_nobody_is_waited_for_much_longer_than_the_slowest_limit_needs() -> None:
    clock = SetClock()
    patience = Patience(clock, GRACE_S)
    while held(patience, "NMR", "okx"):
        patience.note(gave("okx", "BTC"))
        await clock.sleep(1.0)
    assert clock.slept_s == LONGEST_S + GRACE_S


# --- the worker's side


class Slow:
    """A venue whose answers the test gives one by one."""

    def __init__(self, rules: VenueRules, refuses: frozenset[str] = frozenset()) -> None:
        self.rules, self._refuses = rules, refuses
        self.asked: list[str] = []
        self.asked_ratios: list[int] = []
        self.answers: dict[str, asyncio.Event] = {}

    def now_ms(self) -> int:
        return NOON_MS + 2_000

    async def rates(self, listings: Sequence[Listing]) -> Mapping[str, VenueSample]:
        del listings
        return {}

    async def ratios(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        self.asked_ratios.append(len(listings))
        return {one.base: 1.5 for one in listings}

    async def interest_now(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        return {one.base: 1000.0 for one in listings}

    async def bars(self, listing: Listing, since_ms: int, until_ms: int) -> Sequence[Bar]:
        del since_ms, until_ms
        self.asked.append(listing.base)
        if listing.base in self._refuses:
            raise VenueFatal("geo-block (451)")
        await self.answers.setdefault(listing.base, asyncio.Event()).wait()
        return [BAR]


def worker(venue: Slow, count: int) -> tuple[VenueWorker, list[BarBatch], list[VenueError]]:
    clock = SetClock(NOON_MS + 2_000)
    listings = {f"M{n:02}": Listing(venue.rules.name, f"M{n:02}", f"M{n:02}/USDT:USDT") for n in range(count)}
    batches: list[BarBatch] = []
    failed: list[VenueError] = []
    made = VenueWorker(
        cast("VenueClient", venue),
        listings,
        clock,
        cast("Any", batches.append),
        lambda error, _: failed.append(error),
        look_every_ms=10_000,
        with_interest=frozenset(listings),
        after_ms=NOON_MS - BAR_MS,
    )
    return made, batches, failed


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_market_is_delivered_as_soon_as_it_is_complete_the_largest_asked_first() -> None:
    venue = Slow(VENUES["binance"])
    working, batches, _ = worker(venue, 40)
    closing = asyncio.create_task(working.close(NOON_MS))
    await settle()
    assert venue.asked == [f"M{n:02}" for n in range(10)], "not all at once, or prices would wait behind them"
    venue.answers["M03"].set()
    await settle()
    [batch] = batches
    assert list(batch.markets) == ["M03"]
    assert batch.markets["M03"].bars == [BAR]
    assert batch.markets["M03"].interest_base == {NOON_MS: 1000.0}
    while not closing.done():
        for base in venue.asked:
            venue.answers[base].set()
        await settle()
    closing.result()
    delivered = [base for batch in batches for base in batch.markets]
    assert sorted(delivered) == sorted(venue.asked) == [f"M{n:02}" for n in range(40)]


async def test_a_market_that_failed_is_told_as_asked_and_asked_again() -> None:
    venue = Slow(replace(VENUES["bybit"]), refuses=frozenset({"M00"}))
    working, batches, failed = worker(venue, 2)
    venue.answers["M01"] = asyncio.Event()
    venue.answers["M01"].set()
    await working.close(NOON_MS)
    assert venue.asked == ["M00", "M01", "M00", "M00"]
    assert len(failed) == 3
    assert not batches[0].markets["M00"].bars
    assert any(batch.markets["M01"].bars for batch in batches if "M01" in batch.markets)


async def test_ratios_come_a_few_at_a_time_and_no_bar_waits_for_them() -> None:
    venue = Slow(VENUES["binance"])
    working, batches, _ = worker(venue, 12)
    for n in range(12):
        venue.answers[f"M{n:02}"] = asyncio.Event()
        venue.answers[f"M{n:02}"].set()
    assert NOON_MS % (15 * 60_000) == 0, "when ratios are due"
    await working.close(NOON_MS)
    assert venue.asked_ratios == []
    assert sum(len(batch.markets) for batch in batches) == 12
    await working.ask_ratios()
    assert venue.asked_ratios == [5, 5, 2]
