"""What kinds read of a market: moves of price over closed bars of any length."""

import pytest

from detectors.estimate import EstimateSettings, MarketEstimate
from detectors.market import HOUR_MS, MINUTE_MS, Bar, Funding, MarketSnapshot
from detectors.view import MarketView
from tests.detectors.histories import MARKET, START_MS


def seen(minutes: int, bars: int, since_close_ms: int = 0) -> MarketView:
    """A price that rises by one a minute from 1000, in bars of so many minutes, looked at so long after a close."""
    estimate = MarketEstimate.empty(EstimateSettings())
    at_ms, interval_ms, price = START_MS, minutes * MINUTE_MS, 1000.0
    for _ in range(bars):
        bar = Bar(at_ms, interval_ms, price, price + minutes, price, price + minutes, 1.0)
        at_ms, price = bar.closed_at_ms, bar.close
        estimate.apply(MarketSnapshot(MARKET, at_ms, price, bar.low, bar.high, bar))
    price += since_close_ms / MINUTE_MS
    return MarketView(MARKET, at_ms + since_close_ms, at_ms, price, price, price, estimate, ())


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_an_hours_move_is_an_hours_whatever_the_bars(minutes: int) -> None:
    view = seen(minutes, 280)
    assert view.move(1.0) == pytest.approx(view.price / (view.price - 60) - 1)
    assert view.move(2.0) == pytest.approx(view.price / (view.price - 120) - 1)
    assert view.usual_hourly_move == pytest.approx(60 / (view.price - 60 - (280 * minutes - 60) / 2), rel=0.01)


@pytest.mark.parametrize(("since_close_ms", "minutes"), [(MINUTE_MS, 61), (4 * MINUTE_MS, 59)])
def test_between_closes_it_is_since_the_close_nearest_to_an_hour_ago(since_close_ms: int, minutes: int) -> None:
    view = seen(5, 40, since_close_ms)
    assert view.move(1.0) == pytest.approx(view.price / (view.price - minutes) - 1)


def test_without_enough_history_no_move_is_known() -> None:
    assert seen(5, 12).move(1.0) is None
    assert seen(5, 0).move(1.0) is None
    assert seen(5, 20).usual_hourly_move is None


def test_funding_is_remembered_for_longer_than_a_month_however_often_it_is_charged() -> None:
    estimate = MarketEstimate.empty(EstimateSettings())
    for hour in range(50 * 24):
        at_ms = START_MS + hour * HOUR_MS
        estimate.apply(MarketSnapshot(MARKET, at_ms, 100.0, 100.0, 100.0, funding=(Funding(at_ms, 0.0001, 1.0),)))
    assert 30 * 24 < len(estimate.funding) <= 40 * 24 + 1
