"""Venues and markets that come and go while the feed runs.

A venue that was out at the start joins when it answers. Once an hour the venues are asked what they list: what a market
is newly listed on joins its view, what it was taken off leaves it. A whole market is begun and ended from outside
(`bot.following`), for whoever watches it has to be there before its first snapshot, and to be told of its end.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from bot.markets import live_choice
from bot.markets.ccxt_errors import VenueError
from bot.markets.live_budget import is_for_good
from bot.markets.live_choice import Chosen, Joining, joining, over
from bot.markets.live_connect import Reached, Venues, explain
from bot.markets.live_health import LookTimes
from bot.markets.live_part import Part
from bot.markets.live_types import Clock, Listing, NoticeKind
from bot.markets.merge import Merger
from detectors.market import HOUR_MS, MINUTE_MS, Market, VenueSample
from storage.chats import Chat

FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 300.0
RELOAD_EVERY_MS = HOUR_MS
ASK_AGAIN_MS = 10 * MINUTE_MS
"""When something is missing from a list, which is believed the second time."""
_GONE_AFTER = 2
_KEPT_TO = 1.5
"""A market that was among the largest goes on down to this many times their number: ranks near the end swap daily."""


class Tell(Protocol):
    def __call__(
        self, kind: NoticeKind, venue: str, series: str, text: str, *told: Chat, stopped: bool = False
    ) -> None: ...


class Joins:
    """``begin_venue`` sets a venue to work on what is followed of it. ``words``: what the config names, None for the
    ``largest``. ``ask_tiers`` asks a venue for the leverage tiers of one market, in the background."""

    def __init__(
        self,
        venues: Venues,
        clock: Clock,
        mergers: MutableMapping[str, Merger],
        parts: Mapping[str, Part],
        looked: LookTimes,
        tell: Tell,
        begin_venue: Callable[[str, Reached, int | None], None],
        ask_tiers: Callable[[str, Reached, Listing], None],
        words: Sequence[str] | None,
        largest: int,
        *,
        simulated: bool,
    ) -> None:
        self._venues, self._clock, self._mergers, self._parts = venues, clock, mergers, parts
        self._looked, self._tell = looked, tell
        self._begin_venue, self._ask_tiers = begin_venue, ask_tiers
        self._words, self._largest, self._simulated = words, largest, simulated
        self._missing: dict[tuple[str, str], int] = {}
        """How often in a row a market was not on a venue's list, by venue and base."""
        self._unchecked: dict[str, set[str]] = {}
        """Bases by venue, whose price there was not compared with the others' yet."""
        self._read_ms = clock.now_ms()
        self._due_ms = self._read_ms + RELOAD_EVERY_MS
        self.chosen: set[str] = set()
        """Bases that the config asks for; what is followed besides, somebody asked for."""

    # --- what is there

    @property
    def followed(self) -> list[str]:
        """Bases of the merged views."""
        return [base for base, merger in self._mergers.items() if not merger.market.is_alone]

    @property
    def asked_for(self) -> list[str]:
        """Those followed only because somebody asked."""
        return [base for base in self.followed if base not in self.chosen]

    def bases(self) -> set[str]:
        """Everything that the venues offer."""
        return {base for known in self._venues.offered().values() for base in known}

    def offers(self) -> list[Market]:
        """What could be followed and is not."""
        offered = self._venues.offered()
        return [live_choice.view(base, offered, ()) for base in sorted(self.bases().difference(self._mergers))]

    def listed_at_ms(self, base: str) -> int | None:
        """Since when the first of its venues lists it; None where one of them does not say."""
        told = [known[base].listed_at_ms for known in self._venues.offered().values() if base in known]
        return min((at_ms for at_ms in told if at_ms is not None), default=None) if None not in told else None

    def say(self, text: str, *told: Chat) -> None:
        """To whoever runs the bot, and the chats that asked for notices, but for those that were ``told``."""
        self._tell(NoticeKind.MARKET, "", "markets", text, *told)

    # --- whole markets

    async def find(self, bases: Sequence[str]) -> list[Chosen]:
        """Views of what is offered of ``bases``, to `begin` with."""
        offered = self.bases()
        wanted = [base for base in bases if base in offered]
        found = await live_choice.views_of(self._venues, wanted, partial(self._tell, NoticeKind.VENUE))
        return [self._marked(one) for one in found]

    def _marked(self, one: Chosen) -> Chosen:
        return replace(one, market=replace(one.market, simulated=self._simulated))

    def begin_all(self, chosen: Iterable[Chosen]) -> None:
        """Those that the config asks for, before any venue is set to work."""
        for one in chosen:
            self._take_up(self._marked(one))
        self.chosen = set(self._mergers)

    def begin(self, chosen: Chosen, after_ms: int | None = None) -> None:
        """From now on ``poll`` hands out snapshots of the view, from the next bar that closes after ``after_ms`` (None:
        after now) on."""
        self._take_up(chosen)
        for venue in chosen.market.venues:
            self._follow(venue, chosen.market.base, after_ms)

    def _take_up(self, one: Chosen) -> None:
        base = one.market.base
        self._mergers[base] = Merger(one.market, one.interest_base)
        for venue in one.market.venues:
            self._looked.seen(venue, [base])
        for venue in one.unchecked:
            self._unchecked.setdefault(venue, set()).add(base)

    def _follow(self, venue: str, base: str, after_ms: int | None = None) -> None:
        reached, part = self._venues.reached[venue], self._parts.get(venue)
        reached.listings[base] = listing = reached.offered[base]
        if part is None:
            self._begin_venue(venue, reached, after_ms)
            return
        counted = venue in self._mergers[base].market.open_interest_venues
        part.worker.follow(base, with_interest=counted, after_ms=after_ms)
        self._ask_tiers(venue, reached, listing)

    def end(self, base: str) -> None:
        """``poll`` hands out nothing more of the view. Raises KeyError where it has not begun."""
        for venue in self._mergers[base].market.venues:
            self._unfollow(venue, base)
        del self._mergers[base]

    def _unfollow(self, venue: str, base: str) -> None:
        self._venues.reached[venue].listings.pop(base, None)
        self._looked.forget(venue, base)

    def check(self, venue: str, looks: Mapping[str, VenueSample]) -> None:
        """Compare what the venue did not tell at the start; a price that is another asset's leaves the view."""
        unchecked = self._unchecked.get(venue, set())
        for base in [base for base in unchecked if base in looks]:
            merger, price = self._mergers.get(base), looks[base].price
            others = {name: told for name, told in merger.prices.items() if name != venue} if merger else {}
            if merger is not None and venue in merger.market.venues and (price is None or not others):
                continue  # not yet
            unchecked.discard(base)
            if merger is None or price is None or venue not in live_choice.impostors({**others, venue: price}):
                continue
            self._unfollow(venue, base)
            merger.leave(without(merger.market, venue), venue)
            text = f"{base} on {venue} is left out: its price is another asset's"
            self._tell(NoticeKind.VENUE, venue, "markets", text)

    # --- lists

    @property
    def is_due(self) -> bool:
        """Whether the venues are to be asked for their lists again."""
        return self._clock.now_ms() >= self._due_ms

    @property
    def is_old(self) -> bool:
        """Whether it is worth asking for a name that is on no list."""
        return self._clock.now_ms() - self._read_ms >= ASK_AGAIN_MS

    async def reload(self) -> None:
        """Ask what is listed now; take into views what they are newly listed on, and out of them what is gone."""
        is_open = False
        for venue in list(self._venues.reached):  # one after the other: reading a list holds up the loop
            try:
                await self._venues.reload(venue)
                self._count_missing(venue)
                await self._join_newly_listed(venue)
            except VenueError as error:
                is_open = True
                self._tell(NoticeKind.VENUE, venue, "markets", f"{venue}: no new list of markets ({explain(error)})")
        self._leave_gone()
        self._read_ms = self._clock.now_ms()
        self._due_ms = self._read_ms + (ASK_AGAIN_MS if is_open or self._missing else RELOAD_EVERY_MS)

    def _count_missing(self, venue: str) -> None:
        one = self._venues.reached[venue]
        for base, listing in list(one.listings.items()):
            now = one.offered.get(base)
            if now is not None and (now.symbol, now.multiplier) == (listing.symbol, listing.multiplier):
                one.listings[base] = now  # a contract's size or the tick may have changed
                self._missing.pop((venue, base), None)
            else:
                self._missing[venue, base] = self._missing.get((venue, base), 0) + 1

    async def _join_newly_listed(self, venue: str) -> None:
        one = self._venues.reached[venue]
        prices = {
            base: self._mergers[base].price
            for base in self.followed
            if base in one.offered and base not in one.listings and venue not in self._mergers[base].market.venues
        }
        found = await joining(one, prices) if prices else None
        # One may have ended meanwhile.
        listings = {base: new for base, new in found.listings.items() if base in self._mergers} if found else {}
        if found is None or not listings:
            return
        found = replace(found, listings=listings)
        text = join(found, self._mergers, self._venues.names)
        self._looked.seen(venue, found.listings)
        for base in found.listings:
            self._follow(venue, base)
        self._tell(NoticeKind.MARKET, venue, "markets", f"{text} ({', '.join(found.listings)}: newly listed)")

    def _leave_gone(self) -> None:
        gone = self.gone()
        for (venue, base), times in list(self._missing.items()):
            merger = self._mergers.get(base)
            if merger is None or venue not in merger.market.venues:
                del self._missing[venue, base]
            elif times >= _GONE_AFTER and base not in gone:
                del self._missing[venue, base]
                self._unfollow(venue, base)
                merger.leave(without(merger.market, venue), venue)
                text = f"{base} is not listed on {venue} any more: it goes on with {', '.join(merger.market.venues)}"
                self._tell(NoticeKind.MARKET, venue, "markets", text)

    def gone(self) -> dict[str, str]:
        """Views that are listed nowhere any more, with the reason; they are to be ended."""
        found: dict[str, str] = {}
        for base, merger in self._mergers.items():
            asset, venues = merger.market.asset, merger.market.venues
            left = self._mergers[asset].market.venues if asset in self._mergers else ()
            is_missing = [self._missing.get((venue, asset), 0) >= _GONE_AFTER or venue not in left for venue in venues]
            if all(is_missing):
                found[base] = f"{asset} is not listed on {' or '.join(venues)} any more"
        return found

    async def choose(self) -> list[str]:
        """What the config asks for by now and is not followed, the largest first; nothing where a venue did not say."""
        faults: list[str] = []
        if self._words is None:
            kept = await live_choice.choose_bases(
                self._venues, None, round(self._largest * _KEPT_TO), lambda *told: faults.append(told[-1])
            )
            if faults:
                return []
            wanted = [*kept[: self._largest], *(base for base in kept if base in live_choice.ALWAYS)]
            self.chosen = {*wanted, *(base for base in kept if base in self.chosen)}
            return [base for base in dict.fromkeys(wanted) if base not in self._mergers]
        return sorted(base for base in self.chosen & self.bases() if base not in self._mergers)

    # --- venues

    async def venue(self, name: str) -> None:
        """Take a venue that was out at the start into the views, once it answers."""
        try:
            joined = await until_joining(name, self._venues, self._clock, self._mergers)
        except VenueError as error:
            text = f"{name} is left out until a restart; {explain(error)}"
            self._tell(NoticeKind.VENUE, name, "markets", text, stopped=True)
            return
        self._tell(NoticeKind.VENUE, name, "markets", join(joined, self._mergers, self._venues.names))
        self._looked.seen(name, joined.listings)
        if name not in self._parts:
            self._begin_venue(name, joined.reached, None)
            return
        for base in joined.listings:  # a market that came meanwhile has begun the venue already
            self._follow(name, base)


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
        is_counted = interest is not None or base in joined.later
        counted = (*market.open_interest_venues, venue) if is_counted else market.open_interest_venues
        venues = tuple(sorted((*market.venues, venue), key=rank))
        mergers[base].join(over(market, venues, tuple(sorted(counted, key=rank))), venue, interest)
    text = f"{venue} joins {len(joined.listings)} {'market' if len(joined.listings) == 1 else 'markets'}"
    summed = [base for base in joined.interest_base if base in joined.listings]
    return f"{text}; open interest of {', '.join(summed)} is counted with it from here on" if summed else text


def without(market: Market, venue: str) -> Market:
    """The view of the venues that are left."""
    left, counted = (_less(names, venue) for names in (market.venues, market.open_interest_venues))
    return over(market, left, counted)


def _less(names: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)
