"""How long a band took to build: 10 % to 90 % of the rise from its last trough to its peak."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.cluster import Build, BuildClass, build_class
from detectors.cluster_facts import build_in_words
from detectors.describe import build_of, last_trough
from detectors.market import HOUR_MS
from detectors.trail import COLUMN_MS, Trail
from tests.detectors.histories import BAR_MS, START_MS
from tests.detectors.painted import OPEN_INTEREST, paint, painted_map


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (0.0, BuildClass.FAST),
        (6.0, BuildClass.FAST),
        (6.1, BuildClass.MEDIUM),
        (71.9, BuildClass.MEDIUM),
        (72.0, BuildClass.SLOW),
        (200.0, BuildClass.SLOW),
    ],
)
def test_fast_is_up_to_six_hours_and_slow_from_seventy_two(hours: float, expected: BuildClass) -> None:
    assert build_class(hours) is expected
    assert Build(hours, at_least=False).build_class is expected


def built(levels: list[float]) -> Build:
    """Build of a band that held these amounts at half-hourly columns and holds the last of them now."""
    estimate, trail = painted_map(), Trail()
    assert estimate.boundary is not None
    low, high = paint(estimate, 97, 1.0)
    unit = estimate.known.copy()
    for number, level in enumerate(levels):
        at = START_MS + number * COLUMN_MS
        trail.add(at, unit * level, estimate.origin, estimate.boundary, OPEN_INTEREST)
        estimate.last_bar_opened_at_ms = at - BAR_MS
    return build_of(low, high, levels[-1], estimate, trail)


def ramp(start: float, stop: float, hours: float) -> list[float]:
    return np.linspace(start, stop, round(hours * HOUR_MS / COLUMN_MS) + 1)[1:].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("hours", [2.5, 10.0, 40.0, 80.0])
def test_a_steady_rise_took_eight_tenths_of_its_length(hours: float) -> None:
    build = built([10.0] * 10 + ramp(10, 200, hours))
    assert build.hours == pytest.approx(0.8 * hours, abs=1.0)
    assert not build.at_least


def test_what_was_there_before_the_rise_does_not_make_it_slow() -> None:
    long_flat = built([100.0] * 150 + ramp(100, 200, 4))
    assert long_flat.build_class is BuildClass.FAST


def test_only_the_last_rise_counts() -> None:
    assert built(ramp(0, 150, 40) + ramp(150, 20, 10) + ramp(20, 200, 5)).hours == pytest.approx(4, abs=1.0)


def test_a_peak_of_a_week_ago_was_another_build_s() -> None:
    earlier = [*ramp(10, 300, 20), *[10.0] * (7 * 48)]
    assert built([10.0] * 10 + earlier + ramp(10, 200, 10)).hours == pytest.approx(8.0, abs=1.0)


def test_a_build_that_began_two_weeks_ago_is_known_to_be_slow() -> None:
    build = built([10.0] * 48 + ramp(10, 200, 14 * 24))
    assert build.build_class is BuildClass.SLOW
    assert build.hours == pytest.approx(0.8 * 14 * 24, abs=36)
    assert not build.at_least


def test_a_small_dip_on_the_way_does_not_end_the_rise() -> None:
    assert built([0.0] * 5 + ramp(0, 100, 20) + ramp(100, 92, 1) + ramp(92, 200, 20)).hours > 25


def test_time_after_the_peak_does_not_count() -> None:
    assert built([0.0] * 5 + ramp(0, 200, 5) + [199.0] * 60).hours == pytest.approx(4, abs=1.0)


def test_a_rise_that_began_before_memory_took_at_least_what_is_remembered() -> None:
    assert built(ramp(50, 200, 80)).at_least


def test_a_band_that_was_seen_to_begin_took_that_long_and_not_at_least_that_long() -> None:
    assert not built([0.0] * 4 + ramp(0, 200, 20)).at_least


@pytest.mark.parametrize("levels", [ramp(50, 200, 80), ramp(0, 200, 20), [100.0] * 20])
def test_a_build_can_be_stored_as_json(levels: list[float]) -> None:
    build = built(levels)
    assert json.loads(json.dumps([build.hours, build.at_least])) == [build.hours, build.at_least]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (Build(39.0, at_least=False), "≈39 h, medium"),
        (Build(27.5, at_least=True), "at least ≈27 h 30 min"),
        (Build(80.0, at_least=True), "at least ≈3 d 8 h, slow"),
        (Build(0.5, at_least=True), None),
    ],
)
def test_a_lower_bound_is_said_as_one_and_with_no_class_that_it_does_not_decide(build: Build, said: str | None) -> None:
    assert build_in_words(build) == said


def test_a_band_that_never_rose_took_no_time_that_is_known_of() -> None:
    build = built([100.0] * 20)
    assert build.hours == 0
    assert build.at_least


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60).map(np.array))
def test_the_last_trough_lies_before_the_peak_and_no_higher(values: np.ndarray) -> None:
    before = values[: int(np.argmax(values)) + 1]
    trough = last_trough(before)
    assert 0 <= trough < len(before)
    assert before[trough] <= before[-1]
    assert before[trough] == before[trough:].min()
