"""Measures the live bot in a process of its own: ``python -m benchmarks.live_child PART SPEC`` prints one JSON object.

The venues run in a further process and share nothing with it but the machine.
"""

import asyncio
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from benchmarks.live_venues import Venues
from bot.app import App
from bot.config import parse
from bot.lag import LoopLag
from bot.markets.live import LiveFeed
from bot.markets.live_types import BAR_MS
from bot.platforms.console import Printer
from bot.run_live import serve_live
from detectors import figures
from detectors.market import MarketSnapshot

_PAGE = os.sysconf("SC_PAGE_SIZE")
THREE = ("binance", "bybit", "okx")
_BEFORE_CLOSE_MS = 3_000
_MAY_LAST_S = 5.0
"""Real time that a bar has to be stored in before a soak counts it as missing."""
_IMPORTS_S = time.monotonic() - float(os.environ.get("CLUSTERWATCH_SPAWNED_S", time.monotonic()))
"""From the start of this process until here."""
_BEGUN_S = time.monotonic()


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


def say(text: str) -> None:
    """To whoever waits for the table, as it goes on."""
    print(f"{time.monotonic() - _BEGUN_S:6.0f} s  {text}", file=sys.stderr, flush=True)


class Bot:
    """The app on a live feed at such venues, served as the command serves it. ``database``: None makes a new one.
    ``words``: the markets; None takes the largest. ``streams_closes``: OKX's closing candles."""

    def __init__(
        self,
        venues: Venues,
        markets: int,
        *,
        history_days: float,
        paced: bool,
        database: Path | None = None,
        words: Sequence[str] | None = None,
        streams_closes: bool = True,
        **feed: Any,
    ) -> None:
        self.venues = venues
        self._folder = tempfile.TemporaryDirectory()
        self.exchanges: list[Any] = []

        def rewrite(exchange: Any) -> None:
            venues.rewrite(exchange)
            exchange.enableRateLimit = paced
            self.exchanges.append(exchange)
            # A pong is timed by the venues' clock and a ping by the wall's.
            exchange.streaming = {**exchange.streaming, "maxPingPongMisses": 1e9}

        self.feed = LiveFeed(THREE, words, clock=venues.clock, rewrite=rewrite, largest=markets, **feed)
        if not streams_closes:
            self.feed.stream_lead_s = None
        source = {"kind": "live", "history_days": history_days}
        store = {"path": str(database or Path(self._folder.name) / "bot.db")}
        config = parse({"source": source, "charts": {"draw": False}, "store": store}, "the benchmark")
        self.app = App(config, self.feed, printer=Printer(Console(file=io.StringIO())))
        self.lag = LoopLag(0.01)
        self.taken: dict[int, float] = {}
        """When the last market of a bar close was committed, by the steady clock."""
        self.bars: dict[int, int] = {}
        self.times: dict[int, list[float]] = {}
        """When each market of a bar close was committed."""
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._closing.enter_async_context(self.app)
        take = self.app.take

        async def noting(moment: tuple[MarketSnapshot, ...]) -> None:
            await take(moment)
            for one in moment:
                if one.bar is not None:
                    self.taken[one.bar.closed_at_ms] = time.monotonic()
                    self.bars[one.bar.closed_at_ms] = self.bars.get(one.bar.closed_at_ms, 0) + 1
                    self.times.setdefault(one.bar.closed_at_ms, []).append(time.monotonic())

        self.app.take = noting  # type: ignore[method-assign]
        self._stopping = asyncio.Event()
        self.lag.start()
        self._serving = asyncio.create_task(serve_live(self.app, self.feed, self._stopping, interactive=False))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await self._serving
        await self.lag.stop()
        await self._closing.aclose()
        self._folder.cleanup()

    async def until(self, met: Callable[[], bool], within_s: float) -> float:
        """Waits; returns when, by the steady clock. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not met():
                if self._serving.done():
                    self._serving.result()
                await asyncio.sleep(0.02)
        return time.monotonic()

    def any_in(self) -> bool:
        past = self.app.catching_up
        if past is None:
            return False
        return any(past.waiting_for(market.base) is None for market in self.feed.markets)

    @property
    def all_in(self) -> bool:
        return self.app.caught_up and self.app.catching_up is not None and self.app.catching_up.condition is None

    async def lag_ms(self) -> dict[str, float]:
        """Since the last call, in milliseconds."""
        found = {f"p{round(share * 100)}": self.lag.quantile_s(share) * 1000 for share in (0.5, 0.99)}
        found["most"] = self.lag.quantile_s(1.0) * 1000
        await self.lag.stop()
        self.lag = LoopLag(0.01)
        self.lag.start()
        return found


async def start(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A first start at venues with their real limits, in real time."""
    async with Venues(names=THREE, markets=["BTC", "ETH", "DOGE"], copies=spec["markets"] - 3, days=31) as venues:
        await venues.order(speed=1.0)
        # What Python and the imports took came before the venues were started.
        begun_s, cpu_s = time.monotonic() - _IMPORTS_S, time.process_time()
        async with Bot(venues, spec["markets"], history_days=spec["days"], paced=True) as bot:
            first_tick_s = await bot.until(lambda: bot.app.ticks > 0, 60) - begun_s
            lacking = len(bot.feed.markets)
            first_market_s = await bot.until(bot.any_in, 300) - begun_s
            first_stage_s = await bot.until(lambda: bot.app.caught_up, 900) - begun_s
            first_lag = await bot.lag_ms()
            whole_s = await bot.until(lambda: bot.all_in, 1800) - begun_s
            stored = await bot.app.store.reach("BTC")
            told = await venues.order()
            return {
                "first_tick_s": first_tick_s,
                "first_market_s": first_market_s,
                "first_stage_s": first_stage_s,
                "whole_s": whole_s,
                "markets": lacking,
                "days": (venues.clock.now_ms() - (stored.first_bar_opened_at_ms or 0)) / 86_400_000,
                "lag_first": first_lag,
                "lag_rest": await bot.lag_ms(),
                "cpu_s": time.process_time() - cpu_s,
                "rss_mb": rss_mb(),
                "requests": told["requests"],
                "refused": told["refused"],
            }


