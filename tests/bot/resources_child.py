"""The whole bot for a while, and what it took: prints one JSON object. The chat servers are another process's.

``python -m tests.bot.resources_child FOLDER CHATS``: CHATS as JSON, by platform; tokens come from the environment.
"""

import asyncio
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.app import App, make_feed
from bot.chats import configured
from bot.config import HealthSection
from bot.health import Health, serving
from bot.memory import resident_bytes
from bot.platforms.console import Printer
from bot.replies import map_event
from storage.chats import Chat, Subscription
from tests.bot.played import SEED, config
from tests.chats.bot_process import free_port

MARKETS = ("BTC", "DOGE", "PEPE")
WARM_BARS, CHARTS, ALERTS = 300, 20, 3
ONLY_ELSEWHERE = ("prompt_toolkit", "matplotlib.pyplot", "bot.markets.local.feed")
"""What only somebody at a terminal or a developer needs."""


class LoopHolds:
    """How much CPU the loop's own thread spends from one short nap to the next: what holds everything else up, whatever
    else this machine is busy with."""

    def __init__(self) -> None:
        self.held_s: list[float] = []

    async def watch(self) -> None:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(0.005)
            self.held_s.append(time.thread_time() - before_s)


def peak_bytes() -> int:
    """The most that this process ever held."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


async def measured(folder: Path, chats: dict[str, str]) -> dict[str, Any]:
    settings = config(
        source={"seed": SEED, "days": 60.0, "markets": list(MARKETS), "warm_up_days": 0.0},
        store={"path": str(folder / "bot.db")},
        charts={"folder": str(folder / "charts")},
        console={"watch": []},
    )
    platforms = configured(settings, os.environ)
    printer = Printer(Console(file=io.StringIO(), width=160))
    health = Health(version="1", beat_every_s=30)
    async with (
        serving(health, HealthSection(), free_port()),
        App(settings, make_feed(settings), printer=printer, platforms=platforms) as app,
    ):
        health.watch(app)
        for _ in range(WARM_BARS):
            await app.tick()
        for platform, chat_id in chats.items():
            await app.store.watch(Chat(platform, chat_id), Subscription("*"))
        app.schedule_house()
        app.schedule.start()
        await app.open_chats()
        running = [asyncio.create_task(app.chats.run()), asyncio.create_task(app.deliverer.run())]
        async with asyncio.timeout(30):
            while not all(": connected" in one for one in app.chats.conditions()):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        holds = LoopHolds()
        watching = asyncio.create_task(holds.watch())
        while sum(app.tally.alerts.values()) < ALERTS:
            assert await app.tick(), "the market has ended"
            await asyncio.sleep(0.002)
        assert app.charts is not None
        for n in range(CHARTS):
            view = app.watcher.engines[MARKETS[n % len(MARKETS)]].view()
            assert view is not None
            await app.charts.save(map_event(view))
            for _ in MARKETS:
                await app.tick()
        async with asyncio.timeout(60):
            while (await app.store.counts()).deliveries.get("pending"):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        await app.keep_house()
        watching.cancel()
        lag_p99_s, resident = health.lag.quantile_s(0.99), resident_bytes()
        sent = (await app.store.counts()).deliveries.get("sent", 0)
        running[0].cancel()
        await app.deliverer.stop()
        await asyncio.gather(*running, return_exceptions=True)
    ordered = sorted(holds.held_s)
    return {
        "charts": len(list((folder / "charts").glob("*.png"))),
        "sent": sent,
        "peak_mb": peak_bytes() / 1e6,
        "resident_mb": (resident or 0) / 1e6,
        "lag_p99_ms": lag_p99_s * 1000,
        "held_p99_ms": ordered[int(0.99 * len(ordered))] * 1000,
        "longest_held_ms": [round(held_s * 1000, 1) for held_s in ordered[-6:]],
        "naps": len(ordered),
        "for_nothing": [name for name in ONLY_ELSEWHERE if name in sys.modules],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(Path(sys.argv[1]), json.loads(sys.argv[2])))))
