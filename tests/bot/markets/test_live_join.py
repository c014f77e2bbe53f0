"""A venue that is out at the start joins when it answers, and its positions never look like new ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.config import Config
from bot.markets import live_choice, live_join
from bot.markets.ccxt_errors import VenueError, VenueFatal
from bot.markets.live_choice import Joining
from bot.markets.live_connect import Reached
from bot.markets.live_types import BAR_MS, Listing
from bot.markets.merge import Merger
from bot.markets.venues import rules_for
from detectors.engine import MarketEngine
from detectors.market import Market, VenueSample
from detectors.registry import find_kinds
from tests.bot.markets.live_rig import Rig, rig, until
from tests.bot.markets.test_live_parts import SetClock
from tests.bot.markets.test_merge import VENUES, emit, give, interest_of

PART = Market("BTC", "BTC/USDT:USDT", ("bybit", "okx"), ("bybit", "okx"))
WHOLE = Market("BTC", "BTC/USDT:USDT", VENUES, VENUES)


def out(name: str, status: int) -> Callable[[Any], None]:
    return lambda venues: venues[name].faults.answer(status)


async def pass_time(rigged: Rig, seconds: int, met: Callable[[], bool]) -> None:
    """Until ``met``, or for all of them."""
    for _ in range(seconds // 5):
        await rigged.advance(5_000)
        if await rigged.finished(met, quiet_turns=5):
            return


async def joins(rigged: Rig) -> None:
    """Time goes on no further than it must: what the venue is asked then takes as long as the machine is busy."""
    both = lambda: len(rigged.feed.markets[0].venues) == 2  # noqa: E731
    await pass_time(rigged, 60, both)
    await until(both, 20)


def share_held(engine: MarketEngine) -> float:
    """Exposure of known age over open interest."""
    estimate = engine.estimate.map
    assert estimate.open_interest_base
    return float(estimate.known.sum()) / estimate.open_interest_base


async def test_a_venue_that_was_out_at_the_start_joins_and_the_level_starts_anew_with_it() -> None:
    async with rig(["binance", "okx"], ["ETH"], days=1.0, before=out("binance", 503)) as rigged:
        past = await rigged.past(1.0)
        assert rigged.feed.markets[0].venues == ("okx",)
        assert [row.stopped for row in rigged.feed.status()] == ["", "the venue fails (busy)"]
        assert await rigged.next_bar()
        rigged.venues["binance"].faults.clear()
        await joins(rigged)
        assert rigged.feed.markets[0].open_interest_venues == ("binance", "okx")
        for _ in range(3):
            assert await rigged.next_bar()
        levels = [interest_of(one) for one in rigged.bars]
        assert levels[0] is not None
        for level in levels[1:]:
            assert level == pytest.approx(levels[0] * 0.7 / 0.2, rel=0.1)
        # What was liquidated there before is not known.
        first = next(gap for gap in rigged.feed.gaps if gap.venue == "binance")
        assert first.since_ms == rigged.feed.started_ms < rigged.clock.venues_ms - BAR_MS
        texts = [notice.text for notice in rigged.feed.notices()]
        assert any("binance is left out until it answers" in text for text in texts)
        assert any("binance joins 1 market; open interest of ETH is counted with it from here on" in t for t in texts)

        engine = MarketEngine(past[0].market, Config().engine_settings(), find_kinds())
        before = 0.0
        for snapshot in [*past, *rigged.bars]:
            step = engine.step(snapshot)
            assert step is not None
            if snapshot is rigged.bars[0]:
                before = share_held(engine)
        view = engine.view()
        assert view is not None
        assert view.market.venues == engine.market.venues == ("binance", "okx"), "alerts name the venues of the start"
        assert (past[0].market.coverage, view.market.coverage) == ("full", "partly sampled")
        assert engine.gaps == engine.quiet_bars == 0, "a venue that joins silenced the market"
        assert share_held(engine) < 1.2 * before, "what the venue held looked like new positions"
        assert {row.venue for row in rigged.feed.status()} == {"binance", "okx"}


async def test_a_geo_blocked_venue_is_not_asked_again() -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2, before=out("binance", 451)) as rigged:
        asked = sum(rigged.venues["binance"].requests.values())
        rigged.venues["binance"].faults.clear()
        await pass_time(rigged, 120, lambda: False)
        assert sum(rigged.venues["binance"].requests.values()) == asked
        assert any("left out until a restart; geo-block" in notice.text for notice in rigged.feed.notices())


class Answers:
    """Stands for `Venues`: fails as scripted, then answers."""

    def __init__(self, errors: list[VenueError]) -> None:
        self.errors, self.faults, self.asked = errors, dict[str, VenueError](), 0

    async def reach(self, venue: str) -> str:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "reached"


async def waited(errors: list[VenueError], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = SetClock()
    naps: list[float] = []

    async def joining(*_: Any) -> str:
        return "joined"

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr(live_join, "joining", joining)
    monkeypatch.setattr(clock, "sleep", sleep)
    venues: Any = Answers(errors)
    assert await live_join.until_joining("okx", venues, clock, {}) == "joined"  # type: ignore[comparison-overlap]
    return naps


async def test_it_is_asked_ever_more_rarely_but_at_least_every_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await waited([VenueError("no answer")] * 6, monkeypatch) == [15, 30, 60, 120, 240, 300, 300]


async def test_a_ban_is_waited_out_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await waited([VenueFatal("banned (418)", wait_s=7200)], monkeypatch) == [15, 7200]


async def test_a_block_met_while_asking_again_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VenueFatal, match="geo-block"):
        await waited([VenueError("no answer"), VenueFatal("geo-block (403)")], monkeypatch)


class AtPrice:
    """A venue with one price and one open interest for all."""

    def __init__(self, price: float) -> None:
        self.rules = rules_for("bybit")
        self._sample = VenueSample("bybit", "", 0, 0, price)

    async def looks(self, listings: list[Listing]) -> Any:
        return {listing.base: self._sample for listing in listings}

    async def interest_now(self, listings: list[Listing]) -> Any:
        return {listing.base: 7.0 for listing in listings}


@pytest.mark.parametrize(("price", "joins"), [(100.0, True), (None, True), (55.0, False)])
async def test_only_the_asset_that_is_watched_joins(price: float | None, joins: bool) -> None:
    client: Any = AtPrice(101.0)
    listed = {base: Listing("bybit", base, f"{base}/USDT:USDT") for base in ("BTC", "OTHER")}
    found = await live_choice.joining(Reached(client, listed), {"BTC": price, "GONE": 1.0})
    assert list(found.listings) == list(found.interest_base) == (["BTC"] if joins else [])


def test_a_joined_view_keeps_the_user_s_order_and_its_price() -> None:
    merger = Merger(PART, {"bybit": 30.0, "okx": 20.0})
    give(merger, 1, {"bybit": 30.0, "okx": 20.0}, {"bybit": 100.0, "okx": 101.0})
    emit(merger, 1)
    client: Any = AtPrice(99.0)
    client.rules = type("Rules", (), {"name": "binance"})()
    listings = {"BTC": Listing("binance", "BTC", "BTC/USDT:USDT")}
    text = live_join.join(Joining(Reached(client, listings), listings, {"BTC": 50.0}), {"BTC": merger}, VENUES)
    assert text.startswith("binance joins 1 market; open interest of BTC")
    assert merger.market == replace(WHOLE, coverage="partly sampled", streams_liquidations=True)
    told = []
    for n in range(2, 4):
        give(merger, n, {"binance": 50.0, "bybit": 30.0, "okx": 20.0}, {"binance": 99, "bybit": 100, "okx": 101})
        snapshot = emit(merger, n)
        assert snapshot.price == 100, "the reference changed for a venue that joined"
        told.append(interest_of(snapshot))
    assert told == [100.0, 100.0]


def test_a_past_fetched_late_does_not_make_the_view_hand_out_a_bar_twice() -> None:
    merger = Merger(PART, {"bybit": 30.0, "okx": 20.0})
    older = Merger(PART, {"bybit": 30.0, "okx": 20.0})
    give(older, 1, {"bybit": 30.0, "okx": 20.0})
    give(merger, 2, {"bybit": 30.0, "okx": 20.0})
    emit(merger, 2)
    merger.go_on_after(emit(older, 1))
    give(merger, 2, {"bybit": 30.0, "okx": 20.0})
    assert merger.pending == []
    assert merger.late > 0
