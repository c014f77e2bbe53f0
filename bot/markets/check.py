"""What ``check``, ``markets`` and ``record`` do: pure of the command line, so that it only prints."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.markets import live_choice, names
from bot.markets.feed import Feed, NoVenue, Refusals
from bot.markets.live_connect import ClientFactory, Venues
from bot.markets.live_exchange import Rewrite
from bot.markets.live_types import Clock, WallClock
from bot.markets.names import UnknownMarket
from bot.markets.recorder import Recorder
from detectors.market import HOUR_MS, Market, MarketSnapshot

_WITHIN_S = 8.0
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing checked. ``said`` is what was found or what is wrong, ``fix`` what to do about it."""

    what: str
    ok: bool
    said: str
    fix: str = ""
    is_needed: bool = True
    """False: of no use to this config, and neither good nor bad."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A market that can be watched."""

    base: str
    symbol: str
    venues: tuple[str, ...]
    turnover_usd: float
    """Of the last 24 hours, over the venues that tell it."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be watched, the largest turnover first; where that is nothing, the ``nearest`` names."""

    offers: Sequence[Offer]
    nearest: Sequence[str] = ()


async def check(
    venues: Sequence[str],
    markets: Sequence[str] | None,
    *,
    database: Row | None = None,
    rewrite: Rewrite | None = None,
    clients: ClientFactory | None = None,
    within_s: float = _WITHIN_S,
    watched: Callable[[Sequence[Market]], Sequence[Row]] | None = None,
) -> list[Row]:
    """Database (whose row is given; None: in memory), venues and markets, a row each; and those that ``watched`` has
    about the markets that a start would choose.

    Done within ``within_s`` and a little, network or not.
    """
    clock = WallClock()
    rows = [database or check_database(None)]
    reach = Venues(venues, clock, Refusals(), rewrite=rewrite, clients=clients, within_s=within_s)
    try:
        await reach.open()
    except NoVenue:
        reached: Mapping[str, Mapping[str, object]] = {}
    else:
        reached = {name: one.listings for name, one in reach.reached.items()}
    try:
        rows += [_venue_row(name, reach, len(reached.get(name, ()))) for name in reach.names]
        none = Row("markets", False, "no venue to find them on", "see the venues above")
        rows.append(_markets_row(reach, markets) if reached else none)
        if watched is not None and rows[-1].ok:
            rows += watched(await _chosen(reach, markets))
    finally:
        await reach.close()
    return rows


def check_database(path: Path | None) -> Row:
    """Whether the database could be opened for writing; it is not opened, so a running bot is not disturbed."""
    if path is None:
        return Row("database", True, "in memory, gone at the end")
    fix = "give the account that runs the bot the right to write there, or change store.path"
    try:
        is_new = not path.exists()
    except OSError as error:
        return Row("database", False, f"{path} cannot be read ({error.strerror})", fix)
    if is_new:
        why = why_not_made(path)
        return Row("database", False, f"{path} cannot be made ({why})", fix) if why else _fine(path, "will be made")
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
    except OSError as error:
        return Row("database", False, f"{path} cannot be read ({error.strerror})", fix)
    if start not in {b"", _SQLITE}:
        return Row("database", False, f"{path} is not a database", "move it away, or change store.path")
    ok = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return _fine(path) if ok else Row("database", False, f"{path} cannot be written", fix)


def _fine(path: Path, more: str = "") -> Row:
    return Row("database", True, f"{path} {more}".rstrip())


