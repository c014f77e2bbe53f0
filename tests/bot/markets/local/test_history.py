"""The market behind the venues: nothing is known early, parts of a bar add up, time only goes forward."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.listing import DEFAULT_TERMS, Terms, listings, prints_of
from detectors.market import DAY_MS, MINUTE_MS, Print, Side
from tests.bot.markets.local.scripted_feed import BAR_MS, START_MS, ScriptedFeed, flat

prices = st.integers(min_value=500, max_value=2000).map(lambda tenths: tenths / 10)


@st.composite
def bars(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Open, high, low, close."""
    first, last = draw(prices), draw(prices)
    above, below = draw(st.integers(0, 100)) / 10, draw(st.integers(0, 100)) / 10
    return first, round(max(first, last) + above, 1), round(min(first, last) - below, 1), last


@given(st.lists(bars(), min_size=2, max_size=4), st.lists(st.integers(1, BAR_MS - 1), max_size=5, unique=True))
def test_a_bar_cut_anywhere_adds_up_to_itself(script: list[tuple[float, float, float, float]], cuts: list[int]) -> None:
    history = History(ScriptedFeed(script))
    history.reach(START_MS + len(script) * BAR_MS)
    market, far_ms = history.markets["ABC"], START_MS + DAY_MS
    for bar in market.bars:
        edges = [0, *sorted(cuts), BAR_MS]
        found = [market.candle(bar.opened_at_ms + left, right - left, far_ms) for left, right in pairwise(edges)]
        parts = [part for part in found if part is not None]
        assert len(parts) == len(edges) - 1
        assert (parts[0].open, parts[-1].close) == (bar.open, bar.close)
        assert (max(part.high for part in parts), min(part.low for part in parts)) == (bar.high, bar.low)
        assert math.isclose(sum(part.volume_base for part in parts), bar.volume_base)
        assert all(one.close == other.open for one, other in pairwise(parts))


@given(st.lists(bars(), min_size=2, max_size=3), st.integers(0, 2 * BAR_MS - 1))
def test_an_open_candle_knows_nothing_of_later(script: list[tuple[float, float, float, float]], passed_ms: int) -> None:
    changed = [*script[:-1], (script[-1][0], 9999.0, 0.1, 9999.0)]
    known = []
    for one in (script, changed):
        history = History(ScriptedFeed(one))
        now_ms = START_MS + min(passed_ms, (len(script) - 1) * BAR_MS)
        history.reach(now_ms)
        market = history.markets["ABC"]
        known.append((market.candle(START_MS, 60 * MINUTE_MS, now_ms), market.price(now_ms), market.last_day(now_ms)))
    assert known[0] == known[1]


def test_there_is_no_candle_before_the_first_bar_or_of_the_future() -> None:
    history = History(flat(3))
    history.reach(START_MS + BAR_MS)
    market = history.markets["ABC"]
    assert market.candle(START_MS - BAR_MS, BAR_MS, START_MS + BAR_MS) is None
    assert market.candle(START_MS + BAR_MS, BAR_MS, START_MS + BAR_MS) is None
    assert market.candle(START_MS, BAR_MS, START_MS + BAR_MS) is not None


def test_when_the_feed_ends_the_market_stands_still() -> None:
    history = History(flat(3))
    history.reach(START_MS + DAY_MS)
    market = history.markets["ABC"]
    assert market.price(START_MS + DAY_MS) == 100.0
    assert market.candle(START_MS + 3 * BAR_MS, BAR_MS, START_MS + DAY_MS) is None


def test_everything_moves_by_the_same_shift() -> None:
    here, there = History(flat(100)), History(flat(100), shift_ms=3 * DAY_MS)
    for history, offset_ms in ((here, 0), (there, 3 * DAY_MS)):
        history.reach(START_MS + offset_ms + 100 * BAR_MS)
        market = history.markets["ABC"]
        assert history.start_ms == START_MS + offset_ms
        assert market.bars[7].opened_at_ms == START_MS + offset_ms + 7 * BAR_MS
        assert market.open_interest[0].taken_at_ms == START_MS + offset_ms + BAR_MS
        assert [rate.taken_at_ms for rate in market.funding] == [START_MS + offset_ms + 96 * BAR_MS]


def test_the_last_day_is_the_same_from_the_store_as_counted_anew() -> None:
    history = History(flat(700))
    for passed in (1, 7, 300, 300.5, 301, 500.25):
        now_ms = START_MS + int(passed * BAR_MS)
        history.reach(now_ms)
        day = history.markets["ABC"].last_day(now_ms)
        assert day is not None
        assert day.volume_base == pytest.approx(10 * min(passed, 288 + passed % 1), abs=10)
        assert (day.high, day.low) == (101.0, 99.0)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.floats(0.001, 1000)), max_size=60, unique=True))
def test_each_liquidation_happens_on_exactly_one_venue(drawn: list[tuple[int, float]]) -> None:
    prints = [Print(at_ms, Side.LONG, 100.0, amount, 100 * amount) for at_ms, amount in drawn]
    parts = {name: terms.share for name, terms in DEFAULT_TERMS.items()}
    divided = [prints_of(name, "ABC", prints, parts) for name in parts]
    assert sorted((seen for part in divided for seen in part), key=repr) == sorted(prints, key=repr)
    assert prints_of("okx", "ABC", prints, {"okx": 0.2}) == prints


def test_liquidations_are_divided_by_the_venues_shares() -> None:
    prints = [Print(i * 1000, Side.LONG, 100.0, 1.0 + i, 100.0) for i in range(2000)]
    parts = {"binance": 0.5, "bybit": 0.3, "okx": 0.2}
    shares = [len(prints_of(name, "ABC", prints, parts)) / len(prints) for name in parts]
    assert shares == pytest.approx(list(parts.values()), abs=0.04)


def test_cheap_coins_are_listed_by_the_thousand_where_the_venue_does_so() -> None:
    market = History(ScriptedFeed([(1e-5, 1.1e-5, 0.9e-5, 1e-5)] * 2)).markets["ABC"]
    by_thousand = listings({"ABC": market}, Terms(1.0, thousands=True))["ABC"]
    plain = listings({"ABC": market}, Terms(1.0, contract_usd=950.0))["ABC"]
    assert (by_thousand.base, by_thousand.units(5000.0)) == ("1000ABC", 5.0)
    assert (plain.base, plain.contract_base, plain.contracts(3e7)) == ("ABC", 1e7, 3.0)


def test_the_clock_stands_still_runs_or_jumps_but_never_goes_back() -> None:
    real_s = 100.0

    def monotonic_s() -> float:
        return real_s

    clock = Clock(5000, monotonic_s=monotonic_s)
    real_s = 200.0
    assert clock.now_ms == 5000
    clock.speed = 60
    real_s = 202.0
    assert clock.now_ms == 5000 + 120_000
    clock.speed = 0
    real_s = 300.0
    clock.advance(1)
    assert clock.now_ms == 125_001
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="speed"):
        Clock(0, speed=-1)
    with pytest.raises(ValueError, match="speed"):
        clock.speed = -1
