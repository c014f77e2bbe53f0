"""One alert to many chats: ``python -m benchmarks fanout``.

The real client libraries speak to strict local servers in processes of their own, which refuse what is over Telegram's
and Discord's limits. Then the time from an event to its first send, with every chat watching, on a platform that takes
everything at once, so that one alert does not wait for the one before.
"""

import asyncio
import io
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.report import Report
from bot.app import App, make_feed
from bot.platforms.console import Printer
from storage.chats import Chat, Subscription
from tests.bot.played import SEED, config
from tests.chats.fan_out import Result, fan_out
from tests.chats.instant import Instant

WARM_BARS = 300


def run(*, quick: bool) -> list[Report]:
    telegram, discord = (100, 20) if quick else (1000, 200)
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(fan_out(Path(folder), telegram=telegram, discord=discord))
    with tempfile.TemporaryDirectory() as folder:
        latencies = asyncio.run(latency(Path(folder), chats=telegram, alerts=5 if quick else 40))
    return [_fan_out(result), _latency(latencies, telegram)]


def _fan_out(result: Result) -> Report:
    rows = [
        (
            name,
            f"{chats:,}",
            f"{result.paced_s[name]:.1f} s",
            f"{result.took_s[name]:.1f} s",
            f"{result.share_of_pace(name):.0%}",
            str(result.refused[name]),
            f"{len(result.answers_s[name])}, slowest {max(result.answers_s[name], default=0) * 1000:.0f} ms",
        )
        for name, chats in result.chats.items()
    ]
    columns = ("platform", "chats", "at the paced limit", "took", "of the limit", "429s", "commands answered meanwhile")
    notes = (
        f"Pictures uploaded to Telegram: {result.uploads}. Event to first message at a server, chart drawn in between: "
        f"{result.first_send_s * 1000:.0f} ms. Event-loop lag, 99th percentile: "
        f"{result.loop_lag_p99_s * 1000:.0f} ms. Deliveries: {result.states}.",
    )
    return Report("One alert with its chart, to everybody", columns, tuple(rows), notes)


def _latency(seconds: list[float], chats: int) -> Report:
    ordered = sorted(seconds)
    at = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    row = (f"{chats:,}", str(len(ordered)), f"{statistics.median(ordered) * 1000:.0f} ms", f"{at * 1000:.0f} ms")
    title = "From the tick that brings an event to the first send: detection, decisions, commit, chart, claim"
    return Report(title, ("chats", "alerts", "median", "99th percentile"), (row,))


async def latency(folder: Path, *, chats: int, alerts: int) -> list[float]:
    """Seconds from the start of the tick to the first send of each of so many alerts."""
    settings = config(
        source={"seed": SEED, "days": 60.0, "markets": ["BTC"], "warm_up_days": 0.0},
        store={"path": str(folder / "bot.db")},
        charts={"folder": str(folder / "charts"), "draw": True},
        console={"watch": []},
    )
    platform = Instant()
    taken: list[float] = []
    app = App(settings, make_feed(settings), printer=Printer(Console(file=io.StringIO())), platforms=[platform])
    async with app:
        for _ in range(WARM_BARS):
            await app.tick()
        for n in range(chats):
            await app.store.watch(Chat(platform.name, str(n)), Subscription("BTC"))
        await app.open_chats()
        delivering = asyncio.create_task(app.deliverer.run())
        owed = 0
        while len(taken) < alerts:
            before, began_s = app.tally.alerts.total(), time.monotonic()
            platform.begin()
            assert await app.tick(), "the market has ended"
            new = app.tally.alerts.total() - before
            if not new:
                continue
            owed += new * chats
            while (await app.store.counts()).deliveries.get("sent", 0) < owed:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
            assert platform.first_s is not None
            taken.append(platform.first_s - began_s)
        await app.deliverer.stop()
        await delivering
    return taken