def why_not_made(path: Path) -> str:
    """Why nothing can be made at ``path``, empty where it can: tried in the nearest folder that exists, and undone."""
    try:
        nearest = next(parent for parent in path.absolute().parents if parent.exists())
        with TemporaryDirectory(dir=nearest, prefix=".clusterwatch-"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _venue_row(name: str, reach: Venues, listed: int) -> Row:
    error = reach.faults.get(name)
    if error is not None:
        return Row(name, False, error.reason, error.fix or "try again later")
    refused = reach.reached[name].client.rules.unknowns()
    said = f"{listed} perpetuals"
    return Row(name, listed > 0, f"{said}; not trusted: {', '.join(refused)}" if refused else said)


def _markets_row(reach: Venues, markets: Sequence[str] | None) -> Row:
    listings = {name: one.listings for name, one in reach.reached.items()}
    if markets is None:
        listed = len(live_choice.offers(listings))
        which = f"all {listed}" if listed <= live_choice.LARGEST else f"the {live_choice.LARGEST} largest of {listed}"
        return Row("markets", True, which)
    try:
        bases = live_choice.choose(markets, listings, {})
    except UnknownMarket as error:
        return Row("markets", False, str(error), "mend source.markets")
    return Row("markets", True, ", ".join(bases))


async def _chosen(reach: Venues, markets: Sequence[str] | None) -> list[Market]:
    listings = {name: one.listings for name, one in reach.reached.items()}
    volumes = await _volumes_usd(reach) if markets is None else {}
    bases = set(live_choice.choose(markets, listings, volumes))
    return [market for market in live_choice.offers(listings) if market.base in bases]


async def _volumes_usd(reach: Venues) -> Mapping[str, Mapping[str, float]]:
    return await reach.ask(lambda one: one.client.volumes_usd(list(one.listings.values())), lambda *_: None)


async def list_markets(
    venues: Sequence[str],
    word: str = "",
    *,
    rewrite: Rewrite | None = None,
    clients: ClientFactory | None = None,
) -> Offers:
    """What can be watched; ``word`` is part of a name, or names a market as `/watch` takes it. Raises `NoVenue`."""
    reach = Venues(venues, WallClock(), Refusals(), rewrite=rewrite, clients=clients)
    await reach.open()
    try:
        volumes = await _volumes_usd(reach)
        listings = {name: one.listings for name, one in reach.reached.items()}
        offered, nearest = live_choice.offers(listings), tuple[str, ...]()
        named = [one for one in offered if word.upper() in one.base.upper() or word.upper() in one.symbol.upper()]
        if not named:
            try:
                named = [names.resolve(word, offered)]
            except UnknownMarket as error:
                nearest = error.nearest
        found = [
            Offer(market.base, market.symbol, market.venues, sum(v.get(market.base, 0.0) for v in volumes.values()))
            for market in named
        ]
    finally:
        await reach.close()
    return Offers(sorted(found, key=lambda offer: (-offer.turnover_usd, offer.base)), nearest)


async def record(
    feed: Feed,
    out: Path,
    hours: float | None = None,
    *,
    clock: Clock | None = None,
    on_snapshot: Callable[[MarketSnapshot], None] = lambda _: None,
) -> int:
    """Write what the feed brings into a new recording for ``hours`` (None: until it ends); how many bars that was.

    A merged view is written under all its venues' names (``binance+bybit``), for its open interest is none of theirs
    alone, and under its base's: 1000PEPE is PEPE there.
    Raises `RecordingError`, and what `Feed.start` raises.
    """
    clock = clock or WallClock()
    bars = 0
    with Recorder(out) as recorder:
        try:
            await feed.start()
            end_ms = None if hours is None else clock.now_ms() + round(hours * HOUR_MS)
            while (end_ms is None or clock.now_ms() < end_ms) and (moment := await feed.poll()) is not None:
                for snapshot in moment:
                    recorder.add(_of_all(snapshot))
                    bars += snapshot.bar is not None
                    on_snapshot(snapshot)
        finally:
            await feed.close()
    return bars


def _of_all(snapshot: MarketSnapshot) -> MarketSnapshot:
    market = snapshot.market
    counted = ("+".join(market.open_interest_venues),) if market.open_interest_venues else ()
    symbol = f"{market.base}/{market.symbol.partition('/')[2]}"
    merged = replace(market, symbol=symbol, venues=(market.venue,), open_interest_venues=counted)
    return replace(snapshot, market=merged)
