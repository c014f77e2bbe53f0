"""Warm start: what the venues still know of the past, merged market by market, inside their budgets.

It goes on beside the live feed. The newest days come first, market by market, so that alerts are possible soon; the
rest of what is wanted follows behind, and lies before what is there by then.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bot.markets.ccxt_errors import VenueError, VenueRetry
from bot.markets.live_connect import Reached
from bot.markets.live_types import BAR_MS, Listing, VenueClient, VenueSeries, settled_at_ms
from bot.markets.merge import merged_history
from bot.turns import in_turns
from detectors.market import DAY_MS, MINUTE_MS, Funding, Market, MarketSnapshot, VenueSample

FIRST_STAGE_DAYS = 4.0
"""Enough for clusters, whose baseline needs three; by the venues' limits it takes less than two minutes."""
_AT_ONCE = 3
"""Markets in flight: enough to keep the venues busy, few enough that live calls never wait long in their line."""
_TRIES = 3
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is wanted of a market's past: the bars that opened at or after ``since_ms`` and closed by ``until_ms``."""

    market: Market
    since_ms: int
    until_ms: int

    @classmethod
    def of_days(cls, market: Market, days: float, until_ms: int) -> "Stretch":
        until_ms = until_ms // BAR_MS * BAR_MS
        return cls(market, until_ms - round(days * DAY_MS) // BAR_MS * BAR_MS, until_ms)


@dataclass(frozen=True, slots=True)
class Past:
    """What the venues told of a stretch, oldest first. ``complete``: none of them failed to answer."""

    stretch: Stretch
    snapshots: Sequence[MarketSnapshot]
    complete: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a warm start has come, in markets."""

    done: int
    of: int
    market: str
    bars: int
    """Of that market."""


async def warm_start(
    stretches: Sequence[Stretch],
    sources: Mapping[str, Reached],
    full_interest_now: Callable[[str], Mapping[str, float]],
    on_progress: Callable[[Progress], None],
    failed: Callable[[str, VenueError, str], None],
) -> AsyncIterator[Past]:
    """What was told of each stretch, in the order of ``stretches``.

    ``failed`` is told (venue, error, series); a series that fails is missing, and the rest goes on.
    ``full_interest_now`` tells of a view what each of its venues holds open now (`Merger.full_interest`), by which the
    others stand for one that failed.
    """

    async def fetch(wanted: Stretch) -> Past:
        market, faults = wanted.market, 0

        def note(venue: str, error: VenueError, series: str) -> None:
            nonlocal faults
            faults += 1
            failed(venue, error, series)

        # A market that has since been taken off a venue's list has no listing there.
        asked = {
            venue: sources[venue]
            for venue in market.venues
            if venue in sources and market.asset in sources[venue].listings
        }
        told = await asyncio.gather(
            *(
                _of_venue(one.client, one.listings[market.asset], market, wanted.since_ms, wanted.until_ms, note)
                for one in asked.values()
            )
        )
        series = {venue: one for venue, one in zip(asked, told, strict=True) if one.bars}
        snapshots = [one async for one in in_turns(merged_history(market, series, full_interest_now(market.base)))]
        return Past(wanted, snapshots, not faults)

    # No market is fetched long before it is taken: a month of one is some megabytes.
    waiting = deque(stretches)
    under_way: deque[asyncio.Task[Past]] = deque()
    done = 0
    try:
        while waiting or under_way:
            while waiting and len(under_way) < _AT_ONCE:
                under_way.append(asyncio.create_task(fetch(waiting.popleft())))
            past = await under_way[0]
            under_way.popleft()
            done += 1
            on_progress(Progress(done, len(stretches), past.stretch.market.base, len(past.snapshots)))
            yield past
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _of_venue(
    client: VenueClient,
    listing: Listing,
    market: Market,
    since_ms: int,
    until_ms: int,
    failed: Callable[[str, VenueError, str], None],
) -> VenueSeries:
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
        # What was settled at the close before the first bar goes with it (`merge.py`).
        page_by_page = _newest_first if client.rules.funding_newest_first else _oldest_first
        found = await page_by_page(client, listing, since_ms - BAR_MS)
        return [rate for rate in found if since_ms - BAR_MS < settled_at_ms(rate) <= until_ms - BAR_MS]

    async def interest() -> VenueSeries:
        if client.rules.name not in market.open_interest_venues:
            return VenueSeries()
        told = await client.interest(listing, since_ms + BAR_MS, until_ms)
        if client.rules.stamped_at_start and 0 <= client.now_ms() - until_ms <= MINUTE_MS:
            # Its last row is not made yet: what is held now stands for it, as it does at a close that comes live.
            held = (await client.interest_now([listing])).get(listing.base)
            told = told if held is None else replace(told, interest_base={**told.interest_base, until_ms: held})
        return told

    bars, told, funding = await asyncio.gather(
        ask("bars", lambda: client.bars(listing, since_ms, until_ms)),
        ask("open interest", interest),
        ask("funding", rates),
    )
    if bars is None:
        return VenueSeries()
    # Which market of the venue's it is, and when it was told; what it says of each moment is in the bars.
    sample = VenueSample(client.rules.name, listing.symbol, until_ms, client.now_ms())
    return replace(told or VenueSeries(), bars=bars, funding=funding or (), sample=sample)


async def _oldest_first(client: VenueClient, listing: Listing, from_ms: int) -> list[Funding]:
    found: list[Funding] = []
    while page := await client.funding(listing, from_ms):
        # The last rate is asked for again with the next page, whose first interval it tells.
        new = [rate for rate in page if not found or rate.taken_at_ms > found[-1].taken_at_ms]
        found += new
        # A venue that is not in the table may give shorter pages than it is asked for.
        is_last = client.rules.known and len(page) < client.rules.funding_page
        if is_last or not new or from_ms == page[-1].taken_at_ms:
            break
        from_ms = page[-1].taken_at_ms
    return found


async def _newest_first(client: VenueClient, listing: Listing, from_ms: int) -> list[Funding]:
    found: list[Funding] = []
    to_ms = 0
    while page := await client.funding(listing, from_ms, to_ms=to_ms):
        older = [rate for rate in page if not to_ms or rate.taken_at_ms < to_ms]
        found = [*older, *found]
        if not older or len(page) < client.rules.funding_page:
            break
        to_ms = older[0].taken_at_ms
    return found
