"""The contract of every store: gaps in observed liquidations are kept, once each, with their first end."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.market import PrintGap
from storage.sqlite import SqliteStore
from storage.store import Store
from tests.storage.make import START_MS

ended = PrintGap("okx", START_MS, START_MS + 60_000)
lasting = PrintGap("bybit", START_MS + 5_000)


async def test_gaps_come_back_by_their_start_and_one_that_lasts_has_no_end(store: Store) -> None:
    assert list(await store.gaps()) == []
    await store.note_gaps([lasting, ended])
    assert list(await store.gaps()) == [ended, lasting]


async def test_the_same_gaps_again_add_nothing_and_the_first_end_stays(store: Store) -> None:
    await store.note_gaps([ended, lasting])
    await store.note_gaps([ended, lasting, PrintGap("okx", START_MS, START_MS + 99_000), PrintGap("okx", START_MS)])
    assert list(await store.gaps()) == [ended, lasting]


async def test_a_gap_that_lasted_is_ended_later(store: Store) -> None:
    await store.note_gaps([lasting])
    await store.note_gaps([PrintGap("bybit", lasting.since_ms, lasting.since_ms + 7_000)])
    assert [gap.until_ms for gap in await store.gaps()] == [lasting.since_ms + 7_000]


async def test_a_gap_left_open_by_a_kill_is_ended_by_the_next_of_its_venue_alone(store: Store) -> None:
    await store.note_gaps([lasting, PrintGap("okx", START_MS)])
    later = PrintGap("bybit", START_MS + 50_000, START_MS + 60_000)
    await store.note_gaps([later])
    joined = PrintGap("bybit", lasting.since_ms, later.since_ms)
    assert list(await store.gaps()) == [PrintGap("okx", START_MS), joined, later]


async def test_a_gap_of_one_market_is_none_of_its_venue(store: Store) -> None:
    of_one = PrintGap("okx", START_MS, None, "BTC@okx")
    await store.note_gaps([of_one, PrintGap("okx", START_MS + 5)])
    await store.note_gaps([PrintGap("okx", START_MS + 9, START_MS + 10, "BTC")])
    lasts = [gap for gap in await store.gaps() if gap.until_ms is None]
    assert lasts == [of_one, PrintGap("okx", START_MS + 5)]
    await store.note_gaps([replace(of_one, until_ms=START_MS + 7)])
    assert replace(of_one, until_ms=START_MS + 7) in await store.gaps()


async def test_gaps_that_ended_before_are_left_out(store: Store) -> None:
    await store.note_gaps([ended, lasting])
    assert list(await store.gaps(START_MS + 60_000)) == [lasting]
    assert list(await store.gaps(START_MS + 59_999)) == [ended, lasting]


moments = st.integers(1, 50)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.builds(lambda v, s, d: PrintGap(v, s, s + d), st.sampled_from("ab"), moments, moments), max_size=8))
async def test_whatever_overlaps_no_ended_gap_stays_open(gaps: list[PrintGap]) -> None:
    store = SqliteStore(None, "live")
    await store.open()
    told = [part for gap in gaps for part in (PrintGap(gap.venue, gap.since_ms), gap)]
    for gap in told:
        await store.note_gaps([gap])
    kept = await store.gaps()
    await store.close()
    assert {(gap.venue, gap.since_ms) for gap in kept} == {(gap.venue, gap.since_ms) for gap in gaps}
    assert all(gap.until_ms is not None for gap in kept)
