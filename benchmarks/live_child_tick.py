"""Measures what bar closes cost, in a process of its own: ``python -m benchmarks.live_child_tick PART SPEC``.

A bot that begins with five hundred markets fetches and lives through their past for many minutes. So six markets are
fetched once (``warm``), each copied in the database under the names of those that the venues list as its copies, with
series, checkpoint and decisions; the bot that is measured (``tick``, ``pace``) goes on from there, as after a restart.
"""

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.calibration import calibrate
from benchmarks.live_child import THREE, Bot, rss_mb, say
from benchmarks.live_child_stored import copy_market
from benchmarks.live_venues import Venues
from bot.markets.live_budget import EvenPace, Window
from bot.markets.live_types import BAR_MS
from detectors.engine import MarketEngine
from detectors.estimate import MarketEstimate
from storage.sql_store import SqlStore
from tests.bot.resources_child import LoopHolds

LISTED = 500
FETCHED = ("BTC", "ETH", "DOGE", "COPY1", "COPY2", "COPY3")
"""Copies have the leverage tiers of small markets, so those of BTC are no pattern for them."""
LATER_MS = 7 * BAR_MS
"""How far the venues are moved on for the bot that is measured: past whatever was stored."""
_BEFORE_CLOSE_MS = 7_000
_SETTLED_S = 2.0
"""After time has jumped to there: what was not heard meanwhile is stale, said so, and asked for. A stream of candles is
connected four seconds before a close."""
_QUIET_S = 12.0


def _venues(days: float, limits_scale: float = 100.0) -> Venues:
    return Venues(
        names=THREE, markets=["BTC", "ETH", "DOGE"], copies=LISTED - 3, days=days + 1, limits_scale=limits_scale
    )


