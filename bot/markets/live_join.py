"""A venue that was out at the start joins when it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.markets.ccxt_errors import VenueError
from bot.markets.live_budget import is_for_good
from bot.markets.live_choice import Joining, joining
from bot.markets.live_connect import Venues
from bot.markets.live_types import Clock
from bot.markets.merge import Merger

FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 300.0


async def until_joining(venue: str, venues: Venues, clock: Clock, mergers: Mapping[str, Merger]) -> Joining:
    """Ask again, at most every five minutes, until the venue says what it lists, its prices and its open interest.

    Raises `VenueError` where only the user can help, such as a geo-block.
    """
    wait_s = FIRST_WAIT_S
    while True:
        await clock.sleep(wait_s)
        try:
            return await joining(await venues.reach(venue), {base: merger.price for base, merger in mergers.items()})
        except VenueError as error:
            venues.faults[venue] = error
            if is_for_good(error):
                raise
            wait_s = max(min(2 * wait_s, LONGEST_WAIT_S), error.wait_s or 0.0)


def join(joined: Joining, mergers: Mapping[str, Merger], order: Sequence[str]) -> str:
    """Take the venue into every view that it lists; what to say of it. ``order`` is the user's, of venues."""
    venue = joined.reached.client.rules.name
    rank = order.index
    for base in joined.listings:
        market, interest = mergers[base].market, joined.interest_base.get(base)
        counted = market.open_interest_venues if interest is None else (*market.open_interest_venues, venue)
        venues = tuple(sorted((*market.venues, venue), key=rank))
        market = replace(market, venues=venues, open_interest_venues=tuple(sorted(counted, key=rank)))
        mergers[base].join(market, venue, interest)
    text = f"{venue} joins {len(joined.listings)} {'market' if len(joined.listings) == 1 else 'markets'}"
    if not joined.interest_base:
        return text
    return f"{text}; open interest of {', '.join(joined.interest_base)} is counted with it from here on"
