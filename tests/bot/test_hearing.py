"""Time in which nobody listened for liquidations is a gap in the store, whyever nobody did."""

import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.app import App
from bot.hearing import HEARD_AFTER_MS, know_stored_prints, note_unheard_before, note_unheard_market
from bot.markets.feed import Refusals
from bot.markets.live import LiveFeed
from bot.markets.live_types import BAR_MS
from bot.markets.live_watch import PrintWatch
from bot.markets.venues import rules_for
from bot.receipt_gaps import with_gaps
from bot.reliving import Resumed
from bot.run_live import tell_notices
from detectors.market import HOUR_MS, Bar, Market, MarketSnapshot, Print, PrintGap, Side
from storage.sqlite import SqliteStore
from storage.store import Cursor, TickCommit
from tests.bot.markets.test_live_parts import SetClock
from tests.bot.test_live_app import NOW_MS, VENUES, feed_of, opened, running, settings, stored, until
from tests.bot.test_receipt_gaps import receipt

AT_MS = receipt().taken_at_ms
STOPPED_MS = (AT_MS - HOUR_MS // 2) // BAR_MS * BAR_MS
STARTED_MS = STOPPED_MS + HOUR_MS
BTC = Market("BTC", "BTC/USDT:USDT", ("binance", "gate", "okx"), ())


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    made = SqliteStore(None, "live")
    await made.open()
    yield made
    await made.close()


def feed(started_ms: int = STARTED_MS, out: str = "") -> Any:
    """One venue may be out; the others are not heard yet."""
    names = ("binance", "gate", "okx")
    gaps = [PrintGap(name, started_ms) for name in names if name not in {"gate", out}]
    return SimpleNamespace(
        venue_names=names,
        started_ms=started_ms,
        gaps=gaps,
        now_ms=lambda: started_ms,
        watches=[SimpleNamespace(venue=gap.venue) for gap in gaps],
    )


def stood(until_ms: int | None, market: Market = BTC) -> Resumed:
    cursor = None if until_ms is None else Cursor(until_ms + 40_000, until_ms - BAR_MS)
    return Resumed(market, cursor, settings_changed=False)


def missed(gaps: Sequence[PrintGap], venue: str, since_ms: int, until_ms: int) -> bool:
    """Whether gaps cover all of a time."""
    for gap in sorted(gaps, key=lambda one: one.since_ms):
        if gap.venue == venue and gap.since_ms <= since_ms:
            since_ms = max(since_ms, until_ms if gap.until_ms is None else gap.until_ms)
    return since_ms >= until_ms


async def test_a_fresh_store_has_heard_nothing_of_the_past_that_it_fetches(store: SqliteStore) -> None:
    await note_unheard_before(store, feed(), [stood(None)])
    gaps = await store.gaps(STARTED_MS - 30 * 24 * HOUR_MS)
    assert {gap.venue for gap in gaps} == {"binance", "okx"}, "gate streams none: its sums are asked for"
    assert all(missed(gaps, venue, 0, STARTED_MS) for venue in ("binance", "okx"))


async def test_a_sweep_while_the_bot_was_down_has_a_receipt_that_says_it_is_incomplete(store: SqliteStore) -> None:
    heard = [PrintGap(name, 0, STOPPED_MS - HOUR_MS) for name in ("binance", "okx")]
    await store.note_gaps(heard)
    await note_unheard_before(store, feed(), [stood(STOPPED_MS), stood(STOPPED_MS - BAR_MS, replace(BTC, base="ETH"))])
    told = (await with_gaps(store, receipt(), BTC)).value("receipt_incomplete")
    assert told == "binance not heard for 30 min, okx not heard for 30 min: more may have been liquidated"
    before = receipt().taken_at_ms - STOPPED_MS + 11 * 60_000
    earlier = replace(receipt(), taken_at_ms=receipt().taken_at_ms - before)
    assert (await with_gaps(store, earlier, BTC)).value("receipt_incomplete") is None, "it was heard until then"
    gaps = await store.gaps()
    assert PrintGap("okx", STOPPED_MS - BAR_MS, STOPPED_MS, "ETH") in gaps, "its last bar was not committed"
    assert {gap.venue for gap in gaps if gap.until_ms is None} == {"binance", "okx"}, "they are not heard yet"


async def test_what_ends_in_the_feed_ends_in_the_store_and_a_venue_that_stays_out_is_missed_on(
    store: SqliteStore,
) -> None:
    await note_unheard_before(store, feed(out="binance"), [stood(None)])
    await store.note_gaps([PrintGap("okx", STARTED_MS, STARTED_MS + 900)])
    later_ms = STARTED_MS + 10 * HOUR_MS
    await note_unheard_before(store, feed(later_ms + HOUR_MS), [stood(later_ms)])
    gaps = await store.gaps()
    assert missed(gaps, "binance", 0, later_ms + HOUR_MS)
    assert not missed(gaps, "okx", STARTED_MS, later_ms)
    assert missed(gaps, "okx", later_ms, later_ms + HOUR_MS)


async def test_a_store_from_before_first_gaps_were_kept_learns_when_it_first_listened(store: SqliteStore) -> None:
    await store.note_gaps([PrintGap("okx", STOPPED_MS - 9 * HOUR_MS, STOPPED_MS - 9 * HOUR_MS + 700)])
    await note_unheard_before(store, feed(), [stood(STOPPED_MS)])
    gaps = await store.gaps()
    assert missed(gaps, "okx", 0, STOPPED_MS - 9 * HOUR_MS)
    assert not missed(gaps, "okx", STOPPED_MS - 9 * HOUR_MS, STOPPED_MS)


async def test_where_no_market_of_before_is_followed_the_last_gap_tells_how_long_it_was_heard(
    store: SqliteStore,
) -> None:
    await store.note_gaps([PrintGap("okx", 0, STOPPED_MS)])
    await note_unheard_before(store, feed(), [stood(None)])
    gaps = await store.gaps()
    assert PrintGap("okx", STOPPED_MS, STARTED_MS) in gaps
    assert PrintGap("okx", 0, STOPPED_MS, "BTC") in gaps, "it is new"


async def test_a_market_followed_again_was_not_heard_meanwhile_and_no_other_is_said_to_lack_anything(
    store: SqliteStore,
) -> None:
    await note_unheard_market(store, feed(), stood(STOPPED_MS))
    gaps = await store.gaps()
    assert gaps == [
        PrintGap("binance", STOPPED_MS, STARTED_MS + HEARD_AFTER_MS, "BTC"),
        PrintGap("okx", STOPPED_MS, STARTED_MS + HEARD_AFTER_MS, "BTC"),
    ]
    assert (await with_gaps(store, receipt(), BTC)).value("receipt_incomplete") is not None
    for other in ("ETH", "BTC@okx"):
        assert (await with_gaps(store, receipt(), replace(BTC, base=other))).value("receipt_incomplete") is None


async def test_the_time_before_a_start_is_a_gap_of_liquidations_and_so_is_the_time_between_two(tmp_path: Path) -> None:
    async with running(tmp_path, feed_of(), io.StringIO()) as (app, _):
        live = app.feed
        assert isinstance(live, LiveFeed)
        await until(lambda: app.caught_up and all(gap.until_ms is not None for gap in live.gaps))
        ended_ms = max(gap.until_ms or 0 for gap in live.gaps)
        await tell_notices(app, live)
        await until(lambda: min(app.watcher.market_times().values()) > ended_ms + 3 * BAR_MS)
        gaps = await app.store.gaps()
        assert all(missed(gaps, venue, 0, NOW_MS) for venue in VENUES), "the past that it fetched was not heard"
    last_ms = opened(await stored(tmp_path / "bot.db"))[-1] + BAR_MS
    async with App(settings(tmp_path), again := feed_of((last_ms - NOW_MS) / HOUR_MS + 1.0)) as app:
        gaps = await app.store.gaps()
        assert again.started_ms >= last_ms + HOUR_MS
        for venue in VENUES:
            assert missed(gaps, venue, last_ms, again.started_ms), "nobody listened for an hour"
            assert not missed(gaps, venue, last_ms - BAR_MS, last_ms)


async def test_liquidations_that_are_stored_are_not_stored_again_when_a_venue_repeats_them_after_a_restart(
    store: SqliteStore,
) -> None:
    closed_ms = STARTED_MS - 60_000
    stored_one, lost = (Print(closed_ms + after_ms, Side.LONG, 100.0, 2.0, 200.0) for after_ms in (-30_000, 15_000))
    bar = Bar(closed_ms - BAR_MS, BAR_MS, 1.0, 1.0, 1.0, 1.0, 1.0)
    await store.commit_ticks([TickCommit(MarketSnapshot(BTC, closed_ms, 1.0, 1.0, 1.0, bar, prints=(stored_one,)))])
    client: Any = SimpleNamespace(rules=rules_for("okx"), now_ms=lambda: STARTED_MS + 500)
    early, late = (PrintWatch(client, [], SetClock(), Refusals(), lambda _: None) for _ in range(2))
    early.seen([("BTC", stored_one), ("BTC", lost)])  # before the store was open
    restarted = SimpleNamespace(started_ms=STARTED_MS, watches=[early, late])
    await know_stored_prints(store, cast(Any, restarted), [stood(closed_ms)])
    late.seen([("BTC", stored_one), ("BTC", lost)])
    early.seen([("BTC", stored_one)])
    assert (early.take(), late.take()) == ({"BTC": [lost]}, {"BTC": [lost]})
    assert [(one.received, one.replayed) for one in (early, late)] == [(1, 2), (1, 1)]
