"""Sums of liquidations in a merged view: each once, with the first bar by which it can be known."""

from bot.markets.live_types import BAR_MS, VenueSeries
from bot.markets.merge import Merger, merged_history
from detectors.market import LiquidationTotal
from tests.bot.markets.test_merge import MARKET, WHOLE, bar, close, emit


def total(n: int, usd: float = 5e5, venue: str = "gate") -> LiquidationTotal:
    """That can be known by the close of the ``n``-th bar."""
    return LiquidationTotal(close(n - 2), BAR_MS, usd, 0.0, venue)


def totals_of(merger: Merger, n: int) -> list[LiquidationTotal]:
    merger.add("binance", VenueSeries([bar(n)]))
    return list(emit(merger, n).liquidations)


def test_a_total_that_is_told_again_is_counted_once() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.add("okx", VenueSeries(totals=[total(1), total(1)]))
    assert totals_of(merger, 1) == [total(1)]
    merger.add("okx", VenueSeries(totals=[total(1), total(2)]))
    assert totals_of(merger, 2) == [total(2)]
    merger.add("okx", VenueSeries(totals=[total(1), total(2), total(3)]))
    assert totals_of(merger, 3) == [total(3)]


def test_a_total_that_comes_after_its_bar_goes_with_the_next_one() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.add("okx", VenueSeries(totals=[total(1)]))
    assert totals_of(merger, 1) == [total(1)]
    assert totals_of(merger, 2) == []
    merger.add("okx", VenueSeries(totals=[total(3), total(2)]))
    assert totals_of(merger, 3) == [total(2), total(3)]


def test_totals_of_two_venues_are_two() -> None:
    merger = Merger(MARKET, WHOLE)
    for venue in ("gate", "htx"):
        merger.add("okx", VenueSeries(totals=[total(1, venue=venue)]))
    assert totals_of(merger, 1) == [total(1), total(1, venue="htx")]


def test_totals_that_the_past_has_handed_out_are_not_handed_out_again() -> None:
    merger = Merger(MARKET, WHOLE)
    history = list(merged_history(MARKET, {"okx": VenueSeries([bar(1), bar(2)], totals=[total(1), total(2)])}))
    merger.add("okx", VenueSeries(totals=[total(2)]))
    merger.go_on_after(history[-1])
    merger.add("okx", VenueSeries(totals=[total(2), total(3)]))
    assert totals_of(merger, 3) == [total(3)]


def test_after_days_without_bars_totals_are_still_told_once() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.add("okx", VenueSeries(totals=[total(n) for n in range(1, 1001)]))
    assert len(totals_of(merger, 1000)) == 1000
    merger.add("okx", VenueSeries(totals=[total(n) for n in range(1, 1002)]))
    assert totals_of(merger, 1001) == [total(1001)]
