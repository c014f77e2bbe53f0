"""Fixtures of the tests of Discord."""

from collections.abc import AsyncIterator

import pytest

from tests.bot.platforms.discord.rig import Rig, running
from tests.chats.discord_server import DiscordServer
from tests.chats.discord_server.world import Channel


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as started:
        yield started


@pytest.fixture
def channel(server: DiscordServer) -> Channel:
    """Of a guild that the bot is in with all it needs."""
    return server.world.channel(server.world.guild())


@pytest.fixture
async def rig(server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """Connected."""
    async with running(server, monkeypatch) as started:
        yield started


@pytest.fixture
async def rest(server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """Logged in, its gateway never connected."""
    async with running(server, monkeypatch, run=False) as started:
        yield started
