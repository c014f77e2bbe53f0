"""Lives, kills and what the chats then hold: a strict server a platform, one nursery of children, many trials."""

import asyncio
import importlib
import json
import logging
import os
import pickle
import secrets
import shutil
import subprocess
import sys
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from bot.message import handle_of
from storage.sqlite import SqliteStore
from tests.chats.discord_server import DiscordServer
from tests.chats.discord_server.limits import Limits as DiscordLimits
from tests.chats.discord_server.limits import Verdict
from tests.chats.telegram_limits import Limits as TelegramLimits
from tests.chats.telegram_server import TelegramServer
from tests.crash.child import Ended, Order
from tests.crash.story import ROLES, Story, platform

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
REPEAT_SAID = "Possible repeat"
LIVES_AT_MOST = 40
STALLS_AT_MOST = 2
"""So often in one trial is no accident."""


class Unlimited(DiscordLimits):
    """Lives are hours pressed into a second, so limits by the clock would only measure the pressing."""

    def take(self, route: str, major: str) -> Verdict:
        del route, major
        return Verdict({})

    def take_of(self, route: str, major: str, rule: Any) -> Verdict:
        del route, major, rule
        return Verdict({})


class Servers:
    """Both strict servers, in a thread with a loop of their own. Everything else about them is as strict as ever.

    Each trial has new ones, or hundreds of groups, messages and pictures would pile up in them.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat servers", daemon=True)
        self._thread.start()
        # A bot that is killed in the middle of a request is what these servers are for.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        self._leaving: set[asyncio.Task[None]] = set()
        self.telegram, self.discord = TelegramServer(), DiscordServer()
        self.run(self._start)

    async def _start(self) -> None:
        steps = iter(range(10**9))
        self.telegram = TelegramServer(limits=TelegramLimits(lambda: 100.0 * next(steps)))
        self.discord = DiscordServer()
        self.discord.limits = Unlimited()
        self.discord.messages.limits = self.discord.limits
        await self.telegram.start()
        await self.discord.start()
        self._creator = self.telegram.world.started("Ann")
        self._guild = self.discord.world.guild()

    async def _stop(self) -> None:
        telegram, discord = self.telegram, self.discord
        await telegram.close()
        await discord.stop()

    def renew(self) -> None:
        """Both anew, with nobody in them; the old ones take their leave meanwhile."""

        async def change() -> None:
            leaving = asyncio.create_task(self._stop())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            await asyncio.sleep(0)
            await self._start()

        self.run(change)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(30)

    @property
    def environ(self) -> dict[str, str]:
        return {**self.telegram.environment, **self.discord.environment}

    def chats(self) -> dict[str, str]:
        """A new chat for each role."""

        async def make() -> dict[str, str]:
            made = {}
            for role in ROLES:
                if platform(role) == "telegram":
                    made[role] = str(self.telegram.world.supergroup(role, self._creator, bot="administrator"))
                else:
                    made[role] = str(self.discord.world.channel(self._guild).id)
            return made

        return self.run(make)

    def received(self, role: str, chat_id: str) -> list[str]:
        """The text of every message that the chat holds, in order; what was edited, as it stands."""

        async def look() -> list[str]:
            if platform(role) == "telegram":
                return [letter.words for letter in self.telegram.sent(int(chat_id))]
            return [message.text for message in self.discord.world.channels[int(chat_id)].seen]

        return self.run(look)

    def close(self) -> None:
        async def stop() -> None:
            await asyncio.gather(self._stop(), *self._leaving)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Stores:
    """Copies of the template, in SQLite or PostgreSQL."""

    def __init__(self, folder: Path, story: Story, server: Any = None) -> None:
        self._folder, self._server = folder, server
        folder.mkdir(parents=True, exist_ok=True)
        if server is None:
            asyncio.run(_fill(story, SqliteStore(folder / "template.db", "live")))
        else:
            self._template = server.create_database()
            postgres = importlib.import_module("storage.postgres")
            asyncio.run(_fill(story, postgres.PostgresStore(self._template, "live")))

    @property
    def name(self) -> str:
        return "SQLite" if self._server is None else "PostgreSQL"

    @contextmanager
    def copy(self, folder: Path) -> Iterator[str]:
        """Where a store is that stands where the template stood."""
        if self._server is None:
            for file in self._folder.glob("template.db*"):
                shutil.copyfile(file, folder / file.name.replace("template", "bot"))
            yield str(folder / "bot.db")
            return
        import psycopg

        name, template = f"crash_{secrets.token_hex(6)}", urlsplit(self._template).path[1:]
        url = urlunsplit(urlsplit(self._template)._replace(path=f"/{name}"))
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        try:
            yield url
        finally:
            self._server.drop_database(url)


async def _fill(story: Story, store: Any) -> None:
    await store.open()
    await story.fill(store)
    await store.close()


class Nursery:
    """Bears children and says how they ended."""

    def __init__(self, process: "subprocess.Popen[str]", story: Story) -> None:
        self._process, self.story = process, story

    def life(self, order: Order) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


@contextmanager
def nursery(story_file: Path | None = None) -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.child", *([str(story_file)] if story_file else [])],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},  # a fork keeps no threads
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        story: Story = pickle.loads(b64decode(process.stdout.readline()))
        yield Nursery(process, story)
        process.stdin.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """One story lived to its end, however many lives it took."""

    lives: tuple[Ended, ...]
    kills: int
    lost: Mapping[str, int]
    """Alerts that were due and never came, by role."""
    repeated: Mapping[str, int]
    """Messages too many, by role."""
    unsaid: int
    """Repeats that did not say that they might be one."""
    undue: int
    """Alerts that came and were not due."""
    problems: tuple[str, ...]
    stalls: tuple[str, ...] = ()
    """Of each life that was slow or stalled: how it ended, and what everything in it waited for."""

    @property
    def kills_after_boot(self) -> int:
        return sum(life.killed and life.booted for life in self.lives)

    def on(self, which: str, counts: Mapping[str, int]) -> int:
        return sum(n for role, n in counts.items() if platform(role) == which)


class Rig:
    """Where trials are held. ``stores`` gives each its own database, ``servers`` its own chats."""

    def __init__(self, folder: Path, births: Nursery, servers: Servers, stores: Stores) -> None:
        self._folder, self._births, self._servers, self._stores = folder, births, servers, stores
        self._trials = 0

    @property
    def story(self) -> Story:
        return self._births.story

    @property
    def store_name(self) -> str:
        return self._stores.name

    def trial(self, kills: Callable[[int], Mapping[str, Any] | None], fault: str = "") -> Trial:
        """Live until a life ends by itself. ``kills`` gives the changes of each life's (0, 1, ...) order."""
        self._trials += 1
        self._servers.renew()
        folder = self._folder / f"{self._stores.name}-{self._trials}"
        folder.mkdir(parents=True)
        chats = self._servers.chats()
        lives: list[Ended] = []
        stalls: list[str] = []
        failures: list[str] = []
        with self._stores.copy(folder) as store:
            while True:
                changes = {"fault": fault, **(kills(len(lives)) or {})}
                order = Order(str(folder), store, chats, self._servers.environ, **changes)
                ended = self._births.life(order)
                lives.append(ended)
                if ended.stacks:
                    stalls.append(
                        f"{'stalled' if ended.stalled else 'slow'}: life {len(lives)}, {changes}\n{ended.stacks}"
                    )
                if ended.stalled and sum(life.stalled for life in lives) < STALLS_AT_MOST:
                    continue  # started again, as whoever runs the bot would do
                failed = _failure(ended, order)
                if failed:
                    failures.append(f"{failed}{_said(folder)}{ended.stacks}")
                    break
                if ended.exit_code == 0 and not ended.marked and order.kill_after_s is None:
                    break
                assert len(lives) < LIVES_AT_MOST, "it is never done"
        trial = judge(self._servers, self.story, chats, lives)
        trial = replace(trial, stalls=tuple(stalls), problems=(*trial.problems, *failures))
        if not trial.problems:
            shutil.rmtree(folder)
        return trial


