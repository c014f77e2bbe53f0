import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pacing import Pace


def test_a_burst_goes_out_at_once_and_then_the_pace_holds() -> None:
    pace = Pace(per_second=2, burst=3)
    assert [pace.take(100.0) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]


def test_a_rest_fills_the_burst_again_and_no_further() -> None:
    pace = Pace(per_second=1, burst=2)
    assert [pace.take(0.0), pace.take(0.0)] == [0, 0]
    assert [pace.take(1000.0) for _ in range(3)] == [0, 0, 1.0]


def test_a_clock_that_steps_back_gives_no_tokens_and_takes_none() -> None:
    pace = Pace(per_second=1)
    assert [pace.take(10.0), pace.take(5.0), pace.take(6.0)] == [0, 1.0, 1.0]


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_pace_that_could_never_send_is_refused(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="per_second > 0"):
        Pace(per_second, burst)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.sampled_from([0.5, 1.0, 30.0]), st.integers(1, 5))
def test_no_stretch_of_time_ever_holds_more_than_burst_and_pace_allow(
    gaps: list[float], per_second: float, burst: int
) -> None:
    pace, now, sends = Pace(per_second, burst), 0.0, []
    for gap in gaps:
        now += gap
        sends.append(now + pace.take(now))
    for first in range(len(sends)):
        for last in range(first, len(sends)):
            allowed = burst + (sends[last] - sends[first]) * per_second
            assert last - first + 1 <= allowed + 1e-6
