"""The real ccxt, pointed at local venues only, and plain requests where ccxt hides the answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt.pro

from bot.markets.local.server import VenueServer
from bot.markets.local.venues import LocalVenues

HISTORY_DAYS = 2
INTO_BAR_MS = 150_000
BTC = "BTC/USDT:USDT"
CCXT_NAMES = {"binance": "binanceusdm", "bybit": "bybit", "okx": "okx", "gate": "gate"}
_TYPES = {"bybit": "linear", "okx": "swap", "gate": "swap"}


@asynccontextmanager
async def connected(venues: LocalVenues, name: str, *, load: bool = True) -> AsyncIterator[Any]:
    """A ccxt exchange for this venue, with its markets loaded."""
    options: dict[str, Any] = {"enableRateLimit": False, "timeout": 2000, "options": {"defaultType": "swap"}}
    if name in _TYPES:
        options["options"]["fetchMarkets"] = {"types": [_TYPES[name]]}
    exchange = getattr(ccxt.pro, CCXT_NAMES[name])(options)
    exchange.has["fetchCurrencies"] = False
    # ccxt sleeps that long in every close; TLS needs it, loopback does not.
    exchange.timeout_on_exit = 1
    venues.rewrite(exchange)
    try:
        if load:
            await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def get(server: VenueServer, path: str) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON body and headers."""
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        try:
            body = await response.json(content_type=None)
        except ValueError:
            body = await response.text()
        return response.status, body, dict(response.headers)


async def until(happened: Callable[[], object], within_s: float = 3.0) -> None:
    """Wait for it, or fail."""
    async with asyncio.timeout(within_s):
        while not happened():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
