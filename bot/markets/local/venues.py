"""Local venues together: start them, point ccxt at them, let their time pass."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from bot.markets.local.binance import BinanceVenue
from bot.markets.local.bybit import BybitVenue
from bot.markets.local.clock import Clock
from bot.markets.local.gate import GateVenue
from bot.markets.local.history import History
from bot.markets.local.limits import Limiter
from bot.markets.local.listing import DEFAULT_TERMS, Terms
from bot.markets.local.okx import OkxVenue
from bot.markets.local.server import VenueServer

VENUES: Mapping[str, type[VenueServer]] = {
    "binance": BinanceVenue,
    "bybit": BybitVenue,
    "okx": OkxVenue,
    "gate": GateVenue,
}
_CCXT_NAMES = {"binanceusdm": "binance", "gateio": "gate"}


class CcxtExchange(Protocol):
    """What `LocalVenues.rewrite` needs of a ccxt exchange."""

    id: str
    urls: dict[str, Any]


class LocalVenues:
    """Use as an async context manager: the venues listen inside. ``venues["okx"].faults`` is OKX's script.

    All share one history and one clock. ``push_every_s`` is how often (in real time) websockets get what is new; None
    leaves it to `advance`. Raises ValueError for a venue there is none of.
    """

    def __init__(
        self,
        history: History,
        clock: Clock,
        names: Iterable[str] = tuple(VENUES),
        *,
        push_every_s: float | None = None,
        terms: Mapping[str, Terms] = DEFAULT_TERMS,
        limits_scale: float = 1.0,
    ) -> None:
        wanted = tuple(names)
        for name in wanted:
            if name not in VENUES:
                raise ValueError(f"no local venue called {name!r}; there are {', '.join(VENUES)}.")
        self.history, self.clock = history, clock
        started = {name: terms[name] for name in wanted}
        self._servers = {name: VENUES[name](history, clock, started, Limiter(limits_scale)) for name in wanted}
        self._push_every_s = push_every_s
        self._pushing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for server in self._servers.values():
            await server.start()
        if self._push_every_s is not None:
            self._pushing = asyncio.create_task(self._push_on(self._push_every_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._pushing is not None:
                self._pushing.cancel()
                with suppress(asyncio.CancelledError):
                    await self._pushing
        finally:
            for server in self._servers.values():
                await server.close()

    def __getitem__(self, name: str) -> VenueServer:
        return self._servers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    async def advance(self, by_ms: int) -> None:
        """Let venue time pass and push what happened in it."""
        self.clock.advance(by_ms)
        await self.push()

    async def push(self) -> None:
        for server in self._servers.values():
            await server.push()

    def rewrite(self, exchange: CcxtExchange) -> None:
        """Point a ccxt exchange's REST and websocket addresses here; do so before `load_markets`.

        Raises KeyError for an exchange whose venue is not running here.
        """
        port = self._servers[_CCXT_NAMES.get(exchange.id, exchange.id)].port
        exchange.urls["api"] = _rewritten(exchange.urls["api"], f"127.0.0.1:{port}")

    async def _push_on(self, every_s: float) -> None:
        while True:
            await self.push()
            await asyncio.sleep(every_s)


def _rewritten(url: Any, host: str) -> Any:
    if isinstance(url, dict):
        return {key: _rewritten(value, host) for key, value in url.items()}
    parts = urlsplit(url)
    scheme = "ws" if parts.scheme in ("ws", "wss") else "http"
    return f"{scheme}://{host}{parts.path}"
