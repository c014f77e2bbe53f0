"""One venue's settled funding rates: asked for half a minute after a bar's close, so that no bar waits for them.

A rate is handed out with the bar that closes five minutes after it was settled (`merge.py`), whether it came live or is
of the past. Until then there is time for one call a market, and for a venue that is still settling.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from bot.markets.ccxt_errors import VenueError
from bot.markets.live_types import (
    BAR_MS,
    BarBatch,
    Clock,
    Listing,
    VenueClient,
    VenueSeries,
    settled_at_ms,
    until_next,
)
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Funding, VenueSample

AFTER_CLOSE_MS = 30_000
"""Bars are in by then, or nearly."""
_AGAIN_AFTER_S = 60.0
_TRIES = 4
"""The last is well before the bar that the rate goes with."""
_AT_ONCE = 5
_LONGEST_MS = 8 * HOUR_MS
_T = TypeVar("_T")


class SettledRates:
    """``listings`` is looked at anew each time. Rates settled after ``after_ms`` less a bar are wanted: those before
    it came with the bars up to it."""

    def __init__(
        self,
        client: VenueClient,
        listings: Mapping[str, Listing],
        clock: Clock,
        deliver: Callable[[BarBatch], None],
        failed: Callable[[VenueError, str], None],
        after_ms: int,
    ) -> None:
        self._client, self._listings, self._clock = client, listings, clock
        self._deliver, self._failed = deliver, failed
        self._asked_ms = after_ms - BAR_MS
        self._settled_ms = dict.fromkeys(listings, after_ms - BAR_MS)
        """The last settlement had, by base asset, or what was before the first one wanted."""
        self._had: set[str] = set()
        """Those of which a rate was had, so that the interval to the next is known."""
        self._due_ms: dict[str, int] = {}
        """When the next one is."""
        self._perhaps: set[str] = set()
        """Of which the venue only said after a close when they settle next: it may have been that close."""

    def follow(self, base: str, after_ms: int) -> None:
        self._settled_ms[base] = after_ms - BAR_MS
        self._due_ms.pop(base, None)
        self._had.discard(base)

    def note(self, told: Mapping[str, VenueSample], closed_at_ms: int) -> None:
        """What the venue says at a close of when it settles next; one that is due stays so until it is had."""
        for base, sample in told.items():
            due_ms, next_ms, hours = self._due_ms.get(base), sample.next_funding_at_ms, sample.funding_interval_hours
            if next_ms is None or (due_ms is not None and due_ms <= closed_at_ms):
                continue
            before_ms = next_ms - round(hours * HOUR_MS) if hours else _hour_of(closed_at_ms)
            if due_ms is None and before_ms == closed_at_ms:
                self._perhaps.add(base)
            self._due_ms[base] = next_ms

    async def run(self) -> None:
        """For ever."""
        while True:
            self._asked_ms = await until_next(self._clock, BAR_MS, AFTER_CLOSE_MS, self._asked_ms, self._client.now_ms)
            await self.ask(self._asked_ms)

    async def ask(self, closed_at_ms: int) -> None:
        """Those settled by then that are not had; again a minute later where the venue has not told them."""
        for attempt in range(_TRIES):
            due = [one for base, one in list(self._listings.items()) if self._is_due(base, closed_at_ms)]
            if not due:
                break
            if attempt:
                await self._clock.sleep(_AGAIN_AFTER_S)
            await self._ask_once(due, closed_at_ms)
        self._perhaps.clear()

    def _is_due(self, base: str, closed_at_ms: int) -> bool:
        """Where it is not known when, on the hour; so too where the venue has not told it for an hour."""
        if self._settled_ms.get(base, closed_at_ms) >= closed_at_ms:
            return False
        due_ms = self._due_ms.get(base)
        if due_ms is None or closed_at_ms > due_ms + HOUR_MS:
            return closed_at_ms == _hour_of(closed_at_ms) or base in self._perhaps
        return closed_at_ms >= due_ms or base in self._perhaps

    async def _ask_once(self, due: Sequence[Listing], closed_at_ms: int) -> None:
        since_ms = max(min(self._since_ms(one.base) for one in due), closed_at_ms - DAY_MS)
        told = await self._try(lambda: self._client.settled(due, since_ms)) or {}
        self._hand_over(told, closed_at_ms)
        alone = [one for one in due if one.base not in told]
        for start in range(0, len(alone), _AT_ONCE):
            some = alone[start : start + _AT_ONCE]
            rates = await asyncio.gather(*(self._of(one) for one in some))
            self._hand_over({one.base: mine for one, mine in zip(some, rates, strict=True)}, closed_at_ms)

    def _since_ms(self, base: str) -> int:
        """One rate more than needed tells the interval."""
        return self._settled_ms[base] - (MINUTE_MS if base in self._had else _LONGEST_MS)

    async def _of(self, listing: Listing) -> Sequence[Funding]:
        since_ms = self._since_ms(listing.base)
        return await self._try(lambda: self._client.funding(listing, since_ms, wait=False)) or ()

    async def _try(self, call: Callable[[], Awaitable[_T]]) -> _T | None:
        try:
            return await call()
        except VenueError as error:
            self._failed(error, "funding")
            return None

    def _hand_over(self, told: Mapping[str, Sequence[Funding]], closed_at_ms: int) -> None:
        new: dict[str, VenueSeries] = {}
        for base, rates in told.items():
            mine = [rate for rate in rates if settled_at_ms(rate) > self._settled_ms.get(base, closed_at_ms)]
            if mine:
                new[base] = VenueSeries(funding=mine)
                self._settled_ms[base] = settled_at_ms(mine[-1])
                self._had.add(base)
                self._perhaps.discard(base)
                if self._due_ms.get(base, 0) <= self._settled_ms[base]:
                    self._due_ms.pop(base, None)
        if new:
            self._deliver(BarBatch(self._client.rules.name, closed_at_ms, new))


def _hour_of(at_ms: int) -> int:
    return at_ms // HOUR_MS * HOUR_MS
