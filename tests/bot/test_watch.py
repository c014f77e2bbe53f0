"""One tick, its commit, and recovery."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bot.assumptions import fingerprint
from bot.watch import Watcher
from detectors.market import HOUR_MS
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Chat, Subscription, Watch
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from storage.store import Committed, TickCommit
from tests.bot.played import CHAT, config, keys, market, moments, play_all, standing, subscribe, watcher


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    made = SqliteStore(None, "simulated")
    await made.open()
    await subscribe(made)
    yield made
    await made.close()


@pytest.fixture
async def later() -> AsyncIterator[SqliteStore]:
    """Not open yet: it stands where the first alert is near (`standing`)."""
    made = SqliteStore(None, "simulated")
    yield made
    await made.close()


NEAR, SOON = 320, 720
"""Bars: just before the first event, and after several."""


class Flaky(SqliteStore):
    """Cannot be written while ``full``."""

    full = False

    async def commit_ticks(self, ticks: Sequence[TickCommit]) -> Committed:
        if self.full:
            raise StoreUnavailable("the disk is full")
        return await super().commit_ticks(ticks)


async def test_an_alert_comes_with_its_reason_and_is_stored_with_its_delivery(later: SqliteStore) -> None:
    alerts = await play_all(await standing(later, NEAR), moments()[NEAR:])
    assert alerts
    assert {delivery.reason for alert in alerts for delivery in alert.deliveries} <= {"first", "rearmed", "escalated"}
    stored = await later.recent(1000, chat=CHAT)
    assert [one.alert_id for one in reversed(stored)] == keys(alerts)


async def test_a_chat_that_watches_nothing_is_told_nothing_and_no_evidence_is_made(later: SqliteStore) -> None:
    watching = await standing(later, NEAR, evidence=True)
    await later.unwatch(CHAT, None)
    assert await play_all(watching, moments()[NEAR:SOON]) == []
    assert (await later.counts()).events


async def test_every_silence_is_counted_with_its_reason(later: SqliteStore) -> None:
    watching = await standing(later, NEAR)
    await subscribe(later, Subscription(EVERY_MARKET, kinds=frozenset({"funding_shock"})))
    alerts = await play_all(watching, moments()[NEAR:])
    counts = await later.counts()
    assert counts.silences["kind_off"] == sum(counts.events.values()) - len(alerts) > 0


async def test_evidence_is_kept_with_an_alert_when_asked_for(later: SqliteStore) -> None:
    alerts = await play_all(await standing(later, NEAR, evidence=True), moments()[NEAR:SOON])
    stored = await later.alert(alerts[0].event.key)
    assert stored is not None
    assert stored.event.evidence == alerts[0].event.evidence is not None


async def test_a_batch_tells_the_same_as_one_tick_at_a_time() -> None:
    told = []
    for batch in (1, 300):
        store = SqliteStore(None, "simulated")
        watching = await standing(store, NEAR, watching=watcher(store, batch=batch))
        alerts = await play_all(watching, moments()[NEAR:])
        told.append((keys(alerts), (await store.counts()).silences, watching.engines["BTC"].decisions()))
        await store.close()
    assert told[0] == told[1]


@pytest.fixture(scope="module")
def unbroken() -> tuple[list[str], bytes, bytes]:
    """What `run_with_stops` gives without a stop."""
    return asyncio.run(run_with_stops(None, [], -1))


async def run_with_stops(path: Path | None, stops: list[int], checkpoint_at: int) -> tuple[list[str], bytes, bytes]:
    """Alerts told, the estimate's checkpoint and the decisions at the end."""
    told: list[str] = []
    watching = None
    for first, last in zip([0, *stops], [*stops, len(moments())], strict=True):
        store = SqliteStore(path, "simulated")
        await store.open()
        await subscribe(store)
        watching = watcher(store, batch=7)
        await watching.start([market()])
        # Every run hears the market from its beginning, as after a restart of a feed that goes back.
        for i, moment in enumerate(moments()[:last]):
            told += keys(await watching.take(moment))
            if i == checkpoint_at and i >= first:
                await watching.checkpoint()
        told += keys(await watching.flush())
        await store.close()
    assert watching is not None
    engine = watching.engines["BTC"]
    return told, engine.estimate.to_bytes(), engine.decisions()


@pytest.mark.parametrize(("stops", "checkpoint_at"), [([13], -1), ([700], -1), ([1001], 600), ([601, 1001], 600)])
async def test_stopping_and_going_on_equals_never_having_stopped(
    unbroken: tuple[list[str], bytes, bytes], tmp_path: Path, stops: list[int], checkpoint_at: int
) -> None:
    stopped = await run_with_stops(tmp_path / "stopped.db", stops, checkpoint_at)
    assert stopped == unbroken
    assert stopped[0]


async def test_a_failed_commit_loses_nothing_and_is_made_up_for() -> None:
    store, calm = Flaky(None, "simulated"), SqliteStore(None, "simulated")
    troubled, untroubled = await standing(store, NEAR), await standing(calm, NEAR)
    told = []
    for i, moment in enumerate(moments()[NEAR:900]):
        store.full = i % 50 < 40
        try:
            told += keys(await troubled.take(moment))
        except StoreUnavailable:
            continue
    store.full = False
    told += keys(await troubled.flush())
    assert told == keys(await play_all(untroubled, moments()[NEAR:900])) != []
    assert await store.snapshots_since("BTC", None) == await calm.snapshots_since("BTC", None)
    await store.close()
    await calm.close()


