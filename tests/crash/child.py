"""One life of the real bot, and the process that bears and kills such lives.

Run as a program it makes the story, answers with it, and then reads orders, one JSON object a line. For each it forks a
child and answers how the child ended. A later life goes on with the database that a killed one left. The fork spares
each life the imports and nothing else: this process never has a second thread, a loop or a connection to pass on.
"""

import asyncio
import contextlib
import importlib
import io
import json
import os
import pickle
import select
import signal
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.ending import stop_signals
from bot.platforms.console import Printer
from bot.run_live import serve_live
from storage.chats import Chat
from storage.sql import Connection
from storage.sqlite import SqliteStore
from tests.crash import parts, stacks
from tests.crash.points import Points
from tests.crash.story import Story, make, platform, settings, subscription
from tests.settled import keep_frozen

OPEN = frozenset({"pending", "sending"})
BORED_S = 40.0
"""A life that takes longer has stalled: it ends, and says what everything in it waited for."""
STALLED = 75
"""Its exit code."""
WARM = ("bot.platforms.telegram", "bot.platforms.discord", "telegram.request", "discord.http", "psycopg")


@dataclass(frozen=True)
class Order:
    """``store`` is a file or a PostgreSQL URL; ``chats``: each role's chat id. ``sign`` is sent at the point."""

    folder: str
    store: str
    chats: dict[str, str]
    environ: dict[str, str]
    point: str = ""
    nth: int = 0
    sign: int = int(signal.SIGKILL)
    kill_after_s: float | None = None
    """Counted from the moment the bot says that it has booted."""
    kill_sign: int = int(signal.SIGKILL)
    fault: str = ""
    bored_s: float = BORED_S


@dataclass(frozen=True)
class Ended:
    """``seconds``: from the signal to the end; ``stacks``: of one that was slow, what it waited for."""

    booted: bool
    killed: bool
    exit_code: int | None
    seconds: float
    counts: dict[str, int]
    """How often each point was reached; empty for a life that was killed."""
    marked: str = ""
    """The point at which it sent itself a signal."""
    cpu_s: float = 0.0
    stacks: str = ""

    @property
    def stalled(self) -> bool:
        return self.exit_code == STALLED or (bool(self.stacks) and self.exit_code not in (None, 0))


def make_store(where: str, points: Points, fault: str) -> Any:
    if "://" in where:
        base = importlib.import_module("storage.postgres").PostgresStore
        return parts.pointed(base, points, fault)(where, "live")
    return parts.pointed(SqliteStore, points, fault)(Path(where), "live")


async def live(order: Order, story: Story, png: bytes, booted: int) -> None:
    folder = Path(order.folder)
    points = Points(order.point, order.nth, order.sign, folder / "marked")
    parts.point_at_steps(points)
    parts.point_at_requests(points)
    parts.unpaced()
    os.environ.update(order.environ)
    feed = parts.StoryFeed(story, points, folder / "come_to")
    config = settings("" if "://" in order.store else order.store, folder)
    store = make_store(order.store, points, order.fault)
    parts.CrashApp.points = points
    printer = Printer(Console(file=io.StringIO(), width=160))
    app = parts.CrashApp(config, feed, store=store, printer=printer, environ=order.environ)
    assert app.charts is not None
    app.charts._drawer = parts.OneChart(png, points)  # type: ignore[assignment]
    for one in app.chats.platforms:
        parts.point_at_sends(one, points)
    with stop_signals() as stopping, stacks.watched(folder, 3 * order.bored_s):
        async with app:
            for role, chat_id in order.chats.items():
                await store.watch(Chat(platform(role), chat_id), subscription(role))
            points.reached("chats known")
            os.write(booted, b"!")
            ending = asyncio.create_task(end_when_done(app, feed, stopping, order))
            await serve_live(app, feed, stopping, interactive=False)
            points.reached("stopping")
            if ending.done():
                ending.result()
            ending.cancel()
        points.reached("stopped")
    (folder / "points.json").write_text(json.dumps(points.counts))
    (folder / "modules.json").write_text(json.dumps(sorted(sys.modules)))


