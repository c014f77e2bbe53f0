"""The contract of every store: the outbox."""

from collections.abc import Sequence

from storage.chats import Chat
from storage.outbox import Claim, Dead, Expired, Later, Sent, Task
from storage.store import Store
from tests.storage.make import ALICE, BOB, alert, event, tick

MINUTE_MS = 60_000


def ids(claims: Sequence[Claim]) -> list[list[str]]:
    return [[delivery.event.subject for delivery in claim.deliveries] for claim in claims]


async def owe(store: Store, n: int, *subjects: str, chat: Chat = ALICE, expires_at_ms: int | None = None) -> None:
    """One alert for each subject, all of the n-th bar."""
    await store.commit_tick(tick(n, *(alert(event(n, subject=s), chat, expires_at_ms=expires_at_ms) for s in subjects)))


async def states(store: Store) -> dict[str, int]:
    return dict((await store.counts()).deliveries)


async def test_one_delivery_a_chat_is_in_flight_oldest_first(store: Store) -> None:
    await owe(store, 0, "a", "b")
    await owe(store, 1, "c", chat=BOB)
    claims = await store.claim(0, 10)
    assert ids(claims) == [["a"], ["c"]]
    assert await store.claim(0, 10) == []
    await store.settle(claims[0].deliveries, Sent("1"))
    assert ids(await store.claim(0, 10)) == [["b"]]


async def test_a_claim_takes_no_more_chats_than_asked(store: Store) -> None:
    await owe(store, 0, "a")
    await owe(store, 1, "b", chat=BOB)
    assert ids(await store.claim(0, 1)) == [["a"]]


async def test_an_event_that_many_chats_are_owed_is_read_once_for_all_of_them(store: Store) -> None:
    both = [alert(event(0, subject=subject), ALICE, BOB) for subject in ("a", "b")]
    await store.commit_tick(tick(0, *both))
    one, other = await store.claim(0, 10)
    assert one.chat != other.chat
    assert one.deliveries[0].event is other.deliveries[0].event


async def test_a_chat_told_to_wait_waits_as_a_whole_and_alone(store: Store) -> None:
    await owe(store, 0, "a", "b")
    (claim,) = await store.claim(0, 10)
    await store.settle(claim.deliveries, Later(5_000, "429"))
    await owe(store, 1, "c", chat=BOB)
    assert ids(await store.claim(4_999, 10)) == [["c"]]
    (again,) = await store.claim(5_000, 10)
    assert (again.deliveries[0].event.subject, again.deliveries[0].attempts) == ("a", 2)
    assert not again.deliveries[0].possible_repeat


async def test_an_ambiguous_failure_makes_every_later_attempt_a_possible_repeat(store: Store) -> None:
    await owe(store, 0, "a")
    for failure in (Later(0, "reset", ambiguous=True), Later(0, "429")):
        (claim,) = await store.claim(0, 1)
        await store.settle(claim.deliveries, failure)
    (claim,) = await store.claim(0, 1)
    assert claim.deliveries[0].possible_repeat


async def test_a_settled_delivery_stays_settled(store: Store) -> None:
    await owe(store, 0, "a")
    (claim,) = await store.claim(0, 1)
    await store.settle(claim.deliveries, Sent("1"))
    await store.settle(claim.deliveries, Dead("late news"))
    assert await states(store) == {"sent": 1}


async def test_dead_and_expired_are_never_claimed_again(store: Store) -> None:
    await owe(store, 0, "a", "b")
    for end in (Dead("too long"), Expired("late")):
        (claim,) = await store.claim(0, 1)
        await store.settle(claim.deliveries, end)
    assert await store.claim(10**15, 1) == []
    assert await states(store) == {"dead": 1, "expired": 1}


async def test_what_a_parked_chat_is_owed_is_dead(store: Store) -> None:
    await owe(store, 0, "a", "b")
    await owe(store, 1, "c", chat=BOB)
    await store.park(ALICE, "blocked")
    assert ids(await store.claim(0, 10)) == [["c"]]
    assert await states(store) == {"dead": 2, "sending": 1}


async def test_a_parked_chats_messages_are_not_edited(store: Store) -> None:
    await owe(store, 0, "a")
    await store.settle((await store.claim(0, 1))[0].deliveries, Sent("m"))
    await store.commit_tick(tick(1, completed=(event(subject="a", headline="receipt"),)))
    await store.park(ALICE, "blocked")
    assert await store.claim(0, 1) == []


