"""Measures bar closes at venues with their real limits, in a process of its own: ``python -m
benchmarks.live_child_closes PART SPEC`` prints one JSON object."""

import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import ccxt.pro
from aiohttp import web

from benchmarks.live_child import THREE, rss_mb
from benchmarks.live_venues import Venues
from bot.lag import LoopLag
from bot.markets import live_closing
from bot.markets.live import LiveFeed
from bot.markets.live_patience import Patience
from bot.markets.live_types import BAR_MS, BarBatch, Listing
from bot.markets.local.okx_candles import BUSINESS
from bot.markets.venues import VENUES
from detectors.market import Bar

_BEGINS_BEFORE_MS = 270_000
"""A settlement of funding, at which the first close measured is."""
_SETTLES_EVERY_MS = 8 * 3_600_000
_RATES_WITHIN_S = 240.0
_BEFORE_CLOSE_S = 6.0
_AFTER_CLOSE_S = 10.0


class Arrivals:
    """When each venue handed over each market's bar, by the steady clock."""

    def __init__(self) -> None:
        self.at_s = at_s = dict[tuple[str, int], dict[str, float]]()
        self.rates_s = rates_s = dict[tuple[str, int], dict[str, float]]()
        """The same of rates, by the close at which they were settled."""
        note = Patience.note

        def noting(self: Patience, batch: BarBatch) -> None:
            had = at_s.setdefault((batch.venue, batch.closed_at_ms), {})
            settled = rates_s.setdefault((batch.venue, batch.closed_at_ms), {})
            for base, series in batch.markets.items():
                if series.bars:
                    had.setdefault(base, time.monotonic())
                if series.funding:
                    settled.setdefault(base, time.monotonic())
            note(self, batch)

        Patience.note = noting  # type: ignore[method-assign]


