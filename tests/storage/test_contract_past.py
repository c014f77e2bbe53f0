"""The contract of every store: a market's past can be put before what is stored, and what is kept beside the series."""

import pytest

from detectors.leverage import MarginTier
from storage.market_facts import StoredReach, StoredTiers
from storage.store import Cursor, Store
from tests.storage.make import START_MS, look, snapshot, tick

BAR_MS = 300_000


async def test_what_is_put_before_comes_back_first_and_the_cursor_stays(store: Store) -> None:
    for n in (5, 6):
        await store.commit_tick(tick(n))
    stood = (await store.load_market("BTC")).cursor
    assert await store.put_before("BTC", [snapshot(n) for n in range(2, 5)], asked_from_ms=START_MS) == 3
    assert await store.put_before("BTC", [snapshot(n) for n in range(2)], asked_from_ms=START_MS - 7) == 2
    assert list(await store.snapshots_since("BTC", None)) == [snapshot(n) for n in range(7)]
    assert list(await store.snapshots_since("BTC", START_MS + 3 * BAR_MS)) == [snapshot(n) for n in (4, 5, 6)]
    assert (await store.load_market("BTC")).cursor == stood
    assert await store.reach("BTC") == StoredReach(START_MS, START_MS - 7)
    await store.commit_tick(tick(7))
    assert list(await store.snapshots_since("BTC", None))[-1] == snapshot(7)


async def test_put_before_again_adds_nothing(store: Store) -> None:
    await store.commit_tick(tick(5))
    for _ in range(2):
        await store.put_before("BTC", [snapshot(n) for n in range(3)], asked_from_ms=START_MS)
    assert len(await store.snapshots_since("BTC", None)) == 4


async def test_the_checkpoint_of_the_shorter_series_goes_and_the_state_is_the_new_one(store: Store) -> None:
    await store.commit_tick(tick(5))
    await store.save_checkpoint("BTC", START_MS + 5 * BAR_MS, b"map of one bar")
    await store.put_before("BTC", [], asked_from_ms=START_MS)
    assert (await store.load_market("BTC")).checkpoint is not None, "nothing was put before it"
    await store.put_before("BTC", [snapshot(3)], asked_from_ms=START_MS, state=b"adopted")
    found = await store.load_market("BTC")
    assert found.checkpoint is None
    assert found.state == b"adopted"


async def test_before_nothing_or_only_looks_the_last_bar_put_is_the_cursor(store: Store) -> None:
    await store.put_before("BTC", [snapshot(0), snapshot(1)], asked_from_ms=START_MS)
    assert (await store.load_market("BTC")).cursor == Cursor(START_MS + 2 * BAR_MS, START_MS + BAR_MS)
    await store.commit_tick(tick(2))
    assert [one.bar for one in await store.snapshots_since("BTC", None)] == [snapshot(n).bar for n in range(3)]


async def test_only_what_is_older_and_a_bar_can_be_put_before(store: Store) -> None:
    await store.commit_tick(tick(5))
    for wrong in (snapshot(6), look(START_MS)):
        with pytest.raises(ValueError, match="BTC at"):
            await store.put_before("BTC", [snapshot(0), wrong], asked_from_ms=START_MS)
    assert await store.snapshots_since("BTC", None) == [snapshot(5)], "half of it was kept"
    assert await store.reach("BTC") == StoredReach(START_MS + 5 * BAR_MS, None)


async def test_how_far_back_the_venues_were_asked_only_grows(store: Store) -> None:
    assert await store.reach("BTC") == StoredReach()
    for asked in (50, 20, 90):
        await store.put_before("BTC", [], asked_from_ms=asked)
    assert (await store.reach("BTC")).asked_from_ms == 20


async def test_tiers_come_back_as_they_were_and_the_newest_stay(store: Store) -> None:
    assert await store.tiers() == {}
    first = StoredTiers((MarginTier(0.0, 0.004, 125.0), MarginTier(1e6, 0.01, 50.0)), "bybit's public tiers", 5)
    second = StoredTiers((MarginTier(0.0, 0.02, 25.0),), "okx's", 6)
    await store.note_tiers("BTC", first)
    await store.note_tiers("NMR", first)
    await store.note_tiers("NMR", second)
    assert await store.tiers() == {"BTC": first, "NMR": second}
