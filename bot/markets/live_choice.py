"""Which markets to watch, and on which venues: the bases chosen, one view each."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bot.markets import names
from bot.markets.ccxt_errors import VenueError
from bot.markets.live_connect import Reached, Venues, explain
from bot.markets.live_types import Listing
from bot.markets.venues import InterestNow, coverage_of, stream_liquidations
from detectors.market import Market, VenueSample

LARGEST = 30
ALWAYS = ("NMR",)
"""Watched wherever it is listed: the market this bot was first written for."""
SIZED_AT_START = 100
"""Markets whose open interest is asked for one by one before the first tick, the largest: a hundred calls take a second
or two. Of the others such a venue tells it at the first close, and the user's first venue leads the price."""
_SAME_ASSET = 1.1
"""Prices of one base further apart than this ratio are of two assets that share a name."""

Listings = Mapping[str, Mapping[str, Listing]]
"""By venue, then by base asset; venues in the user's order."""
Note = Callable[[str, str, str], None]
"""Takes venue, series and sentence."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A view, and each counted venue's open interest now, in base units; empty where it is not known of all yet."""

    market: Market
    interest_base: Mapping[str, float]
    unchecked: Collection[str] = ()
    """Venues whose price did not come, so that nobody knows whether it is the same asset there."""


async def choose_views(venues: Venues, words: Sequence[str] | None, largest: int, note: Note) -> list[Chosen]:
    """What to watch. Raises `UnknownMarket`. A venue that cannot say something is left out of it, and noted."""

    bases = await choose_bases(venues, words, largest, note)
    for one in venues.reached.values():
        if refused := one.client.rules.unknowns():
            name = one.client.rules.name
            note(name, "markets", f"{name} is not in the table of venues, so refused from it: {', '.join(refused)}")
    return await views_of(venues, bases, note)


async def choose_bases(venues: Venues, words: Sequence[str] | None, largest: int, note: Note) -> list[str]:
    """As `choose`, by what the venues offer and trade now."""
    volumes: Mapping[str, Mapping[str, float]] = {}
    if words is None:
        volumes = await venues.ask(
            lambda one: one.client.volumes_usd(list(one.offered.values())), partial(_no, note, "turnover")
        )
    return choose(words, venues.offered(), volumes, largest)


def _no(note: Note, series: str, venue: str, error: VenueError) -> None:
    note(venue, series, f"{venue} gives no {series}: {explain(error)}")


async def views_of(venues: Venues, bases: Sequence[str], note: Note) -> list[Chosen]:
    """A view of each base over the venues that offer it, of which there must be one."""
    listings = {venue: dict(known) for venue, known in venues.offered().items()}
    wanted = {venue: [known[base] for base in bases if base in known] for venue, known in listings.items()}
    looks = await venues.ask(lambda one: _looks_now(one, wanted[one.client.rules.name]), partial(_no, note, "prices"))
    for base in bases:
        prices = {venue: told[base].price for venue, told in looks.items() if base in told}
        for venue in impostors({venue: price for venue, price in prices.items() if price is not None}):
            del listings[venue][base]
            note(venue, "markets", f"{base} on {venue} is left out: its price is another asset's")
    wanted = {venue: [known[base] for base in bases if base in known] for venue, known in listings.items()}
    interest = await venues.ask(
        lambda one: _interest_now(one, _sized(one, wanted)), partial(_no, note, "open interest")
    )
    unsized = {venue: _unsized(one, wanted[venue], interest[venue]) for venue, one in venues.reached.items()}
    chosen = []
    for base in bases:
        told = {venue: known[base] for venue, known in interest.items() if base in known}
        later = [venue for venue, known in unsized.items() if base in known]
        found = view(base, listings, {*told, *later})
        unchecked = [venue for venue in found.venues if len(found.venues) > 1 and not _has_price(looks[venue], base)]
        chosen.append(Chosen(found, {} if later else told, unchecked))
    return chosen


def _unsized(one: Reached, wanted: Sequence[Listing], told: Mapping[str, float]) -> set[str]:
    """Bases whose open interest it tells at the first close: it was not asked for, or a call failed."""
    rules = one.client.rules
    if rules.interest_now_unit is None or (rules.interest_now is InterestNow.BULK and told):
        return set()
    return {listing.base for listing in wanted if listing.base not in told}