async def closes(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Closes in real time, with streams of candles and with REST alone: the feed, without what is done with its bars.

    ``tiers``: wait until every table of leverage tiers has been asked for, and tell how long that took.
    """
    arrivals = Arrivals()
    async with Venues(
        names=THREE, markets=["BTC", "ETH", "DOGE"], copies=497, days=1.1, push_every_s=spec["push_every_s"]
    ) as venues:
        now_ms = venues.clock.now_ms() + _BEGINS_BEFORE_MS
        await venues.order(advance_ms=_SETTLES_EVERY_MS - now_ms % _SETTLES_EVERY_MS)
        await venues.order(speed=1.0)
        told: dict[str, Any] = {}
        for way, lead_s in (("stream", live_closing.LEAD_S), ("rest", None)):
            feed = LiveFeed(THREE, clock=venues.clock, rewrite=partial(_rewrite, venues), largest=spec["markets"])
            feed.stream_lead_s = lead_s
            begun_s = time.monotonic()
            await feed.start()
            handed: dict[int, list[float]] = {}
            pumping = asyncio.create_task(_pump(feed, handed))
            if spec["tiers"]:
                await asyncio.sleep(1.0)
                await feed.tiers_asked(900)
            tiers_s = time.monotonic() - begun_s
            refused = (await venues.order())["refused"]
            lag = LoopLag(0.01)
            lag.start()
            rows = [await _close(venues, feed, arrivals, handed) for _ in range(spec["closes"])]
            after = await venues.order()
            told[way] = {
                "closes": rows,
                "tiers_s": tiers_s,
                "refused_at_start": refused,
                "refused": {name: after["refused"][name] - refused[name] for name in THREE},
                "lag_p99_ms": lag.quantile_s(0.99) * 1000,
                "lag_most_ms": lag.quantile_s(1.0) * 1000,
                "refusals": dict(feed.refusals),
                "rss_mb": rss_mb(),
            }
            await lag.stop()
            await feed.close()
            await pumping
            spec = {**spec, "tiers": False}
        return told


def _rewrite(venues: Venues, exchange: Any) -> None:
    venues.rewrite(exchange)
    # A pong is timed by the venues' clock and a ping by the wall's.
    exchange.streaming = {**exchange.streaming, "maxPingPongMisses": 1e9}


async def _pump(feed: LiveFeed, handed: dict[int, list[float]]) -> None:
    while (moment := await feed.poll()) is not None:
        for one in moment:
            if one.bar is not None:
                handed.setdefault(one.bar.closed_at_ms, []).append(time.monotonic())


async def _close(
    venues: Venues, feed: LiveFeed, arrivals: Arrivals, handed: Mapping[int, list[float]]
) -> dict[str, Any]:
    """One close: seconds after it was due, and the CPU from six seconds before it to ten after."""
    count = len(feed.markets)
    now_ms = venues.clock.now_ms()
    closed_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
    # Limits are free again after that, as they are after five minutes.
    await asyncio.sleep(10.0)
    quiet_s, quiet_cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(10.0)
    usual = (time.process_time() - quiet_cpu) / (time.monotonic() - quiet_s)
    await venues.order(advance_ms=closed_ms - round(_BEFORE_CLOSE_S * 1000) - venues.clock.now_ms())
    begun_s, cpu_s = time.monotonic(), time.process_time()
    due_s = begun_s + (closed_ms + 2_000 - venues.clock.now_ms()) / 1000
    await asyncio.sleep(_BEFORE_CLOSE_S + _AFTER_CLOSE_S)
    spent = time.process_time() - cpu_s - usual * (time.monotonic() - begun_s)
    for _ in range(600):
        if len(handed.get(closed_ms, ())) >= count:
            break
        await asyncio.sleep(0.1)
    rates: dict[str, float] = {}
    if closed_ms % _SETTLES_EVERY_MS == 0:
        while time.monotonic() - due_s < _RATES_WITHIN_S:
            if all(len(arrivals.rates_s.get((name, closed_ms), ())) >= count for name in THREE):
                break
            await asyncio.sleep(1.0)
        told = {name: arrivals.rates_s.get((name, closed_ms), {}) for name in THREE}
        rates = {name: max(one.values()) - due_s for name, one in told.items() if len(one) >= count}
    merged = sorted(at_s - due_s for at_s in handed.get(closed_ms, ()))
    return {
        "cpu_s": spent,
        "markets": len(merged),
        "p50_s": merged[len(merged) // 2],
        "p99_s": merged[min(len(merged) - 1, int(0.99 * len(merged)))],
        "last_s": merged[-1],
        "rates": rates,
        "venues": {name: max(arrivals.at_s.get((name, closed_ms), {"": math.inf}).values()) - due_s for name in THREE},
    }


# --- what a message costs


class _Sink:
    def closed(self, base: str, bar: Bar) -> None: ...


async def messages(spec: Mapping[str, Any]) -> dict[str, Any]:
    """CPU of one pushed candle over a socket, as ccxt handles it and past its handler; another process sends.

    ``apart_s``: how far apart they come; 0: five hundred at once.
    """
    listings = {f"C{n}-USDT-SWAP": Listing("okx", f"C{n}", f"C{n}/USDT:USDT") for n in range(500)}
    command = [sys.executable, "-m", "benchmarks.live_child_closes", "serve", json.dumps(spec)]
    found: dict[str, Any] = {}
    for way in ("ours", "ccxt"):
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        exchange = ccxt.pro.okx({"enableRateLimit": False})
        exchange.urls["api"]["ws"] = f"ws://127.0.0.1:{port}/ws/v5"
        exchange.set_markets(
            [
                exchange.safe_market_structure(
                    {"id": name, "symbol": one.symbol, "base": one.base, "quote": "USDT", "settle": "USDT"}
                    | {"type": "swap", "swap": True, "contract": True, "linear": True}
                )
                for name, one in listings.items()
            ]
        )
        begun = time.process_time()
        try:
            if way == "ours":
                at_once = asyncio.ensure_future(asyncio.sleep(0))
                await live_closing.stream(VENUES["okx"], exchange, listings, _Sink(), lambda _: None, at_once)
            else:
                while True:
                    await exchange.watch_ohlcv_for_symbols([[one.symbol, "5m"] for one in listings.values()])
        except ccxt.NetworkError:
            pass
        found[way] = (time.process_time() - begun) / (spec["rounds"] * 500) * 1e6
        await exchange.close()
        await process.wait()
    return found


async def serve(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A websocket that pushes so many rounds of 500 open candles, each market once a second in the real world."""
    done = asyncio.Event()

    async def pushes(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        names = [one["instId"] for one in json.loads(await socket.receive_str())["args"]]
        row = ["1597026300000", "8533.02", "8553.74", "8527.17", "8548.26", "45247", "529.5858", "5529.5858", "0"]
        for _ in range(spec["rounds"]):
            for name in names:
                await socket.send_json({"arg": {"channel": "candle5m", "instId": name}, "data": [row]})
                if spec["apart_s"]:
                    await asyncio.sleep(spec["apart_s"])
            await asyncio.sleep(0.2)
        await socket.close()
        done.set()
        return socket

    app = web.Application()
    app.router.add_get(BUSINESS, pushes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await done.wait()
    await runner.cleanup()
    return {}


PARTS: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
    "closes": closes,
    "messages": messages,
    "serve": serve,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(PARTS[sys.argv[1]](json.loads(sys.argv[2])))) + "\n")  # type: ignore[arg-type]
