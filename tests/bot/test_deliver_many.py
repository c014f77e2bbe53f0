"""Delivery to many chats and platforms: places, waits, digests, sound, answers, and work that is done once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bot import deliver
from bot.deliver import FAULTS_ALLOWED, IN_FLIGHT, Deliverer
from bot.errors import Moved, Retry
from bot.pacing import Limits, Rate
from detectors.event import Severity
from storage.chat_settings import ChatSettings, Sound
from storage.chats import Chat
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from storage.store import NewAlert, NewDelivery, StoredAlert
from tests.bot.delivering import Bench, FakePlatform, compose, running, until
from tests.storage.make import ALICE, BOB, alert, event, evidence, released, tick


@dataclass
class Groups(FakePlatform):
    """Topics, ``GROUP/TOPIC``, share the pace of their group."""

    name: str = "groups"
    burst: int = 1
    group_per_second: float = 1.0

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id.partition("/")[0], (Rate(self.group_per_second, self.burst),))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store = SqliteStore(None, "recorded")
    await store.open()
    yield Bench(store, FakePlatform())
    await store.close()


async def test_a_platform_that_hangs_takes_no_place_from_another(bench: Bench) -> None:
    slow = FakePlatform()
    slow.name = "slow"
    chats = [Chat("slow", str(n)) for n in range(IN_FLIGHT + 5)]
    slow.seconds = {chat.chat_id: 60 for chat in chats}
    await bench.store.commit_tick(tick(0, alert(event(subject="a", headline="long a"), *chats, BOB)))
    deliverer = Deliverer(bench.store, [slow, bench.platform], compose, now_ms=lambda: 0, look_every_s=0.01)
    async with running(deliverer):
        await until(lambda: bench.platform.titles(BOB) == ["🟢 long a"])
        assert slow.in_flight == IN_FLIGHT
        await deliverer.stop(within_s=0)


async def test_topics_that_wait_for_their_group_s_turn_hold_no_place_that_others_need(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "LONGEST_TURN_S", 0.05)
    groups = Groups(group_per_second=50.0, burst=2)
    topics = [Chat("groups", f"{group}/{topic}") for topic in range(20) for group in ("a", "b")]
    others = [Chat("groups", str(n)) for n in range(5)]
    await bench.store.commit_tick(tick(0, alert(event(), *topics)))
    await bench.store.commit_tick(tick(1, alert(event(1, subject="later"), *others)))
    deliverer = Deliverer(bench.store, [groups], compose, look_every_s=5.0)
    began_s = asyncio.get_running_loop().time()
    async with running(deliverer):
        await until(lambda: len(groups.sent) == len(topics) + len(others))
    took_s = asyncio.get_running_loop().time() - began_s
    order = [chat_id for chat_id, _ in groups.sent]
    assert sorted(order) == sorted(chat.chat_id for chat in (*topics, *others))
    assert max(order.index(chat.chat_id) for chat in others) < 15
    assert 18 / 50 <= took_s < 1.5, "each group keeps its pace, and its turns are used as they come"
    attempts = await bench.store._read(lambda c: c.execute("SELECT max(attempts) FROM deliveries").fetchone())
    assert attempts == (2,), "a turn that is waited for is kept"


async def test_a_platform_that_tells_the_bot_to_wait_is_left_alone_and_others_go_on(bench: Bench) -> None:
    asked = FakePlatform()
    asked.name = "asked"
    one, two = Chat("asked", "1"), Chat("asked", "2")
    asked.fails["1"] = [Retry("429 everywhere", 0.3, everywhere=True)]
    await bench.store.commit_tick(tick(0, alert(event(subject="a", headline="long a"), one)))
    deliverer = Deliverer(bench.store, [asked, bench.platform], compose, look_every_s=0.01)
    began_s = asyncio.get_running_loop().time()
    async with running(deliverer):
        await until(lambda: not asked.fails["1"])
        await bench.store.commit_tick(tick(1, alert(event(1, subject="b", headline="long b"), two, BOB)))
        deliverer.wake()
        await until(lambda: bench.platform.titles(BOB) == ["🟢 long b"])
        assert asked.sent == []
        await until(lambda: len(asked.sent) == 2)
        assert asyncio.get_running_loop().time() - began_s >= 0.3


async def test_quiet_hours_end_in_one_digest_that_names_every_alert(bench: Bench) -> None:
    until_ms = event().taken_at_ms + 1
    for n in range(3):
        held = NewDelivery(ALICE, "quiet", None, until_ms)
        await bench.store.commit_tick(tick(n, NewAlert(event(n, subject=f"s{n}", headline=f"long {n}"), (held,))))
    deliverer = bench.deliverer()
    await deliverer.drain()
    assert bench.platform.sent == []
    await released(bench.store, until_ms)
    await deliverer.drain()
    (message,) = [message for _, message in bench.platform.sent]
    assert message.title == "While it was quiet: 3 alerts"
    assert message.lines == ("🟢 long 0", "🟢 long 1", "🟢 long 2")
    await bench.deliverer().drain()
    assert len(bench.platform.sent) == 1


@pytest.mark.parametrize(
    ("sound", "severity", "silent"),
    [
        (Sound.ALL, Severity.NOTICE, False),
        (Sound.SEVERE, Severity.NOTICE, True),
        (Sound.SEVERE, Severity.WARNING, False),
        (Sound.NONE, Severity.CRITICAL, True),
    ],
)
async def test_a_chat_chooses_what_arrives_with_a_sound(
    bench: Bench, sound: Sound, severity: Severity, silent: bool
) -> None:
    await bench.store.set_chat_settings(ALICE, ChatSettings(sound=sound))
    await bench.store.commit_tick(tick(0, alert(event(severity=severity), ALICE)))
    await bench.deliverer().drain()
    assert [message.silent for _, message in bench.platform.sent] == [silent]


async def test_a_sweep_answers_the_message_about_the_same_cluster_in_that_chat(bench: Bench) -> None:
    await bench.store.commit_tick(tick(0, alert(event(), ALICE)))
    deliverer = bench.deliverer()
    await deliverer.drain()
    await bench.store.commit_tick(tick(1, alert(event(1, kind="cluster_consumed"), ALICE, BOB)))
    await deliverer.drain()
    assert {(chat, message.reply_to) for chat, message in bench.platform.sent} == {
        ("alice", None),
        ("alice", "message-1"),
        ("bob", None),
    }


async def test_what_an_alert_drew_is_read_once_however_many_chats_get_it(bench: Bench) -> None:
    chats = [Chat("console", f"chat {n}") for n in range(100)]
    await bench.store.commit_tick(tick(0, alert(event(evidence=evidence()), *chats)))
    read, real = 0, bench.store.alert

    async def counted(alert_id: str) -> StoredAlert | None:
        nonlocal read
        read += 1
        return await real(alert_id)

    bench.store.alert = counted  # type: ignore[method-assign]
    await bench.deliverer().drain()
    assert (len(bench.platform.sent), read) == (100, 1)


async def test_a_store_that_cannot_be_read_for_long_loses_no_alert(bench: Bench) -> None:
    failures, real = FAULTS_ALLOWED + 3, bench.store.alert

    async def failing(alert_id: str) -> StoredAlert | None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailable("the disk is gone")
        return await real(alert_id)

    bench.store.alert = failing  # type: ignore[method-assign]
    await bench.owe("a")
    deliverer = bench.deliverer()
    while failures >= 0:
        assert bench.platform.sent == []
        bench.now_ms += 60_000
        await deliverer.drain()
    assert bench.platform.titles(ALICE) == ["🟢 long a"]
    assert not any("Possible repeat" in line for line in bench.platform.sent[0][1].footer)


async def test_many_chats_are_settled_in_few_commits(bench: Bench) -> None:
    chats = [Chat("console", f"chat {n}") for n in range(200)]
    await bench.store.commit_tick(tick(0, alert(event(), *chats)))
    commits, real = 0, bench.store._write

    async def counted(work: Callable[[Any], Any], committed: Callable[[Any], Any] | None = None) -> Any:
        nonlocal commits
        commits += 1
        return await real(work, committed)

    bench.store._write = counted  # type: ignore[method-assign]
    await bench.deliverer().drain()
    assert await bench.states() == {"sent": 200}
    assert commits < 100


async def test_a_chat_that_moved_is_served_where_it_is_now(bench: Bench) -> None:
    bench.platform.fails["alice"] = [Moved("upgraded to a supergroup", "-100")]
    await bench.owe("a", "b")
    async with asyncio.timeout(10):  # who does not follow tries for ever
        await bench.deliverer().drain()
    assert bench.platform.titles(Chat("console", "-100")) == ["🟢 long a", "🟢 long b"]
