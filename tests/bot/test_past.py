"""The watcher and the past of a market: put before what is stored, in whatever parts, and nothing told of it."""

import asyncio
from dataclasses import replace

from detectors.leverage import MarginTier
from detectors.market import MarketSnapshot
from storage.market_facts import StoredTiers
from storage.sqlite import SqliteStore
from tests.bot.played import keys, market, moments, play_all, subscribe, watcher


async def test_the_past_is_taken_in_in_one_commit_and_tells_nothing() -> None:
    store = SqliteStore(None, "simulated")
    await store.open()
    await subscribe(store)
    watching, other = watcher(store), watcher(store)
    await watching.start([market()])
    past = [one for moment in moments()[:600] for one in moment]
    assert await watching.put_before("BTC", past, asked_from_ms=0) == ()
    counts = await store.counts()
    assert (counts.events, counts.deliveries, counts.silences) == ({}, {}, {})
    live = keys(await play_all(watching, moments()[600:800]))
    await other.start([market()])
    assert other.engines["BTC"].estimate.to_bytes() == watching.engines["BTC"].estimate.to_bytes()
    await store.close()
    whole = SqliteStore(None, "simulated")
    await whole.open()
    played = watcher(whole)
    await played.start([market()])
    await play_all(played, moments()[:600])
    await subscribe(whole)  # who was told of a cluster before is not told of each of its steps
    assert keys(await play_all(played, moments()[600:800])) == live
    await whole.close()


async def test_the_rest_of_the_past_put_before_what_is_there_is_the_same_as_all_of_it_from_the_start() -> None:
    """Newest days first, then live bars, then the older days while further bars come: the same as in one go."""
    played = [one for moment in moments() for one in moment]
    whole, parts = SqliteStore(None, "simulated"), SqliteStore(None, "simulated")
    for store in (whole, parts):
        await store.open()
        await subscribe(store)
    once, later = watcher(whole), watcher(parts)
    await once.start([market()])
    await later.start([market()])
    await once.put_before("BTC", played[:800], asked_from_ms=0)
    await later.put_before("BTC", played[400:700], asked_from_ms=400)
    for one in played[700:799]:
        await later.take([one])
    counted = (await parts.counts()).events
    # With the first bar that is stored once more, and on another scale, as where a venue is missing so far back.
    older = [
        replace(one, open_interest=one.open_interest and replace(one.open_interest, base=one.open_interest.base / 4))
        for one in played[:401]
    ]
    putting = asyncio.create_task(later.put_before("BTC", older, asked_from_ms=0))
    await asyncio.sleep(0.01)
    assert not putting.done()
    await later.take([played[799]])
    await putting
    assert (await parts.counts()).events == counted, "the past was told"
    assert await parts.snapshots_since("BTC", None) == await whole.snapshots_since("BTC", None)
    assert later.engines["BTC"].estimate.to_bytes() == once.engines["BTC"].estimate.to_bytes()
    assert later.engines["BTC"].decisions() == once.engines["BTC"].decisions()
    again = watcher(parts)
    await again.start([market()])
    assert again.engines["BTC"].decisions() == once.engines["BTC"].decisions()
    assert keys(await play_all(later, moments()[800:])) == keys(await play_all(once, moments()[800:]))
    for store in (whole, parts):
        await store.close()


async def test_looks_of_a_start_that_was_broken_off_do_not_outlive_the_past_that_comes_in() -> None:
    store = SqliteStore(None, "simulated")
    await store.open()
    watching = watcher(store)
    await watching.start([market()])
    bars = [one for moment in moments()[:50] for one in moment]
    stray = bars[20].taken_at_ms + 1000
    price = bars[-1].price
    await watching.take([MarketSnapshot(market(), stray, price, price, price)])
    newest = bars[-1].taken_at_ms + 1000
    await watching.take([MarketSnapshot(market(), newest, price, price, price)])
    await watching.put_before("BTC", bars, asked_from_ms=0)
    assert [one.taken_at_ms for one in await store.snapshots_since("BTC", None)] == [
        *(one.taken_at_ms for one in bars),
        newest,
    ]
    await store.close()


async def test_a_market_s_own_leverage_tiers_are_kept_and_its_estimate_made_with_them() -> None:
    store = SqliteStore(None, "simulated")
    await store.open()
    watching = watcher(store)
    await watching.start([market()])
    past = [one for moment in moments()[:300] for one in moment]
    await watching.put_before("BTC", past, asked_from_ms=0)
    plain = watching.engines["BTC"].estimate.to_bytes()
    wide = StoredTiers((MarginTier(0.0, 0.02, 25.0),), "a venue's", 1)
    await watching.put_before("BTC", (), asked_from_ms=0, tiers=wide)
    assert watching.engines["BTC"].settings.estimate.map.leverage.tiers == wide.tiers
    made = watching.engines["BTC"].estimate.to_bytes()
    assert made != plain
    again = watcher(store)
    (found,) = await again.start([market()])
    assert not found.settings_changed
    assert again.tiers("BTC") == wide
    assert again.engines["BTC"].estimate.to_bytes() == made
    await store.close()
