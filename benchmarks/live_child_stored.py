"""Measures starts on a database that is full, and views of single venues, in a process of their own.

``python -m benchmarks.live_child_stored PART SPEC`` prints one JSON object.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.live_child import THREE, Bot, rss_mb
from benchmarks.live_venues import Venues
from bot.markets.live_types import BAR_MS

ORIGINALS = ("BTC", "ETH", "DOGE")


async def restart(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A start on a database that has a month of every market and no checkpoint.

    Three markets are fetched; the others, which the venues list as copies of them, are copied in the database.
    """
    async with Venues(
        names=THREE, markets=ORIGINALS, copies=spec["markets"] - 3, days=spec["days"] + 1, limits_scale=100
    ) as venues:
        await venues.order(speed=1.0)
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / "bot.db"
            feed = {"history_days": spec["days"], "paced": False, "database": database}
            async with Bot(venues, 3, words=ORIGINALS, **feed) as bot:
                await bot.until(lambda: bot.all_in, 900)
            with closing(sqlite3.connect(database)) as connection, connection:
                for n in range(spec["markets"] - 3):
                    copy_market(connection, ORIGINALS[n % 3], f"COPY{n + 1}")
                connection.execute("DELETE FROM checkpoints")
                bars, size, of_venues = connection.execute(
                    "SELECT count(*), (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size), "
                    "sum(length(by_venue)) FROM snapshots WHERE bar_opened_at_ms IS NOT NULL"
                ).fetchone()
            begun_s, cpu_s, rss = time.monotonic(), time.process_time(), rss_mb()
            async with Bot(venues, spec["markets"], **feed) as bot:
                first_tick_s = await bot.until(lambda: bot.app.ticks > 0, 60) - begun_s
                first_market_s = await bot.until(bot.any_in, 300) - begun_s
                all_s = await bot.until(lambda: bot.app.caught_up, 900) - begun_s
                return {
                    "bars": bars,
                    "size_mb": size / 1e6,
                    "bytes_a_bar": size / bars,
                    "of_venues": of_venues / bars,
                    "rebuilt": sum(found.to_rebuild for found in bot.app.resumed),
                    "first_tick_s": first_tick_s,
                    "first_market_s": first_market_s,
                    "all_s": all_s,
                    "cpu_s": time.process_time() - cpu_s,
                    "lag": await bot.lag_ms(),
                    "rss_mb": [rss, rss_mb()],
                }


def copy_market(connection: sqlite3.Connection, market: str, name: str, *, checkpoint: bool = False) -> None:
    """Everything stored of ``market``, as if it were another one called ``name``; its checkpoint only if asked for."""
    taken = connection.execute("SELECT id FROM markets WHERE base = ?", (market,)).fetchone()[0]
    rest = "last_seq, taken_at_ms, bar_opened_at_ms"
    new = connection.execute(
        f"INSERT INTO markets (base, {rest}) SELECT ?, {rest} FROM markets WHERE id = ? RETURNING id",
        (name, taken),
    ).fetchone()[0]
    columns = [one[0] for one in connection.execute("SELECT * FROM snapshots LIMIT 0").description]
    kept = ", ".join(column for column in columns if column not in {"market_id", "view_id"})
    views = "SELECT DISTINCT views.id, document FROM views JOIN snapshots ON views.id = view_id WHERE market_id = ?"
    for view, document in connection.execute(views, (taken,)).fetchall():
        other = json.dumps({**json.loads(document), "base": name, "symbol": f"{name}/USDT:USDT"})
        made = connection.execute("INSERT INTO views (document) VALUES (?) RETURNING id", (other,)).fetchone()[0]
        connection.execute(
            f"INSERT INTO snapshots (market_id, view_id, {kept}) SELECT ?, ?, {kept} FROM snapshots "
            "WHERE market_id = ? AND view_id = ?",
            (new, made, taken, view),
        )
    connection.execute("INSERT INTO states SELECT ?, blob FROM states WHERE market_id = ?", (new, taken))
    if checkpoint:
        connection.execute(
            "INSERT INTO checkpoints (market_id, seq, bar_opened_at_ms, blob) "
            "SELECT ?, seq, bar_opened_at_ms, blob FROM checkpoints WHERE market_id = ?",
            (new, taken),
        )
    for table in ("pasts", "margin_tiers"):
        names = [one[0] for one in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]
        rest = ", ".join(one for one in names if one != "market")
        connection.execute(
            f"INSERT INTO {table} (market, {rest}) SELECT ?, {rest} FROM {table} WHERE market = ?",
            (name, market),
        )


async def views(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same markets without and with views of single venues beside them."""
    async with Venues(
        names=THREE, markets=["BTC", "ETH", "DOGE"], copies=spec["markets"] - 3, days=spec["days"] + 1, limits_scale=100
    ) as venues:
        await venues.order(speed=1.0)
        async with Bot(venues, spec["markets"], history_days=spec["days"], paced=False) as bot:
            await bot.until(lambda: bot.all_in, 600)
            told, following = [], bot.app.following
            assert following is not None
            for wanted in (0, spec["views"]):
                bases = [f"{market.base}@{venue}" for market in bot.feed.markets for venue in market.venues][:wanted]
                cpu_s = time.process_time()
                for base in bases:
                    await following.open(base)
                past = bot.app.catching_up
                assert past is not None
                await bot.until(lambda: all(past.waiting_for(base) is None for base in bases), 600)  # noqa: B023
                past_cpu_s = time.process_time() - cpu_s
                for _ in range(3):
                    await _close_cpu_s(bot, venues)  # which make checkpoints of what is new
                await bot.app.keep_house()
                closes = [await _close_cpu_s(bot, venues) for _ in range(spec["closes"])]
                told.append({"past_cpu_s": past_cpu_s, "rss_mb": rss_mb(), "close_cpu_s": sorted(closes)})
            return {"markets": spec["markets"], "views": spec["views"], "without": told[0], "with": told[1]}


async def _close_cpu_s(bot: Bot, venues: Venues) -> float:
    """CPU from just before a bar's close until it is taken of all, less what looks take."""
    now_ms = venues.clock.now_ms()
    closed_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
    await venues.order(advance_ms=closed_ms - 2_000 - now_ms)
    await asyncio.sleep(1.0)
    cpu_s = time.process_time()
    await bot.until(lambda: bot.bars.get(closed_ms, 0) >= len(bot.feed.markets), 60)
    spent_s = time.process_time() - cpu_s
    await asyncio.sleep(1.0)
    return spent_s


PARTS: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {"restart": restart, "views": views}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(PARTS[sys.argv[1]](json.loads(sys.argv[2])))) + "\n")  # type: ignore[arg-type]
