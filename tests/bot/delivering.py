"""A store, a platform that keeps what it was told, and their deliverer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from bot.deliver import Deliverer, Notice, words
from bot.message import Message
from bot.pacing import Limits, Rate
from storage.chats import Chat
from storage.outbox import Task
from storage.sqlite import SqliteStore
from tests.storage.make import ALICE, alert, event, tick


@dataclass
class FakePlatform:
    """Keeps what it was told; ``fails`` says with what each send to a chat ends, in order."""

    name: str = "console"
    per_second: float = 1e6
    chat_per_second: float = 1e6
    fails: dict[str, list[Exception]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    edits: list[tuple[str, str, Message]] = field(default_factory=list)
    nonces: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: dict[str, int] = field(default_factory=dict)

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id, (Rate(self.chat_per_second),))

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
        self.in_flight += 1
        self.most_in_flight[chat_id] = max(self.most_in_flight.get(chat_id, 0), self.in_flight)
        self.nonces.append(nonce)
        try:
            await asyncio.sleep(self.seconds.get(chat_id, 0))
            if self.fails.get(chat_id):
                raise self.fails[chat_id].pop(0)
        finally:
            self.in_flight -= 1
        self.sent.append((chat_id, message))
        return f"message-{len(self.sent)}"

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None:
        if self.fails.get(chat_id):
            raise self.fails[chat_id].pop(0)
        self.edits.append((chat_id, message_id, message))

    def titles(self, chat: Chat) -> list[str]:
        return [message.title for chat_id, message in self.sent if chat_id == chat.chat_id]


async def compose(task: Task, notices: Sequence[Notice]) -> Message:
    return words(task, notices)


@dataclass
class Bench:
    """A store, a platform and their deliverer, with clocks that stand where they are put."""

    store: SqliteStore
    platform: FakePlatform
    now_ms: int = 0
    market_ms: int | None = None

    def deliverer(self) -> Deliverer:
        market_ms = None if self.market_ms is None else lambda: self.market_ms or 0
        return Deliverer(
            self.store,
            [self.platform],
            compose,
            market_ms=market_ms,
            now_ms=lambda: self.now_ms,
            look_every_s=0.01,
        )

    async def owe(self, *subjects: str, chat: Chat = ALICE, expires_at_ms: int | None = None) -> None:
        alerts = (alert(event(subject=s, headline=f"long {s}"), chat, expires_at_ms=expires_at_ms) for s in subjects)
        await self.store.commit_tick(tick(0, *alerts))

    async def states(self) -> dict[str, int]:
        return dict((await self.store.counts()).deliveries)


@contextlib.asynccontextmanager
async def running(deliverer: Deliverer) -> AsyncIterator[Deliverer]:
    task = asyncio.create_task(deliverer.run())
    yield deliverer
    await deliverer.stop()
    await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for is a fake that knows no event
            await asyncio.sleep(0.001)
