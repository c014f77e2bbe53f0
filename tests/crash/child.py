"""One life of the real bot, and the process that bears and kills such lives.

Run as a program it makes the story, answers with it, and then reads orders, one JSON object a line. For each it forks a
child (a fork spares each life the imports) and answers how the child ended. A later life goes on with the database that
a killed one left.
"""

import asyncio
import contextlib
import gc
import importlib
import io
import json
import os
import pickle
import select
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.ending import stop_signals
from bot.platforms.console import Printer
from bot.run_live import serve_live
from storage.chats import Chat
from storage.sqlite import SqliteStore
from tests.crash import parts
from tests.crash.points import Points
from tests.crash.story import Story, make, platform, settings, subscription

OPEN = frozenset({"pending", "sending"})
BORED_S = 25.0
"""A life that takes longer has hung: it ends with a failure."""
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


@dataclass(frozen=True)
class Ended:
    """``seconds``: from the signal to the end."""

    booted: bool
    killed: bool
    exit_code: int | None
    seconds: float
    counts: dict[str, int]
    """How often each point was reached; empty for a life that was killed."""
    marked: str = ""
    """The point at which it sent itself a signal."""


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
    with stop_signals() as stopping:
        async with app:
            for role, chat_id in order.chats.items():
                await store.watch(Chat(platform(role), chat_id), subscription(role))
            points.reached("chats known")
            os.write(booted, b"!")
            ending = asyncio.create_task(end_when_done(app, feed, stopping))
            await serve_live(app, feed, stopping, interactive=False)
            points.reached("stopping")
            if ending.done():
                ending.result()
            ending.cancel()
        points.reached("stopped")
    (folder / "points.json").write_text(json.dumps(points.counts))


async def end_when_done(app: parts.CrashApp, feed: parts.StoryFeed, stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(BORED_S):
            await feed.ended.wait()
            while not app.caught_up or OPEN & set((await app.store.counts()).deliveries):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        stopping.set()


def bear(order: Order, story: Story, png: bytes) -> Ended:
    folder = Path(order.folder)
    for name in ("points.json", "marked"):
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
    _, status = os.waitpid(child, 0)
    written, marked = folder / "points.json", folder / "marked"
    seconds = time.time() - marked.stat().st_mtime if marked.exists() else time.monotonic() - told_s
    return Ended(
        booted=booted,
        killed=os.WIFSIGNALED(status),
        exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        seconds=seconds,
        counts=json.loads(written.read_text()) if written.exists() else {},
        marked=marked.read_text() if marked.exists() else "",
    )


def end_of(order: Order, story: Story, png: bytes, booted: int) -> None:
    """The child's whole life; never returns."""
    code = 1
    try:
        sys.stderr = (Path(order.folder) / "stderr.txt").open("a")
        asyncio.run(asyncio.wait_for(live(order, story, png, booted), 2 * BORED_S))
        code = 0
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
    for name in WARM:
        with contextlib.suppress(ModuleNotFoundError):
            __import__(name)
    gc.freeze()  # a child's collector would otherwise copy every page of what it inherits
    print(b64encode(pickle.dumps(story)).decode(), flush=True)
    while select.select([sys.stdin], [], [])[0] and (line := sys.stdin.readline()):
        ended = bear(Order(**json.loads(line)), story, png)
        print(json.dumps(ended.__dict__), flush=True)


def kept(file: Path) -> Story:
    if not file.exists():
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(make()))
        part.replace(file)
    story: Story = pickle.loads(file.read_bytes())
    return story


if __name__ == "__main__":
    main(sys.argv[1:])
