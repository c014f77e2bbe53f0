"""The map of a whole history at once, the map bar by bar, and a map that was stopped: all the same."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.leverage import LeverageModel
from detectors.liquidation_map import LiquidationMap
from detectors.map_history import BarHistory, map_from_history
from detectors.map_settings import MapSettings
from detectors.price_grid import PriceGrid
from tests.detectors.histories import PLAIN, RandomMarket, bars_of, random_market

markets = st.builds(
    RandomMarket,
    bars=st.integers(1, 400),
    seed=st.integers(0, 10**6),
    price=st.sampled_from([0.00001234, 0.25, 100.0, 88_000.0]),
    bar_move=st.sampled_from([0.001, 0.004, 0.02]),
    missing_bars=st.sampled_from([0.0, 0.05, 0.4]),
    missing_open_interest=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
)
models = st.sampled_from([PLAIN, LeverageModel()])


def stepwise(model: LeverageModel, history: BarHistory) -> LiquidationMap:
    estimate = LiquidationMap(MapSettings(model))
    for bar, sample, crowding in bars_of(history):
        estimate.update(bar, sample, crowding)
    return estimate


def first_bars(history: BarHistory, count: int) -> BarHistory:
    arrays = {f.name: getattr(history, f.name)[:count] for f in fields(history) if "interval" not in f.name}
    return replace(history, **arrays)


def assert_same(one: LiquidationMap, other: LiquidationMap, within: float) -> None:
    assert (one.origin, one.boundary) == (other.origin, other.boundary)
    assert one.open_interest_base == other.open_interest_base
    assert one.open_interest_at_ms == other.open_interest_at_ms
    assert one.rows.state() == other.rows.state()
    size = max(1.0, one.open_interest_base or 0.0)
    for name in ("known", "unknown"):
        assert np.abs(getattr(one, name) - getattr(other, name)).max() <= within * size, name


@given(markets, models)
@settings(max_examples=60, deadline=None)
def test_a_whole_history_at_once_equals_bar_by_bar(made_of: RandomMarket, model: LeverageModel) -> None:
    history = random_market(made_of)
    assert_same(map_from_history(MapSettings(model), history), stepwise(model, history), 1e-9)


def test_a_market_that_never_moves_agrees_to_the_last_bits_of_its_one_cell() -> None:
    # all of a node lies in one cell then, and 32-bit floats hold per cents of open interest to some 1e-8 of it
    history = random_market(RandomMarket(300, bar_move=0.0, missing_open_interest=0.6))
    assert_same(map_from_history(MapSettings(PLAIN), history), stepwise(PLAIN, history), 2e-8)


@given(markets, models, st.integers(2, 20))
@settings(max_examples=25, deadline=None)
def test_a_map_made_at_once_goes_on_bar_by_bar(made_of: RandomMarket, model: LeverageModel, more: int) -> None:
    history = random_market(made_of)
    cut = max(1, len(history.close) - more)
    early = first_bars(history, cut)
    goes_on = map_from_history(MapSettings(model), early)
    for bar, sample, crowding in list(bars_of(history))[cut:]:
        goes_on.update(bar, sample, crowding)
    assert_same(goes_on, stepwise(model, history), 1e-8)


def test_a_month_of_default_leverage_agrees_too() -> None:
    history = random_market(RandomMarket(8640, 3, missing_open_interest=0.02))
    assert_same(map_from_history(MapSettings(LeverageModel()), history), stepwise(LeverageModel(), history), 1e-9)


@given(markets, models, st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_stopped_map_continues_bit_for_bit_from_any_bar(
    made_of: RandomMarket, model: LeverageModel, part: float
) -> None:
    told = list(bars_of(random_market(made_of)))
    never_stopped = LiquidationMap(MapSettings(model))
    stopped: LiquidationMap | None = None
    at = int(part * (len(told) - 1))
    for number, (bar, sample, crowding) in enumerate(told):
        never_stopped.update(bar, sample, crowding)
        if stopped is not None:
            stopped.update(bar, sample, crowding)
        if number == at:
            stopped = LiquidationMap.from_bytes(never_stopped.settings, never_stopped.to_bytes())
    assert stopped is not None
    assert stopped.to_bytes() == never_stopped.to_bytes()
    assert np.array_equal(stopped.known, never_stopped.known)


def test_a_checkpoint_of_another_grid_is_refused() -> None:
    data = stepwise(PLAIN, random_market(RandomMarket(5))).to_bytes()
    with pytest.raises(ValueError, match="grid"):
        LiquidationMap.from_bytes(MapSettings(PLAIN, PriceGrid(step=0.001)), data)


def test_a_history_out_of_order_is_refused() -> None:
    history = random_market(RandomMarket(5))
    history.opened_at_ms[3] = history.opened_at_ms[2]
    with pytest.raises(ValueError, match="order"):
        map_from_history(MapSettings(PLAIN), history)


def test_an_empty_history_is_an_empty_map() -> None:
    assert map_from_history(MapSettings(PLAIN), first_bars(random_market(RandomMarket(5)), 0)).boundary is None
