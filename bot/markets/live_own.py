"""What a venue says in its own words, of all its markets at once."""

from collections.abc import Mapping
from typing import Any

from bot.markets.live_types import Listing, number, whole_ms
from bot.markets.venues import OwnCall
from detectors.market import VenueSample

Rows = Mapping[str, Mapping[str, Any]]
"""By the venue's own name of the market, or by ccxt's symbol where the call has no ``id_key``."""


def rows(call: OwnCall, reply: Any) -> Rows | None:
    """The rows of the reply; None where it is not what the venue sends. Rows that are none are left out."""
    for key in call.path:
        reply = reply.get(key) if isinstance(reply, dict) else None
    if not call.id_key:
        return {name: row for name, row in reply.items() if isinstance(row, dict)} if isinstance(reply, dict) else None
    if not isinstance(reply, list):
        return None
    return {str(row.get(call.id_key)): row for row in reply if isinstance(row, dict)}


def look(call: OwnCall, row: Mapping[str, Any], listing: Listing, now_ms: int) -> VenueSample | None:
    """The market's prices; None without a last price."""
    price, mark = number(row.get(call.price_key)), number(row.get(call.mark_key))
    if price is None:
        return None
    return VenueSample(
        venue=listing.venue,
        symbol=listing.symbol,
        happened_at_ms=whole_ms(row.get(call.stamp_key)) or now_ms,
        seen_at_ms=now_ms,
        price=listing.price(price),
        mark_price=None if mark is None else listing.price(mark),
    )