def _has_price(looks: Mapping[str, VenueSample], base: str) -> bool:
    return base in looks and looks[base].price is not None


def _sized(one: Reached, wanted: Mapping[str, Sequence[Listing]]) -> Sequence[Listing]:
    """Those of its listings whose open interest is asked for at the start."""
    known = wanted[one.client.rules.name]
    return known[:SIZED_AT_START] if one.client.rules.interest_now is InterestNow.EACH else known


@dataclass(frozen=True, slots=True)
class Joining:
    """A venue, what it offers further of the markets followed, and its open interest of them now."""

    reached: Reached
    listings: Mapping[str, Listing]
    interest_base: Mapping[str, float]
    later: Collection[str] = ()
    """Bases whose open interest is counted once it is told: a call failed."""


async def joining(reached: Reached, prices: Mapping[str, float | None]) -> Joining:
    """What ``reached`` adds to the views, whose ``prices`` are given by base asset. Raises `VenueError`."""
    known = {base: reached.offered[base] for base in prices if base in reached.offered}
    looks = await _looks_now(reached, list(known.values()))
    same = {base: one for base, one in known.items() if base in looks and _is_same(prices[base], looks[base].price)}
    interest = await _interest_now(reached, list(same.values()))
    return Joining(reached, same, interest, _unsized(reached, list(same.values()), interest))


def _is_same(price: float | None, of_venue: float | None) -> bool:
    """Whether it is the same asset, as far as is known."""
    return of_venue is not None and (price is None or not impostors({"view": price, "venue": of_venue}))


async def _looks_now(one: Reached, listings: Sequence[Listing]) -> Mapping[str, VenueSample]:
    return await one.client.looks(listings) if listings else {}


async def _interest_now(one: Reached, listings: Sequence[Listing]) -> Mapping[str, float]:
    return await one.client.interest_now(listings) if listings else {}


def choose(
    words: Sequence[str] | None,
    listings: Listings,
    volumes_usd: Mapping[str, Mapping[str, float]],
    largest: int = LARGEST,
) -> list[str]:
    """The bases that ``words`` name, or the largest by 24-hour turnover over all venues and `ALWAYS`.

    Raises `UnknownMarket` for a word that names none.
    """
    bases = {base for known in listings.values() for base in known}
    if words is not None:
        offered = offers(listings)
        return list(dict.fromkeys(names.resolve(word, offered).base for word in words))
    turnover = {base: sum(volumes.get(base, 0.0) for volumes in volumes_usd.values()) for base in bases}
    ranked = sorted((base for base in bases if turnover[base] > 0), key=lambda base: (-turnover[base], base))
    return list(dict.fromkeys([*ranked[:largest], *(base for base in ALWAYS if base in bases)]))


def offers(listings: Listings) -> list[Market]:
    """Everything that could be watched, by base asset, as views without open interest."""
    bases = sorted({base for known in listings.values() for base in known})
    return [view(base, listings, ()) for base in bases]


def view(base: str, listings: Listings, with_interest: Collection[str]) -> Market:
    """The view of a base over the venues that list it; its symbol and decimals are the first venue's."""
    venues = tuple(venue for venue, known in listings.items() if base in known)
    first = listings[venues[0]][base]
    counted = tuple(venue for venue in venues if venue in with_interest)
    return over(Market(base, first.symbol, (), (), first.price_decimals), venues, counted)


def over(market: Market, venues: tuple[str, ...], counted: tuple[str, ...]) -> Market:
    """The market as these venues tell it; ``counted``: those whose open interest is summed."""
    return replace(
        market,
        venues=venues,
        open_interest_venues=counted,
        coverage=coverage_of(venues),
        streams_liquidations=stream_liquidations(venues),
    )


def impostors(prices: Mapping[str, float]) -> set[str]:
    """Venues whose price is another asset's: too far from the middle of the others. Two that disagree: the second."""
    if len(prices) < 2:
        return set()
    middle = next(iter(prices.values())) if len(prices) == 2 else statistics.median_low(prices.values())
    return {venue for venue, price in prices.items() if max(price / middle, middle / price) > _SAME_ASSET}
