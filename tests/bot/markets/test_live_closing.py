"""The candle that closes comes from the venue's stream, is REST's to the digit, and what does not come is asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bot.markets.ccxt_errors import VenueError
from bot.markets.live_closing import LEAD_S, STREAMED, ClosingCandles
from bot.markets.live_health import StreamTally
from bot.markets.live_types import BAR_MS, CandleSink, Listing, VenueClient
from bot.markets.local.okx_candles import BUSINESS
from bot.markets.local.okx_stream import OkxStreams
from bot.markets.local.server import Stream
from bot.markets.venues import VENUES
from detectors.market import Bar, MarketSnapshot
from tests.bot.markets.live_rig import Rig, rig, until
from tests.bot.markets.test_live_end_to_end import told

CANDLES = "/api/v5/market/candles"
MARKETS = ["BTC", "DOGE", "pepe"]
SEED = 7
GIVE_UP_MS = 4_000
"""So long after a close the stream is shut in any case."""
Trouble = Callable[[Rig], Awaitable[None]]


def streams(rigged: Rig) -> list[Stream]:
    return [one for one in rigged.venues["okx"].streams if one.path == BUSINESS]


def asked(rigged: Rig) -> int:
    """Questions for candles so far."""
    return rigged.venues["okx"].requests[CANDLES]


async def nothing(_: Rig) -> None: ...


def subscribed(rigged: Rig) -> bool:
    return any(one.topics for one in streams(rigged))


async def next_streamed_bar(rigged: Rig, trouble: Trouble = nothing, begun: Callable[[Rig], bool] = subscribed) -> None:
    """On to the next close as time really goes: the stream opens, the bar closes, two seconds later it is due."""
    closed_at_ms = await before_close(rigged, begun)
    await trouble(rigged)
    await rigged.advance(closed_at_ms + 500 - rigged.clock.venues_ms)
    await asyncio.sleep(0.05)
    assert await rigged.next_bar_due(closed_at_ms)
    await rigged.advance(GIVE_UP_MS)
    await until(lambda: not streams(rigged), 1.0)


async def before_close(rigged: Rig, begun: Callable[[Rig], bool] = subscribed) -> int:
    """On to a second before the next close, which is returned."""
    now_ms = rigged.clock.venues_ms
    closed_at_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
    asked_for = rigged.venues["okx"].requests[BUSINESS]
    await rigged.advance(closed_at_ms - round(LEAD_S * 1000) + 500 - now_ms)
    await until(lambda: rigged.venues["okx"].requests[BUSINESS] > asked_for)
    assert not subscribed(rigged), "nothing is pushed that nobody needs"
    found = rigged.feed._parts["okx"].client.exchange.clients  # type: ignore[attr-defined]
    assert not any(BUSINESS in address for address in found), "ccxt may drop what it finds there"
    await rigged.advance(closed_at_ms - 1_000 - rigged.clock.venues_ms)
    await until(lambda: begun(rigged))
    return closed_at_ms


@asynccontextmanager
async def running(days: float = 0.3, **settings: Any) -> AsyncIterator[Rig]:
    async with rig(["okx"], MARKETS, days=days, **settings) as rigged:
        # A question for the venue's time that a step falls into would get half of the step wrong.
        await until(lambda: rigged.feed._parts["okx"].client._apart_ms is not None)  # type: ignore[attr-defined]
        yield rigged


def bars(snapshots: Sequence[MarketSnapshot]) -> dict[tuple[str, int], tuple[Bar, float | None]]:
    """Each bar with its open interest."""
    return {
        (one.market.base, one.bar.opened_at_ms): (one.bar, one.open_interest.base if one.open_interest else None)
        for one in snapshots
        if one.bar is not None
    }


async def test_closing_bars_come_from_the_stream_are_rest_s_to_the_digit_and_ask_for_no_candle() -> None:
    async with running() as rigged:
        markets = rigged.feed.markets
        before = asked(rigged)
        for _ in range(2):
            await next_streamed_bar(rigged)
        assert asked(rigged) == before
        streamed = bars(rigged.bars)
        assert len(streamed) == 2 * len(MARKETS)
        rest = bars(await rigged.past(0.1, markets))
        assert {key: rest[key] for key in streamed} == streamed
        assert cast("OkxStreams", rigged.venues["okx"]).operations == 2 + 2, "one subscription a close, two for prints"


async def silence(rigged: Rig) -> None:
    rigged.venues["okx"].faults.silent = True


async def reset(rigged: Rig) -> None:
    for one in streams(rigged):
        await one.close(1001)
    await until(lambda: not streams(rigged))


async def late(rigged: Rig) -> None:
    rigged.venues["okx"].faults.confirms_after_ms = 60_000


async def one_is_never_confirmed(rigged: Rig) -> None:
    rigged.venues["okx"].faults.unconfirmed.add("DOGE")


async def garbage(rigged: Rig) -> None:
    rigged.venues["okx"].faults.poison_frames = "NaN"


async def half_rows(rigged: Rig) -> None:
    rigged.venues["okx"].faults.short_rows = True


TROUBLES = {
    silence: len(MARKETS),
    reset: len(MARKETS),
    late: len(MARKETS),
    one_is_never_confirmed: 1,
    garbage: len(MARKETS),
    half_rows: len(MARKETS),
}
"""How many markets have to be asked for."""


async def test_whatever_goes_wrong_with_the_stream_bars_and_alerts_are_those_of_rest_alone() -> None:
    async with running(days=1.0, seed=SEED) as rigged:
        markets = rigged.feed.markets
        live = await rigged.past(1.0)
        for trouble, lacking in TROUBLES.items():
            before = asked(rigged)
            await next_streamed_bar(rigged, trouble)
            rigged.venues["okx"].faults.clear()
            assert asked(rigged) - before == lacking, trouble.__name__
        refusals = rigged.feed.refusals
        assert refusals["stream_broke okx/closing"] == 1
        assert refusals["candle_not_a_number okx/closing"] == 2 * len(MARKETS)
        live += rigged.bars
        await rigged.restart(0)
        replay = await rigged.past(1.1, markets)
    first_ms = min(one.taken_at_ms for one in live)
    rest = [one for one in replay if one.taken_at_ms >= first_ms]
    assert bars(live) == bars(rest)
    assert told(live, markets) == told(rest, markets) != set()


async def test_a_stream_that_cannot_be_had_is_counted_and_its_bars_are_asked_for() -> None:
    async with running(before=lambda v: v["okx"].faults.answer(403, path=BUSINESS)) as rigged:
        before = asked(rigged)
        await next_streamed_bar(rigged, begun=lambda _: "stream_broke okx/closing" in rigged.feed.refusals)
        assert asked(rigged) - before == len(MARKETS)
        assert rigged.feed.refusals["stream_broke okx/closing"] == 1
        assert not any(row.stopped for row in rigged.feed.status()), "the rest of the venue goes on"


async def test_a_market_no_longer_listed_does_not_take_the_stream_from_the_others() -> None:
    async with running() as rigged:
        rigged.venues["okx"].faults.delisted.add("DOGE")
        before = asked(rigged)
        await before_close(rigged)
        await until(lambda: len([topic for one in streams(rigged) for topic in one.topics]) == len(MARKETS) - 1)
        await rigged.advance(1_500)
        await asyncio.sleep(0.05)
        await rigged.advance(2_000)
        await until(lambda: len(rigged.bars) == len(MARKETS) - 1)
        assert rigged.feed.refusals["topic_refused okx/closing"] == 1
        # Of the one that is gone three times, of the others never.
        assert asked(rigged) - before <= 3


async def test_bars_missed_before_are_asked_for_with_the_one_that_closes() -> None:
    async with running() as rigged:
        rigged.venues["okx"].faults.answer(500, path=CANDLES)
        await rigged.advance(BAR_MS + 5_000)
        for _ in range(4):
            await rigged.advance(2_000)
            await asyncio.sleep(0.02)
        rigged.venues["okx"].faults.clear()
        await next_streamed_bar(rigged)
        opened = [opened_at_ms for base, opened_at_ms in bars(rigged.bars) if base == "BTC"]
        assert len(opened) == 2
        assert opened[1] - opened[0] == BAR_MS


async def test_the_candle_stream_is_no_heartbeat_of_the_liquidations_and_ends_without_them() -> None:
    async with running() as rigged:
        await until(lambda: not any(gap.until_ms is None for gap in rigged.feed.gaps))
        public = [one for one in rigged.venues["okx"].streams if one.path != BUSINESS]
        await next_streamed_bar(rigged)
        assert [one for one in rigged.venues["okx"].streams if one.path != BUSINESS] == public
        rigged.venues["okx"].faults.unconfirmed.add("BTC")  # so that the stream goes on for a while
        await before_close(rigged)
        [candles] = streams(rigged)
        for one in public:
            await one.close(1001)
        await until(lambda: any(gap.until_ms is None for gap in rigged.feed.gaps))
        await rigged.venues.push()
        await asyncio.sleep(0.3)  # longer than its pulse
        assert streams(rigged) == [candles]
        assert rigged.feed.gaps[-1].until_ms is None, "a candle is no sign of liquidations"
        await rigged.advance(1_100)
        await until(lambda: rigged.feed.gaps[-1].until_ms is not None)
        assert streams(rigged) == [candles]


# --- without a venue


class Told:
    """A venue whose stream says what the test lets it say."""

    def __init__(self) -> None:
        self.rules, self.time_ms = VENUES["okx"], BAR_MS * 1_000 - 10_000
        self.sinks: list[CandleSink] = []
        self.error: Exception | None = None

    def now_ms(self) -> int:
        return self.time_ms

    def steady_s(self) -> float:
        return self.time_ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.time_ms += round(seconds * 1000)
        await asyncio.sleep(0.001)

    async def watch_candles(self, listings: Sequence[Listing], sink: CandleSink, begin: asyncio.Future[None]) -> None:
        del listings
        await begin
        self.sinks.append(sink)
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


async def collected(venue: Told, listings: dict[str, Listing]) -> ClosingCandles:
    closing = ClosingCandles(cast("VenueClient", venue), listings, venue)
    run = asyncio.create_task(closing.run())
    await until(lambda: bool(venue.sinks))
    run.cancel()
    return closing


BTC = Listing("okx", "BTC", "BTC/USDT:USDT")


async def test_only_the_candle_that_closes_is_taken_and_the_first_value_wins() -> None:
    venue = Told()
    opened_ms = BAR_MS * 999
    closing = await collected(venue, {"BTC": BTC})
    bar = Bar(opened_ms, BAR_MS, 1.0, 2.0, 0.5, 1.5, 10.0)
    closing.closed("BTC", Bar(opened_ms - BAR_MS, BAR_MS, 9.0, 9.0, 9.0, 9.0, 9.0))
    assert closing.of("BTC", opened_ms + BAR_MS) is None
    closing.closed("BTC", bar)
    closing.closed("BTC", Bar(opened_ms, BAR_MS, 9.0, 9.0, 9.0, 9.0, 9.0))
    assert closing.of("BTC", opened_ms + BAR_MS) == bar
    assert closing.of("BTC", opened_ms + 2 * BAR_MS) is None, "another close has another candle"


async def test_candles_that_came_late_or_not_at_all_and_silent_closes_are_counted() -> None:
    opened_ms = BAR_MS * 999

    class Telling(Told):
        async def watch_candles(
            self, listings: Sequence[Listing], sink: CandleSink, begin: asyncio.Future[None]
        ) -> None:
            await begin
            if not self.sinks:
                bar = Bar(opened_ms, BAR_MS, 1.0, 2.0, 0.5, 1.5, 10.0)
                self.time_ms = bar.closed_at_ms
                sink.closed("BTC", bar)
                self.time_ms = bar.closed_at_ms + self.rules.close_delay_ms + 1
                sink.closed("ETH", bar)
                sink.closed("BTC", bar)
            await super().watch_candles(listings, sink, begin)

    venue = Telling()
    listings = {base: Listing("okx", base, f"{base}/USDT:USDT") for base in ("BTC", "ETH", "DOGE")}
    closing = ClosingCandles(cast("VenueClient", venue), listings, venue)
    run = asyncio.create_task(closing.run())
    await until(lambda: closing.tally.closes >= 2)
    run.cancel()
    later = closing.tally.closes - 1
    assert closing.tally == StreamTally(later + 1, silent=later, late=1, missing=1 + 3 * later)


async def test_a_fault_of_ours_is_not_taken_for_one_of_the_venue() -> None:
    venue = Told()
    venue.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await ClosingCandles(cast("VenueClient", venue), {"BTC": BTC}, venue).run()
    venue.error = VenueError("broke off")
    run = asyncio.create_task(ClosingCandles(cast("VenueClient", venue), {"BTC": BTC}, venue).run())
    await until(lambda: len(venue.sinks) >= 3)
    run.cancel()


def test_every_venue_that_says_it_streams_closes_has_its_words() -> None:
    assert {name for name, rules in VENUES.items() if rules.streams_closes} == STREAMED
