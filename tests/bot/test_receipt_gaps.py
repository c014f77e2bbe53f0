"""A receipt that may lack liquidations says so."""

from dataclasses import replace

import pytest

from bot.receipt_gaps import is_whole, marked, with_gaps
from detectors.event import Event, Fact, Label, Unit
from detectors.market import MINUTE_MS, Market, PrintGap
from detectors.realised import receipt_of
from storage.sqlite import SqliteStore
from tests.storage.make import event, market

MARKET = Market("BTC", "BTC/USDT:USDT", ("binance", "bybit"), ())


def receipt(*, complete: bool = True) -> Event:
    numbers = {"watched_before_minutes": 20.0, "observed_liquidation_usd": 5e6}
    if complete:
        numbers["receipt_after_minutes"] = 10.0
    facts = tuple(Fact(name, value, Unit.MINUTES, Label.OBSERVED) for name, value in numbers.items())
    return event(kind="cluster_consumed", facts=facts)


AT_MS = receipt().taken_at_ms


def gap(venue: str, since_min: float, until_min: float | None) -> PrintGap:
    until_ms = None if until_min is None else AT_MS + round(until_min * MINUTE_MS)
    return PrintGap(venue, AT_MS + round(since_min * MINUTE_MS), until_ms)


def said(*gaps: PrintGap) -> object:
    return marked(receipt(), gaps, MARKET).value("receipt_incomplete")


def test_a_gap_within_the_time_that_is_added_up_is_said_with_how_much_of_it_was_missed() -> None:
    assert said(gap("bybit", -3, 1)) == "bybit not heard for 4 min: more may have been liquidated"
    assert said(gap("bybit", -100, -18)) == "bybit not heard for 2 min: more may have been liquidated"
    both = said(gap("bybit", 4, None), gap("binance", -1, 0), gap("binance", 2, 3))
    assert both == "binance not heard for 2 min, bybit not heard for 6 min: more may have been liquidated"


def test_gaps_that_overlap_count_once() -> None:
    both = said(gap("bybit", -3, 1), gap("bybit", -1, 2), replace(gap("bybit", -2, 0), market="BTC"))
    assert both == "bybit not heard for 5 min: more may have been liquidated"
    assert said(replace(gap("bybit", -3, 1), market="ETH")) is None


def test_gaps_of_another_time_or_venue_say_nothing() -> None:
    assert said(gap("bybit", -100, -21), gap("bybit", 11, 20), gap("gate", -5, 5)) is None
    assert marked(receipt(complete=False), [gap("bybit", -3, 1)], MARKET) == receipt(complete=False)


@pytest.mark.parametrize("since_min", [-100, -21, -19, -16, 9, 11, 14])
def test_a_receipt_is_left_out_of_the_market_s_share_exactly_where_it_says_that_it_is_incomplete(
    since_min: float,
) -> None:
    gaps = [gap("bybit", since_min, since_min + 1)]
    counted = receipt_of(receipt().with_facts([Fact("exposure_at_risk_usd", 9e6, Unit.USD, Label.ESTIMATED)]))
    assert counted is not None
    assert is_whole(counted, gaps) is (said(*gaps) is None) is (not -21 < since_min < 10)


async def test_the_gaps_are_those_of_the_store() -> None:
    store = SqliteStore(None, "simulated")
    await store.open()
    await store.note_gaps([gap("binance", -3, 1)])
    found = await with_gaps(store, receipt(), market())
    assert found.value("receipt_incomplete") is not None
    assert found.number("observed_liquidation_usd") == 5e6
    await store.close()
