"""The order book on the way to a cluster, as a fact of its alert; and what venues say of one market."""

from typing import Any

import numpy as np

from bot.depth_facts import DepthFacts
from bot.markets.ccxt_errors import VenueError
from bot.markets.live_depth import Books, DepthTowards
from bot.markets.live_types import Book, Listing, WallClock
from bot.markets.venues import rules_for
from detectors.cluster_facts import venue_facts
from detectors.event import Level
from detectors.market import Side
from tests.storage.make import BAR_MS, START_MS, event


class Asked:
    """A feed with one answer about books."""

    def __init__(self, answer: DepthTowards | None) -> None:
        self.answer, self.asked = answer, list[tuple[str, float, float]]()
        self.views, self.stands_at_ms = self, 0

    def closed_at_ms(self, _: str) -> int:
        return self.stands_at_ms

    async def depth_towards(self, base: str, price: float, level: float) -> DepthTowards | None:
        self.asked.append((base, price, level))
        return self.answer


async def told(feed: Any, **changes: Any) -> dict[str, Any]:
    return {fact.name: fact.value for fact in await DepthFacts(feed)(event(**changes))}


async def test_a_book_that_reaches_the_cluster_is_weighed_against_it_and_a_thin_one_is_called_thin() -> None:
    feed = Asked(DepthTowards(1e6, 97.5, True, ("binance",)))
    facts = await told(feed)
    assert feed.asked == [("BTC", 100.0, 97.5)]
    assert facts == {"book": "thin, $1M of bids on the way to its centre", "book_usd": 1e6, "book_to_cluster": 0.2}
    thick = await told(Asked(DepthTowards(4e6, 97.5, True, ("binance",))))
    assert thick["book"] == "$4M of bids on the way to its centre"


async def test_a_book_that_ends_before_says_how_far_it_reaches_and_is_weighed_against_nothing() -> None:
    facts = await told(Asked(DepthTowards(3e6, 99.8, False, ("okx",))))
    assert facts["book"] == "$3M of bids in the next 0.20%, where the books end"
    assert "book_to_cluster" not in facts


async def test_shorts_above_are_met_by_asks_and_what_price_has_passed_by_nothing() -> None:
    feed = Asked(DepthTowards(3e6, 103.0, True, ("okx",)))
    assert "of asks" in (await told(feed, side=Side.SHORT, level=Level(102, 104, 103)))["book"]
    assert await told(feed, side=Side.SHORT) == {}
    assert len(feed.asked) == 1


async def test_of_a_moment_that_has_passed_no_book_is_asked() -> None:
    feed = Asked(DepthTowards(3e6, 99.8, False, ("okx",)))
    feed.stands_at_ms = START_MS + BAR_MS
    assert "book" in await told(feed)
    feed.stands_at_ms += BAR_MS
    assert await told(feed) == {}


async def test_without_a_book_an_alert_says_nothing_of_it() -> None:
    assert await told(Asked(None)) == {}


def book_of(bids: list[tuple[float, float]], asks: list[tuple[float, float]], *, bids_complete: bool) -> Book:
    return Book(np.array(bids), np.array(asks), bids_complete, asks_complete=True)


class Client:
    def __init__(self, name: str, book: Book | None) -> None:
        self.rules, self._book = rules_for(name), book

    async def book(self, _: Listing) -> Book | None:
        if self._book is None:
            raise VenueError("no answer")
        return self._book


async def test_books_are_summed_as_far_as_the_shortest_of_them_reaches() -> None:
    deep = book_of([(99.0, 1.0), (98.0, 2.0), (95.0, 9.0)], [(101.0, 1.0), (102.0, 1.0)], bids_complete=True)
    short = book_of([(99.5, 3.0), (98.5, 4.0)], [(101.0, 5.0)], bids_complete=False)
    asked: Any = [(Client(name, book), Listing(name, "BTC", "")) for name, book in (("okx", deep), ("gate", short))]
    asked.append((Client("bybit", None), Listing("bybit", "BTC", "")))
    books = Books(WallClock())
    found = await books.towards(asked, 100.0, 96.0)
    assert found == DepthTowards(99.0 + 99.5 * 3 + 98.5 * 4, 98.5, False, ("okx", "gate"))
    above = await books.towards(asked, 100.0, 101.5)
    assert above == DepthTowards(101.0 * 6, 101.5, True, ("okx", "gate"))


def test_venues_are_told_with_their_share_and_how_far_apart_they_are() -> None:
    facts = {fact.name: fact.value for fact in venue_facts({"binance": 0.52, "okx": 0.48}, 3.14)}
    assert facts == {
        "venues": "binance 52% + okx 48% of open interest, 3.1 bps apart",
        "venue_divergence_bps": 3.14,
    }
    assert venue_facts({"binance": 1.0}, None) == ()
