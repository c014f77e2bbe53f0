"""Delivery: what reaches a chat, how often, and what happens when it cannot."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from bot.deliver import FAULTS_ALLOWED, Deliverer, Notice, nonce, words
from bot.errors import Fatal, Reject, Retry
from bot.message import Message
from detectors.market import MINUTE_MS
from storage.chats import Chat
from storage.conversations import Context
from storage.errors import StoreUnavailable
from storage.outbox import Claim, Delivery, Later, Settlement, Task
from storage.sqlite import SqliteStore
from tests.bot.delivering import Bench, FakePlatform, running, until
from tests.storage.make import ALICE, BOB, alert, event, evidence, tick


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store = SqliteStore(None, "recorded")
    await store.open()
    yield Bench(store, FakePlatform())
    await store.close()


async def test_every_alert_reaches_its_chat_once_and_in_order(bench: Bench) -> None:
    await bench.owe("a", "b", "c")
    await bench.owe("d", chat=BOB)
    await bench.deliverer().drain()
    assert bench.platform.titles(ALICE) == ["🟢 long a", "🟢 long b", "🟢 long c"]
    assert bench.platform.titles(BOB) == ["🟢 long d"]
    assert await bench.states() == {"sent": 4}
    await bench.deliverer().drain()
    assert len(bench.platform.sent) == 4


async def test_a_chat_never_has_two_sends_in_flight(bench: Bench) -> None:
    bench.platform.seconds["alice"] = 0.005
    await bench.owe("a", "b", "c", "d")
    await bench.deliverer().drain()
    assert bench.platform.most_in_flight == {"alice": 1}


async def test_a_chat_told_to_wait_does_not_delay_another(bench: Bench) -> None:
    bench.platform.fails["alice"] = [Retry("429", after_s=30)]
    await bench.owe("a", "b")
    await bench.owe("c", chat=BOB)
    deliverer = bench.deliverer()
    async with asyncio.timeout(10):  # by the clock of this test, for those who wait though they need not
        await deliverer.drain()
    assert (bench.platform.titles(ALICE), bench.platform.titles(BOB)) == ([], ["🟢 long c"])
    bench.now_ms = 29_999
    await deliverer.drain()
    assert bench.platform.titles(ALICE) == []
    bench.now_ms = 30_000
    await deliverer.drain()
    assert bench.platform.titles(ALICE) == ["🟢 long a", "🟢 long b"]


async def test_a_slow_chat_does_not_delay_another(bench: Bench) -> None:
    bench.platform.seconds["alice"] = 60
    await bench.owe("a")
    await bench.owe("b", "c", chat=BOB)
    async with running(bench.deliverer()) as deliverer:
        await until(lambda: len(bench.platform.titles(BOB)) == 2)
        await deliverer.stop(within_s=0)


async def test_a_clear_refusal_is_no_possible_repeat_and_a_lost_answer_is(bench: Bench) -> None:
    bench.platform.fails = {"alice": [Retry("429", 0)], "bob": [Retry("reset", 0, ambiguous=True)]}
    await bench.owe("a")
    await bench.owe("b", chat=BOB)
    await bench.deliverer().drain()
    said = {chat: any("Possible repeat" in line for line in message.footer) for chat, message in bench.platform.sent}
    assert said == {"alice": False, "bob": True}
    assert len(set(bench.platform.nonces)) == 2


async def test_a_chat_that_is_gone_is_parked_and_never_tried_again(bench: Bench) -> None:
    bench.platform.fails["alice"] = [Reject("bot was blocked", chat_gone=True)]
    await bench.owe("a", "b")
    await bench.owe("c", chat=BOB)
    await bench.deliverer().drain()
    assert [chat for chat, _ in bench.platform.sent] == ["bob"]
    assert await bench.states() == {"dead": 2, "sent": 1}
    assert (await bench.store.counts()).parked == {ALICE: "bot was blocked"}


async def test_a_message_refused_for_good_does_not_stop_the_next(bench: Bench) -> None:
    bench.platform.fails["alice"] = [Reject("too long")]
    await bench.owe("a", "b")
    await bench.deliverer().drain()
    assert bench.platform.titles(ALICE) == ["🟢 long b"]
    assert await bench.states() == {"dead": 1, "sent": 1}
    assert (await bench.store.counts()).parked == {}


async def test_a_fault_is_tried_a_few_times_and_then_given_up(bench: Bench) -> None:
    bench.platform.fails["alice"] = [ZeroDivisionError()] * FAULTS_ALLOWED
    await bench.owe("a", "b")
    deliverer = bench.deliverer()
    for _ in range(FAULTS_ALLOWED):
        assert bench.platform.titles(ALICE) == []
        bench.now_ms += 60_000
        await deliverer.drain()
    assert bench.platform.titles(ALICE) == ["🟢 long b"]
    assert await bench.states() == {"dead": 1, "sent": 1}


async def test_a_delivery_that_was_tried_a_thousand_times_is_still_settled(bench: Bench) -> None:
    bench.platform.fails["alice"] = [TimeoutError()]
    await bench.owe("a")
    await bench.store._write(lambda connection: connection.execute("UPDATE deliveries SET attempts = 1100"))
    deliverer = bench.deliverer()
    await deliverer.drain()
    bench.now_ms += 60_000
    await deliverer.drain()
    assert await bench.states() == {"sent": 1}


async def test_what_waits_out_a_pause_of_its_platform_is_composed_anew_and_says_how_late_it_is(bench: Bench) -> None:
    one = event(subject="a", headline="long a")
    bench.market_ms = one.taken_at_ms
    bench.platform.fails["alice"] = [Retry("banned", 0.05, everywhere=True)]
    bench.platform.seconds["alice"] = 0.02
    await bench.store.commit_tick(tick(0, alert(one, ALICE), alert(event(subject="b", headline="long b"), BOB)))
    deliverer = bench.deliverer()
    turn = deliverer._turn
    deliverer._turn = lambda chat, platform: turn(chat, platform) + (0.04 if chat == BOB else 0.0)  # type: ignore[method-assign]
    async with running(deliverer):
        await until(lambda: bool(deliverer._paused_until_s))
        bench.market_ms += 15 * MINUTE_MS
        await until(lambda: bool(bench.platform.titles(BOB)))
    (message,) = [message for chat, message in bench.platform.sent if chat == BOB.chat_id]
    assert "late" in " ".join((message.title, *message.lines))


async def test_what_a_delivery_waited_for_is_not_held_against_it_when_a_fault_comes(bench: Bench) -> None:
    bench.platform.fails["alice"] = [*[Retry("not logged in yet", 1.0)] * FAULTS_ALLOWED, ZeroDivisionError()]
    await bench.owe("a")
    deliverer = bench.deliverer()
    for _ in range(FAULTS_ALLOWED + 2):
        bench.now_ms += 600_000
        await deliverer.drain()
    assert await bench.states() == {"sent": 1}


async def test_where_the_store_goes_away_right_after_a_claim_the_chat_is_served_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts, failures = bench.store.contexts, [StoreUnavailable("cut off")] * 2

    async def cut_off_at_first(claims: Sequence[Claim]) -> Sequence[Context]:
        if failures:
            raise failures.pop()
        return await contexts(claims)

    monkeypatch.setattr(bench.store, "contexts", cut_off_at_first)
    await bench.owe("a")
    deliverer = bench.deliverer()
    await deliverer.drain()
    assert await bench.states() == {"pending": 1}
    bench.now_ms += 60_000
    await deliverer.drain()
    assert bench.platform.titles(ALICE) == ["🟢 long a"]


async def test_a_platform_that_is_not_configured_keeps_its_alerts(bench: Bench) -> None:
    await bench.owe("a", chat=Chat("discord", "1"))
    await bench.deliverer().drain()
    assert await bench.states() == {"pending": 1}


async def test_a_fatal_refusal_ends_the_run_and_loses_nothing(bench: Bench) -> None:
    bench.platform.fails["alice"] = [Fatal("token revoked")]
    await bench.owe("a")
    with pytest.raises(Fatal, match="token revoked"):
        await asyncio.wait_for(bench.deliverer().run(), 5)
    assert await bench.states() == {"pending": 1}


async def test_a_storm_becomes_one_message_that_names_every_alert(bench: Bench) -> None:
    await bench.owe(*"abcdef")
    await bench.deliverer().drain()
    (message,) = [message for _, message in bench.platform.sent]
    assert message.title == "6 alerts in 1 minute"
    assert list(message.lines) == [f"🟢 long {subject}" for subject in "abcdef"]
    assert await bench.states() == {"sent": 6}


async def test_a_storm_whose_answer_was_lost_says_that_it_may_be_a_repeat(bench: Bench) -> None:
    bench.platform.fails["alice"] = [Retry("reset", 0, ambiguous=True)]
    await bench.owe(*"abcdef")
    await bench.deliverer().drain()
    assert "Possible repeat" in bench.platform.sent[0][1].footer[0]


async def test_alerts_too_late_are_said_once_and_count_as_expired(bench: Bench) -> None:
    soon = event().taken_at_ms + 600_000
    await bench.owe("a", "b", expires_at_ms=soon)
    bench.market_ms = soon + 1
    await bench.deliverer().drain()
    (message,) = [message for _, message in bench.platform.sent]
    assert message.title == "Too late to send in full: 2 alerts"
    assert list(message.lines) == ["🟢 long a", "🟢 long b"]
    assert await bench.states() == {"expired": 2}


async def test_a_late_alert_says_how_late_it_is(bench: Bench) -> None:
    await bench.owe("a")
    bench.market_ms = event().taken_at_ms + 5 * 60_000
    await bench.deliverer().drain()
    assert "late by 5 min" in bench.platform.sent[0][1].lines[0]


async def test_a_completed_event_edits_its_message(bench: Bench) -> None:
    await bench.owe("a")
    deliverer = bench.deliverer()
    await deliverer.drain()
    await bench.store.commit_tick(tick(1, completed=(event(subject="a", headline="long a, swept"),)))
    await deliverer.drain()
    ((chat_id, message_id, message),) = bench.platform.edits
    assert (chat_id, message_id, message.title) == ("alice", "message-1", "🟢 long a, swept")
    assert len(bench.platform.sent) == 1


async def test_an_edit_minutes_later_does_not_say_that_the_alert_was_late(bench: Bench) -> None:
    bench.market_ms = event().taken_at_ms
    await bench.owe("a")
    deliverer = bench.deliverer()
    await deliverer.drain()
    bench.market_ms += 10 * 60_000
    await bench.store.commit_tick(tick(1, completed=(event(subject="a", headline="swept"),)))
    await deliverer.drain()
    ((_, _, message),) = bench.platform.edits
    assert not [line for line in (*bench.platform.sent[0][1].lines, *message.lines) if "late" in line]


async def test_an_alert_that_came_late_says_so_after_its_edit_too(bench: Bench) -> None:
    await bench.owe("a")
    bench.market_ms = event().taken_at_ms + 5 * 60_000
    deliverer = bench.deliverer()
    await deliverer.drain()
    bench.market_ms += 10 * 60_000
    for minute, headline in enumerate(("swept", "swept, and more"), 1):
        await bench.store.commit_tick(tick(minute, completed=(event(subject="a", headline=headline),)))
        await deliverer.drain()
    assert ["late by 5 min" in message.lines[0] for _, _, message in bench.platform.edits] == [True, True]


async def test_an_edit_that_is_refused_leaves_the_delivery_sent(bench: Bench) -> None:
    await bench.owe("a")
    deliverer = bench.deliverer()
    await deliverer.drain()
    bench.platform.fails["alice"] = [Reject("message gone")]
    await bench.store.commit_tick(tick(1, completed=(event(subject="a", headline="swept"),)))
    await deliverer.drain()
    assert (bench.platform.edits, await bench.states()) == ([], {"sent": 1})


async def test_an_alert_alone_is_composed_with_its_evidence(bench: Bench) -> None:
    seen: list[Notice] = []

    async def keep(task: Task, notices: Sequence[Notice]) -> Message:
        seen.extend(notices)
        return words(task, notices)

    await bench.store.commit_tick(tick(0, alert(event(evidence=evidence()))))
    await Deliverer(bench.store, [bench.platform], keep).drain()
    assert seen[0].event.evidence == evidence()


async def test_a_stop_lets_what_is_being_sent_finish_and_starts_nothing_new(bench: Bench) -> None:
    bench.platform.seconds["alice"] = 0.05
    await bench.owe("a", "b", "c")
    async with running(bench.deliverer()) as deliverer:
        await until(lambda: bench.platform.in_flight == 1)
        await deliverer.stop()
    assert bench.platform.titles(ALICE) == ["🟢 long a"]
    assert await bench.states() == {"sent": 1, "pending": 2}
    bench.platform.seconds.clear()
    await bench.deliverer().drain()
    assert bench.platform.titles(ALICE) == ["🟢 long a", "🟢 long b", "🟢 long c"]
    assert not any("Possible repeat" in line for _, message in bench.platform.sent for line in message.footer)


async def test_a_send_that_outlasts_the_stop_is_returned_as_a_possible_repeat(bench: Bench) -> None:
    bench.platform.seconds["alice"] = 60
    await bench.owe("a")
    async with running(bench.deliverer()) as deliverer:
        await until(lambda: bench.platform.in_flight == 1)
        await deliverer.stop(within_s=0.01)
    assert await bench.states() == {"pending": 1}
    (claim,) = await bench.store.claim(10**15, 1)
    assert claim.deliveries[0].possible_repeat


async def test_what_waits_for_its_turn_when_the_stop_comes_is_not_sent(bench: Bench) -> None:
    bench.platform.chat_per_second = 10
    await bench.owe("a", "b")
    async with running(bench.deliverer()) as deliverer:
        await until(lambda: len(bench.platform.sent) == 1)
        await asyncio.sleep(0.05)
        await deliverer.stop()
    assert bench.platform.titles(ALICE) == ["🟢 long a"]
    (claim,) = await bench.store.claim(10**15, 1)
    assert not claim.deliveries[0].possible_repeat


async def test_a_stop_in_the_middle_of_a_claim_leaves_nothing_claimed(bench: Bench) -> None:
    await bench.owe("a", "b", "c", "d")
    deliverer = bench.deliverer()
    run = asyncio.create_task(deliverer.run())
    await asyncio.sleep(0)
    await deliverer.stop()
    await run
    assert set(await bench.states()) <= {"pending", "sent"}


async def test_an_alert_that_went_out_while_the_disk_was_full_is_not_sent_again(bench: Bench) -> None:
    real, failures = bench.store.settle, 3

    async def settle(deliveries: Sequence[Delivery], settlement: Settlement) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailable("disk full")
        await real(deliveries, settlement)

    bench.store.settle = settle  # type: ignore[method-assign]
    await bench.owe("a", "b")
    await bench.deliverer().drain()
    assert bench.platform.titles(ALICE) == ["🟢 long a", "🟢 long b"]
    assert await bench.states() == {"sent": 2}


async def test_a_chat_is_spoken_to_at_its_platforms_pace(bench: Bench) -> None:
    bench.platform.chat_per_second = 20
    await bench.owe("a", "b", "c")
    start = asyncio.get_running_loop().time()
    await bench.deliverer().drain()
    assert asyncio.get_running_loop().time() - start >= 2 / 20


async def test_a_nonce_names_the_alert_and_the_chat_and_survives_a_restart(bench: Bench) -> None:
    await bench.store.commit_tick(tick(0, alert(event(), ALICE, BOB)))
    claims = await bench.store.claim(0, 9)
    first, second = (nonce(claim.deliveries) for claim in claims)
    assert first != second
    assert len(first) == 24
    for claim in claims:
        await bench.store.settle(claim.deliveries, Later(0, "no answer", ambiguous=True))
    again = await bench.store.claim(0, 9)
    assert [claim.deliveries[0].attempts for claim in again] == [2, 2]
    assert [nonce(claim.deliveries) for claim in again] == [first, second]
