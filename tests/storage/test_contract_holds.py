"""Alerts held back: recorded, owed once they fall due, and then in one message; how a chat wants to be told."""

from dataclasses import replace

from storage.chat_settings import USUAL, ChatSettings, Quiet, Sound
from storage.chats import Chat, LastAlert
from storage.conversations import Context
from storage.outbox import Held, Later, Sent, Task
from storage.store import NewAlert, NewDelivery, Store
from tests.storage.make import ALICE, BOB, alert, event, released, tick

UNTIL_MS = event().taken_at_ms + 1000


def held(n: int, reason: str = "quiet", until_ms: int = UNTIL_MS, chat: Chat = ALICE) -> NewAlert:
    return NewAlert(event(n, subject=f"s{n}"), (NewDelivery(chat, reason, None, until_ms),))


async def test_what_is_held_is_recorded_and_sent_in_one_digest_when_it_falls_due(store: Store) -> None:
    for n in range(7):
        await store.commit_tick(tick(n, held(n)))
    assert not await store.claim(0, 10)
    assert (await store.counts()).deliveries == {"held": 7}
    assert len(await store.recent(10, chat=ALICE)) == 7
    assert await released(store, UNTIL_MS - 1) == 0
    assert await released(store, UNTIL_MS) == 1
    assert await released(store, UNTIL_MS) == 0
    (claim,) = await store.claim(0, 10, market_ms=UNTIL_MS + 10**9)
    assert (claim.task, len(claim.deliveries)) == (Task.DIGEST, 7)
    await store.settle(claim.deliveries, Sent("m"))
    assert (await store.counts()).deliveries == {"sent": 7}
    assert not await store.claim(0, 10)


async def test_a_digest_that_could_not_be_sent_comes_whole_the_next_time(store: Store) -> None:
    for n in range(2):
        await store.commit_tick(tick(n, held(n)))
    await released(store, UNTIL_MS)
    (claim,) = await store.claim(0, 10)
    await store.settle(claim.deliveries, Later(5, "429"))
    (again,) = await store.claim(5, 10)
    assert (again.task, len(again.deliveries)) == (Task.DIGEST, 2)


async def test_all_that_is_held_for_one_reason_comes_together_even_if_the_hours_were_changed(store: Store) -> None:
    await store.commit_tick(tick(0, held(0)))
    await store.commit_tick(tick(1, held(1, until_ms=UNTIL_MS + 3_600_000)))
    await store.commit_tick(tick(2, held(2, "capped", UNTIL_MS + 9_000_000)))
    await released(store, UNTIL_MS)
    (claim,) = await store.claim(0, 10)
    assert [delivery.event.subject for delivery in claim.deliveries] == ["s0", "s1"]
    assert (await store.counts()).deliveries == {"sending": 2, "held": 1}


async def test_an_alert_of_now_is_no_part_of_the_digest(store: Store) -> None:
    await store.commit_tick(tick(0, held(0)))
    await store.commit_tick(tick(1, alert(event(1, subject="now"), ALICE)))
    await released(store, UNTIL_MS)
    tasks = []
    while claims := await store.claim(0, 10):
        tasks += [(claim.task, len(claim.deliveries)) for claim in claims]
        for claim in claims:
            await store.settle(claim.deliveries, Sent("m"))
    assert tasks == [(Task.DIGEST, 1), (Task.SEND, 1)]


async def test_what_is_held_can_be_had_sooner(store: Store) -> None:
    await store.commit_tick(tick(0, held(0)))
    await store.commit_tick(tick(1, held(1, chat=BOB)))
    assert await store.put_off_held(ALICE, "quiet", 0) == 1
    assert await store.put_off_held(ALICE, "capped", 0) == 0
    assert await released(store, 1) == 1
    assert [claim.chat for claim in await store.claim(0, 10)] == [ALICE]


async def test_settings_come_back_as_they_were_given_and_move_with_the_chat(store: Store) -> None:
    full = ChatSettings("Europe/Berlin", Quiet(1320, 420), Sound.SEVERE, 5, {"BTC": 12345})
    await store.set_chat_settings(ALICE, USUAL)
    await store.set_chat_settings(ALICE, full)
    await store.set_chat_settings(ALICE, full)
    assert await store.chat_settings() == {ALICE: full}
    assert await store.chat_settings([BOB]) == {}
    moved = Chat("console", "moved")
    await store.migrate_chat(ALICE, moved)
    assert await store.chat_settings([moved, ALICE]) == {moved: full}


async def test_a_digest_that_is_held_moves_with_the_chat_also_where_the_new_one_is_known(store: Store) -> None:
    await store.commit_tick(tick(0, held(0)))
    await store.commit_tick(tick(1, alert(event(1), BOB)))
    await store.set_chat_settings(ALICE, ChatSettings(daily_cap=3))
    await store.migrate_chat(ALICE, BOB)
    await released(store, UNTIL_MS)
    assert {claim.chat for claim in await store.claim(0, 10)} == {BOB}
    assert (await store.chat_settings())[BOB].daily_cap == 3


