"""What every chat is told of an event, from its subscriptions, its settings and what it was told before."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from bot.deciding import Decider
from detectors.event import Event
from storage.chat_settings import ChatSettings, Quiet
from storage.chats import Chat, Subscription
from storage.sqlite import SqliteStore
from storage.store import NewAlert
from tests.storage.make import ALICE, BOB, event, snapshot
from tests.storage.make import tick as tick_of

KINDS = frozenset({"cluster_formed"})


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(None, "recorded")
    await store.open()
    yield store
    await store.close()


async def told(decider: Decider, about: Event) -> dict[Chat, str]:
    deliveries, _ = await decider.decide(about)
    return {delivery.chat: delivery.reason for delivery in deliveries}


async def commit(store: SqliteStore, decider: Decider, n: int, about: Event) -> dict[Chat, str]:
    await decider.look()
    deliveries, _ = await decider.decide(about)
    await store.commit_tick(replace(tick_of(n, NewAlert(about, tuple(deliveries))), snapshot=snapshot(n)))
    decider.forget()
    return {delivery.chat: delivery.reason for delivery in deliveries}


async def test_each_chat_is_told_by_its_own_settings_and_once(store: SqliteStore) -> None:
    quiet = Chat("console", "quiet")
    for chat in (ALICE, BOB, quiet):
        await store.watch(chat, Subscription("BTC"))
    await store.set_chat_settings(BOB, ChatSettings(muted_markets={"BTC": 2**53}))
    await store.set_chat_settings(quiet, ChatSettings(quiet=Quiet(0, 1439)))
    decider = Decider(store, KINDS)
    assert await commit(store, decider, 0, event()) == {ALICE: "first", quiet: "quiet"}
    assert await commit(store, decider, 1, event(1)) == {}


async def test_a_cap_counts_what_was_told_today_committed_or_not_and_not_what_was_held(store: SqliteStore) -> None:
    await store.watch(ALICE, Subscription("BTC"))
    await store.set_chat_settings(ALICE, ChatSettings(daily_cap=3))
    decider = Decider(store, KINDS)
    await decider.look()
    reasons = [(await told(decider, event(n, subject=f"s{n}")))[ALICE] for n in range(5)]
    assert reasons == ["first"] * 3 + ["capped"] * 2
    decider.forget()
    committed = [await commit(store, decider, n, event(n, subject=f"s{n}")) for n in range(5)]
    assert [one[ALICE] for one in committed] == ["first"] * 3 + ["capped"] * 2
    tomorrow = datetime.fromisoformat("2025-12-02T00:00:00+00:00").timestamp() * 1000
    later = event(300, subject="s9", taken_at_ms=round(tomorrow))
    assert await commit(store, decider, 300, later) == {ALICE: "first"}


async def test_one_wide_cluster_cannot_spend_the_cap(store: SqliteStore) -> None:
    await store.watch(ALICE, Subscription("BTC"))
    await store.set_chat_settings(ALICE, ChatSettings(daily_cap=6))
    decider = Decider(store, KINDS)
    wide = [await commit(store, decider, n, event(n, arming=n + 1)) for n in range(4)]
    assert [one[ALICE] for one in wide] == ["first", "rearmed", "capped", "capped"]
    assert await commit(store, decider, 9, event(9, subject="another")) == {ALICE: "first"}


async def test_a_set_is_the_largest_markets_as_they_are_now(store: SqliteStore) -> None:
    await store.watch(ALICE, Subscription("top1"))
    ranks = {"BTC": 1, "ETH": 2}
    decider = Decider(store, KINDS, lambda: ranks)
    await decider.look()
    assert await told(decider, event()) == {ALICE: "first"}
    assert await told(decider, event(market="ETH")) == {}
    ranks |= {"BTC": 2, "ETH": 1}
    await decider.look()
    assert await told(decider, event(1, market="ETH")) == {ALICE: "first"}


async def test_however_many_chats_there_are_the_store_is_asked_once_an_event(store: SqliteStore) -> None:
    for n in range(200):
        await store.watch(Chat("console", str(n)), Subscription("BTC"))
    decider = Decider(store, KINDS)
    await decider.look()
    asked, real = 0, store._run

    async def counted(work):  # type: ignore[no-untyped-def]
        nonlocal asked
        asked += 1
        return await real(work)

    store._run = counted  # type: ignore[method-assign]
    assert len(await told(decider, event())) == 200
    assert asked == 1
