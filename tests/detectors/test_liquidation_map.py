"""What one bar does to the estimate: deposits, consumption, closing, gaps, prints."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.leverage import LeverageModel, liquidation_price
from detectors.liquidation_map import LiquidationMap, MapChange
from detectors.map_settings import MapSettings
from detectors.market import HOUR_MS, Bar, OpenInterest, Print, Side
from tests.detectors.histories import (
    BAR_MS,
    FLAT_TIERS,
    ONE_NODE,
    PLAIN,
    START_MS,
    RandomMarket,
    bars_of,
    random_market,
)


class Writer:
    """Feeds a map bar by bar."""

    def __init__(self, leverage: LeverageModel = ONE_NODE, price: float = 100.0, interval_ms: int = BAR_MS) -> None:
        self.map = LiquidationMap(MapSettings(leverage))
        self.at_ms, self.price, self.interval_ms = START_MS, price, interval_ms

    def bar(
        self,
        close: float,
        base: float | None = None,
        *,
        low: float = math.inf,
        high: float = -math.inf,
        crowding: float = 0.0,
        volume: float = 100.0,
        prints: tuple[Print, ...] = (),
    ) -> MapChange:
        low, high = min(low, close, self.price), max(high, close, self.price)
        bar = Bar(self.at_ms, BAR_MS, self.price, high, low, close, volume)
        sample = None if base is None else OpenInterest(bar.closed_at_ms, base, self.interval_ms)
        self.at_ms, self.price = bar.closed_at_ms, close
        return self.map.update(bar, sample, crowding, prints)

    def skip(self, bars: int) -> None:
        self.at_ms += bars * BAR_MS

    def side(self, side: Side) -> float:
        """Known and unknown exposure of a side in base units."""
        prices = np.sqrt(self.map.edges[1:] * self.map.edges[:-1])
        return float((self.map.side_usd(side) / prices).sum())

    def known(self, side: Side) -> float:
        assert self.map.boundary is not None
        column = self.map.boundary - self.map.origin
        return float((self.map.known[:column] if side is Side.LONG else self.map.known[column + 1 :]).sum())


def opened(
    rise: float = 100.0,
    leverage: LeverageModel = ONE_NODE,
    *,
    low: float = math.inf,
    high: float = -math.inf,
    crowding: float = 0.0,
) -> Writer:
    """A map of 1,000 of unknown age and one rise of known age, all at a price of 100."""
    writer = Writer(leverage)
    writer.bar(100.0, 1000.0)
    writer.bar(100.0, 1000.0 + rise, low=low, high=high, crowding=crowding)
    return writer


def prices_of(writer: Writer, side: Side) -> tuple[float, float]:
    """Lowest and highest price with known exposure of a side."""
    edges, known = writer.map.edges, writer.map.known
    inside = np.flatnonzero((known > 0) & ((edges[:-1] < writer.price) == (side is Side.LONG)))
    return float(edges[inside[0]]), float(edges[inside[-1] + 1])


# --- deposits


@pytest.mark.parametrize("leverage", [5.0, 10.0, 25.0, 50.0, 100.0])
def test_a_deposit_lies_at_the_liquidation_price_of_its_leverage(leverage: float) -> None:
    writer = opened(leverage=LeverageModel((leverage,), (1.0,), tiers=FLAT_TIERS, turnover_daily=0.0))
    for side in Side:
        low, high = prices_of(writer, side)
        exact = liquidation_price(100.0, leverage, 0.004, side)
        assert low * 0.9995 <= exact <= high * 1.0005


def test_both_sides_get_a_rise_in_open_interest_in_full() -> None:
    writer = opened(rise=100.0, leverage=PLAIN)
    assert writer.known(Side.LONG) == pytest.approx(100, rel=1e-6)
    assert writer.known(Side.SHORT) == pytest.approx(100, rel=1e-6)


def test_the_colour_of_the_candle_does_not_choose_the_side() -> None:
    up, down = opened(100.0, high=100.3), opened(100.0, low=99.7)
    for writer in (up, down):
        assert writer.known(Side.LONG) == pytest.approx(writer.known(Side.SHORT), rel=1e-6)


def test_entries_spread_over_the_range_of_the_bar() -> None:
    narrow, wide = opened(100.0), opened(100.0, low=99.5, high=100.5)
    for side in Side:
        low, high = prices_of(wide, side)
        assert high / low - 1 == pytest.approx(0.01, abs=0.0015)
        assert np.ptp(prices_of(narrow, side)) < 0.2


def test_crowding_moves_levels_nearer_and_leaves_both_totals() -> None:
    calm, crowded = opened(100.0, PLAIN), opened(100.0, PLAIN, crowding=1.0)
    prices = np.sqrt(calm.map.edges[1:] * calm.map.edges[:-1])
    for side, sign in ((Side.LONG, 1), (Side.SHORT, -1)):
        assert crowded.known(side) == pytest.approx(calm.known(side), rel=1e-6)
        centre = [
            float(writer.map.side_usd(side) @ prices / writer.map.side_usd(side).sum()) for writer in (calm, crowded)
        ]
        # crowded longs come nearer from below; the shorts, less leveraged, move away above
        assert centre[1] > centre[0], (side, sign)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_longs_lie_below_price_and_shorts_above_always(seed: int) -> None:
    estimate = LiquidationMap(MapSettings(PLAIN))
    for bar, sample, crowding in bars_of(random_market(RandomMarket(150, seed, bar_move=0.004))):
        estimate.update(bar, sample, crowding)
        assert estimate.boundary is not None
        assert estimate.known[estimate.boundary - estimate.origin] == 0
        edges = estimate.edges
        assert not estimate.side_usd(Side.LONG)[edges[:-1] >= bar.close].any()
        assert not estimate.side_usd(Side.SHORT)[edges[1:] <= bar.close].any()


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_side_never_holds_more_than_open_interest(seed: int) -> None:
    estimate = LiquidationMap(MapSettings(PLAIN))
    for bar, sample, crowding in bars_of(random_market(RandomMarket(200, seed))):
        estimate.update(bar, sample, crowding)
    prices = np.sqrt(estimate.edges[1:] * estimate.edges[:-1])
    assert estimate.open_interest_base is not None
    for side in Side:
        assert (estimate.side_usd(side) / prices).sum() <= estimate.open_interest_base * (1 + 1e-6)


def test_turnover_moves_old_positions_to_todays_price_and_adds_none() -> None:
    replaced = LeverageModel((25.0,), (1.0,), tiers=FLAT_TIERS, turnover_daily=0.5)
    still, moving = opened(200.0), opened(200.0, replaced)
    for writer in (still, moving):
        for _ in range(288):
            writer.bar(101.5, 1200.0)
    for side in Side:
        assert still.known(side) == pytest.approx(200.0, rel=1e-3)
        assert moving.known(side) <= 1200.0
        assert moving.known(side) > still.known(side)
    near_old = [writer.map.known[writer.map.edges[1:] < 97.0].sum() for writer in (still, moving)]
    assert near_old[1] < 0.7 * near_old[0]


@pytest.mark.parametrize("volume", [1e5, 1e300])
def test_a_spike_in_volume_cannot_open_more_than_there_is(volume: float) -> None:
    writer = opened(200.0, LeverageModel())
    for _ in range(2000):
        writer.bar(100.0, 1200.0)
    writer.bar(100.0, 1200.0, volume=volume)
    for side in Side:
        assert writer.side(side) <= 1.3 * 1200.0
    assert np.isfinite(writer.map.known).all()


# --- consumption


def test_a_wick_through_a_level_consumes_it_although_the_close_is_far_off() -> None:
    writer = opened()
    change = writer.bar(100.0, 1100.0, low=96.0)
    assert change.consumed.sum() == pytest.approx(100, rel=1e-6)
    assert writer.known(Side.LONG) == 0
    assert writer.known(Side.SHORT) == pytest.approx(100, rel=1e-6)


def test_a_gap_in_price_between_bars_consumes_what_it_jumped_over() -> None:
    writer = opened()
    writer.price = 95.0
    assert writer.bar(95.0, 1100.0).consumed.sum() == pytest.approx(100, rel=1e-6)


def test_levels_not_reached_are_left_alone() -> None:
    writer = opened()
    assert writer.bar(100.0, 1100.0, low=97.0, high=103.0).consumed.sum() == 0
    assert writer.known(Side.LONG) == pytest.approx(100, rel=1e-6)


def test_what_a_later_bar_swept_before_its_open_interest_was_known_is_not_there() -> None:
    writer = opened(rise=100.0)
    writer.bar(100.0)
    writer.bar(100.0, 1200.0, low=96.0)
    # of the second hundred, half opened before the dip, at 96.386, and half within it, over 96 to 100
    assert writer.known(Side.LONG) == pytest.approx(50, rel=1e-6)


# --- closing


def test_a_fall_removes_pro_rata_to_total_open_interest() -> None:
    writer = opened(rise=100.0)
    before = writer.side(Side.LONG)
    change = writer.bar(100.0, 990.0)
    left = 990 / 1100
    assert writer.known(Side.LONG) == pytest.approx(100 * left, rel=1e-6)
    assert writer.side(Side.LONG) == pytest.approx(before * left, rel=1e-5)
    assert change.closed.sum() == pytest.approx(2 * 100 * (1 - left), rel=1e-6)


def test_a_fall_as_large_as_what_is_tracked_does_not_empty_the_map() -> None:
    writer = opened(rise=100.0)
    writer.bar(100.0, 1000.0)
    assert writer.known(Side.LONG) == pytest.approx(100 * 1000 / 1100, rel=1e-6)


# --- open interest that is absent, unknown or late


def test_without_open_interest_nothing_is_estimated() -> None:
    writer = Writer()
    for price in (100.0, 101.0, 99.0):
        change = writer.bar(price)
        assert not any(cells.any() for cells in (change.deposited, change.closed, change.consumed))
    assert writer.map.open_interest_base is None
    assert not writer.map.side_usd(Side.LONG).any()


def test_what_was_there_at_the_first_bar_is_of_unknown_age() -> None:
    writer = Writer()
    writer.bar(100.0, 1000.0)
    # entries far enough on one side of price would be liquidated already, and are left out
    assert 0.8 * 2000 < writer.map.unknown.sum() <= 2000
    assert not writer.map.known.any()


def test_unknown_entries_spread_over_the_range_that_was_seen() -> None:
    writer = Writer()
    for price in (100.0, 80.0, 100.0):
        writer.bar(price)
    writer.bar(100.0, 1000.0)
    spread = np.flatnonzero(writer.map.unknown)
    assert writer.map.edges[spread[0]] < 80.0


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_up_to_three_bars_without_open_interest_are_bridged(missing: int) -> None:
    writer = opened()
    for _ in range(missing):
        writer.bar(100.0)
    change = writer.bar(100.0, 1200.0)
    assert not change.gap
    assert writer.known(Side.LONG) == pytest.approx(200, rel=1e-6)


def test_a_bridged_rise_is_spread_over_the_range_of_the_whole_gap() -> None:
    writer = opened()
    writer.bar(101.0)
    writer.bar(101.0, 1200.0)
    low, high = prices_of(writer, Side.SHORT)
    assert high / low - 1 == pytest.approx(0.01, abs=0.002)


def test_up_to_three_missing_bars_deposit_over_the_range_from_before_to_after() -> None:
    writer = opened()
    writer.skip(2)
    writer.price = 101.0
    change = writer.bar(101.0, 1200.0)
    assert not change.gap
    low, high = prices_of(writer, Side.SHORT)
    assert low < 103.7
    assert high > 104.5


@pytest.mark.parametrize("absent", ["open interest", "bars"])
def test_a_longer_gap_is_marked_and_its_openings_are_of_unknown_age(absent: str) -> None:
    writer = opened()
    unknown = writer.map.unknown.sum()
    if absent == "bars":
        writer.skip(4)
    else:
        for _ in range(4):
            writer.bar(100.0)
    change = writer.bar(100.0, 1200.0)
    assert change.gap
    assert not change.deposited.any()
    assert writer.known(Side.LONG) <= 100 * (1 + 1e-6)
    assert writer.map.unknown.sum() > unknown


def test_bars_must_come_in_time_order() -> None:
    writer = opened()
    writer.at_ms -= BAR_MS
    with pytest.raises(ValueError, match="not after"):
        writer.bar(100.0, 1100.0)


# --- prints


def printed(price: float, amount: float, side: Side = Side.LONG) -> Print:
    return Print(START_MS, side, price, amount, amount * price)


@given(st.floats(0.1, 300.0))
@settings(max_examples=30, deadline=None)
def test_prints_take_at_most_what_was_printed(amount: float) -> None:
    writer = opened()
    change = writer.bar(100.0, 1100.0, prints=(printed(96.0, amount),))
    assert change.consumed.sum() == pytest.approx(min(100.0, amount), rel=1e-5)
    assert writer.known(Side.SHORT) == pytest.approx(100, rel=1e-6)


def test_prints_take_what_is_nearest_to_price_first() -> None:
    writer = opened(100.0, low=99.5, high=100.5)
    low, high = prices_of(writer, Side.LONG)
    writer.bar(100.0, 1100.0, prints=(printed(95.0, 50.0),))
    assert prices_of(writer, Side.LONG) == pytest.approx((low, (low + high) / 2), rel=1e-3)


@pytest.mark.parametrize(("price", "side"), [(104.0, Side.LONG), (96.0, Side.SHORT), (1.0, Side.LONG)])
def test_a_print_on_the_wrong_side_or_off_the_grid_takes_nothing(price: float, side: Side) -> None:
    writer = opened()
    assert writer.bar(100.0, 1100.0, prints=(printed(price, 50.0, side),)).consumed.sum() == 0


def test_a_print_takes_nothing_of_the_other_side_when_price_leaves_the_grid_behind() -> None:
    writer = opened()
    writer.bar(140.0, 1100.0)
    writer.bar(140.0, 1300.0)
    shorts = writer.known(Side.SHORT)
    assert shorts > 0
    writer.bar(230.0, 1300.0, low=230.0, prints=(printed(100.0, 1e9),))
    assert writer.map.boundary is not None
    assert writer.map.origin > writer.map.settings.grid.cell(140.0), "or it shows nothing"
    again = opened()
    again.bar(140.0, 1100.0)
    again.bar(140.0, 1300.0)
    again.bar(230.0, 1300.0, low=230.0)
    assert np.array_equal(writer.map.known, again.map.known)


# --- age and size


def test_exposure_is_known_by_the_hour_it_was_opened_in() -> None:
    writer = opened(rise=60.0)
    writer.at_ms = START_MS + 2 * HOUR_MS - BAR_MS
    for base in (1060.0, 1100.0):
        writer.bar(100.0, base)
    grid = writer.map.settings.grid
    ages = writer.map.by_age(grid.cell(90), grid.cell(99))
    assert [age[0] for age in ages] == sorted(age[0] for age in ages)
    by_hour = {(since - START_MS) / HOUR_MS: base for since, _, base in ages if base}
    assert by_hour[0.0] == pytest.approx(60.0, rel=1e-5)
    assert by_hour[2.0] == pytest.approx(40.0, rel=1e-5)


def test_ages_add_up_to_what_is_known() -> None:
    estimate = LiquidationMap(MapSettings(PLAIN))
    for bar, sample, crowding in bars_of(random_market(RandomMarket(3000, 4))):
        estimate.update(bar, sample, crowding)
    ages = estimate.by_age(estimate.origin, estimate.origin + estimate.settings.grid.cells - 1)
    assert sum(base for _, _, base in ages) == pytest.approx(estimate.known.sum(), rel=1e-4)
    assert all(since < until for since, until, _ in ages)


def test_the_grid_follows_price_and_keeps_what_is_on_it() -> None:
    writer = opened()
    for price in np.linspace(100, 115, 40):
        writer.bar(float(price), 1100.0)
    assert writer.known(Side.LONG) == pytest.approx(100, rel=1e-5)
    low, high = prices_of(writer, Side.LONG)
    assert low * 0.9995 <= liquidation_price(100.0, 25.0, 0.004, Side.LONG) <= high * 1.0005
    middle = writer.map.origin + writer.map.settings.grid.cells // 2
    assert writer.map.boundary is not None
    assert abs(middle - writer.map.boundary) <= 64
