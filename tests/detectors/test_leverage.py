"""Liquidation formulas against values computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.leverage import (
    BINANCE_BTC_TIERS,
    LeverageModel,
    MarginTier,
    default_nodes,
    default_weights,
    liquidation_price,
    maintenance_rate,
    nodes_by_distance,
)
from detectors.market import Side
from tests.detectors.histories import FLAT_TIERS

leverages = st.floats(2, 100)
margins = st.floats(0, 0.009)


@pytest.mark.parametrize(
    ("leverage", "maintenance", "long", "short"),
    [
        # 50,000 at m = 0, the textbook E (1 -+ 1/L)
        (10, 0.0, 45_000.0, 55_000.0),
        (100, 0.0, 49_500.0, 50_500.0),
        # 50,000 * 0.9 / 0.996 and 50,000 * 1.1 / 1.004
        (10, 0.004, 45_180.72289156627, 54_780.87649402390),
        # 50,000 * 0.95 / 0.99 and 50,000 * 1.05 / 1.01
        (20, 0.01, 47_979.79797979798, 51_980.19801980198),
    ],
)
def test_liquidation_prices_are_those_computed_by_hand(
    leverage: float, maintenance: float, long: float, short: float
) -> None:
    assert liquidation_price(50_000, leverage, maintenance, Side.LONG) == pytest.approx(long, rel=1e-12)
    assert liquidation_price(50_000, leverage, maintenance, Side.SHORT) == pytest.approx(short, rel=1e-12)


@pytest.mark.parametrize("side", Side)
def test_a_hundred_times_leverage_is_about_six_tenths_of_a_per_cent_away(side: Side) -> None:
    price = liquidation_price(1.0, 100, 0.004, side)
    assert abs(price - 1) == pytest.approx(0.006, abs=0.0001)


@given(leverages, margins)
def test_longs_are_liquidated_below_entry_and_shorts_above(leverage: float, maintenance: float) -> None:
    assert liquidation_price(100, leverage, maintenance, Side.LONG) < 100
    assert liquidation_price(100, leverage, maintenance, Side.SHORT) > 100


@given(st.floats(2, 90), margins)
def test_more_leverage_is_liquidated_nearer(leverage: float, maintenance: float) -> None:
    for side in Side:
        near, far = (abs(liquidation_price(1, times, maintenance, side) - 1) for times in (leverage * 1.1, leverage))
        assert near < far


def test_at_liquidation_what_is_left_of_the_margin_is_the_maintenance_margin() -> None:
    entry, leverage, rate = 80_000.0, 25.0, 0.005
    for side, sign in ((Side.LONG, 1), (Side.SHORT, -1)):
        price = liquidation_price(entry, leverage, rate, side)
        left = entry / leverage + sign * (price - entry)
        assert left == pytest.approx(price * rate, rel=1e-12)


def test_the_effective_rate_deducts_the_amounts_of_the_tiers_below() -> None:
    # Binance BTC: 300,000 * (0.005 - 0.004) = 300 and 800,000 * (0.0065 - 0.005) = 1,200 on top
    assert maintenance_rate(BINANCE_BTC_TIERS, 50_000) == 0.004
    assert maintenance_rate(BINANCE_BTC_TIERS, 500_000) == pytest.approx((500_000 * 0.005 - 300) / 500_000)
    assert maintenance_rate(BINANCE_BTC_TIERS, 2_000_000) == pytest.approx((2_000_000 * 0.0065 - 1_500) / 2_000_000)


@pytest.mark.parametrize("tier", BINANCE_BTC_TIERS[1:])
def test_maintenance_margin_has_no_step_where_a_tier_begins(tier: MarginTier) -> None:
    below, above = (maintenance_rate(BINANCE_BTC_TIERS, tier.floor_usd * by) for by in (1 - 1e-9, 1 + 1e-9))
    assert below == pytest.approx(above, rel=1e-6)


@given(st.floats(1, 150_000_000), st.floats(1, 1.5))
def test_maintenance_margin_never_falls_as_a_position_grows(notional_usd: float, by: float) -> None:
    smaller, larger = (maintenance_rate(BINANCE_BTC_TIERS, size) for size in (notional_usd, notional_usd * by))
    assert smaller <= larger * (1 + 1e-12)
    assert BINANCE_BTC_TIERS[0].rate <= smaller <= BINANCE_BTC_TIERS[-1].rate


@given(st.floats(-1, 1))
def test_crowding_tilts_leverage_and_leaves_the_total(crowding: float) -> None:
    model = LeverageModel((5.0, 20.0, 80.0), (0.5, 0.3, 0.2))
    for side in Side:
        weights = model.weights_at(crowding, side)
        assert weights.sum() == pytest.approx(1.0, rel=1e-12)
        assert weights.min() > 0
    assert np.allclose(model.weights_at(crowding, Side.LONG), model.weights_at(-crowding, Side.SHORT))


def test_the_crowded_side_is_the_more_leveraged_one() -> None:
    model = LeverageModel((5.0, 20.0, 80.0), (0.5, 0.3, 0.2))
    nodes = np.array(model.nodes)
    calm, crowded = (model.weights_at(crowding, Side.LONG) @ nodes for crowding in (0.0, 1.0))
    assert calm == pytest.approx(0.5 * 5 + 0.3 * 20 + 0.2 * 80)
    assert crowded > calm > model.weights_at(1.0, Side.SHORT) @ nodes


def test_nodes_by_distance_are_even_steps_from_entry_and_highest_first() -> None:
    nodes = nodes_by_distance(5, 0.01, 0.05)
    assert nodes == pytest.approx((100, 50, 100 / 3, 25, 20))


def test_the_default_table_has_usable_weights_that_peak_at_a_middling_leverage() -> None:
    nodes = default_nodes()
    weights = default_weights(nodes)
    assert list(nodes) == sorted(nodes, reverse=True)
    assert 5 < nodes[weights.index(max(weights))] < 12
    assert LeverageModel().weights_at(0.0, Side.LONG).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ((), ()),
        ((10.0,), (0.5, 0.5)),
        ((1.0, 10.0), (0.5, 0.5)),
        ((10.0, 20.0), (0.5, -0.5)),
        ((10.0, 20.0), (0.0, 0.0)),
        ((10.0, 20.0), (math.nan, 1.0)),
        ((10.0, 20.0), (math.inf, 1.0)),
    ],
)
def test_a_table_that_means_nothing_is_refused(nodes: tuple[float, ...], weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="leverage nodes"):
        LeverageModel(nodes, weights)


def test_a_position_of_typical_size_looks_the_tiers_up_and_not_the_whole_market() -> None:
    model = LeverageModel((100.0,), (1.0,), tiers=(*FLAT_TIERS, MarginTier(10_000_000, 0.5, 1)))
    assert model.log_distances[Side.LONG][0] == pytest.approx(-math.log(0.99 / 0.996))


def test_a_node_beyond_what_the_tiers_allow_stands_for_smaller_positions_or_for_the_most_leverage() -> None:
    tiers = (MarginTier(0, 0.015, 50), MarginTier(5_000, 0.025, 20), MarginTier(10_000, 0.05, 10))
    model = LeverageModel((100.0, 50.0, 20.0, 10.0), (1.0, 1.0, 1.0, 1.0), tiers=tiers, position_usd=50_000)
    longs = 1 - np.exp(-model.log_distances[Side.LONG])
    at_10_000 = 0.025 - 50 / 10_000  # 5,000 * (0.025 - 0.015) deducted
    at_50_000 = 0.05 - 300 / 50_000
    expected = [0.015, 0.015, at_10_000, at_50_000]
    leverage = [50, 50, 20, 10]
    assert longs == pytest.approx([1 - (1 - 1 / x) / (1 - rate) for x, rate in zip(leverage, expected, strict=True)])
    assert (np.diff(longs) >= 0).all()


def test_shorts_may_have_weights_of_their_own() -> None:
    model = LeverageModel((20.0, 5.0), (1.0, 1.0), short_weights=(3.0, 1.0))
    assert model.weights_at(0.0, Side.LONG).tolist() == [0.5, 0.5]
    assert model.weights_at(0.0, Side.SHORT).tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match="short_weights"):
        LeverageModel((20.0, 5.0), (1.0, 1.0), short_weights=(3.0,))
