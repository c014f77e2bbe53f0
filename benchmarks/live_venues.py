"""Local venues in a process of their own, so that what they cost is not counted; and the handle to steer them by."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from detectors.market import DAY_MS

_NAMES = {"binanceusdm": "binance", "gateio": "gate"}
_LINE = 1 << 20


class VenueTime:
    """The venues' time, as the clock of what watches them: both processes have the same steady clock."""

    def __init__(self) -> None:
        self._set_ms, self._set_at_s, self.speed = 0, 0.0, 0.0

    def follow(self, told: Mapping[str, Any]) -> None:
        self._set_ms, self._set_at_s, self.speed = told["now_ms"], told["at_s"], told["speed"]

    def now_ms(self) -> int:
        return self._set_ms + int((time.monotonic() - self._set_at_s) * 1000 * self.speed)

    def steady_s(self) -> float:
        return self.now_ms() / 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / max(self.speed, 1.0))


class Venues:
    """Starts the process and ends it. ``spec``: names, markets, copies, days, limits_scale, push_every_s."""

    def __init__(self, **spec: Any) -> None:
        self.clock = VenueTime()
        self._spec = spec
        self._ports: Mapping[str, int] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.live_venues",
            json.dumps(self._spec),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        self._ports = (await self._answer())["ports"]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(await self._process.stdout.readline())
        self.clock.follow(told)
        return told

    async def order(self, **order: Any) -> dict[str, Any]:
        """speed=, advance_ms=, burst=[venue, base, count]."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._answer()

    def rewrite(self, exchange: Any) -> None:
        exchange.urls["api"] = _at(
            exchange.urls["api"], f"127.0.0.1:{self._ports[_NAMES.get(exchange.id, exchange.id)]}"
        )


def _at(url: Any, host: str) -> Any:
    if isinstance(url, dict):
        return {key: _at(value, host) for key, value in url.items()}
    parts = urlsplit(url)
    return f"{'ws' if parts.scheme in ('ws', 'wss') else 'http'}://{host}{parts.path}"


async def _serve(spec: Mapping[str, Any]) -> None:
    now_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
    shift_ms = (now_ms - round(spec["days"] * DAY_MS) - START_MS) // DAY_MS * DAY_MS
    history = History(SimulatedFeed(spec.get("seed", 9), markets=spec["markets"]), shift_ms, spec.get("copies", 0))
    history.reach(now_ms)
    clock, speed = Clock(now_ms), 0.0
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with LocalVenues(
        history,
        clock,
        spec["names"],
        push_every_s=spec.get("push_every_s", 1.0),
        limits_scale=spec.get("limits_scale", 1.0),
    ) as venues:
        order: dict[str, Any] = {}
        while True:
            if "speed" in order:
                clock.speed = speed = order["speed"]
            if "advance_ms" in order:
                await venues.advance(order["advance_ms"])
            if "burst" in order:
                venue, base, count = order["burst"]
                await venues[venue].burst(base, count)
            told = {
                "ports": {name: venues[name].port for name in venues},
                "now_ms": clock.now_ms,
                "at_s": time.monotonic(),
                "speed": speed,
                "requests": {name: sum(venues[name].requests.values()) for name in venues},
                "refused": {name: venues[name].refused for name in venues},
            }
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            line = await reader.readline()
            if not line:
                return
            order = json.loads(line)


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
