"""The real platform on the local server, with commands that a test answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from bot.message import Message
from bot.platforms.seam import CommandSpec, Request, Suggest, Verdict
from bot.platforms.telegram import TelegramPlatform
from storage.chats import Chat
from tests.chats.telegram_limits import Limits
from tests.chats.telegram_server import TelegramServer

SPECS = (
    CommandSpec("watch", "/watch SYMBOL", "alerts on a market", changes=True),
    CommandSpec("mute", "/mute 2h", "silence", changes=True),
    CommandSpec("why", "/why ALERT", "why an alert came"),
    CommandSpec("status", "/status", "how things are"),
)


@dataclass
class Upkept:
    """`bot.platforms.seam.Upkeep` that remembers what it was told."""

    told: list[tuple[str, str]] = field(default_factory=list)

    async def gone(self, chats: Sequence[Chat], reason: str) -> None:
        self.told += [("gone", chat.chat_id) for chat in chats]

    async def back(self, chats: Sequence[Chat]) -> None:
        self.told += [("back", chat.chat_id) for chat in chats]

    async def moved(self, old: Chat, new: Chat) -> None:
        self.told.append(("moved", f"{old.chat_id} to {new.chat_id}"))


@dataclass
class Rig:
    server: TelegramServer
    platform: TelegramPlatform
    upkept: Upkept
    asked: list[Request] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    answer: Callable[[Request], Message] = lambda request: Message(f"You said {request.text}")
    before_commit: asyncio.Event | None = None
    task: asyncio.Task[None] | None = None
    """The platform's run."""

    async def handle(self, request: Request) -> Message:
        """Answers what the test says; a command that changes something is refused to whoever may not."""
        self.asked.append(request)
        if self.before_commit is not None:
            await self.before_commit.wait()
        if request.text.split()[0].lstrip("/") in {spec.name for spec in SPECS if spec.changes}:
            self.verdicts.append(await request.may_change())
            if not self.verdicts[-1].allowed:
                return Message("Not changed: only admins may do that here.", (self.verdicts[-1].why,), private=True)
        return self.answer(request)

    async def verdict(self) -> Verdict:
        """The one that the last command got."""
        count = len(self.verdicts)
        await self.server.until(lambda: len(self.verdicts) > count)
        return self.verdicts[-1]

    async def texts(self, chat_id: int, count: int) -> list[str]:
        """What the bot wrote in a chat, once there are so many."""
        await self.server.until(lambda: len(self.server.sent(chat_id)) >= count)
        return [letter.words for letter in self.server.sent(chat_id)]


async def no_words(_chat: Chat, _choices: object, _typed: str) -> list[str]:
    return []


SUGGEST: Suggest = no_words


@asynccontextmanager
async def running(
    server: TelegramServer | None = None, *, limits: Limits | None = None, connected: bool = True
) -> AsyncIterator[Rig]:
    """A platform that receives. ``connected``: wait until it does."""
    async with server or TelegramServer(limits=limits) as server:
        settings = SimpleNamespace(per_second=25.0)
        platform = TelegramPlatform.from_environment(server.environment, settings)
        rig = Rig(server, platform, Upkept())
        await platform.start(rig.handle, SPECS, SUGGEST, rig.upkept)
        task = rig.task = asyncio.create_task(platform.run())
        try:
            if connected:
                await server.until(lambda: server.api.calls["getupdates"])
            yield rig
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await platform.stop()


async def no_answer(request: Request) -> Message:
    raise AssertionError(f"nobody asks anything here: {request.text}")
