"""The chance level asks the same question of other times of the same market, and never of the alert's own."""

import math

import numpy as np
import pytest

from detectors.chance import NEAREST_SHARE, chances, excursions, volatility
from detectors.event import Question
from detectors.market import DAY_MS, HOUR_MS, Bar, Side
from detectors.series import MarketSeries
from tests.storage.make import BAR_MS, START_MS

HOURS_2 = 2 * HOUR_MS
DAY_BARS = DAY_MS // BAR_MS


def series_of(closes: list[float], wick: float = 0.0, skip: int | None = None) -> MarketSeries:
    bars, last = [], closes[0]
    for number, close in enumerate(closes):
        low, high = min(last, close) * (1 - wick), max(last, close) * (1 + wick)
        if number != skip:
            bars.append(Bar(START_MS + number * BAR_MS, BAR_MS, last, high, low, close, 1.0))
        last = close
    return MarketSeries.of(bars)


def walk(days: float, seed: int = 1, move: float = 0.002) -> list[float]:
    steps = np.random.default_rng(seed).normal(0, move, round(days * DAY_BARS))
    return [float(price) for price in 100 * np.exp(np.cumsum(steps))]


@pytest.mark.parametrize("side", list(Side))
def test_an_excursion_is_the_farthest_that_price_went_within_the_horizon(side: Side) -> None:
    series = series_of(walk(1.5), wick=0.0003)
    found = excursions(series, side, HOURS_2)
    for at in (0, 5, 200, len(series) - 25):
        window = slice(at + 1, at + 1 + HOURS_2 // BAR_MS)
        close = series.close[at]
        plain = (
            math.log(series.high[window].max() / close)
            if side is Side.SHORT
            else math.log(close / series.low[window].min())
        )
        assert found[at] == pytest.approx(plain, abs=1e-12)
    assert np.isnan(found[-24:]).all()
    assert np.isfinite(found[:-24]).all()


def test_a_window_with_a_hole_is_not_asked() -> None:
    found = excursions(series_of(walk(1.5), skip=100), Side.LONG, HOURS_2)
    assert np.flatnonzero(np.isnan(found[:200])).tolist() == list(range(100 - 24, 100))


def test_volatility_is_the_mean_range_of_the_day_before_and_unknown_without_one() -> None:
    found = volatility(series_of([100.0] * (DAY_BARS + 5), wick=0.001))
    assert np.isnan(found[: DAY_BARS - 1]).all()
    assert found[DAY_BARS - 1 :] == pytest.approx(math.log(1.001 / 0.999))


def test_the_level_is_the_share_of_other_times_at_which_price_went_as_far() -> None:
    series = series_of(walk(12))
    at_ms = START_MS + 6 * DAY_MS
    question = Question(Side.LONG, 0.01, HOURS_2)
    (chance,) = chances([(at_ms, question)], series)
    assert chance is not None
    usual, farthest = volatility(series), excursions(series, Side.LONG, HOURS_2)
    now = usual[np.searchsorted(series.closed_at_ms, at_ms, side="right") - 1]
    rows = [
        (abs(usual[row] - now), farthest[row] >= 0.01)
        for row in range(len(series))
        if np.isfinite(usual[row]) and np.isfinite(farthest[row]) and abs(series.closed_at_ms[row] - at_ms) >= HOURS_2
    ]
    nearest = sorted(rows)[: round(len(rows) * NEAREST_SHARE)]
    assert chance.n == len(nearest)
    assert chance.share == pytest.approx(np.mean([came for _, came in nearest]), abs=2 / chance.n)


def test_the_alerts_own_time_is_left_out() -> None:
    """A market that moves once: by every other time, such a move never happens."""
    closes = [100.0] * (8 * DAY_BARS)
    crash = 5 * DAY_BARS
    closes[crash:] = [90.0] * (len(closes) - crash)
    series = series_of(closes, wick=0.0001)
    at_ms = int(series.closed_at_ms[crash - 1])
    question = Question(Side.LONG, 0.05, HOURS_2)
    (chance,) = chances([(at_ms, question)], series)
    assert chance is not None
    assert chance.share == 0.0
    (of_another_time,) = chances([(at_ms - 3 * HOUR_MS, question)], series)
    assert of_another_time is not None
    assert of_another_time.share > 0


def test_restless_times_are_compared_with_restless_times() -> None:
    calm, wild = walk(8, seed=2, move=0.0005), walk(8, seed=3, move=0.004)
    series = series_of([*calm, *[price * calm[-1] / wild[0] for price in wild]])
    question = Question(Side.SHORT, 0.01, HOURS_2)
    in_calm, in_wild = chances([(START_MS + 4 * DAY_MS, question), (START_MS + 12 * DAY_MS, question)], series)
    assert in_calm is not None
    assert in_wild is not None
    assert in_calm.share < 0.05
    assert in_wild.share > 0.4


def test_what_was_not_wanted_is_counted_the_other_way_round() -> None:
    series = series_of(walk(12))
    at_ms = START_MS + 6 * DAY_MS
    came, stayed = chances(
        [(at_ms, Question(Side.LONG, 0.01, HOURS_2)), (at_ms, Question(Side.LONG, 0.01, HOURS_2, wanted=False))], series
    )
    assert came is not None
    assert stayed is not None
    assert came.share + stayed.share == pytest.approx(1)


def test_too_little_other_time_gives_no_level() -> None:
    question = Question(Side.LONG, 0.01, HOURS_2)
    assert chances([(START_MS + 3 * DAY_MS, question)], series_of(walk(5))) == [None]
    assert chances([(START_MS, question)], series_of(walk(12))) == [None]
    assert chances([(START_MS, question)], MarketSeries.of([])) == [None]
