"""What is no trouble yet but to be seen: bars that come late, a candle stream that lacks some, prints replayed."""

from typing import Any, cast

from bot.markets.feed import Refusals
from bot.markets.live_health import BarTimes, Lateness, Remarks, StreamTally, VenueStatus
from bot.markets.live_types import BAR_MS, BarBatch, Listing, VenueSeries
from bot.markets.live_watch import OLDEST_MS, PrintWatch
from bot.markets.merge import Merger
from bot.markets.venues import rules_for
from bot.replies import venue_line
from detectors.market import Bar, Market, Print, Side
from tests.bot.markets.live_rig import rig
from tests.bot.markets.test_live_parts import NOON_MS, SetClock

DELAY_MS = 2_000


def batch(closed_at_ms: int, *bases: str, bar_closed_at_ms: int | None = None) -> BarBatch:
    bar = Bar((bar_closed_at_ms or closed_at_ms) - BAR_MS, BAR_MS, 1.0, 2.0, 0.5, 1.5, 10.0)
    return BarBatch("okx", closed_at_ms, {base: VenueSeries(bars=[bar]) for base in bases})


def test_a_venue_is_as_late_as_its_last_market_s_bar() -> None:
    assert BarTimes(DELAY_MS).lateness is None
    times = BarTimes(DELAY_MS)
    times.note(batch(NOON_MS, "BTC"), NOON_MS + DELAY_MS + 300)
    times.note(batch(NOON_MS, "NMR"), NOON_MS + DELAY_MS + 2_500)
    times.note(BarBatch("okx", NOON_MS, {"BTC": VenueSeries()}), NOON_MS + 60_000)
    assert times.lateness == Lateness(2.5, 2.5, 1, 1, is_usual=True)
    times.note(batch(NOON_MS + BAR_MS, "BTC"), NOON_MS + BAR_MS + DELAY_MS - 5)
    assert times.lateness == Lateness(0.0, 2.5, 1, 2, is_usual=False)


def test_bars_that_were_missed_long_ago_say_nothing_of_how_late_a_venue_is() -> None:
    times = BarTimes(DELAY_MS)
    times.note(batch(NOON_MS, "BTC", bar_closed_at_ms=NOON_MS - BAR_MS), NOON_MS + 60_000)
    times.note(batch(NOON_MS, "BTC"), NOON_MS + DELAY_MS)
    times.note(batch(NOON_MS - BAR_MS, "NMR"), NOON_MS + 60_000)
    assert times.lateness == Lateness(0.0, 0.0, 0, 1, is_usual=False)


def test_only_the_last_hour_counts() -> None:
    times = BarTimes(DELAY_MS)
    for n in range(30):
        late_ms = 9_000 if n < 20 else 100
        times.note(batch(NOON_MS + n * BAR_MS, "BTC"), NOON_MS + n * BAR_MS + DELAY_MS + late_ms)
    assert times.lateness == Lateness(0.1, 9.0, 2, 12, is_usual=False)


def line(lateness: Lateness | None, stream: StreamTally | None = None) -> str:
    return venue_line(VenueStatus("okx", 3, "", (), {}, "full", 0, (), 0, lateness, stream), (), 0)


def test_status_says_how_late_bars_are_and_names_a_venue_where_they_usually_are() -> None:
    told = "okx: 3 markets · {}liquidations full"
    assert line(None) == told.format("")
    in_time = "last bar 0.3 s after it was due, 0.7 s at most"
    assert line(Lateness(0.3, 0.7, 0, 12, is_usual=False)) == told.format(f"{in_time} · ")
    assert line(Lateness(0.3, 4.0, 1, 12, is_usual=False)) == told.format(
        "last bar 0.3 s after it was due, 4.0 s at most, late at 1 of 12 closes · "
    )
    assert line(Lateness(6.1, 8.0, 9, 12, is_usual=True)) == told.format(
        "bars LATE: the last 6.1 s after it was due, late at 9 of 12 closes · "
    )