async def test_an_alert_is_good_until_the_moment_it_expires(store: Store) -> None:
    soon = event().taken_at_ms + 10 * MINUTE_MS
    await owe(store, 0, "a", expires_at_ms=soon)
    assert (await store.claim(0, 1, market_ms=soon))[0].task is Task.SEND


async def test_what_is_too_late_is_claimed_together_and_the_rest_sent_after(store: Store) -> None:
    soon = event().taken_at_ms + 10 * MINUTE_MS
    await owe(store, 0, "a", "b", expires_at_ms=soon)
    await owe(store, 1, "c")
    (late,) = await store.claim(0, 1, market_ms=soon + 1)
    assert (late.task, ids([late])) == (Task.EXPIRE, [["a", "b"]])
    await store.settle(late.deliveries, Expired("late"))
    (fresh,) = await store.claim(0, 1, market_ms=soon + 1)
    assert (fresh.task, ids([fresh])) == (Task.SEND, [["c"]])


async def test_without_market_time_nothing_expires(store: Store) -> None:
    await owe(store, 0, "a", expires_at_ms=1)
    assert (await store.claim(10**15, 1))[0].task is Task.SEND


async def test_five_alerts_at_once_are_five_messages_and_six_are_one(store: Store) -> None:
    await owe(store, 0, *"abcde")
    assert ids(await store.claim(0, 1)) == [["a"]]
    await owe(store, 0, *"uvwxyz", chat=BOB)
    assert ids(await store.claim(0, 9)) == [["u", "v", "w", "x", "y", "z"]]


async def test_a_storm_that_trickles_in_is_held_and_told_once_its_minute_is_over(store: Store) -> None:
    start = event().taken_at_ms
    for second, subject in enumerate("abcde"):
        await store.commit_tick(tick(second, alert(event(subject=subject, taken_at_ms=start + second * 1_000))))
        (claim,) = await store.claim(0, 1, market_ms=start + second * 1_000)
        await store.settle(claim.deliveries, Sent(subject))
    for second, subject in enumerate("fgh", start=5):
        await store.commit_tick(tick(second, alert(event(subject=subject, taken_at_ms=start + second * 1_000))))
        assert await store.claim(0, 1, market_ms=start + second * 1_000) == []
    assert ids(await store.claim(0, 1, market_ms=start + 5_000 + MINUTE_MS)) == [["f", "g", "h"]]


async def test_what_was_told_of_later_bars_makes_no_storm_of_an_earlier_one(store: Store) -> None:
    """One market's bars can be caught up with after another's newer ones were told."""
    earlier = event(subject="f")
    for subject in "abcde":
        later = event(subject=subject, taken_at_ms=earlier.taken_at_ms + 10 * MINUTE_MS)
        await store.commit_tick(tick(2, alert(later)))
        (claim,) = await store.claim(0, 1)
        await store.settle(claim.deliveries, Sent(subject))
    await store.commit_tick(tick(3, alert(earlier)))
    assert ids(await store.claim(0, 1, market_ms=earlier.taken_at_ms)) == [["f"]]


async def test_a_group_that_may_have_arrived_is_claimed_again_as_it_was_whatever_came_meanwhile(store: Store) -> None:
    await owe(store, 0, *"abcdef")
    (tried,) = await store.claim(0, 1)
    await store.settle(tried.deliveries, Later(0, "reset", ambiguous=True))
    await owe(store, 0, "g", "h")
    (again,) = await store.claim(0, 1)
    assert (ids([again]), again.task) == ([[*"abcdef"]], Task.SEND)
    assert [one.key for one in again.deliveries] == [one.key for one in tried.deliveries]
    await store.settle(again.deliveries, Sent("1"))
    assert ids(await store.claim(0, 1)) == [["g", "h"]]


async def test_an_alert_that_may_have_arrived_is_claimed_again_alone_though_it_became_a_storm(store: Store) -> None:
    await owe(store, 0, "a")
    (tried,) = await store.claim(0, 1)
    await store.settle(tried.deliveries, Later(0, "reset", ambiguous=True))
    await owe(store, 0, *"bcdefg")
    (again,) = await store.claim(0, 1)
    assert ids([again]) == [["a"]]
    await store.settle(again.deliveries, Sent("1"))
    assert ids(await store.claim(0, 1)) == [[*"bcdefg"]]


async def test_what_is_too_late_is_told_again_as_it_was(store: Store) -> None:
    soon = event().taken_at_ms + 10 * MINUTE_MS
    await owe(store, 0, "a", "b", expires_at_ms=soon)
    await owe(store, 1, "c", expires_at_ms=soon + MINUTE_MS)
    (tried,) = await store.claim(0, 1, market_ms=soon + 1)
    await store.settle(tried.deliveries, Later(0, "reset", ambiguous=True))
    (again,) = await store.claim(0, 1, market_ms=soon + 2 * MINUTE_MS)
    assert (ids([again]), again.task) == ([["a", "b"]], Task.EXPIRE)


