"""The log-price grid."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.price_grid import PriceGrid

GRID = PriceGrid()
prices = st.floats(1e-9, 1e7)


@given(prices)
def test_a_price_lies_within_the_edges_of_its_cell(price: float) -> None:
    low, high = GRID.edges(GRID.cell(price), 1)
    assert low * (1 - 1e-12) <= price < high * (1 + 1e-12)


@given(st.lists(prices, min_size=1, max_size=20))
def test_cells_of_many_prices_are_those_of_each(many: list[float]) -> None:
    each = np.array([GRID.cell(price) for price in many])
    assert np.abs(GRID.cells_of(np.array(many)) - each).max() <= 1  # a price on an edge may round either way
    assert np.array_equal(GRID.cells_of(np.array(many) * 1.0001), [GRID.cell(price * 1.0001) for price in many])


def test_a_cell_is_a_twentieth_of_a_per_cent_high() -> None:
    edges = GRID.edges(GRID.cell(88_000), 10)
    assert edges[1:] / edges[:-1] == pytest.approx(np.full(10, 1.0005))


def test_one_relative_distance_is_the_same_number_of_cells_at_every_price() -> None:
    spans = {GRID.cell(price * 1.05 * 1.0001) - GRID.cell(price * 1.0001) for price in (1e-6, 0.25, 88_000)}
    assert max(spans) - min(spans) <= 1


def test_a_span_covers_its_fraction_and_is_never_empty() -> None:
    assert GRID.span(0.005) == round(math.log(1.005) / math.log(1.0005)) == 10
    assert GRID.span(1e-9) == 1


@pytest.mark.parametrize("price", [0.0, -1.0])
def test_a_price_that_is_not_positive_has_no_cell(price: float) -> None:
    with pytest.raises(ValueError, match=r"math domain|positive"):
        GRID.cell(price)