def judge(servers: Servers, story: Story, chats: Mapping[str, str], lives: Sequence[Ended]) -> Trial:
    """What the chats hold, by role, against what is due."""
    kills = sum(life.killed for life in lives)
    lost: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    problems, unsaid, undue = [], 0, 0
    # The handle of an alert stands in its last line.
    keys = {handle_of(key) for _, key in story.due}
    for role, chat_id in chats.items():
        texts = servers.received(role, chat_id)
        due = {handle_of(key) for to, key in story.due if to == role}
        came = {key: [text for text in texts if key in text] for key in keys}
        lost[role] = sum(not came[key] for key in due)
        repeated[role] = sum(max(0, len(found) - 1) for found in came.values())
        unsaid += sum(max(0, len(found) - 1 - sum(REPEAT_SAID in text for text in found)) for found in came.values())
        undue += sum(bool(came[key]) for key in keys - due)
        undue += sum(not any(key in text for key in keys) for text in texts)
        allowed = kills if platform(role) == "telegram" else 0
        if lost[role]:
            problems.append(f"{role}: {lost[role]} of {len(due)} lost")
        if repeated[role] > allowed:
            problems.append(f"{role}: {repeated[role]} repeated after {kills} kills")
    if unsaid:
        problems.append(f"{unsaid} repeats do not say so")
    if undue:
        problems.append(f"{undue} that were not due")
    return Trial(tuple(lives), kills, lost, repeated, unsaid, undue, tuple(problems))


def _failure(ended: Ended, order: Order) -> str:
    """What is wrong with how a life ended, whatever the chats hold."""
    if not ended.booted and order.kill_after_s is not None:
        return "the kill came before the bot had booted and shows nothing"
    if ended.stalled:
        return "a life stalled again when it was tried again"
    return "" if ended.exit_code in (None, 0) else f"a life failed by itself with exit code {ended.exit_code}"


def _said(folder: Path) -> str:
    file = folder / "stderr.txt"
    return f"\n{file.read_text()[-4000:]}" if file.exists() else ""


@contextmanager
def rigs(
    folder: Path, *, postgres: bool = True, story_file: Path | None = None, server_folder: Path | None = None
) -> Iterator[list[Rig]]:
    """A rig for each store. ``server_folder``: where the PostgreSQL server is that is shared with other processes."""
    with ExitStack() as closing:
        births = closing.enter_context(nursery(story_file))
        servers = Servers()
        closing.callback(servers.close)
        made = [Rig(folder, births, servers, Stores(folder / "sqlite", births.story))]
        if postgres:
            postgres_server = importlib.import_module("tests.postgres_server")
            server = closing.enter_context(postgres_server.start(server_folder or folder / "postgres"))
            made.append(Rig(folder, births, servers, Stores(folder / "template", births.story, server)))
        yield made