async def prints(_: Mapping[str, Any]) -> dict[str, Any]:
    """Liquidations in bursts over ten seconds, and how many of them a bar's snapshots bring."""
    async with Venues(names=THREE, markets=["BTC", "ETH"], days=1.5) as venues:
        await venues.order(speed=1.0)
        async with Bot(venues, 2, history_days=1.0, paced=False, silent_s=600.0) as bot:
            await bot.until(lambda: bot.all_in, 120)
            await bot.until(lambda: not [gap for gap in bot.feed.gaps if gap.until_ms is None], 30)
            before = sum(row.prints_received for row in bot.feed.status())
            await bot.lag_ms()
            begun_s, sent = time.monotonic(), 0
            for n in range(20):
                for venue in THREE:
                    count = 167 if venue != "okx" else 166
                    await venues.order(burst=[venue, ("BTC", "ETH")[n % 2], count])
                    sent += count
                await asyncio.sleep(max(0.0, begun_s + (n + 1) * 0.5 - time.monotonic()))
            took_s = time.monotonic() - begun_s
            await asyncio.sleep(1.0)
            received = sum(row.prints_received for row in bot.feed.status()) - before
            lag = await bot.lag_ms()
            now_ms = venues.clock.now_ms()
            closed_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
            await venues.order(advance_ms=closed_ms - 1000 - now_ms)
            await bot.until(lambda: bot.bars.get(closed_ms, 0) >= 2, 60)
            stored = 0
            for base in ("BTC", "ETH"):
                stored += sum(len(one.prints) for one in await bot.app.store.snapshots_since(base, None))
            return {"sent": sent, "took_s": took_s, "received": received, "stored": stored, "lag": lag}


async def soak(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Days of venue time, as fast as asked for, with the memory at the end of each; fewer where ``within_s`` of real
    time would not do for all."""
    speed, started_s = spec["bars_a_s"] * 300.0, time.monotonic()
    day_s = 86_400 / speed
    async with Venues(
        names=THREE, markets=["BTC", "ETH", "DOGE"], days=4.5, limits_scale=speed, push_every_s=0.1
    ) as venues:
        await venues.order(speed=1.0)
        async with Bot(
            venues,
            3,
            history_days=4.0,
            paced=False,
            streams_closes=False,  # a bar has no time for a handshake
            look_every_s=0.5 * speed,
            grace_s=2.0 * speed,
            silent_s=20.0 * speed,
        ) as bot:
            await bot.until(lambda: bot.all_in, 120)
            say(f"the past is in after {time.monotonic() - started_s:.0f} s; a day takes {day_s:.0f} s from here on")
            await venues.order(speed=speed)
            begun_ms, begun_s, cpu_s = venues.clock.now_ms(), time.monotonic(), time.process_time()
            days = []
            await bot.lag_ms()
            for day in range(1, spec["days"] + 1):
                if time.monotonic() - started_s + day_s + _MAY_LAST_S > spec["within_s"]:
                    say(f"day {day} is left out: {spec['within_s']:.0f} s would not do for it")
                    break
                end_ms = begun_ms + day * 86_400_000
                await bot.until(lambda: venues.clock.now_ms() >= end_ms, 2 * day_s + 10)  # noqa: B023
                if day > 1:
                    # Without it the allocator's own habits would show, as the bot itself gives memory back hourly.
                    await bot.app.keep_house()
                days.append(
                    {"rss_mb": rss_mb(), "lag": await bot.lag_ms(), "alerts": sum(bot.app.tally.alerts.values())}
                )
                bars, failed = sum(bot.bars.values()), bot.app.failed_ticks
                say(
                    f"day {day} of {spec['days']}: {days[-1]['rss_mb']:.1f} MB, {days[-1]['alerts']} alerts, {bars:,} "
                    f"bars so far, {failed} ticks failed, {time.monotonic() - started_s:.0f} s"
                )
            ended_ms = (venues.clock.now_ms() - round(_MAY_LAST_S * 1000 * speed)) // BAR_MS * BAR_MS
            opened = {
                market.base: [
                    one.bar.opened_at_ms
                    for one in await bot.app.store.snapshots_since(market.base, None)
                    if one.bar is not None
                ]
                for market in bot.feed.markets
            }
            missing = [
                f"{base} {figures.moment(at_ms)}"
                for base, times in opened.items()
                for at_ms in sorted(set(range(times[0], ended_ms, BAR_MS)) - set(times))
            ]
            return {
                "days": days,
                "bars": sum(at_ms >= begun_ms for times in opened.values() for at_ms in times),
                "markets": len(opened),
                # From the first bar that is stored to the last that had closed when the soak was over.
                "missing": len(missing),
                "missing_first": missing[:10],
                "took_s": time.monotonic() - begun_s,
                "cpu_s": time.process_time() - cpu_s,
                "failed": bot.app.failed_ticks,
                "stale": sum("stale" in text for text in bot.app.notices),
            }


PARTS: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
    "start": start,
    "prints": prints,
    "soak": soak,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(PARTS[sys.argv[1]](json.loads(sys.argv[2])))) + "\n")  # type: ignore[arg-type]
