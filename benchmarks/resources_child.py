"""Everything on at once, and what it takes: ``python -m benchmarks.resources_child SPEC`` prints one JSON object.

The bot runs in this process alone. The venues, the Telegram and the Discord server are processes of their own, strict
and with the real libraries between; `/healthz` is served and asked, charts are drawn, alerts and answers are sent.
"""

import asyncio
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from benchmarks.live_child import THREE, rss_mb, say
from benchmarks.live_venues import Venues
from bot import VERSION, memory
from bot.app import App
from bot.chats import configured
from bot.config import parse
from bot.health import Health, serving
from bot.lag import LoopLag
from bot.markets.live import LiveFeed
from bot.markets.live_types import BAR_MS
from bot.platforms.console import Printer, request
from bot.run_live import serve_live
from storage.chats import Chat, Subscription
from tests.bot.resources_child import LoopHolds, peak_bytes
from tests.chats import fan_out
from tests.chats.bot_process import free_port

STEP_MS, STEP_REST_S = 30_000, 0.1
BEFORE_CLOSE_MS = 3_000
READERS = 20
"""Chats on each platform. One in four watches everything, and is told of many alerts at once in a group without
pictures; the others watch three markets, and get each alert with its chart."""
ORIGINALS = ("BTC", "ETH", "DOGE")


class Everything:
    """The app with all of it connected, and the clocks that watch the loop."""

    def __init__(self, app: App, feed: LiveFeed, venues: Venues, port: int) -> None:
        self.app, self.feed, self.venues, self.port = app, feed, venues, port
        self.lag, self.holds = LoopLag(0.01), LoopHolds()
        self.bars: dict[int, int] = {}
        take = app.take

        async def noting(moment: Any) -> None:
            await take(moment)
            for one in moment:
                if one.bar is not None:
                    self.bars[one.bar.closed_at_ms] = self.bars.get(one.bar.closed_at_ms, 0) + 1

        app.take = noting  # type: ignore[method-assign]

    async def until(self, met: Callable[[], bool], within_s: float) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not met():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.05)

    async def phase(self, name: str) -> dict[str, Any]:
        """What the loop was like since the last call, and what the process holds now."""
        held = sorted(self.holds.held_s) or [0.0]
        found = {
            "phase": name,
            "lag_p99_ms": self.lag.quantile_s(0.99) * 1000,
            "lag_most_ms": self.lag.quantile_s(1.0) * 1000,
            "held_p99_ms": held[int(0.99 * len(held))] * 1000,
            "rss_mb": rss_mb(),
            "peak_mb": peak_bytes() / 1e6,
            "cpu_s": time.process_time(),
        }
        await self.lag.stop()
        self.lag = LoopLag(0.01)
        self.lag.start()
        self.holds.held_s.clear()
        say(f"{name}: " + ", ".join(f"{key} {value:.0f}" for key, value in found.items() if key != "phase"))
        return found

    async def close_a_bar(self) -> None:
        """On to three seconds before the next close, and until every market has its bar. In steps: what is liquidated
        in five minutes comes in many messages at a real venue, and would be one of megabytes here."""
        now_ms = self.venues.clock.now_ms()
        closed_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
        while (left_ms := closed_ms - BEFORE_CLOSE_MS - self.venues.clock.now_ms()) > 0:
            await self.venues.order(advance_ms=min(left_ms, STEP_MS))
            await asyncio.sleep(STEP_REST_S)
        last = len(self.feed.markets)
        await self.until(lambda: self.bars.get(closed_ms, 0) >= last, 200)

    async def draw(self, charts: int) -> None:
        for n in range(charts):
            base = self.feed.markets[n % len(self.feed.markets)].base
            await self.app.commands.handle(request(f"/map {base}"))

    async def sent(self) -> dict[str, int]:
        """Until nothing is owed; what became of the deliveries."""
        with suppress(TimeoutError):
            async with asyncio.timeout(120):
                while (await self.app.store.counts()).deliveries.keys() & {"pending", "sending"}:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        return dict((await self.app.store.counts()).deliveries)

    async def asked_how_it_is(self) -> None:
        """As a host does, only more often."""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            while True:
                for path in ("/healthz", "/metrics"):
                    async with session.get(path) as answer:
                        await answer.read()
                await asyncio.sleep(2.0)