def test_status_says_nothing_of_a_stream_that_told_all() -> None:
    assert line(None, StreamTally(closes=300)) == line(None)
    assert "candle stream: 3 late, 1,040 missing (asked for instead)" in line(None, StreamTally(300, 0, 3, 1_040))
    assert "0 late, 200 missing, silent at 2 of 300 closes (asked" in line(None, StreamTally(300, 2, 0, 200))


async def test_a_late_venue_is_seen_in_the_running_feed() -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2) as rigged:
        assert await rigged.next_bar()
        rigged.venues["okx"].faults.answer(503, path="candles", times=1)
        assert await rigged.next_bar()
        by_venue = {row.venue: row for row in rigged.feed.status()}
        first, second = by_venue["binance"].lateness, by_venue["okx"].lateness
        assert first is not None
        assert second is not None
        assert first.late_closes == 0
        assert second.last_s > first.last_s


# --- liquidations that a venue sends again


class Venue:
    def __init__(self) -> None:
        self.rules, self.time_ms = rules_for("okx"), NOON_MS

    def now_ms(self) -> int:
        return self.time_ms


def sold(at_ms: int) -> tuple[str, Print]:
    return "BTC", Print(at_ms, Side.LONG, 100.0, 1.0, 100.0)


def test_what_comes_again_with_a_connection_is_no_refusal_and_what_is_old_without_one_is() -> None:
    venue, refusals = Venue(), Refusals()
    btc = Listing("okx", "BTC", "BTC/USDT:USDT")
    watch = PrintWatch(cast(Any, venue), [btc], SetClock(), refusals, lambda _: None)
    watch.seen([sold(NOON_MS - OLDEST_MS - 1), sold(NOON_MS - 5_000)])
    assert (watch.replayed, watch.received, dict(refusals)) == (1, 1, {})
    watch._begin_gap("reset")
    venue.time_ms += 60_000
    watch.seen([sold(NOON_MS - 5_000), sold(NOON_MS + 30_000)])
    assert (watch.replayed, watch.received, dict(refusals)) == (2, 2, {})
    venue.time_ms += 10 * OLDEST_MS
    watch.seen([sold(NOON_MS + 61_000)])
    watch.seen([sold(venue.time_ms), sold(NOON_MS + 30_000)])
    watch.seen([sold(venue.time_ms)])
    assert watch.replayed == 3
    assert dict(refusals) == {"print_old okx/prints": 1, "print_repeated okx/prints": 1}


def test_a_cascade_s_liquidations_are_known_again_for_as_long_as_they_could_be_taken_and_not_longer() -> None:
    venue, refusals = Venue(), Refusals()
    watch = PrintWatch(cast(Any, venue), [], SetClock(), refusals, lambda _: None)
    cascade = [sold(NOON_MS + n) for n in range(5_000)]
    venue.time_ms += 5_000
    watch.seen(cascade)
    watch.take()
    venue.time_ms += OLDEST_MS - 5_000
    watch.seen(cascade)
    assert dict(refusals) == {"print_repeated okx/prints": 5_000}
    assert len(watch._known) == 5_000
    venue.time_ms += OLDEST_MS
    watch.beat()
    assert not watch._known
    assert not watch._order
    watch.seen(cascade)
    assert (watch.received, watch.take()) == (5_000, {})


def test_what_a_venue_that_goes_out_changes_in_many_markets_is_one_remark() -> None:
    remarks = Remarks()
    for n in range(7):
        merger = Merger(Market(f"A{n}", f"A{n}/USDT:USDT", ("okx", "bybit"), ("okx",), 2))
        merger._notes.append(("bybit", "the price is bybit's now; okx is stale"))
        remarks.hear(merger)
    assert remarks.take() == [("bybit", "A0, A1, A2, A3, A4 and 2 more: the price is bybit's now; okx is stale")]
    assert remarks.take() == []
