"""One failed call, one refusal or one frozen venue costs no more than the time that it lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.markets import live_own
from bot.markets.live_types import Listing, Notice
from bot.markets.venue_calls import OwnCall
from detectors.market import VenueSample
from tests.bot.markets.live_rig import Rig, rig

VENUES: tuple[str, ...] = ("binance", "okx")


def texts(notices: Sequence[Notice]) -> list[str]:
    return [notice.text for notice in notices]


async def next_bars(rigged: Rig, count: int) -> None:
    for _ in range(count):
        assert await rigged.next_bar()


async def test_a_venue_whose_open_interest_failed_at_the_start_is_counted_within_two_bars() -> None:
    def fails_once(venues: Any) -> None:
        venues["binance"].faults.answer(503, path="/fapi/v1/openInterest", times=1)

    async with rig(VENUES, ["BTC", "ETH"], days=0.2, before=fails_once) as rigged:
        assert "call_failed binance/open_interest" in rigged.feed.refusals
        await next_bars(rigged, 2)
        for snapshot in rigged.bars[-2:]:
            parts = {sample.venue: sample.open_interest_base or 0.0 for sample in snapshot.by_venue}
            assert snapshot.market.open_interest_venues == VENUES
            assert snapshot.open_interest is not None
            assert snapshot.open_interest.base == parts["binance"] + parts["okx"] > parts["okx"]


async def test_a_venue_that_fails_to_tell_all_its_open_interest_at_the_start_is_counted_when_it_does() -> None:
    def fails(venues: Any) -> None:
        venues["okx"].faults.answer(503, path="/api/v5/public/open-interest")

    async with rig(VENUES, ["BTC"], days=0.2, before=fails) as rigged:
        assert any("okx gives no open interest" in text for text in texts(rigged.feed.notices()))
        await next_bars(rigged, 3)
        assert rigged.bars[-1].market.open_interest_venues == ("binance",), "the others wait for it no longer"
        assert rigged.bars[-1].open_interest is not None
        rigged.venues["okx"].faults.clear()
        await next_bars(rigged, 2)
        assert rigged.bars[-1].market.open_interest_venues == VENUES
        assert any("okx's open interest is counted again" in text for text in texts(rigged.feed.notices()))


async def test_a_price_that_did_not_come_at_the_start_is_compared_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def another_asset(venues: Any) -> None:
        venues["okx"].faults.answer(503, path="/api/v5/market/tickers", times=2)

    def look(call: OwnCall, row: Mapping[str, Any], listing: Listing, seen_at_ms: int) -> VenueSample | None:
        sample = plain_look(call, row, listing, seen_at_ms)
        is_another = listing.venue == "okx" and listing.base == "BTC"
        return replace(sample, price=sample.price * 3) if is_another and sample and sample.price else sample

    plain_look = live_own.look
    monkeypatch.setattr(live_own, "look", look)
    async with rig(VENUES, ["BTC", "ETH"], days=0.2, before=another_asset) as rigged:
        await next_bars(rigged, 1)
        found = {market.base: market.venues for market in rigged.feed.markets}
        assert found == {"BTC": ("binance",), "ETH": VENUES}
        assert texts(rigged.feed.notices()).count("BTC on okx is left out: its price is another asset's") == 1


async def test_a_403_of_a_venue_that_had_answered_is_waited_out_and_it_is_counted_again() -> None:
    async with rig(VENUES, ["BTC"], days=0.2) as rigged:
        await next_bars(rigged, 1)
        rigged.venues["binance"].faults.answer(403, times=1)
        for _ in range(2):
            await rigged.next_bar()
        [stopped] = {text for text in texts(rigged.feed.notices()) if "is stopped" in text}
        assert stopped.startswith("binance is stopped; refused by its firewall (403)")
        assert "ten minutes" in stopped
        for _ in range(5):
            await rigged.next_bar()
        assert [row.stopped for row in rigged.feed.status()] == ["", ""]
        assert rigged.bars[-1].market.open_interest_venues == VENUES
        assert {sample.venue for sample in rigged.bars[-1].by_venue} == set(VENUES)
