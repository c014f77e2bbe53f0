"""What stands in order books on the way to a cluster (M3): behind a thin book price falls further."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.markets.ccxt_errors import VenueError
from bot.markets.live_types import Book, Clock, Listing, VenueClient
from bot.markets.venues import AmountUnit

FRESH_S = 30.0
_WITHIN_S = 0.8
"""How long a book is waited for: an alert waits for it."""


@dataclass(frozen=True, slots=True)
class DepthTowards:
    """Resting orders in USD from a price towards a level, summed over ``venues``; ``complete``: all the way."""

    usd: float
    until: float
    complete: bool
    venues: tuple[str, ...]


def read(rows: Any, listing: Listing, unit: AmountUnit, levels: int) -> Book | None:
    """ccxt's order book of one market; None for one with an empty side or anything that is no number.

    ``levels`` were asked for: fewer on a side are all there is.
    """
    if not isinstance(rows, dict):
        return None
    bids, asks = (_side(rows.get(name), listing, unit) for name in ("bids", "asks"))
    if bids is None or asks is None:
        return None
    return Book(bids[::-1], asks, len(bids) < levels, len(asks) < levels)


def _side(rows: Any, listing: Listing, unit: AmountUnit) -> NDArray[np.float64] | None:
    """float64[n, 2], lowest price first; None where something is no number.

    A thousand levels at once: with `number` for each they take five times as long, and alerts come in storms. An array,
    since a storm keeps a hundred books for half a minute: sixteen bytes a level where a tuple takes 112.
    """
    if not isinstance(rows, list) or not rows or set(map(type, rows)) != {list} or min(map(len, rows)) < 2:
        return None
    cells = [cell for row in rows for cell in row[:2]]
    if not set(map(type, cells)) <= {str, int, float}:
        return None
    try:
        told = np.array([float(cell) for cell in cells]).reshape(-1, 2)
    except (ValueError, OverflowError):
        return None
    if not (np.isfinite(told) & (told > 0)).all():
        return None
    if listing.multiplier != 1:
        told[:, 0] = [listing.price(price) for price in told[:, 0].tolist()]
    told[:, 1] *= listing.amount_base(1.0, unit)
    return told[np.argsort(told[:, 0], kind="stable")]


Source = tuple[VenueClient, Listing]


class Books:
    """Books of the last half minute, so that several clusters of a market cost one call a venue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Book]] = {}
        self._not_before_s: dict[str, float] = {}
        self._lines: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._forgetting: asyncio.TimerHandle | None = None

    async def towards(self, sources: Sequence[Source], price: float, level: float) -> DepthTowards | None:
        """What stands between ``price`` and ``level``, or as far towards it as the books of all that answer reach."""
        books = await asyncio.gather(*(self._quietly(client, listing) for client, listing in sources))
        known = {client.rules.name: one for (client, _), one in zip(sources, books, strict=True) if one is not None}
        if not known or price == level:
            return None
        below = level < price
        ends = []
        for book in known.values():
            side, complete = (book.bids, book.bids_complete) if below else (book.asks, book.asks_complete)
            ends.append(level if complete else float(side[-1, 0]))
        until = max(level, *ends) if below else min(level, *ends)
        low, high = sorted((price, until))
        resting = [book.bids if below else book.asks for book in known.values()]
        usd = sum(float(side[(low <= side[:, 0]) & (side[:, 0] <= high)].prod(axis=1).sum()) for side in resting)
        return DepthTowards(usd, until, until == level, tuple(known))

    async def _quietly(self, client: VenueClient, listing: Listing) -> Book | None:
        """None from a venue that is in trouble; one that was too slow is not asked again for a while."""
        name, now_s = client.rules.name, self._clock.steady_s()
        if now_s < self._not_before_s.get(name, now_s):
            return None
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await self._book(client, listing)
        except TimeoutError:
            self._not_before_s[name] = now_s + FRESH_S
        except VenueError:
            pass
        return None

    async def _book(self, client: VenueClient, listing: Listing) -> Book | None:
        key = (client.rules.name, listing.base)
        async with self._lines[key]:
            self._forget()
            if key not in self._kept and (book := await client.book(listing)) is not None:
                self._kept[key] = (self._clock.steady_s(), book)
                if self._forgetting is None:
                    self._forget_later()
            return self._kept[key][1] if key in self._kept else None

    def _forget(self) -> None:
        oldest_s = self._clock.steady_s() - FRESH_S
        self._kept = {of: one for of, one in self._kept.items() if one[0] > oldest_s}

    def _forget_later(self) -> None:
        """The next alert, which would forget them as well, may be days away."""
        self._forgetting = asyncio.get_running_loop().call_later(FRESH_S, self._forget_again)

    def _forget_again(self) -> None:
        self._forgetting = None
        self._forget()
        if self._kept:
            self._forget_later()
