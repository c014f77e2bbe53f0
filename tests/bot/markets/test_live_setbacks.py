"""One failed call, one refusal or one frozen venue costs no more than the time that it lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.markets import live_own
from bot.markets.live_types import Listing, LookBatch, Notice
from bot.markets.venue_calls import OwnCall
from detectors.market import Bar, VenueSample
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


async def freeze(rigged: Rig, monkeypatch: pytest.MonkeyPatch, venue: str) -> None:
    """It answers with what it said last, and with candles of no trade: a halted engine."""
    client = rigged.feed._parts[venue].client
    bars = client.bars
    said = await client.looks(list(rigged.feed._parts[venue].listings.values()))

    async def looks(_: Sequence[Listing]) -> Mapping[str, VenueSample]:
        return said if client.rules.prices_call.stamp_key else {base: replace(one) for base, one in said.items()}

    async def flat(listing: Listing, since_ms: int, until_ms: int) -> Sequence[Bar]:
        price = said[listing.base].price or 0.0
        told = await bars(listing, since_ms, until_ms)
        return [replace(one, open=price, high=price, low=price, close=price, volume_base=0.0) for one in told]

    monkeypatch.setattr(client, "looks", looks)
    monkeypatch.setattr(client, "bars", flat)


@pytest.mark.parametrize("names", [("binance", "okx"), ("bybit", "okx")], ids=["with stamps", "without"])
async def test_a_venue_that_answers_and_never_moves_is_stale_and_said_once(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    frozen = names[0]
    async with rig(names, ["DOGE"], days=0.2, look_every_s=10.0) as rigged:
        await next_bars(rigged, 2)
        assert rigged.feed._mergers["DOGE"].reference == frozen
        with monkeypatch.context() as patched:
            await freeze(rigged, patched, frozen)
            await next_bars(rigged, 3)
            assert rigged.feed._mergers["DOGE"].reference == "okx"
            before = len(rigged.bars)
            await next_bars(rigged, 4)
            assert len({one.price for one in rigged.bars[before:]}) > 1
            assert {sample.venue for sample in rigged.bars[-1].by_venue} == {"okx"}
            [row] = [row for row in rigged.feed.status() if row.venue == frozen]
            assert row.stale == ("prices",)
            said = [text for text in texts(rigged.feed.notices()) if "nothing moves there" in text]
            assert len(said) == 1
            assert said[0].startswith(f"{frozen}: no new prices for ")
        await next_bars(rigged, 2)
        assert any(text.startswith(f"{frozen}: prices again, after ") for text in texts(rigged.feed.notices()))
        assert {sample.venue for sample in rigged.bars[-1].by_venue} == set(names)


async def test_a_market_that_is_hardly_traded_freezes_no_venue() -> None:
    async with rig(("binance", "okx"), ["DOGE"], days=0.2, look_every_s=10.0) as rigged:
        await next_bars(rigged, 1)
        movement, part = rigged.feed._movement, rigged.feed._parts["binance"]
        said = await part.client.looks(list(part.listings.values()))
        for _ in range(4):
            await next_bars(rigged, 1)
            assert movement.note(LookBatch("binance", said)) == [], "its candles show trades"
        assert not part.fresh.is_held("prices")


async def test_okx_tells_all_rates_of_a_stretch_page_by_page_from_the_newest_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rig(("okx",), ["BTC"], days=2.0, look_every_s=1e6) as rigged:
        whole = [rate for snapshot in await rigged.past(2.0) for rate in snapshot.funding]
        assert len(whole) > 4
        client: Any = rigged.feed._parts["okx"].client
        monkeypatch.setattr(client, "rules", replace(client.rules, funding_page=2))
        before = rigged.venues["okx"].requests["/api/v5/public/funding-rate-history"]
        paged = [rate for snapshot in await rigged.past(2.0) for rate in snapshot.funding]
        assert paged == whole
        assert rigged.venues["okx"].requests["/api/v5/public/funding-rate-history"] - before > 2
