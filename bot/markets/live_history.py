"""Warm start: what the venues still know of the past, merged market by market, inside their budgets."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bot.markets.ccxt_errors import VenueError, VenueRetry
from bot.markets.live_connect import Reached
from bot.markets.live_types import BAR_MS, Clock, Listing, MarketSeries, VenueClient
from bot.markets.merge import merged_history
from detectors.market import DAY_MS, Funding, Market, MarketSnapshot

FIRST_STAGE_DAYS = 4.0
"""Enough for first alerts within two minutes of the first start; the rest of the window can follow behind."""
_AT_ONCE = 3
"""Markets in flight: enough to keep the venues busy, few enough that live calls never wait long in their line."""
_TRIES = 3
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a warm start has come, in markets."""

    done: int
    of: int
    market: str
    bars: int
    """Of that market."""


async def warm_start(
    markets: Sequence[Market],
    sources: Mapping[str, Reached],
    clock: Clock,
    *,
    days: float,
    known_until_ms: Mapping[str, int],
    on_progress: Callable[[Progress], None],
    failed: Callable[[str, VenueError, str], None],
) -> AsyncIterator[tuple[Market, list[MarketSnapshot]]]:
    """Each market with its snapshots, oldest first, in the order of ``markets``.

    ``known_until_ms``: close of the last bar that is stored, by base asset; only what follows is fetched.
    ``failed`` is told (venue, error, series); a series that fails is missing, and the rest goes on.
    """

    async def fetch(market: Market) -> list[MarketSnapshot]:
        until_ms = clock.now_ms() // BAR_MS * BAR_MS
        since_ms = max(until_ms - round(days * DAY_MS) // BAR_MS * BAR_MS, known_until_ms.get(market.base, 0))
        wanted = {venue: sources[venue] for venue in market.venues if venue in sources}
        told = await asyncio.gather(
            *(
                _of_venue(one.client, one.listings[market.base], market, since_ms, until_ms, failed)
                for one in wanted.values()
            )
        )
        series = {venue: one for venue, one in zip(wanted, told, strict=True) if one.bars}
        return await asyncio.to_thread(merged_history, market, series)

    # No market is fetched long before it is taken: a month of one is some megabytes.
    waiting = deque(markets)
    under_way: deque[tuple[Market, asyncio.Task[list[MarketSnapshot]]]] = deque()
    done = 0
    try:
        while waiting or under_way:
            while waiting and len(under_way) < _AT_ONCE:
                market = waiting.popleft()
                under_way.append((market, asyncio.create_task(fetch(market))))
            market, task = under_way[0]
            snapshots = await task
            under_way.popleft()
            done += 1
            on_progress(Progress(done, len(markets), market.base, len(snapshots)))
            yield market, snapshots
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


async def _of_venue(
    client: VenueClient,
    listing: Listing,
    market: Market,
    since_ms: int,
    until_ms: int,
    failed: Callable[[str, VenueError, str], None],
) -> MarketSeries:
    async def ask(series: str, call: Callable[[], Awaitable[_T]]) -> _T | None:
        for attempt in range(_TRIES):
            try:
                return await call()
            except VenueError as error:
                if attempt + 1 == _TRIES or not isinstance(error, VenueRetry):
                    failed(client.rules.name, error, series)
                    return None
        return None

    async def rates() -> list[Funding]:
        found: list[Funding] = []
        from_ms = since_ms
        while page := await client.funding(listing, from_ms):
            # The last rate is asked for again with the next page, whose first interval it tells.
            new = [rate for rate in page if not found or rate.taken_at_ms > found[-1].taken_at_ms]
            found += new
            if not new or from_ms == page[-1].taken_at_ms:
                break
            from_ms = page[-1].taken_at_ms
        return [rate for rate in found if since_ms < rate.taken_at_ms <= until_ms]

    async def interest() -> MarketSeries:
        if client.rules.name not in market.open_interest_venues:
            return MarketSeries()
        return await client.interest(listing, since_ms + BAR_MS, until_ms)

    bars, told, funding = await asyncio.gather(
        ask("bars", lambda: client.bars(listing, since_ms, until_ms)),
        ask("open interest", interest),
        ask("funding", rates),
    )
    if bars is None:
        return MarketSeries()
    return replace(told or MarketSeries(), bars=bars, funding=funding or ())
