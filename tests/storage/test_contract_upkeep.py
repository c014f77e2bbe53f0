"""Chats that get another id, and chats that come back."""

import pytest

from storage.chat_settings import ChatSettings
from storage.chats import Chat, Subscription
from storage.errors import QuotaExceeded
from storage.outbox import Sent
from storage.store import Store
from tests.storage.make import ALICE, alert, event, tick

OLD, NEW = Chat("telegram", "-5"), Chat("telegram", "-1005")


async def test_what_a_chat_watches_and_is_owed_moves_with_its_new_id_once(store: Store) -> None:
    await store.watch(OLD, Subscription("BTC"))
    await store.commit_tick(tick(0, alert(event(0), OLD, ALICE)))
    await store.park(OLD, "upgraded")
    assert await store.migrate_chat(OLD, NEW)
    assert not await store.migrate_chat(OLD, NEW)
    assert {watch.chat for watch in await store.subscriptions()} == {NEW}
    assert {claim.chat for claim in await store.claim(0, 10)} == {NEW, ALICE}


async def test_a_message_on_its_way_while_its_chat_moves_is_settled_there(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(0), OLD)))
    (claim,) = await store.claim(0, 1)
    await store.migrate_chat(OLD, NEW)
    await store.settle(claim.deliveries, Sent("m1"))
    assert (await store.counts()).deliveries == {"sent": 1}


async def test_who_comes_under_an_id_that_moved_on_is_a_chat_of_its_own(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(0), OLD)))
    await store.migrate_chat(OLD, NEW)
    await store.commit_tick(tick(1, alert(event(1), OLD)))
    claims = await store.claim(0, 10)
    assert {(claim.chat, delivery.alert_id) for claim in claims for delivery in claim.deliveries} == {
        (NEW, event(0).key),
        (OLD, event(1).key),
    }


async def test_where_the_new_chat_has_asked_already_nothing_is_lost_and_no_alert_comes_twice(store: Store) -> None:
    await store.watch(OLD, Subscription("BTC", within_pct=5.0))
    await store.watch(OLD, Subscription("ETH"))
    await store.watch(NEW, Subscription("BTC", within_pct=1.0))
    await store.commit_tick(tick(0, alert(event(0), OLD, NEW), alert(event(1), OLD)))
    assert await store.migrate_chat(OLD, NEW)
    assert not await store.subscriptions(OLD)
    assert [(one.subscription.market, one.subscription.within_pct) for one in await store.subscriptions(NEW)] == [
        ("BTC", 1.0),
        ("ETH", 2.0),
    ]
    told = []
    while claims := await store.claim(0, 10):
        for claim in claims:
            told += [(claim.chat, delivery.alert_id) for delivery in claim.deliveries]
            await store.settle(claim.deliveries, Sent("m"))
    assert sorted(told) == [(NEW, event(n).key) for n in (0, 1)]


async def test_a_chat_that_moved_to_one_that_is_known_takes_all_along_and_is_missed_by_nobody(store: Store) -> None:
    await store.note_owner(OLD, "7", 1)
    for chat in (OLD, NEW):
        await store.watch(chat, Subscription("BTC"))
        await store.set_chat_settings(chat, ChatSettings(notices=chat == OLD, daily_cap=3))
    await store.mute(OLD, 5_000)
    await store.commit_tick(tick(0, alert(event(0), OLD, NEW)))
    assert await store.migrate_chat(OLD, NEW)
    assert (await store.counts()).parked == {}, "the old id counts as a chat that cannot be reached"
    assert {chat: one.notices for chat, one in (await store.chat_settings()).items()} == {NEW: False}
    assert [one.muted_until_ms for one in await store.subscriptions(NEW)] == [5_000]
    with pytest.raises(QuotaExceeded):
        await store.note_owner(Chat("telegram", "8"), "7", 1)
    await store.note_owner(NEW, "9", 0)
    (claim,) = await store.claim(0, 9)
    assert claim.chat == NEW
    assert (await store.counts()).deliveries["dead"] == 1


async def test_a_parked_chat_is_served_again_when_it_is_back_and_a_stranger_leaves_no_trace(store: Store) -> None:
    await store.watch(OLD, Subscription("BTC"))
    await store.park(OLD, "kicked")
    assert await store.unpark(OLD)
    assert not await store.unpark(OLD)
    assert not await store.unpark(NEW)
    assert [watch.chat for watch in await store.subscriptions()] == [OLD]
    assert not (await store.counts()).parked


async def test_the_topics_of_a_chat_come_back_with_it_and_no_other_chat_does(store: Store) -> None:
    topic, other = Chat(OLD.platform, f"{OLD.chat_id}/7"), Chat(OLD.platform, f"{OLD.chat_id}7")
    for chat in (OLD, topic, other):
        await store.watch(chat, Subscription("BTC"))
        await store.park(chat, "removed")
    assert await store.unpark(OLD)
    assert {watch.chat for watch in await store.subscriptions()} == {OLD, topic}


async def test_a_topic_that_was_deleted_stays_given_up_when_somebody_writes_beside_it(store: Store) -> None:
    topic = Chat(OLD.platform, f"{OLD.chat_id}/7")
    await store.watch(topic, Subscription("BTC"))
    await store.park(topic, "the topic was deleted")
    assert not await store.unpark(OLD, topics=False)
    assert set((await store.counts()).parked) == {topic}


async def test_all_channels_of_a_server_are_parked_and_back_in_one_call_each_but_for_those_that_watch_nothing(
    store: Store,
) -> None:
    channels = [Chat("discord", str(n)) for n in range(600)]
    strangers, others = channels[:20], [Chat("discord", "1000"), Chat("telegram", "21")]
    for chat in (*channels[20:30], *others):
        await store.watch(chat, Subscription("BTC"))
    topic = Chat("discord", "25/7")
    await store.watch(topic, Subscription("BTC"))
    await store.park(channels[29], "blocked")
    assert await store.park_watching(channels, "the server was left") == 10
    assert await store.park_watching(channels, "the server was left") == 0
    assert await store.park_watching([], "nobody") == 0
    parked = (await store.counts()).parked
    assert set(parked) == {*channels[20:30], topic}
    assert parked[channels[29]] == "blocked"
    assert parked[topic] == "the server was left"
    assert await store.unpark(*channels)
    assert not await store.unpark(*channels, *strangers)
    assert not await store.unpark()
    assert (await store.counts()).parked == {}