async def readers(servers: fan_out.Servers, platforms: Sequence[str]) -> list[Chat]:
    people = [Chat("telegram", str(await servers.tell("started", first_name=f"Reader {n}"))) for n in range(READERS)]
    chats = [*people, *(Chat("discord", one) for one in servers.discord["channels"])]
    return [one for one in chats if one.platform in platforms]


async def measured(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    source = {"kind": "live", "history_days": spec["days"]}
    store = {"path": str(folder / "bot.db")}
    charts = {"folder": str(folder / "charts")}
    # Alerts from the first day on, or nothing would be sent while it is measured.
    estimate = {"baseline": {"ready_hours": 24}}
    switches = {name: {"enabled": name in spec["platforms"]} for name in ("telegram", "discord")}
    settings = {"source": source, "store": store, "charts": charts, "estimate": estimate, **switches}
    config = parse(settings, "the benchmark")
    memory.few_arenas()  # the servers' sessions are made before the app is, which else does it first
    port, health = free_port(), Health(version=VERSION, beat_every_s=config.schedule.heartbeat_seconds)
    async with (
        fan_out.serving(folder, READERS) as servers,
        Venues(
            names=THREE, markets=ORIGINALS, seed=spec["seed"], copies=497, days=spec["days"] + 1, limits_scale=100.0
        ) as venues,
        serving(health, config.health, port),
    ):
        await venues.order(speed=1.0)

        def rewrite(exchange: Any) -> None:
            venues.rewrite(exchange)
            exchange.enableRateLimit = False
            exchange.streaming = {**exchange.streaming, "maxPingPongMisses": 1e9}

        # The largest would all be copies of one of them.
        words = [*ORIGINALS, *(f"COPY{n}" for n in range(1, spec["markets"] - 2))]
        feed = LiveFeed(THREE, words, clock=venues.clock, rewrite=rewrite)
        platforms = configured(config, servers.environment)
        printer = Printer(Console(file=io.StringIO()))
        async with App(config, feed, printer=printer, platforms=platforms, environ=servers.environment) as app:
            health.watch(app)
            chats = await readers(servers, spec["platforms"])
            for n, chat in enumerate(chats):
                for market in ("*",) if n % 4 == 0 else ORIGINALS:
                    await app.store.watch(chat, Subscription(market))
            everything, stopping = Everything(app, feed, venues, port), asyncio.Event()
            everything.lag.start()
            beside = [
                asyncio.create_task(everything.holds.watch()),
                asyncio.create_task(everything.asked_how_it_is()),
            ]
            running = asyncio.create_task(serve_live(app, feed, stopping, interactive=False))
            phases = []
            past_in = lambda: app.caught_up and app.catching_up is not None and app.catching_up.condition is None  # noqa: E731
            await everything.until(past_in, 1800)
            phases.append(await everything.phase("start and the past of every market"))
            for _ in range(spec["closes"]):
                await everything.close_a_bar()
                await asyncio.sleep(2.0)
            say(f"{spec['closes']} bars closed, alerts: {app.tally.alerts.total()}")
            states = await everything.sent()
            phases.append(await everything.phase("bars closing, alerts with charts sent"))
            drawn = len(list((folder / "charts").glob("*.png")))
            await everything.draw(spec["charts"])
            phases.append(await everything.phase("charts drawn one after the other"))
            await app.keep_house()
            await app.back_up()
            await asyncio.sleep(2.0)
            phases.append(await everything.phase("after housekeeping and a backup"))
            conditions = app.chats.conditions()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            stopping.set()
            await running
            return {
                "markets": len(feed.markets),
                "platforms": spec["platforms"],
                "chats": len(chats),
                "alerts": app.tally.alerts.total(),
                "alert_charts": drawn,
                "charts": len(list((folder / "charts").glob("*.png"))),
                "states": states,
                "phases": phases,
                "conditions": conditions,
                "failed_ticks": app.failed_ticks,
            }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(asyncio.run(measured(json.loads(sys.argv[1]), Path(place)))))
