"""Measures what a bar's close costs in requests alone, in a process of its own: ``python -m
benchmarks.live_child_requests PART SPEC`` prints one JSON object."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from benchmarks.live_child import THREE
from benchmarks.live_venues import Venues
from bot.markets.ccxt_errors import VenueError
from bot.markets.feed import Refusals
from bot.markets.live_budget import EvenPace
from bot.markets.live_connect import Reached
from bot.markets.live_connect import Venues as Connections
from bot.markets.live_types import BAR_MS
from bot.markets.live_worker import Batch, VenueWorker
from detectors.market import HOUR_MS

_AFTER_CLOSE_MS = 2_500
_AT_ONCE = 10


async def requests(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Closes of ``markets`` at each venue by REST, one venue after the other, and what else asks would cost."""
    found: dict[str, Any] = {}
    async with Venues(names=THREE, markets=["BTC"], copies=spec["markets"] - 1, days=1.1, limits_scale=1e3) as venues:
        await venues.order(speed=1.0)
        exchanges: list[Any] = []

        def rewrite(exchange: Any) -> None:
            venues.rewrite(exchange)
            exchanges.append(exchange)

        connections = Connections(THREE, venues.clock, Refusals(), rewrite=rewrite)
        await connections.open()
        try:
            # The pace is counted, and nothing has to wait for it.
            EvenPace.enter = _at_once  # type: ignore[assignment,method-assign]
            for exchange in exchanges:
                exchange.throttle.__self__.most *= 1e3
            for name, reached in connections.reached.items():
                found[name] = [await _close(venues, reached) for _ in range(spec["closes"])]
            found["alone"] = await _alone(exchanges[THREE.index("binance")], list(connections.reached.values()))
        finally:
            await connections.close()
    return found


async def _at_once(_self: EvenPace, *_: Any, **__: Any) -> None:
    return


async def _close(venues: Venues, reached: Reached) -> dict[str, float]:
    """CPU and requests of one close, by the worker that the bot runs. Raises where a market lacks something."""
    got: list[Batch] = []
    name, now_ms = reached.client.rules.name, venues.clock.now_ms()
    closed_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
    if closed_ms % HOUR_MS == 0:  # at which settled funding is asked for
        closed_ms += BAR_MS
    await venues.order(advance_ms=closed_ms + _AFTER_CLOSE_MS - now_ms)
    worker = VenueWorker(
        reached.client,
        reached.listings,
        venues.clock,
        got.append,
        _raise,
        look_every_ms=10_000,
        with_interest=frozenset(reached.listings),
        after_ms=closed_ms - BAR_MS,
    )
    before = (await venues.order())["requests"][name]
    cpu_s = time.process_time()
    await worker.close(closed_ms)
    spent_s = time.process_time() - cpu_s
    asked = (await venues.order())["requests"][name] - before
    told = {base: series for batch in got for base, series in batch.markets.items()}  # type: ignore[union-attr]
    if len(told) != len(reached.listings) or not all(one.bars and one.interest_base for one in told.values()):
        raise AssertionError(f"{name} lacks something of {len(reached.listings)} markets")
    return {"cpu_s": spent_s, "requests": asked}


def _raise(error: VenueError, series: str) -> None:
    raise AssertionError(f"{series}: {error}")


async def _alone(exchange: Any, reached: list[Reached]) -> dict[str, float]:
    """CPU of one small request, in seconds: as asked here, by ccxt's own ``fetch``, and by aiohttp's session as it
    comes, with and without a look at the environment for a proxy."""
    binance = next(one for one in reached if one.client.rules.name == "binance")
    ids = [exchange.market(one.symbol)["id"] for one in binance.listings.values()]
    asked = exchange.fetch.__self__
    url = exchange.sign("openInterest", ["fapiPublic"], "GET", {})["url"]
    found = {
        "ours": await _each(ids, lambda name: exchange.fetch(f"{url}?symbol={name}")),
        "ccxt": await _each(ids, lambda name: asked.by_ccxt(f"{url}?symbol={name}")),
    }
    for way, trust_env in (("aiohttp", False), ("aiohttp, trust_env", True)):
        async with aiohttp.ClientSession(trust_env=trust_env) as session:

            async def ask(name: str, session: aiohttp.ClientSession = session) -> None:
                async with session.get(f"{url}?symbol={name}") as response:
                    json.loads(await response.read())

            found[way] = await _each(ids, ask)
    return found


async def _each(ids: list[str], ask: Callable[[str], Awaitable[Any]]) -> float:
    """The least of three rounds."""
    least_s = float("inf")
    for _ in range(3):
        line = iter(ids)

        async def work(line: Any = line) -> None:
            for name in line:
                await ask(name)

        begun_s = time.process_time()
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        least_s = min(least_s, (time.process_time() - begun_s) / len(ids))
    return least_s


PARTS: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {"requests": requests}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(PARTS[sys.argv[1]](json.loads(sys.argv[2])))) + "\n")  # type: ignore[arg-type]
