"""Makes a venue's ccxt exchange. ccxt is imported late: it takes a second."""

import importlib
from collections.abc import Callable
from typing import Any

import aiohttp

from bot.markets.ccxt_errors import VenueFatal
from bot.markets.live_types import Clock
from bot.markets.venues import VenueRules

Exchange = Any
"""A ccxt.pro exchange: ccxt carries no types worth the name."""
Rewrite = Callable[[Exchange], None]
_TIMEOUT_MS = 10_000
_KEEP_ALIVE_MS = 20_000


def make_exchange(rules: VenueRules, session: aiohttp.ClientSession, clock: Clock, rewrite: Rewrite | None) -> Exchange:
    """A ccxt.pro exchange on a shared session. Raises `VenueFatal` where this ccxt has no such venue."""
    # A class vanishes with a patch release now and then.
    kind = getattr(importlib.import_module("ccxt.pro"), rules.ccxt_class, None)
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
    if rewrite is not None:
        rewrite(exchange)
    return exchange
