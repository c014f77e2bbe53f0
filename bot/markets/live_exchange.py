"""Makes a venue's ccxt exchange. ccxt is imported late: it takes a second."""

import inspect
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import aiohttp

from bot.markets.ccxt_alone import venue_class
from bot.markets.ccxt_errors import VenueFatal
from bot.markets.live_budget import Weights
from bot.markets.live_requests import Requests
from bot.markets.live_types import Clock
from bot.markets.venues import VenueRules

Exchange = Any
"""A ccxt.pro exchange: ccxt carries no types worth the name."""
Rewrite = Callable[[Exchange], None]
_TIMEOUT_MS = 10_000
_KEEP_ALIVE_MS = 20_000
_ASKED_LATER = ("pair", "contractType", "instFamily", "uly", "underlying", "fundingInterval")
"""What ccxt looks up in a market's raw record for public data."""


def make_exchange(rules: VenueRules, session: aiohttp.ClientSession, clock: Clock, rewrite: Rewrite | None) -> Exchange:
    """A ccxt.pro exchange on a shared session. Raises `VenueFatal` where this ccxt has no such venue."""
    # A class vanishes with a patch release now and then.
    kind = venue_class(rules.ccxt_class)
    if kind is None:
        raise VenueFatal(
            f"ccxt has no venue called {rules.ccxt_class}", fix="mend its name in source.venues, or take it out"
        )
    exchange = kind(
        {
            "session": session,
            "enableRateLimit": True,
            # The default never lets a burst through, and does not refill while idle.
            "rateLimiterAlgorithm": "rollingWindow",
            "rollingWindowSize": rules.window_ms,
            "timeout": _TIMEOUT_MS,
            **({"rateLimit": rules.rate_limit_ms} if rules.rate_limit_ms else {}),
            "streaming": {"keepAlive": _KEEP_ALIVE_MS},
            "options": dict(rules.options),
        }
    )
    exchange.has["fetchCurrencies"] = False
    exchange.milliseconds = clock.now_ms
    exchange.seconds = lambda: clock.now_ms() // 1000
    exchange.ssl_context = _trusting(exchange.cafile)
    exchange.throttle = Weights(exchange.rateLimit, rules.window_ms).enter
    requests = Requests(exchange)
    exchange.fetch, exchange.close = requests.fetch, _closing(exchange, requests)
    exchange.set_markets = _slim_markets(exchange)
    if rewrite is not None:
        rewrite(exchange)
    return exchange


def _slim_markets(exchange: Exchange) -> Callable[..., Any]:
    """ccxt's own ``set_markets``, without the venue's raw record of each market, which is most of what it keeps, and
    with each market once for both of its names: five kilobytes less for each that is listed."""
    set_markets = exchange.set_markets

    def set_slim(markets: Any, currencies: Any = None) -> Any:
        set_markets(markets, currencies)
        for market in exchange.markets.values():
            raw = market.get("info")
            market["info"] = {key: raw[key] for key in _ASKED_LATER if key in raw} if isinstance(raw, dict) else {}
        by_id = exchange.markets_by_id
        exchange.markets_by_id = {of: [exchange.markets.get(one["symbol"], one) for one in by_id[of]] for of in by_id}
        return exchange.markets

    return set_slim


@cache
def _trusting(cafile: str) -> ssl.SSLContext:
    """ccxt would make one for each venue in the middle of its first call: 20 ms and 1 MB each."""
    return ssl.create_default_context(cafile=cafile)


def _closing(exchange: Exchange, requests: Requests) -> Callable[[], Awaitable[None]]:
    """ccxt's own ``close``, and that of the requests."""
    close = exchange.close

    async def close_both() -> None:
        await requests.close()
        await close()

    return close_both


def _quoted(value: str | int) -> str | int:
    """Binance lists names in Chinese too."""
    return value if isinstance(value, int) or (value.isascii() and value.isalnum()) else quote(value)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    path: str
    api: Any
    method: str
    config: Mapping[str, Any]


class _Recorder:
    """Stands in for an exchange, to hear from one of ccxt's implicit methods which endpoint it is."""

    def request(self, path: str, api: Any, method: str, _params: object, config: Mapping[str, Any]) -> _Endpoint:
        return _Endpoint(path, api, method, config)


class OwnCalls:
    """Calls in the venue's own words over a ccxt exchange: its pace, its errors, its session. Only the address is put
    together here, which with its detours takes ccxt a fifth of a small call."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._known: dict[str, tuple[_Endpoint, str] | None] = {}

    async def __call__(self, method: str, params: Mapping[str, str | int]) -> Any:
        """Whatever the venue answers. ``method`` is one of ccxt's implicit ones for a public GET, or a usual one."""
        if method not in self._known:
            self._known[method] = self._look_up(method)
        known, exchange = self._known[method], self._exchange
        if known is None:
            return await getattr(exchange, method)(*([dict(params)] if params else []))
        endpoint, address = known
        if exchange.enableRateLimit:
            config = endpoint.config
            await exchange.throttle(
                exchange.calculate_rate_limiter_cost(endpoint.api, endpoint.method, endpoint.path, params, config)
            )
        query = "&".join([f"{name}={_quoted(value)}" for name, value in params.items()])
        return await exchange.fetch(f"{address}?{query}" if query else address)

    def _look_up(self, method: str) -> tuple[_Endpoint, str] | None:
        """The endpoint and its address; None where ccxt has to be asked to put it together."""
        unbound = getattr(type(self._exchange), method)
        if inspect.iscoroutinefunction(unbound):
            return None
        endpoint = unbound(_Recorder(), {})
        if endpoint.method != "GET" or "{" in endpoint.path:
            return None
        return endpoint, self._exchange.sign(endpoint.path, endpoint.api, endpoint.method, {})["url"]