async def test_a_flush_holds_nothing_back(store: Store) -> None:
    start = event().taken_at_ms
    await owe(store, 0, *"abcde")
    for _ in range(5):
        (claim,) = await store.claim(0, 1)
        await store.settle(claim.deliveries, Sent("1"))
    await owe(store, 0, "f")
    assert await store.claim(0, 1, market_ms=start) == []
    assert ids(await store.claim(0, 1, market_ms=start, flush=True)) == [["f"]]


async def test_alerts_an_hour_apart_are_never_grouped(store: Store) -> None:
    for n in range(7):
        await owe(store, n * 12, "a")
    assert len((await store.claim(0, 1))[0].deliveries) == 1


async def test_a_message_is_edited_to_the_latest_revision_after_new_alerts(store: Store) -> None:
    await owe(store, 0, "a")
    (claim,) = await store.claim(0, 1)
    await store.settle(claim.deliveries, Sent("message-7"))
    for text in ("first receipt", "second receipt"):
        await store.commit_tick(tick(1, completed=(event(subject="a", headline=text),)))
    await owe(store, 2, "b")
    (new,) = await store.claim(0, 9)
    assert new.task is Task.SEND
    await store.settle(new.deliveries, Sent("message-8"))
    (edit,) = await store.claim(0, 9)
    (delivery,) = edit.deliveries
    assert (edit.task, delivery.message_id, delivery.event.headline) == (Task.EDIT, "message-7", "second receipt")
    await store.settle(edit.deliveries, Sent("message-7"))
    assert await store.claim(0, 9) == []
    assert await states(store) == {"sent": 2}


async def test_how_late_a_message_went_out_is_known_when_it_is_edited_and_edited_again(store: Store) -> None:
    await owe(store, 0, "a")
    (claim,) = await store.claim(0, 1)
    assert claim.deliveries[0].late_by_ms is None
    await store.settle(claim.deliveries, Sent("m", late_by_ms=300_000))
    for text in ("one", "two"):
        await store.commit_tick(tick(1, completed=(event(subject="a", headline=text),)))
        (edit,) = await store.claim(0, 1)
        assert (edit.task, edit.deliveries[0].late_by_ms) == (Task.EDIT, 300_000)
        await store.settle(edit.deliveries, Sent("m"))


async def test_a_revision_that_comes_while_its_message_is_sent_or_edited_is_not_forgotten(store: Store) -> None:
    await owe(store, 0, "a")
    for text in ("one", "two"):
        (claim,) = await store.claim(0, 1)
        await store.commit_tick(tick(1, completed=(event(subject="a", headline=text),)))
        await store.settle(claim.deliveries, Sent("m"))
    (last,) = await store.claim(0, 1)
    assert last.deliveries[0].event.headline == "two"


async def test_a_message_not_sent_yet_goes_out_in_its_newest_words_and_needs_no_edit(store: Store) -> None:
    await owe(store, 0, "a")
    await store.commit_tick(tick(1, completed=(event(subject="a", headline="receipt"),)))
    (claim,) = await store.claim(0, 1)
    assert (claim.task, claim.deliveries[0].event.headline) == (Task.SEND, "receipt")
    await store.settle(claim.deliveries, Sent("m"))
    assert await store.claim(0, 1) == []


async def test_an_edit_of_a_message_that_is_gone_settles_that_delivery_only(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(), ALICE, BOB)))
    for claim in await store.claim(0, 9):
        await store.settle(claim.deliveries, Sent("m"))
    await store.commit_tick(tick(1, completed=(event(headline="one"),)))
    gone, other = await store.claim(0, 9)
    await store.settle(gone.deliveries, Dead("message gone"))
    await store.settle(other.deliveries, Later(0, "429"))
    await store.commit_tick(tick(1, completed=(event(headline="two"),)))
    (again,) = await store.claim(0, 9)
    assert again.chat == other.chat
    assert await states(store) == {"sent": 1, "editing": 1}


async def test_a_repeat_may_not_come_from_the_same_alert_committed_twice(store: Store) -> None:
    await owe(store, 0, "a")
    (claim,) = await store.claim(0, 1)
    await store.settle(claim.deliveries, Sent("m"))
    await owe(store, 0, "a")
    assert await store.claim(0, 1) == []
