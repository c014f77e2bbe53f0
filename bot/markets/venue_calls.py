"""Calls in a venue's own words: what is sent, and where in the reply things stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A call in the venue's own words, for what is asked often: for a table of all markets ccxt's parsers take ten
    times as long, and hold up the loop. ``method`` is ccxt's implicit one, so that pace and errors are ccxt's."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    """Keys on the way to the rows in the reply."""
    id_key: str = ""
    """Where a row names its market in the venue's way; empty: the rows are by ccxt's symbol already."""
    price_key: str = ""
    mark_key: str = ""
    stamp_key: str = ""
    interest_key: str = ""
    tells_load: bool = True
    """Whether its headers on what is used of the limit are right."""


@dataclass(frozen=True, slots=True)
class CandlesCall:
    """Five-minute candles of one market in the venue's own words; rows begin with opening time and the four prices."""

    method: str
    id_key: str
    start_key: str
    end_key: str
    params: Mapping[str, Any]
    path: tuple[str, ...] = ()
    before_start_ms: int = 0
    before_end_ms: int = 1
    """What is sent lies that long before the first opening time wanted and the end."""
    volume_at: int = 5
    taker_buy_at: int | None = None
    closed_at: int | None = None
    """Where a row says 1 once its candle is final."""
    newest: int | None = None
    """It serves so many of the newest; older ones are asked for through ccxt. None: all."""


@dataclass(frozen=True, slots=True)
class BookCall:
    """The order book of one market in the venue's own words; rows begin with price and amount."""

    method: str
    id_key: str
    limit_key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    """Keys on the way to the book in the reply; of a list, the first is taken."""
    sides: tuple[str, str] = ("bids", "asks")


@dataclass(frozen=True, slots=True)
class SettledCall:
    """Settled funding rates of all markets in the venue's own words: those since a time (``start_key``, oldest first,
    ``page`` a call), or the newest of each with the time before which it was settled."""

    method: str
    id_key: str
    stamp_key: str
    rate_key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    start_key: str = ""
    page: int = 0
    state_key: str = ""
    """Where it says whether it is settled."""
    next_key: str = ""
    """When it settles next."""