async def warm(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Fill ``database`` with every market's past, its checkpoint and its decisions."""
    database = Path(spec["database"])
    async with _venues(spec["days"]) as venues:
        await venues.order(speed=1.0)
        feed = {"history_days": spec["days"], "paced": False, "database": database}
        async with Bot(venues, len(FETCHED), words=FETCHED, **feed) as bot:
            await bot.until(lambda: bot.all_in, 300)
            say(f"the past of {len(FETCHED)} markets is in")
            await _close(bot, venues)  # which their checkpoints are made at
            await asyncio.sleep(1.0)
        with closing(sqlite3.connect(database)) as connection, connection:
            found = connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
            if found != len(FETCHED):
                raise AssertionError(f"{found} checkpoints")
            for n in range(4, spec["markets"] - 2):
                copy_market(connection, f"COPY{(n - 1) % 3 + 1}", f"COPY{n}", checkpoint=True)
            (bars,) = connection.execute("SELECT count(*) FROM snapshots").fetchone()
    say(f"copied: {bars:,} bars")
    return {"bars": bars}


@asynccontextmanager
async def _going_on(spec: Mapping[str, Any], **more: Any) -> AsyncIterator[tuple[Bot, Venues, dict[str, Any]]]:
    """The bot on a copy of the database, once all that it had missed is in; and what the start took."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bot.db"
        shutil.copy(spec["database"], database)
        async with _venues(spec["days"], **more) as venues:
            await venues.order(speed=1.0)
            await venues.order(advance_ms=LATER_MS)
            begun_s = time.monotonic()
            feed: dict[str, Any] = {"history_days": spec["days"], "paced": False, "database": database}
            if spec["markets"] < LISTED:  # the largest would all be copies of one of them
                feed["words"] = [*FETCHED, *(f"COPY{n}" for n in range(4, spec["markets"] - 2))]
            async with Bot(venues, spec["markets"], **feed) as bot:
                started_s = time.monotonic() - begun_s
                await bot.until(lambda: bot.all_in, 600)
                found = {
                    "markets": len(bot.feed.markets),
                    "rebuilt": sum(one.to_rebuild for one in bot.app.resumed),
                    "clusters": sum(len(engine.tracker.clusters) for engine in bot.app.watcher.engines.values()),
                    "lag_start": await bot.lag_ms(),
                    "start_s": started_s,
                    "caught_up_s": time.monotonic() - begun_s,
                }
                say(f"{found['markets']} markets go on after {found['caught_up_s']:.0f} s")
                yield bot, venues, found


class Parts:
    """CPU by part, of whatever thread it is spent in; only what is not awaited in the middle can be told apart."""

    SPENT: tuple[tuple[str, type, str], ...] = (
        ("engine_s", MarketEngine, "step"),
        ("decisions_s", MarketEngine, "decisions"),
        ("checkpoints_s", MarketEstimate, "to_bytes"),
        ("store_s", SqlStore, "_commit"),
    )

    def __init__(self) -> None:
        self.spent_s = dict.fromkeys((name for name, _, _ in self.SPENT), 0.0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        kept = [(kind, method, getattr(kind, method)) for _, kind, method in self.SPENT]
        for name, kind, method in self.SPENT:
            setattr(kind, method, self._timed(name, getattr(kind, method)))
        try:
            yield
        finally:
            for kind, method, original in kept:
                setattr(kind, method, original)

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            begun_s = time.thread_time()
            try:
                return method(*args)
            finally:
                self.spent_s[name] += time.thread_time() - begun_s

        return timed

    def take(self) -> dict[str, float]:
        taken = dict(self.spent_s)
        self.spent_s = dict.fromkeys(taken, 0.0)
        return taken


async def _close(bot: Bot, venues: Venues, looks_a_s: float = 0.0, parts: Parts | None = None) -> dict[str, float]:
    """On to just before the next close, and until every market's bar is committed."""
    now_ms, last = venues.clock.now_ms(), len(bot.feed.markets)
    closed_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
    await venues.order(advance_ms=closed_ms - _BEFORE_CLOSE_MS - now_ms)
    await asyncio.sleep(_SETTLED_S)
    asked = sum((await venues.order())["requests"].values())
    if parts is not None:
        parts.take()
    cpu_s, begun_s = time.process_time(), time.monotonic()
    due_s = begun_s + (closed_ms + 2_000 - venues.clock.now_ms()) / 1000
    await bot.until(lambda: bot.bars.get(closed_ms, 0) >= last, 120)
    spent = time.process_time() - cpu_s
    asked = sum((await venues.order())["requests"].values()) - asked
    after_s = sorted(at_s - due_s for at_s in bot.times[closed_ms])
    found = {
        "cpu_s": spent - looks_a_s * (time.monotonic() - begun_s),
        "p50_s": after_s[len(after_s) // 2],
        "p99_s": after_s[min(len(after_s) - 1, int(len(after_s) * 0.99))],
        "after_due_s": after_s[-1],
        "requests": asked,
        **(parts.take() if parts is not None else {}),
    }
    await asyncio.sleep(1.0)
    return found


async def _at_once(_self: Window | EvenPace, *_: Any, **__: Any) -> None:
    return


async def tick(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Bar closes in real time, one after the other: what they cost and how long they take; then some more with clocks
    that tell the parts of it, which cost something themselves."""
    parts, holds = Parts(), LoopHolds()
    # Calls go as they come, else a restart of 500 markets would first use up five minutes' worth of Binance's windows.
    Window.enter = EvenPace.enter = _at_once  # type: ignore[assignment,method-assign]
    async with _going_on(spec) as (bot, venues, found):
        for exchange in bot.exchanges:  # what keeping the pace costs is counted, and no call has to wait for it
            exchange.enableRateLimit, exchange.throttle.__self__.most = True, 1e6
        found["loop_ms"] = calibrate() * 1000
        await asyncio.sleep(2.0)
        quiet_cpu, quiet_s = time.process_time(), time.monotonic()
        await asyncio.sleep(_QUIET_S)  # Looks alone: what is not a bar's.
        looks_a_s = (time.process_time() - quiet_cpu) / (time.monotonic() - quiet_s)
        found["looks_cpu"] = looks_a_s
        say(f"prices alone: {looks_a_s * 1000:.0f} ms of CPU each second")
        await bot.lag_ms()
        closes = []
        for _ in range(spec["closes"]):
            closes.append(await _close(bot, venues, looks_a_s))
            say(f"close: {_words(closes[-1])}")
        lag = await bot.lag_ms()
        watching = asyncio.create_task(holds.watch())
        with parts.watching():
            parted = []
            for _ in range(spec["parted"]):
                parted.append(await _close(bot, venues, looks_a_s, parts))
                say(f"close in parts: {_words(parted[-1])}")
        watching.cancel()
        held = sorted(holds.held_s)
        for one in parted:  # of the same closes: those without clocks may be of another kind
            one["rest_s"] = one["cpu_s"] - sum(one[name] for name in parts.spent_s)
        return {
            **found,
            "closes": closes,
            "parted": parted,
            "lag": lag,
            "held_p99_ms": held[int(len(held) * 0.99)] * 1000,
            "held_most_ms": held[-1] * 1000,
            "loop_ms": [found["loop_ms"], calibrate() * 1000],
            "rss_mb": rss_mb(),
        }


def _words(close: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in close.items())


async def pace(spec: Mapping[str, Any]) -> dict[str, Any]:
    """As `tick`, with every call at the pace of the venues' real limits."""
    async with _going_on(spec) as (bot, venues, found):
        for exchange in bot.exchanges:
            exchange.enableRateLimit = True
        closes = []
        for _ in range(spec["closes"]):
            await asyncio.sleep(60)  # A minute's budget is there again, as it would be after five.
            closes.append(await _close(bot, venues))
            say(f"close: {_words(closes[-1])}")
        return {**found, "closes": closes, "lag": await bot.lag_ms()}


PARTS: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
    "warm": warm,
    "tick": tick,
    "pace": pace,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(PARTS[sys.argv[1]](json.loads(sys.argv[2])))) + "\n")  # type: ignore[arg-type]
