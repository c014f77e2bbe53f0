"""Chat platforms as parts of the one process: built from config and environment, started, supervised, stopped.

Each platform runs as a task of its own. One that is down, or fails by a fault of ours, is started again with growing
waits and holds nobody else up; only `Fatal` (a token refused) ends the process.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from bot.config import Config
from bot.ending import cancelled
from bot.errors import Fatal
from bot.markets.feed import Source
from bot.platforms.seam import ChatPlatform, CommandSpec, Handle, Suggest
from storage.chats import Chat
from storage.store import Store

log = logging.getLogger(__name__)
SOURCES = frozenset({Source.LIVE, Source.LOCAL})
"""What may reach people's chats. A recording or a simulation is for the terminal alone."""
STOP_WITHIN_S = 3.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
SOUND_AFTER_S = 300.0
"""A platform that ran this long starts with a short wait again."""
_LOOK_FOR_INVITE_S = 0.5
TELEGRAM_TOKEN = "TELEGRAM_TOKEN"  # noqa: S105 - the name of the variable, not the token
DISCORD_TOKEN = "DISCORD_TOKEN"  # noqa: S105


def make_platforms(config: Config, environ: Mapping[str, str]) -> list[ChatPlatform]:
    """Those that are switched on, have a token and may be reached from this source. Raises Fatal, ConfigError."""
    if config.source.kind not in SOURCES:
        return []
    return configured(config, environ)


def configured(config: Config, environ: Mapping[str, str]) -> list[ChatPlatform]:
    """Those that are switched on and have a token, whatever the source. Each library is imported only if it is used."""
    found: list[ChatPlatform] = []
    if config.telegram.enabled and environ.get(TELEGRAM_TOKEN):
        found.append(_make("bot.platforms.telegram", "TelegramPlatform", environ, config.telegram))
    if config.discord.enabled and environ.get(DISCORD_TOKEN):
        found.append(_make("bot.platforms.discord", "DiscordPlatform", environ, config.discord))
    return found


def _make(module: str, name: str, environ: Mapping[str, str], settings: object) -> ChatPlatform:
    platform: ChatPlatform = getattr(importlib.import_module(module), name).from_environment(environ, settings)
    return platform


class Keeper:
    """`bot.platforms.seam.Upkeep` over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def gone(self, chats: Sequence[Chat], reason: str) -> None:
        await self._store.park_watching(chats, reason)

    async def back(self, chats: Sequence[Chat]) -> None:
        await self._store.unpark(*chats)

    async def moved(self, old: Chat, new: Chat) -> None:
        await self._store.migrate_chat(old, new)


class Chats:
    """The platforms of this process. ``say`` prints a line for whoever runs the bot."""

    def __init__(
        self,
        platforms: Sequence[ChatPlatform],
        store: Store,
        say: Callable[[str], None],
        *,
        wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self.platforms = tuple(platforms)
        self._keeper, self._say, self._wait_s = Keeper(store), say, wait_s
        self._started = False
        self._failing: dict[str, str] = {}

    def conditions(self) -> list[str]:
        """A sentence of each, for ``/status``."""
        return [self._failing.get(one.name) or f"{one.name}: {one.condition}" for one in self.platforms]

    async def start(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest) -> None:
        """Make every platform ready to send; to be called before anything is delivered. Raises Fatal."""
        self._started = True
        for platform in self.platforms:
            await platform.start(handle, specs, suggest, self._keeper)

    async def run(self) -> None:
        """Receive on every platform until cancelled. Raises Fatal."""
        tasks = [asyncio.create_task(self._supervise(one), name=one.name) for one in self.platforms]
        tasks += [asyncio.create_task(self._tell_invite(one), name=f"{one.name} invite") for one in self.platforms]
        try:
            while tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                    tasks.remove(task)
            await asyncio.Event().wait()
        finally:
            await cancelled(tasks)

    async def stop(self) -> None:
        """Stop all of them at once, in a bounded time. Twice does nothing."""
        if not self._started:
            return
        self._started = False
        await asyncio.gather(*(self._stop(platform) for platform in self.platforms))

    async def _supervise(self, platform: ChatPlatform) -> None:
        wait_s = self._wait_s
        while True:
            started_s = time.monotonic()
            try:
                await platform.run()
                why = "it ended by itself"
            except Fatal:
                raise
            except Exception as error:
                log.exception("%s failed", platform.name)
                why = f"{type(error).__name__}, a fault of ours"
            if time.monotonic() - started_s > SOUND_AFTER_S:
                wait_s = self._wait_s
            self._failing[platform.name] = f"{platform.name}: {why}; started again in {wait_s:.0f} s"
            log.warning("%s", self._failing[platform.name])
            await asyncio.sleep(wait_s)
            self._failing.pop(platform.name)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def _tell_invite(self, platform: ChatPlatform) -> None:
        while (invite := platform.invite) is None:  # noqa: ASYNC110 - a platform knows it once it is connected
            await asyncio.sleep(_LOOK_FOR_INVITE_S)
        self._say(f"{platform.name}: add the bot with {invite}")

    async def _stop(self, platform: ChatPlatform) -> None:
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await platform.stop()
        except Exception:  # the others are stopped all the same, and the store closed
            log.exception("%s could not be stopped in order", platform.name)
