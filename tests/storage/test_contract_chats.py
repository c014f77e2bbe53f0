"""The contract of every store: chats and subscriptions."""

import pytest

from detectors.event import Severity
from storage.chats import Chat, LastAlert, Subscription, Watch
from storage.errors import QuotaExceeded
from storage.store import Store
from tests.storage.make import ALICE, BOB, alert, event, tick

HOSTILE = ["'; DROP TABLE chats; --", '" OR 1=1', "<b>@everyone</b>", "\x00\x1b[31m", "ВТС", "*" * 5000]


async def test_a_subscription_comes_back_as_it_was_given(store: Store) -> None:
    full = Subscription("BTC", frozenset({"b", "a"}), 3.5, 1e6, "slow", Severity.WARNING)
    await store.watch(ALICE, full)
    await store.watch(ALICE, Subscription("*"))
    assert list(await store.subscriptions(ALICE)) == [Watch(ALICE, Subscription("*")), Watch(ALICE, full)]


async def test_watching_a_market_again_replaces_what_was_asked(store: Store) -> None:
    await store.watch(ALICE, Subscription("BTC"))
    await store.watch(ALICE, Subscription("BTC", within_pct=5.0))
    assert [watch.subscription.within_pct for watch in await store.subscriptions()] == [5.0]


async def test_unwatching_leaves_other_markets_and_chats_alone(store: Store) -> None:
    for chat in (ALICE, BOB):
        await store.watch(chat, Subscription("BTC"))
        await store.watch(chat, Subscription("ETH"))
    assert await store.unwatch(ALICE, "BTC") == 1
    assert await store.unwatch(ALICE, "BTC") == 0
    assert await store.unwatch(BOB, None) == 2
    assert await store.unwatch(Chat("console", "stranger"), None) == 0
    assert [watch.subscription.market for watch in await store.subscriptions()] == ["ETH"]


async def test_a_chat_cannot_pass_its_quota_but_can_still_change_what_it_has(store: Store) -> None:
    for name in ("A", "B", "C"):
        await store.watch(ALICE, Subscription(name))
    with pytest.raises(QuotaExceeded, match="3 markets at most"):
        await store.watch(ALICE, Subscription("D"))
    await store.watch(ALICE, Subscription("C", within_pct=1.0))
    await store.watch(BOB, Subscription("D"))
    assert [watch.subscription.market for watch in await store.subscriptions(ALICE)] == ["A", "B", "C"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_data(store: Store, text: str) -> None:
    await store.watch(BOB, Subscription("BTC"))
    chat = Chat("console", text)
    await store.watch(chat, Subscription(text, build_class=text))
    assert [watch.subscription.market for watch in await store.subscriptions(chat)] == [text]
    assert await store.unwatch(chat, text) == 1
    assert [watch.chat for watch in await store.subscriptions()] == [BOB]


async def test_a_parked_chat_is_left_out_until_it_watches_again(store: Store) -> None:
    await store.watch(ALICE, Subscription("BTC"))
    await store.park(ALICE, "blocked")
    assert list(await store.subscriptions()) == []
    assert len(await store.subscriptions(ALICE)) == 1
    assert (await store.counts()).parked == {ALICE: "blocked"}
    await store.watch(ALICE, Subscription("BTC"))
    assert len(await store.subscriptions()) == 1


async def test_what_some_chats_watch_is_read_without_the_others_parked_or_not(
    store: Store,
) -> None:
    for chat in (ALICE, BOB, Chat("discord", "alice")):
        await store.watch(chat, Subscription("BTC"))
    await store.watch(BOB, Subscription("*"))
    await store.park(BOB, "blocked")
    found = await store.subscriptions(BOB, ALICE, Chat("discord", "nobody"))
    assert [(one.chat, one.subscription.market) for one in found] == [(ALICE, "BTC"), (BOB, "*"), (BOB, "BTC")]


async def test_a_mute_shows_on_every_subscription_of_its_chat_only(store: Store) -> None:
    await store.watch(ALICE, Subscription("BTC"))
    await store.watch(BOB, Subscription("BTC"))
    await store.mute(ALICE, 99)
    assert {watch.chat: watch.muted_until_ms for watch in await store.subscriptions()} == {ALICE: 99, BOB: None}


async def test_the_last_alert_is_that_of_one_chat_and_one_conversation(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(0, rung=22.0, notional_usd=4e6))))
    await store.commit_tick(tick(1, alert(event(1, rung=23.0, notional_usd=9e6), reason="escalated")))
    told = event(1)
    last = LastAlert("escalated", told.taken_at_ms, 23.0, 9e6)
    assert await store.last_told(ALICE, "cluster_formed", "BTC", "long-1", 1) == last
    for chat, kind, market, subject, arming in (
        (BOB, "cluster_formed", "BTC", "long-1", 1),
        (ALICE, "other_kind", "BTC", "long-1", 1),
        (ALICE, "cluster_formed", "ETH", "long-1", 1),
        (ALICE, "cluster_formed", "BTC", "long-2", 1),
        (ALICE, "cluster_formed", "BTC", "long-1", 2),
    ):
        assert await store.last_told(chat, kind, market, subject, arming) is None
