"""P7, as the host sees it: what no chat can be served after ends the *process*, non-zero, within five seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.sqlite import SqliteStore
from tests.chats.bot_process import bot_process
from tests.chats.discord_server import DiscordServer
from tests.chats.telegram_server import TelegramServer

ENDS_WITHIN_S = 5.0


@dataclass
class Servers:
    telegram: TelegramServer
    discord: DiscordServer

    @property
    def environ(self) -> dict[str, str]:
        return {**self.telegram.environment, **self.discord.environment}

    async def heard(self) -> None:
        """Both platforms of the bot are up: one asks for updates, the other holds the gateway."""
        async with asyncio.timeout(30):
            while not (self.telegram.api.calls["getupdates"] and self.discord.gateway.connected):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as closing:
        telegram = await closing.enter_async_context(TelegramServer())
        yield Servers(telegram, await closing.enter_async_context(DiscordServer()))


async def closed_for_good(servers: Servers) -> None:
    await servers.discord.gateway.close_all(4014)


async def token_taken_back(servers: Servers) -> None:
    servers.telegram.token = f"{servers.telegram.token}-a-new-one"
    # What waits for updates is told at once.
    servers.telegram.world.say(ann := servers.telegram.world.started("Ann"), ann, "/status")


@pytest.mark.parametrize(
    ("trouble", "says"),
    [(closed_for_good, "privileged intents"), (token_taken_back, "BotFather")],
    ids=["Discord closes with 4014", "Telegram takes the token back"],
)
async def test_what_is_fatal_while_it_runs_ends_the_process_in_order(
    tmp_path: Path, servers: Servers, trouble: Callable[[Servers], Awaitable[None]], says: str
) -> None:
    async with bot_process(tmp_path, servers.environ) as bot:
        await bot.running()
        await servers.heard()
        began_s = time.monotonic()
        await trouble(servers)
        assert await bot.ended(ENDS_WITHIN_S) == 1
        assert time.monotonic() - began_s < ENDS_WITHIN_S
    assert says in bot.said
    assert "Traceback" not in bot.said
    assert not (tmp_path / "bot.db.lock").exists(), "the store was not closed"
    store = SqliteStore(tmp_path / "bot.db", "local")
    assert (await store.open()).notes == ()
    await store.close()


async def test_a_token_that_is_refused_at_the_start_ends_the_process_though_the_other_platform_is_well(
    tmp_path: Path, servers: Servers
) -> None:
    environ = {**servers.environ, "TELEGRAM_TOKEN": "4242:AAwrong-token-of-somebody-else-0123456789"}
    async with bot_process(tmp_path, environ) as bot:
        assert await bot.ended(60) == 1
    assert "BotFather" in bot.said
    assert "somebody-else" not in bot.said
