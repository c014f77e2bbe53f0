"""A leader that lost its lock to another copy ends by itself, at once and not well (P3).

`tests/crash/test_two_copies.py` shows it with two processes; here it is each way to run the bot.
"""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from bot import run
from bot.app import App, make_feed
from bot.markets.live_history import Past, Progress, Stretch
from bot.platforms.console import Printer
from bot.run_live import serve_live
from storage.errors import Superseded
from tests.bot.played import SEED, config, market, moments
from tests.crash import parts, story
from tests.crash.points import Points

WITHIN_S = 5.0


def overtaken(url: str) -> None:
    """As by another copy that has led since this one's connection was cut."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("UPDATE meta SET value = 'another' WHERE name = 'leader'")
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def ends(app: App, serving: "asyncio.Task[None]", url: str) -> None:
    """In time, with the reason, and leaves no task behind."""
    async with asyncio.timeout(20):
        while app.ticks < 3 and not serving.done():  # noqa: ASYNC110 - nobody is told of a tick
            await asyncio.sleep(0.02)
    began_s = time.monotonic()
    await asyncio.to_thread(overtaken, url)
    with pytest.raises(Superseded, match="this one ends"):
        await asyncio.wait_for(serving, WITHIN_S + 3)
    assert time.monotonic() - began_s < WITHIN_S
    left = {task.get_name() for task in asyncio.all_tasks()}
    assert not left & {"follow", "catch up", "deliver", "chats", "first stage"}


class Held(parts.StoryFeed):
    """Where it is not ``ready``, its past never comes."""

    def __init__(self, told: story.Story, points: Points, come_to: Path, *, ready: bool) -> None:
        super().__init__(told, points, come_to)
        self._ready = ready

    async def past(
        self, stretches: Sequence[Stretch], on_progress: Callable[[Progress], None] = lambda _: None
    ) -> AsyncIterator[Past]:
        if not self._ready:
            await asyncio.Event().wait()
        async for past in super().past(stretches, on_progress):
            yield past


def short_story() -> story.Story:
    real = replace(market(), simulated=False)
    live = [tuple(replace(one, market=real) for one in moment) for moment in moments()[:20]]
    return story.Story((real,), (), live, frozenset())


def printer() -> Printer:
    return Printer(Console(file=io.StringIO(), width=160))


async def test_a_played_market_ends(postgres_url: str) -> None:
    settings = config(
        source={"seed": SEED, "days": 300.0, "markets": ["BTC"], "warm_up_days": 0.1, "speed": 20.0},
        charts={"draw": False},
        store={"path": "bot.db"},
    )
    environ = {"DATABASE_URL": postgres_url}
    app = App(settings, make_feed(settings), printer=printer(), platforms=(), environ=environ)

    async def serve() -> None:
        async with app:
            await run.serve(app, asyncio.Event(), interactive=False)

    await ends(app, asyncio.create_task(serve()), postgres_url)


@pytest.mark.parametrize("ready", [True, False], ids=["caught up", "still catching up"])
async def test_a_live_market_ends(postgres_url: str, tmp_path: Path, ready: bool) -> None:
    feed = Held(short_story(), Points(), tmp_path / "come_to", ready=ready)
    settings = story.settings("bot.db", tmp_path, draw=False)
    app = App(settings, feed, printer=printer(), platforms=(), environ={"DATABASE_URL": postgres_url})

    async def serve() -> None:
        async with app:
            await serve_live(app, feed, asyncio.Event(), interactive=False)

    await ends(app, asyncio.create_task(serve()), postgres_url)
