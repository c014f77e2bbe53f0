"""The record of alerts: rates with their bounds, against chance, and what is more than luck."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.chance import Chance
from detectors.event import Fact, Label, OutcomeClass, Question, Unit
from detectors.market import DAY_MS, Side
from detectors.scoring import (
    LEAST_BLOCKS,
    Scored,
    Verdict,
    group_of,
    record_of,
    reliability,
    wilson_bounds,
    wilson_lower,
)
from tests.storage.make import START_MS, event


def scored(came: bool, day: int = 0, chance: float | None = 0.5, hours: float = 24.0) -> Scored:
    outcome = OutcomeClass.REACHED if came else OutcomeClass.MISSED
    question = Question(Side.LONG, 0.02, round(hours * DAY_MS / 24))
    level = None if chance is None else Chance(chance, 1000)
    at_ms = START_MS + day * DAY_MS
    return Scored(f"key-{day}", "kind", "BTC", "kind", Side.LONG, at_ms, outcome, at_ms + DAY_MS, question, level)


def test_the_bound_is_the_one_of_the_example() -> None:
    assert round(wilson_lower(64, 112), 2) == 0.49


def test_the_bound_is_lower_than_the_rate_and_nearer_to_it_the_more_there_are() -> None:
    assert wilson_lower(1, 2) < wilson_lower(10, 20) < wilson_lower(1000, 2000) < 0.5
    assert wilson_lower(0, 30) == pytest.approx(0)
    # the textbook's own: 95 % of 9 of 10, two-sided
    assert wilson_bounds(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bounds_solve_the_equation_that_defines_them(case: tuple[int, int]) -> None:
    reached, n = case
    for bound in wilson_bounds(reached, n, 1.645):
        if 1e-9 < bound < 1 - 1e-9:
            assert abs(reached / n - bound) == pytest.approx(1.645 * math.sqrt(bound * (1 - bound) / n), abs=1e-9)


@pytest.mark.parametrize("case", [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_a_bound_of_nonsense_is_refused(case: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        wilson_lower(*case)


def test_what_is_not_decided_does_not_count_and_what_is_unjudged_counts_apart() -> None:
    waiting = replace(scored(True), outcome=OutcomeClass.UNDECIDED)
    holed = replace(scored(True), outcome=OutcomeClass.UNJUDGED)
    record = record_of([scored(True), scored(False), waiting, holed, holed])
    assert (record.n, record.reached, record.unjudged) == (2, 1, 2)


def test_alerts_without_a_chance_level_count_but_are_not_compared() -> None:
    record = record_of([scored(True, chance=None), scored(True, chance=None), scored(False, chance=0.25)])
    assert (record.n, record.reached, record.compared) == (3, 2, 1)
    assert record.rate == pytest.approx(2 / 3)
    assert (record.compared_rate, record.chance, record.lift) == (0.0, 0.25, 0.0)
    assert record_of([]).rate is None
    assert record_of([]).at_least is None


def test_lift_is_the_rate_over_the_chance_of_the_same_alerts() -> None:
    record = record_of([scored(True, chance=0.2), scored(False, chance=0.4), scored(True, chance=0.3)])
    assert record.lift == pytest.approx((2 / 3) / 0.3)


def test_far_more_than_chance_on_many_days_is_more_than_luck_and_far_less_is_worse() -> None:
    assert record_of([scored(day % 10 != 0, day) for day in range(60)]).verdict is Verdict.BETTER
    assert record_of([scored(day % 10 == 0, day) for day in range(60)]).verdict is Verdict.WORSE
    assert record_of([scored(day % 2 == 0, day) for day in range(60)]).verdict is Verdict.LUCK


def test_many_alerts_of_few_days_tell_nothing() -> None:
    crowd = [scored(True, day) for day in range(LEAST_BLOCKS - 1) for _ in range(100)]
    assert record_of(crowd).verdict is Verdict.TOO_FEW


def test_alerts_that_came_together_count_as_one_draw() -> None:
    """Ninety alerts on nine days, all of a day alike, six days good: no more than nine draws tell."""
    came = [True, True, False, True, True, False, True, False, True]
    together = record_of([scored(good, day, chance=0.4) for day, good in enumerate(came) for _ in range(10)])
    assert together.verdict is Verdict.LUCK
    assert together.effective_n is not None
    assert together.effective_n < 20
    apart = record_of([scored(number % 9 in {0, 1, 3, 4, 6, 8}, number, chance=0.4) for number in range(90)])
    assert apart.verdict is Verdict.BETTER


def test_a_long_horizon_makes_long_blocks() -> None:
    """Eight days hold under three horizons of three days: too few to tell."""
    assert record_of([scored(day % 4 != 0, day) for day in range(9)]).score is not None
    assert record_of([scored(day % 4 != 0, day, hours=72) for day in range(9)]).score is None


def test_luck_is_called_luck_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(5)
    called = []
    for _ in range(400):
        days = random.random(20) < 0.5
        alerts = [scored(bool(good), day) for day, good in enumerate(days) for _ in range(int(random.integers(1, 6)))]
        called.append(record_of(alerts).verdict)
    assert 0.91 < np.mean([verdict is Verdict.LUCK for verdict in called]) < 0.985


def test_approaches_count_by_their_rung_and_doublings_of_size_do_not() -> None:
    distance = Fact("distance_pct", 2.0, Unit.RATIO, Label.CALCULATED)
    assert group_of(event(kind="cluster_approached", rung=2.0, facts=(distance,))) == "cluster_approached@2"
    assert group_of(event(kind="cluster_approached", rung=0.5, facts=(distance,))) == "cluster_approached@0.5"
    assert group_of(event(rung=26.0, facts=(distance,))) == "cluster_formed"
    assert group_of(event()) == "cluster_formed"


def test_the_reliability_bins_rise_in_chance_and_hold_every_alert_compared() -> None:
    alerts = [scored(number % 3 == 0, number, chance=number / 100) for number in range(100)]
    bins = reliability([*alerts, scored(True, chance=None)])
    assert sum(one.n for one in bins) == 100
    assert [one.chance for one in bins] == sorted(one.chance for one in bins)
    assert all(one.low <= one.rate <= one.high for one in bins)
    assert reliability([]) == ()
    assert len(reliability(alerts[:6])) == 1
