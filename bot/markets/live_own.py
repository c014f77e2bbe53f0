"""What a venue says in its own words: of all its markets at once, and candles of one."""

from collections.abc import Mapping
from typing import Any

from bot.markets.live_types import BAR_MS, Listing, number, whole_ms
from bot.markets.venue_calls import BookCall, CandlesCall, OwnCall
from bot.markets.venues import AmountUnit
from detectors.market import Bar, VenueSample

Rows = Mapping[str, Mapping[str, Any]]
"""By the venue's own name of the market, or by ccxt's symbol where the call has no ``id_key``."""


def rows(call: OwnCall, reply: Any) -> Rows | None:
    """The rows of the reply; None where it is not what the venue sends. Rows that are none are left out."""
    reply = along(call.path, reply)
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


def along(path: tuple[str, ...], reply: Any) -> Any:
    """What lies there in the reply; None where nothing does."""
    for key in path:
        reply = reply.get(key) if isinstance(reply, dict) else None
    return reply


def book(call: BookCall, reply: Any) -> dict[str, Any] | None:
    """``bids`` and ``asks`` as `live_depth.read` takes them; None where the reply is not what the venue sends."""
    told = along(call.path, reply)
    if isinstance(told, list):
        told = told[0] if told else None
    return {"bids": told.get(call.sides[0]), "asks": told.get(call.sides[1])} if isinstance(told, dict) else None


# --- candles


def candles_query(call: CandlesCall, market_id: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    """Asks for the candles that open from ``start_ms`` on and close by ``end_ms``."""
    return {
        **call.params,
        call.id_key: market_id,
        call.start_key: start_ms - call.before_start_ms,
        call.end_key: end_ms - call.before_end_ms,
        "limit": (end_ms - start_ms) // BAR_MS,
    }


def candle_rows(call: CandlesCall, reply: Any) -> list[Any] | None:
    """Those that are final; None where the reply is not what the venue sends."""
    told = along(call.path, reply)
    if not isinstance(told, list):
        return None
    at = call.closed_at
    return told if at is None else [row for row in told if not (isinstance(row, list) and row[at : at + 1] == ["0"])]


def bar(call: CandlesCall | None, row: list[Any], listing: Listing, unit: AmountUnit | None) -> Bar | None:
    """A candle in base units, volume 0 where its ``unit`` is not known; None where something is no number.

    Without a ``call`` the row is ccxt's.
    """
    volume_at, taker_at = (5, None) if call is None else (call.volume_at, call.taker_buy_at)
    if len(row) <= max(volume_at, taker_at or 0):
        return None
    opened_at_ms = whole_ms(row[0])
    prices = [number(cell) for cell in row[1:5]]
    volume = number(row[volume_at], signed=True)
    if opened_at_ms is None or opened_at_ms % BAR_MS or None in prices or volume is None or volume < 0:
        return None
    first, high, low, close = (listing.price(price) for price in prices if price is not None)
    taker = None if taker_at is None else number(row[taker_at], signed=True)
    return Bar(
        opened_at_ms,
        BAR_MS,
        first,
        high,
        low,
        close,
        0.0 if unit is None else listing.amount_base(volume, unit),
        None if taker is None or unit is None else listing.amount_base(taker, unit),
    )
