"""The real platform on the real discord.py against the strict local server, with scripted commands behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import discord
import pytest
import yarl

from bot.message import Message, handle_of
from bot.platforms.discord import DiscordPlatform, client
from bot.platforms.seam import Choices, CommandSpec, Option, Request
from storage.chats import Chat
from tests.chats.discord_server import DiscordServer

WATCH = CommandSpec(
    "watch",
    "/watch SYMBOL [kinds] [within N%]",
    "alerts on a market, or on all",
    (
        Option("kinds", "which kinds of alert", choices=Choices.KIND),
        Option("symbol", "which market", required=True, choices=Choices.MARKET),
        Option("within", "how near, in percent", prefix="within"),
    ),
    changes=True,
)
MAP = CommandSpec("map", "/map SYMBOL", "the map", (Option("symbol", "which market", required=True),))
STATUS = CommandSpec("status", "/status", "how it goes")
SPECS = (WATCH, MAP, STATUS)


@dataclass
class Behind:
    """What stands behind the platform: commands that answer as ``answers`` says, and the chats' upkeep."""

    requests: list[Request] = field(default_factory=list)
    answers: dict[str, Message] = field(default_factory=dict)
    """By the first word of a line."""
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited before each answer."""
    was_gone: list[tuple[str, str]] = field(default_factory=list)
    was_back: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: Request) -> Message:
        self.requests.append(request)
        if self.before is not None:
            await self.before()
        name = request.text.split()[0].lstrip("/")
        if name == "watch":
            verdict = await request.may_change()
            if not verdict.allowed:
                return Message("Not changed", (verdict.why,), private=True)
        return self.answers.get(name, Message(f"answer to {request.text}"))

    async def suggest(self, chat: Chat, choices: Choices, typed: str) -> Sequence[str]:
        words = {Choices.MARKET: ["BTC", "BTCDOM", "ETH"], Choices.KIND: ["formed", "approached", "consumed"]}
        return [word for word in words.get(choices, []) if word.lower().startswith(typed.lower())]

    async def gone(self, chats: Sequence[Chat], reason: str) -> None:
        self.was_gone += [(chat.chat_id, reason) for chat in chats]
        self.changed.set()

    async def back(self, chats: Sequence[Chat]) -> None:
        self.was_back += [chat.chat_id for chat in chats]
        self.changed.set()

    async def moved(self, old: Chat, new: Chat) -> None:
        raise AssertionError("no chat of Discord moves")


@dataclass
class Rig:
    server: DiscordServer
    platform: DiscordPlatform
    behind: Behind

    async def connected(self) -> None:
        await asyncio.wait_for(self.server.gateway.ready.wait(), 5)
        await eventually(lambda: self.platform.condition.startswith("connected"))

    async def logged_in(self) -> None:
        await eventually(lambda: self.platform.invite is not None)


async def eventually(holds: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for what no event tells of. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:  # what is waited for sets no event
            if holds():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    server: DiscordServer, monkeypatch: pytest.MonkeyPatch, *, run: bool = True, manager_role: str = ""
) -> AsyncIterator[Rig]:
    """Started, and with ``run`` its gateway connected."""
    monkeypatch.setattr(discord.http.Route, "BASE", server.base_url)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway_url))
    monkeypatch.setattr(client, "GUILDS_WITHIN_S", 0.05)
    behind = Behind()
    platform = DiscordPlatform(server.world.token, manager_role=manager_role, wait_s=0.02)
    await platform.start(behind.handle, SPECS, behind.suggest, behind)
    receiving = asyncio.create_task(platform.run()) if run else None
    rig = Rig(server, platform, behind)
    try:
        if receiving is not None:
            await rig.connected()
        else:
            await rig.logged_in()
        yield rig
    finally:
        if receiving is not None:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        await platform.stop()


def alert(title: str = "🔴 BTC short cluster 1.8% above: ~$42.1M", **changes: object) -> Message:
    message = Message(
        title,
        ("Price 94,200 at 10:15 UTC", "Size ~$42.1M · 1.4% of open interest"),
        ("~ estimated · others observed", "binance BTC/USDT:USDT · " + handle_of("cluster_formed:BTC:abc")),
        alert_id="cluster_formed:BTC:abc",
    )
    return replace(message, **changes)  # type: ignore[arg-type]