async def test_what_was_told_today_is_counted_by_subject_without_what_is_held(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(0, subject="a"), ALICE), held(1)))
    await store.commit_tick(tick(1, alert(event(2, subject="a", arming=2), ALICE), alert(event(3, subject="b"), BOB)))
    assert await store.told_since(ALICE, 0) == {("BTC", "a"): 2}
    assert await store.told_since(ALICE, event(1).taken_at_ms) == {("BTC", "a"): 1}


async def test_one_question_tells_what_every_chat_was_told_last(store: Store) -> None:
    first, second = event(0, notional_usd=1e6), event(1, notional_usd=3e6)
    await store.commit_tick(tick(0, alert(first, ALICE, BOB)))
    await store.commit_tick(tick(1, alert(second, ALICE, reason="escalated")))
    assert await store.last_told_all("cluster_formed", "BTC", "long-1", 1) == {
        ALICE: LastAlert("escalated", second.taken_at_ms, None, 3e6),
        BOB: LastAlert("first", first.taken_at_ms, None, 1e6),
    }
    assert await store.last_told_all("cluster_formed", "BTC", "long-1", 2) == {}


async def test_a_later_kind_about_the_same_cluster_finds_the_message_it_answers(store: Store) -> None:
    formed, swept = event(0), event(5, kind="cluster_consumed")
    await store.commit_tick(tick(0, alert(formed, ALICE)))
    (claim,) = await store.claim(0, 10)
    assert await store.contexts([claim]) == [Context()]
    await store.settle(claim.deliveries, Sent("m1"))
    other = event(5, kind="cluster_consumed", subject="another")
    await store.commit_tick(tick(1, alert(swept, ALICE, BOB), alert(other, ALICE)))
    claims = await store.claim(0, 10)
    found = {claim.chat: context for claim, context in zip(claims, await store.contexts(claims), strict=True)}
    assert found == {ALICE: Context(earlier_message_id="m1"), BOB: Context()}
    for one in claims:
        await store.settle(one.deliveries, Sent("m2"))
    (last,) = await store.claim(0, 10)
    assert last.deliveries[0].event.subject == "another"
    assert await store.contexts([last]) == [Context()]


async def test_each_platform_is_claimed_for_itself(store: Store) -> None:
    on_discord = Chat("discord", "1")
    await store.commit_tick(tick(0, alert(event(), ALICE, on_discord)))
    assert [claim.chat for claim in await store.claim(0, 10, platform="discord")] == [on_discord]
    assert await store.claim(0, 10, platform="telegram") == []
    (claim,) = await store.claim(0, 10)
    assert claim.chat == ALICE
    await store.settle(claim.deliveries, Sent("m"))
    await store.commit_tick(tick(1, completed=(replace(event(), headline="swept"),)))
    assert await store.claim(0, 10, platform="telegram") == []
    assert [claim.task for claim in await store.claim(0, 10, platform="console")] == [Task.EDIT]


async def test_many_settle_in_one_commit(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(), ALICE, BOB)))
    claims = await store.claim(0, 10)
    await store.settle_all([(claims[0].deliveries, Sent("m")), (claims[1].deliveries, Later(9, "429"))])
    assert (await store.counts()).deliveries == {"sent": 1, "pending": 1}


async def test_what_stays_with_a_chat_that_moved_is_still_released_and_ends(store: Store) -> None:
    old, new, told = Chat("telegram", "-1"), Chat("telegram", "-100"), event()
    held = NewDelivery(old, "quiet", hold_until_ms=told.taken_at_ms + 1)
    await store.commit_tick(tick(0, NewAlert(told, (held, NewDelivery(new, "first")))))
    await store.migrate_chat(old, new)  # the new chat has this alert already, so the old one's stays where it is
    assert await released(store, told.taken_at_ms + 1) == 1
    (claim,) = await store.claim(0, 9)
    assert claim.chat == new
    assert (await store.counts()).deliveries == {"sending": 1, "dead": 1}


async def test_of_what_is_due_a_part_can_stay_held_and_another_be_dropped_with_the_reason(store: Store) -> None:
    for n, name in enumerate(("BTC", "ETH", "SOL")):
        told = event(n, market=name)
        await store.commit_tick(tick(n, NewAlert(told, (NewDelivery(ALICE, "quiet", None, UNTIL_MS),))))
    await store.commit_tick(tick(4, held(4, chat=BOB)))
    assert await store.held_due(UNTIL_MS - 1) == []
    due = await store.held_due(UNTIL_MS)
    assert due == [Held(ALICE, "quiet", name) for name in ("BTC", "ETH", "SOL")] + [Held(BOB, "quiet", "BTC")]
    await store.drop_held([due[0]], "nobody watches it")
    await store.release_held([due[1], Held(Chat("console", "stranger"), "quiet", "BTC")])
    assert (await store.counts()).deliveries == {"pending": 1, "held": 2, "expired": 1}
    (claim,) = await store.claim(0, 9)
    assert [one.event.market for one in claim.deliveries] == ["ETH"]
    assert await store.held_due(UNTIL_MS) == due[2:]
