"""A small bot that can be killed at any statement, and the process that bears and kills such bots.

Run as a program it reads orders, one JSON object a line, forks a child for each (a fork spares each child the imports)
and answers with one line: whether the child had booted and whether it was killed. The child commits ticks, some with an
alert to two chats, and delivers them to a file; a later child goes on where the killed one left off.
"""

import asyncio
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.deliver import Deliverer, Notice, words
from bot.message import Message
from bot.pacing import Limits, Rate
from storage.outbox import Claim, Sent
from storage.sqlite import SqliteStore
from storage.store import Committed, Opened, TickCommit
from tests.storage.make import ALICE, BOB, START_MS, alert, event, tick

BAR_MS = 300_000


class Killed:
    """Ends the process, as the kernel would, at the n-th step."""

    def __init__(self, at_step: int | None) -> None:
        self.left = at_step

    def step(self, *_: object) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Watched(SqliteStore):
    """Every SQL statement is a step."""

    def __init__(self, path: Path, killed: Killed) -> None:
        super().__init__(path, "recorded")
        self.killed = killed

    def _open(self) -> Opened:
        opened = super()._open()
        self._connection.set_trace_callback(self.killed.step)
        return opened


class StateFirst(Watched):
    """Planted fault: the detectors' state is committed before the alerts it led to."""

    async def commit_tick(self, tick: TickCommit) -> Committed:
        await super().commit_tick(replace(tick, events=(), alerts=()))
        return await super().commit_tick(tick)


class SentFirst(Watched):
    """Planted fault: a delivery is marked as sent before it is."""

    async def claim(self, now_ms: int, limit: int, **options: Any) -> Sequence[Claim]:
        claims = await super().claim(now_ms, limit, **options)
        for claim in claims:
            await self.settle(claim.deliveries, Sent("m"))
        return claims


FAULTS = {"none": Watched, "state_first": StateFirst, "sent_first": SentFirst}


class FilePlatform:
    """Appends a line for each message; before and after are steps."""

    name = "console"
    per_second = 1e6

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id, (Rate(1e6),))

    def __init__(self, path: Path, killed: Killed) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.killed = killed

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
        self.killed.step()
        repeat = any("Possible repeat" in line for line in message.footer)
        os.write(self.file, (json.dumps([chat_id, message.alert_id, repeat]) + "\n").encode())
        self.killed.step()
        return nonce

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None:
        raise NotImplementedError


def alerts_of(n: int) -> list[str]:
    """Subjects of the n-th tick's alerts: every third tick has one."""
    return [f"cluster-{n}"] if n % 3 == 1 else []


def expected(ticks: int) -> set[tuple[str, str]]:
    """(chat, alert id) of every message that must arrive."""
    subjects = [(n, subject) for n in range(ticks) for subject in alerts_of(n)]
    return {(chat.chat_id, event(n, subject=subject).key) for chat in (ALICE, BOB) for n, subject in subjects}


async def live(folder: Path, ticks: int, fault: str, at_step: int | None, booted: int) -> None:
    killed = Killed(at_step)
    store = FAULTS[fault](folder / "bot.db", killed)
    await store.open()
    platform = FilePlatform(folder / "sent.jsonl", killed)

    async def compose(task: Any, notices: Sequence[Notice]) -> Message:
        return words(task, notices)

    deliverer = Deliverer(store, [platform], compose, look_every_s=0.01)
    os.write(booted, b"!")
    cursor = (await store.load_market("BTC")).cursor
    first = (
        0 if cursor is None or cursor.bar_opened_at_ms is None else (cursor.bar_opened_at_ms - START_MS) // BAR_MS + 1
    )
    delivering = asyncio.create_task(deliverer.run())
    for n in range(first, ticks):
        await store.commit_tick(tick(n, *(alert(event(n, subject=s), ALICE, BOB) for s in alerts_of(n))))
        deliverer.wake()
    while set((await store.counts()).deliveries) - {"sent"}:  # noqa: ASYNC110 - another task empties it
        await asyncio.sleep(0.002)
    await deliverer.stop()
    await delivering
    await store.close()


def bear(order: dict[str, Any]) -> dict[str, bool]:
    """One child's life. ``kill_after_s`` counts from its boot; ``at_step`` makes it kill itself."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(live(Path(order["folder"]), order["ticks"], order["fault"], order["at_step"], writes))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must never return from its fork
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(writes)
    booted = os.read(reads, 1) == b"!"
    os.close(reads)
    if order["kill_after_s"] is not None:
        time.sleep(order["kill_after_s"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"booted": booted, "killed": os.WIFSIGNALED(status), "failed": os.WIFEXITED(status) and status != 0}


def main() -> None:
    while select.select([sys.stdin], [], [])[0] and (line := sys.stdin.readline()):
        print(json.dumps(bear(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
