"""Robust statistics and array helpers, against plain reckoning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.numerics import (
    densest_half,
    from_sparse_planes,
    robust_score,
    rolling_sum,
    to_sparse_planes,
    weighted_centre,
)

masses = st.lists(st.floats(0, 100), min_size=1, max_size=30).map(lambda values: np.array(values))


def test_a_robust_score_counts_deviations_from_the_median() -> None:
    history = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert robust_score(3.0, history, 0.1) == 0
    assert robust_score(3.0 + 2 * 1.4826, history, 0.1) == pytest.approx(2.0)


def test_one_wild_value_in_the_past_hardly_moves_a_robust_score() -> None:
    calm = np.tile([1.0, 2.0, 3.0], 20)
    assert robust_score(10, np.append(calm, 1e9), 0.1) == pytest.approx(robust_score(10, calm, 0.1), rel=0.05)


def test_noise_around_a_flat_history_is_not_extreme() -> None:
    assert robust_score(1.001, np.ones(10), floor=0.01) == pytest.approx(0.1)


@given(masses, st.integers(1, 12))
def test_a_rolling_sum_adds_the_neighbours_inside_the_window(values: np.ndarray, width: int) -> None:
    left = width // 2
    padded = np.concatenate([np.zeros(left), values, np.zeros(width)])
    plain = [padded[i : i + width].sum() for i in range(len(values))]
    assert rolling_sum(values, width) == pytest.approx(plain, abs=1e-9)


@given(masses.filter(lambda values: values.sum() > 1e-3))
def test_the_densest_half_holds_half_and_nothing_shorter_does(values: np.ndarray) -> None:
    first, last = densest_half(values)
    half = values.sum() / 2 - 1e-9 * values.sum()
    assert values[first : last + 1].sum() >= half
    shorter = last - first
    assert all(values[i : i + shorter].sum() <= half + 1e-6 * values.sum() for i in range(len(values) - shorter + 1))


def test_the_weighted_centre_is_the_centre_of_mass() -> None:
    assert weighted_centre(np.array([1.0, 0.0, 3.0])) == 1.5
    assert weighted_centre(np.zeros(5)) == 2.0


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, 1e-45, -3e38, float("inf"), float("nan")]), max_size=40))
def test_a_sparse_array_comes_back_bit_for_bit(values: list[float]) -> None:
    array = np.array(values, np.float32)
    data = b"before" + to_sparse_planes(array) + b"after"
    assert from_sparse_planes(data, np.float32, array.shape, 6).tobytes() == array.tobytes()


def test_zeros_of_a_sparse_array_take_a_bit_each() -> None:
    array = np.zeros((9, 100), np.float32)
    array[3, 50] = 2.0
    assert len(to_sparse_planes(array)) == 113 + 4
