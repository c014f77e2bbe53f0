"""Windows of 1 minute, 5 minutes and 1 hour: agreement and fading."""

import pytest

from detectors.market import HOUR_MS, MINUTE_MS
from detectors.windows import Windows, windows_of

NOW = 10 * HOUR_MS


def test_each_window_starts_at_the_last_price_known_that_far_back() -> None:
    prices = [
        (NOW - 70 * MINUTE_MS, 90.0),
        (NOW - HOUR_MS, 100.0),
        (NOW - 5 * MINUTE_MS, 104.0),
        (NOW - MINUTE_MS, 105.0),
    ]
    assert windows_of(prices, NOW, 106.0).moves == pytest.approx((106 / 105 - 1, 106 / 104 - 1, 0.06))


def test_nothing_is_measured_across_a_gap() -> None:
    prices = [(NOW - 3 * HOUR_MS, 100.0), (NOW - 20 * MINUTE_MS, 101.0)]
    assert windows_of(prices, NOW, 106.0).moves == (None, None, None)


@pytest.mark.parametrize(
    ("moves", "agreement"),
    [
        ((0.001, 0.002, 0.01), "all up"),
        ((-0.001, None, -0.01), "all down"),
        ((-0.001, 0.002, 0.01), "conflicted"),
        ((0.00001, 0.002, 0.01), "all up"),
        ((None, None, 0.01), None),
        ((0.00001, 0.00002, 0.01), None),
    ],
)
def test_windows_agree_when_all_that_have_a_direction_have_the_same(
    moves: tuple[float | None, ...], agreement: str | None
) -> None:
    assert Windows(moves).agreement == agreement


@pytest.mark.parametrize(
    ("moves", "fading"),
    [
        ((0.0001, 0.005, 0.01), True),
        ((0.002, 0.005, 0.01), False),
        ((None, 0.0001, 0.01), True),
        ((-0.0001, 0.005, 0.01), False),
        ((None, None, 0.01), False),
    ],
)
def test_a_move_fades_when_the_last_stretch_has_less_than_half_the_pace(
    moves: tuple[float | None, ...], fading: bool
) -> None:
    assert Windows(moves).fading == fading


def test_words_name_each_window_and_the_verdict_and_nothing_unknown() -> None:
    assert Windows((None, -0.0042, -0.012)).in_words() == "5 min -0.42%, 1 h -1.2%: all down"
    assert Windows((None, None, None)).in_words() == ""