async def test_what_could_not_be_decided_on_is_decided_once_it_can_be_with_all_its_alerts() -> None:
    class Deaf(SqliteStore):
        """Cannot say who watches what, for a while."""

        deaf = True

        async def subscriptions(self, *chats: Chat) -> Sequence[Watch]:
            if self.deaf:
                raise StoreUnavailable("locked")
            return await super().subscriptions(*chats)

    store, calm = Deaf(None, "simulated"), SqliteStore(None, "simulated")
    alerts: list[list[str]] = []
    for one in (store, calm):
        watching = await standing(one, NEAR)
        for moment in moments()[NEAR:600]:
            with suppress(StoreUnavailable):
                await watching.take(moment)
        if one is store:
            assert watching.engines["BTC"].screen.last_bar_opened_at_ms is not None
            store.deaf = False
        await watching.take(())
        await watching.flush()
        alerts.append(sorted(alert.alert_id for alert in await one.recent(1000)))
        assert len(await one.snapshots_since("BTC", None)) == 600
    assert alerts[0] == alerts[1] != []
    await store.close()
    await calm.close()


async def test_changed_settings_build_the_estimate_anew_and_adopt_what_is_there_silently(tmp_path: Path) -> None:
    half = len(moments()) // 2
    path = tmp_path / "a.db"
    store = SqliteStore(path, "simulated")
    await store.open()
    await subscribe(store)
    before = watcher(store)
    await before.start([market()])
    await play_all(before, moments()[:half])
    await before.checkpoint()
    other = config(clusters={"deviations": 0.5}, estimate={"baseline": {"ready_hours": 24, "half_life_hours": 100}})
    after = watcher(store, settings=other)
    (found,) = await after.start([market()])
    assert found.settings_changed
    assert after.engines["BTC"].estimate.map.last_bar_opened_at_ms == moments()[half - 1][0].taken_at_ms - 300_000
    assert await after.take(moments()[half]) == []
    assert after.engines["BTC"].tracker.clusters
    (again,) = await watcher(store, settings=other).start([market()])
    assert not again.settings_changed
    await store.close()


async def test_a_market_without_a_checkpoint_is_left_for_later_and_then_stands_where_it_stood(
    store: SqliteStore,
) -> None:
    before = watcher(store)
    await before.start([market()])
    await play_all(before, moments()[:900])
    last = moments()[899][0]
    await before.take([replace(last, taken_at_ms=last.taken_at_ms + 10_000, bar=None, open_interest=None)])
    after = watcher(store)
    (found,) = await after.start([market()], rebuild_later=True)
    assert (found.to_rebuild, found.settings_changed) == (True, False)
    assert after.engines["BTC"].view() is None
    await after.rebuild("BTC")
    assert after.engines["BTC"].estimate.to_bytes() == before.engines["BTC"].estimate.to_bytes()
    assert after.engines["BTC"].decisions() == before.engines["BTC"].decisions()
    assert await play_all(after, moments()[895:])
    await after.checkpoint()
    (again,) = await watcher(store).start([market()], rebuild_later=True)
    assert not again.to_rebuild


async def test_a_checkpoint_is_due_by_market_time_and_only_at_a_bars_close(store: SqliteStore) -> None:
    watching = Watcher(store, config().engine_settings(), find_kinds(), checkpoint_every_ms=6 * HOUR_MS)
    await watching.start([market()])
    saved = set()
    for moment in moments()[:300]:
        await watching.take(moment)
        stored = (await store.load_market("BTC")).checkpoint
        saved.add(stored.bar_opened_at_ms if stored else None)
    assert len(saved - {None}) == 300 // 72 + 1
    look = replace(moments()[299][0], taken_at_ms=moments()[299][0].taken_at_ms + 10_000, bar=None, open_interest=None)
    await watching.take([look])
    await watching.checkpoint()
    stored = (await store.load_market("BTC")).checkpoint
    assert stored is not None
    assert stored.bar_opened_at_ms in saved
    bar = moments()[300][0].bar
    assert bar is not None
    await watching.take(moments()[300])
    stored = (await store.load_market("BTC")).checkpoint
    assert stored is not None
    assert stored.bar_opened_at_ms == bar.opened_at_ms


async def test_hourly_checkpoints_are_spread_over_ten_closes_and_leave_no_market_out(store: SqliteStore) -> None:
    watching = watcher(store)
    markets = [replace(market(), base=f"M{n:02}") for n in range(25)]
    await watching.start(markets)
    await watching.checkpoint_in_turns()
    saved: set[str] = set()
    per_close = []
    for [snapshot] in moments()[:10]:
        # Each market's bar comes alone, as it does live.
        for one in markets:
            await watching.take([replace(snapshot, market=one)])
        found = {one.base for one in markets if (await store.load_market(one.base)).checkpoint is not None}
        per_close.append(len(found - saved))
        saved = found
    assert max(per_close) == 3
    assert len(saved) == 25


async def test_refused_input_is_counted_in_the_store(store: SqliteStore) -> None:
    watching = watcher(store)
    await watching.start([market()])
    good = moments()[0][0]
    await watching.take([good])
    assert good.bar is not None
    await watching.take([replace(good, taken_at_ms=good.taken_at_ms + 1)])
    await watching.take(moments()[1])
    assert (await store.counts()).refusals == {("BTC", "bar_repeated"): 1}


def test_the_fingerprint_changes_with_the_estimate_and_not_with_a_kind() -> None:
    here = fingerprint(config().engine_settings())
    assert here == fingerprint(config(kinds={"funding_shock": {"score": 9.0}}).engine_settings())
    assert here != fingerprint(config(clusters={"edge": 0.4}).engine_settings())