class StalledError(Exception):
    """A life that did not get done."""


async def end_when_done(app: parts.CrashApp, feed: parts.StoryFeed, stopping: asyncio.Event, order: Order) -> None:
    try:
        async with asyncio.timeout(order.bored_s):
            await feed.ended.wait()
            while not app.caught_up or OPEN & set((await app.store.counts()).deliveries):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        stands = f"fed: {feed.ended.is_set()}, caught up: {app.caught_up}, chats: {app.chats.conditions()}"
        stacks.note(Path(order.folder), f"stalled after {order.bored_s:g} s", stands, *await open_rows(app.store))
        raise StalledError(stands) from None
    finally:
        stopping.set()


async def open_rows(store: Any) -> list[str]:
    """What is owed, as it stands in the database."""
    try:
        async with asyncio.timeout(2.0):
            return [
                f"{table}: {row}"
                for table, where in (("deliveries", "state IN ('pending', 'sending', 'editing')"), ("queues", "1 = 1"))
                for row in await store._read(partial(rows_of, table, where))
            ]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was asked for
        return [f"the store could not be asked: {error!r}"]


def rows_of(table: str, where: str, connection: Connection) -> list[Any]:
    return connection.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()


def bear(order: Order, story: Story, png: bytes) -> Ended:
    folder = Path(order.folder)
    for name in ("points.json", "modules.json", "marked"):
        (folder / name).unlink(missing_ok=True)
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        end_of(order, story, png, writes)
    os.close(writes)
    booted = os.read(reads, 1) == b"!"
    os.close(reads)
    told_s = time.monotonic()
    if order.kill_after_s is not None:
        time.sleep(order.kill_after_s)
        told_s = time.monotonic()
        os.kill(child, order.kill_sign)
    _, status, used = os.wait4(child, 0)
    written, marked = folder / "points.json", folder / "marked"
    seconds = time.time() - marked.stat().st_mtime if marked.exists() else time.monotonic() - told_s
    return Ended(
        booted=booted,
        killed=os.WIFSIGNALED(status),
        exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        seconds=seconds,
        counts=json.loads(written.read_text()) if written.exists() else {},
        marked=marked.read_text() if marked.exists() else "",
        cpu_s=used.ru_utime + used.ru_stime,
        stacks=stacks.found(folder),
    )


def end_of(order: Order, story: Story, png: bytes, booted: int) -> None:
    """The child's whole life; never returns."""
    code = 1
    try:
        sys.stderr = (Path(order.folder) / "stderr.txt").open("a")
        asyncio.run(asyncio.wait_for(live(order, story, png, booted), 2 * order.bored_s))
        code = 0
    except StalledError:
        code = STALLED
    except BaseException:  # noqa: BLE001 - a child must never return from its fork
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def main(argv: Sequence[str]) -> None:
    """``argv``: a file with the story, made if it is not there."""
    story = kept(Path(argv[0])) if argv else make()
    png = parts.picture()
    warm(WARM)
    parts.one_tls_context()
    print(b64encode(pickle.dumps(story)).decode(), flush=True)
    while select.select([sys.stdin], [], [])[0] and (line := sys.stdin.readline()):
        order = Order(**json.loads(line))
        ended = bear(order, story, png)
        assert threading.active_count() == 1, "a fork would pass on half of a thread's work"
        print(json.dumps(ended.__dict__), flush=True)
        used = Path(order.folder) / "modules.json"
        if used.exists():  # what a life imports on its way, the next ones find
            warm(json.loads(used.read_text()))


def warm(modules: Iterable[str]) -> None:
    missing = [name for name in modules if name not in sys.modules]
    for name in missing:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if missing:
        keep_frozen()  # a child's collector would otherwise copy every page of what it inherits


def kept(file: Path) -> Story:
    if not file.exists():
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(make()))
        part.replace(file)
    story: Story = pickle.loads(file.read_bytes())
    return story


if __name__ == "__main__":
    main(sys.argv[1:])
