"""The measures that an estimate is held to say what they claim."""

import numpy as np
import pytest

from detectors.truth_measures import (
    likeness,
    partial_interval,
    partial_rank_correlation,
    pearson,
    rank_correlation,
    ranks,
    stick,
)


def noise(seed: int, n: int = 600) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).standard_normal(n)


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert ranks(np.array([5.0, 1.0, 5.0, 9.0])).tolist() == [1.5, 0.0, 1.5, 3.0]


def test_rank_correlation_sees_order_and_nothing_else() -> None:
    a = noise(1)
    assert rank_correlation(a, np.exp(3 * a)) == pytest.approx(1.0)
    assert rank_correlation(a, -(a**3)) == pytest.approx(-1.0)


def test_a_map_that_only_echoes_the_move_has_no_partial_correlation() -> None:
    move, luck = noise(1), noise(2)
    liquidated = move + 0.3 * luck
    echo, seer = move + 0.3 * noise(3), move + 0.3 * luck + 0.1 * noise(4)
    assert rank_correlation(echo, liquidated) > 0.8
    assert abs(partial_rank_correlation(echo, liquidated, [move])) < 0.1
    assert partial_rank_correlation(seer, liquidated, [move]) > 0.8


def test_a_map_that_is_the_move_itself_adds_nothing_and_no_rounding_pretends_it_does() -> None:
    move = noise(1)
    assert np.isnan(partial_rank_correlation(move, move + noise(2), [move]))


def test_the_baseline_is_the_best_of_them() -> None:
    truth = noise(1)
    found = stick(noise(2), truth, [noise(3), truth + 0.1 * noise(4)])
    assert found.baseline == pytest.approx(rank_correlation(truth + 0.1 * noise(4), truth))


def test_the_interval_holds_the_figure_narrows_with_hours_and_is_the_same_every_time() -> None:
    truth = noise(1, 2400)
    consumed, given = truth + noise(2, 2400), [noise(3, 2400)]
    found = partial_rank_correlation(consumed, truth, given)
    long = partial_interval(consumed, truth, given)
    short = partial_interval(consumed[:240], truth[:240], [given[0][:240]])
    assert long.low < found < long.high
    assert short.high - short.low > 2 * (long.high - long.low)
    assert partial_interval(consumed, truth, given) == long


def test_no_interval_is_made_up_of_less_than_two_days() -> None:
    assert np.isnan(partial_interval(noise(1, 47), noise(2, 47), [noise(3, 47)]).low)


def test_exposure_one_bin_off_is_one_bin_of_earth_moved() -> None:
    truth, estimate = np.zeros(20), np.zeros(20)
    truth[[5, 12]], estimate[[6, 13]] = (1.0, 3.0), (0.5, 1.5)
    found = likeness(estimate, truth)
    assert found.earth_mover == pytest.approx(1.0)
    assert found.total_ratio == pytest.approx(0.5)
    assert likeness(truth, truth).pearson == pytest.approx(1.0)


def test_a_flat_map_is_worth_nothing() -> None:
    assert pearson(np.ones(10), noise(1, 10)) == 0.0
