"""Two copies of the bot on one database and the same chats, as a host that restarts one before it ends the other."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from storage.chats import Chat
from tests.crash.child import Ended, kept, make_store
from tests.crash.points import Points
from tests.crash.rig import ROOT, Servers, Stores, Trial, judge
from tests.crash.story import MARKETS, Story, platform, subscription

CONFIG = """
[source]
kind = "live"
venues = ["binance"]
markets = {markets}
history_days = 1.0
[estimate.baseline]
ready_hours = 24
[store]
path = "{path}"
[charts]
draw = false
[console]
watch = []
"""
WITHIN_S = 30.0


@dataclass
class Copy:
    process: "subprocess.Popen[str]"
    port: int
    said: Path
    """Everything that it prints."""

    async def state(self) -> str:
        """As ``/healthz`` gives it; empty while nobody answers."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/healthz") as answer,
            ):
                return str((await answer.json())["state"])
        except aiohttp.ClientError:
            return ""

    async def until(self, *states: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while await self.state() not in states:
                assert self.process.poll() is None, f"it ended: {self.said.read_text()}"
                await asyncio.sleep(0.03)

    async def ended(self, within_s: float) -> int:
        """Its exit code."""
        return await asyncio.to_thread(self.process.wait, within_s)


@dataclass
class Pair:
    """``chats`` by role; ``come_to``: how far the market is."""

    folder: Path
    story_file: Path
    story: Story
    servers: Servers
    store: str
    chats: dict[str, str]
    copies: list[Copy] = field(default_factory=list)

    def start(self) -> Copy:
        number = len(self.copies) + 1
        config, said = self.folder / f"copy{number}.toml", self.folder / f"copy{number}.txt"
        elsewhere = "://" in self.store
        path = self.folder / "unused.db" if elsewhere else self.store
        config.write_text(CONFIG.format(markets=list(MARKETS), path=path))
        port = free_port()
        environ = {**os.environ, **self.servers.environ, "PORT": str(port)}
        if elsewhere:
            environ["DATABASE_URL"] = self.store
        command = [sys.executable, "-m", "tests.crash.copy", str(self.story_file), str(self.come_to)]
        with said.open("w") as out:
            process = subprocess.Popen(
                [*command, str(config)],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                text=True,
            )
        self.copies.append(Copy(process, port, said))
        return self.copies[-1]

    @property
    def come_to(self) -> Path:
        return self.folder / "come_to"

    def let_come(self, bars: int) -> None:
        """The market goes on until there are so many."""
        part = self.folder / "gate.part"
        part.write_text(str(bars))
        part.replace(self.folder / "gate")

    def bars(self) -> int:
        return int(self.come_to.read_text()) if self.come_to.exists() else 0

    def messages(self) -> int:
        return sum(len(self.servers.received(role, chat_id)) for role, chat_id in self.chats.items())

    async def all_told(self) -> None:
        """Until as much has come as is due, and a little longer, for what would come too often."""
        await until_true(lambda: self.messages() >= len(self.story.due))
        await asyncio.sleep(1.5)

    def judged(self, interrupted: int) -> Trial:
        """What the chats hold now, against what is due, after so many copies that ended in the middle of it."""
        lives = [Ended(booted=True, killed=True, exit_code=None, seconds=0.0, counts={})] * interrupted
        return judge(self.servers, self.story, self.chats, lives)

    def close(self) -> None:
        for copy in self.copies:
            copy.process.send_signal(signal.SIGCONT)
            copy.process.kill()
            copy.process.wait()


@contextmanager
def pair(folder: Path, story_file: Path, servers: Servers, stores: Stores) -> Iterator[Pair]:
    folder.mkdir(parents=True)
    servers.renew()
    chats = servers.chats()
    with stores.copy(folder) as store:
        asyncio.run(_watched(store, chats))
        made = Pair(folder, story_file, kept(story_file), servers, store, chats)
        try:
            yield made
        finally:
            made.close()


async def _watched(where: str, chats: dict[str, str]) -> None:
    store = make_store(where, Points(), "")
    await store.open()
    for role, chat_id in chats.items():
        await store.watch(Chat(platform(role), chat_id), subscription(role))
    await store.close()


async def until_true(true: Callable[[], bool], within_s: float = WITHIN_S) -> float:
    """How long it took. Raises TimeoutError."""
    began_s = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.02)
    return time.monotonic() - began_s


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
