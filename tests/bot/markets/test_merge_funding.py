"""Which bar a settled funding rate goes with, and what of several venues' rates is one."""

from bot.markets.live_types import VenueSeries
from bot.markets.merge import Merger, merged_history
from detectors.market import Funding
from tests.bot.markets.test_merge import MARKET, VENUES, WHOLE, bar, close, emit


def test_funding_is_weighted_by_open_interest_over_equal_times() -> None:
    merger = Merger(MARKET, {"binance": 75.0, "bybit": 25.0})
    merger.add("binance", VenueSeries([bar(1)], funding=[Funding(close(1), 0.0004, 8.0)]))
    merger.add("bybit", VenueSeries([bar(1), bar(2)], funding=[Funding(close(1) + 7, 0.0001, 4.0)]))
    assert not emit(merger, 1).funding
    assert emit(merger, 2).funding == (Funding(close(1), 0.00035, 8.0),)


def test_equal_rates_merge_to_that_rate_exactly() -> None:
    merger = Merger(MARKET, WHOLE)
    for venue in VENUES:
        merger.add(venue, VenueSeries([bar(2)], funding=[Funding(close(1), 0.0001, 8.0)]))
    assert emit(merger, 2).funding[0].rate == 0.0001


def test_a_rate_comes_with_the_bar_that_closes_five_minutes_after_it_and_once() -> None:
    merger = Merger(MARKET, {"binance": 50.0, "okx": 50.0})
    merger.add("binance", VenueSeries([bar(1), bar(2), bar(3)], funding=[Funding(close(1), 1e-4, 8.0)]))
    assert not emit(merger, 1).funding
    merger.add("okx", VenueSeries(funding=[Funding(close(1), 3e-4, 8.0)]))
    assert emit(merger, 2).funding == (Funding(close(1), 2e-4, 8.0),)
    merger.add("bybit", VenueSeries(funding=[Funding(close(1), 3e-4, 8.0)]))
    assert not emit(merger, 3).funding
    assert merger.late == 1


def test_a_rate_that_no_venue_told_in_time_comes_with_the_next_bar() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.add("binance", VenueSeries([bar(2), bar(3)]))
    assert not emit(merger, 2).funding
    merger.add("binance", VenueSeries(funding=[Funding(close(1), 1e-4, 8.0)]))
    assert [one.taken_at_ms for one in emit(merger, 3).funding] == [close(1)]
    assert not merger.late


def test_going_on_after_history_hands_nothing_out_twice() -> None:
    told = [Funding(close(1), 1e-4, 8.0)]
    history = list(merged_history(MARKET, {"binance": VenueSeries([bar(1), bar(2)], funding=told)}))
    assert [len(one.funding) for one in history] == [0, 1]
    merger = Merger(MARKET, WHOLE)
    merger.add("binance", VenueSeries([bar(2)]))
    merger.go_on_after(history[-1])
    merger.add("binance", VenueSeries([bar(3)], funding=told))
    assert merger.pending == [close(3)]
    assert not emit(merger, 3).funding


def test_what_was_settled_at_the_last_close_of_history_comes_with_the_first_live_bar() -> None:
    told = [Funding(close(2), 1e-4, 8.0)]
    history = list(merged_history(MARKET, {"binance": VenueSeries([bar(1), bar(2)], funding=told)}))
    assert not any(one.funding for one in history)
    merger = Merger(MARKET, WHOLE)
    merger.go_on_after(history[-1])
    merger.add("binance", VenueSeries([bar(3)], funding=told))
    assert len(emit(merger, 3).funding) == 1
