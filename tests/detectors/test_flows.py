"""What samples of open interest and volume say about positions opened, closed and replaced."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.flows import UsualVolume, gross_flow, kept_after, relative_volumes, replaced_in_a_bar
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS
from tests.detectors.histories import BAR_MS, ONE_NODE


def test_gross_flow_at_five_minutes_is_the_net_change() -> None:
    assert gross_flow(1000, 1100, 1.0) == (100, 0.0)
    assert gross_flow(1000, 900, 1.0) == pytest.approx((0.0, 0.1))


def test_coarser_samples_are_told_to_have_hidden_openings_and_closings() -> None:
    opened_base, closed = gross_flow(1000, 1100, 2.0)
    assert opened_base - closed * 1000 == pytest.approx(100)
    assert opened_base + closed * 1000 == pytest.approx(200)
    settings_ = MapSettings(ONE_NODE)
    assert settings_.churn(BAR_MS) == 1.0
    assert settings_.churn(HOUR_MS) > 1.5


def half_life_hours(open_interest: NDArray[np.float64], every: int) -> float:
    """Time in which closings at that sampling leave half of an exposure, from the mean closing an hour."""
    churn = MapSettings(ONE_NODE).churn(every * BAR_MS)
    samples = open_interest[::every].tolist()
    kept = [1 - gross_flow(before, now, churn)[1] for before, now in itertools.pairwise(samples)]
    hours = (len(samples) - 1) * every / 12
    return hours * math.log(2) / -sum(math.log(one) for one in kept)


def test_hourly_samples_imply_about_the_half_life_of_five_minute_ones() -> None:
    # changes that persist for hours as measured ones do (Hurst exponent 0.7: fractional noise of order 0.2)
    noise = np.random.default_rng(11).normal(0, 1, 12 * 24 * 60)
    lags = np.arange(1, 600)
    memory = np.concatenate(([1.0], np.cumprod((lags - 1 + 0.2) / lags)))
    changes = np.convolve(noise, memory)[: len(noise)]
    open_interest = 80_000 * np.exp(np.cumsum(0.0005 * changes))
    assert half_life_hours(open_interest, 12) / half_life_hours(open_interest, 1) == pytest.approx(1, abs=0.25)


def test_hourly_samples_imply_about_the_half_life_of_five_minute_ones_on_real_markets(shared_markets: Path) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        file = shared_markets / "winter-2025/binance" / symbol / "open_interest_5m.csv.gz"
        open_interest = np.loadtxt(file, delimiter=",", skiprows=1, usecols=1)
        assert half_life_hours(open_interest, 12) / half_life_hours(open_interest, 1) == pytest.approx(1, abs=0.25)


# --- volume


def test_a_bar_of_usual_volume_replaces_its_part_of_the_day() -> None:
    assert replaced_in_a_bar(0.33, BAR_MS) * DAY_MS / BAR_MS == pytest.approx(0.33)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_volume_is_told_relative_to_its_own_mean_so_far(volumes: list[float]) -> None:
    usual = UsualVolume()
    for number, volume in enumerate(volumes, 1):
        mean = sum(volumes[:number]) / number
        assert usual.relative(volume) == pytest.approx(volume / mean if mean > 0 else 1.0, rel=1e-6)


def test_a_whole_history_of_volumes_at_once_is_the_same_as_one_by_one() -> None:
    volumes = np.random.default_rng(2).gamma(0.5, 100, 10_000)
    volumes[:5] = 0.0
    usual = UsualVolume()
    one_by_one = [usual.relative(volume) for volume in volumes.tolist()]
    relative, after = relative_volumes(volumes)
    assert relative == pytest.approx(one_by_one, rel=1e-9)
    assert after.bars == usual.bars
    assert after.mean == pytest.approx(usual.mean, rel=1e-12)


def test_what_is_replaced_goes_by_pace_and_what_is_closed_alike() -> None:
    hazards = np.array([0.5, 2.0])
    assert kept_after(0.1, 0.0, hazards) == pytest.approx([0.9, 0.9])
    slow, fast = kept_after(0.0, 0.05, hazards)
    assert slow == pytest.approx(math.exp(-0.025))
    assert fast == pytest.approx(math.exp(-0.1))


@given(st.floats(0, 1e9), st.floats(0, 0.999))
def test_nothing_that_happens_in_one_sample_takes_everything(replaced: float, closed: float) -> None:
    assert kept_after(closed, replaced, np.array([0.1, 10.0])).min() > 0
