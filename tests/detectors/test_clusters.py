"""Finding bands on one map: share, width cap, prominence, and the nearest and farthest distance."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.baseline import BaselineSettings, DistanceBaseline
from detectors.clusters import BandFinder, ClusterSettings, FoundBand, Preset, density
from detectors.liquidation_map import LiquidationMap
from detectors.market import Side
from tests.detectors.painted import OPEN_INTEREST, PRICE, paint, painted_map

CELL = 1.0005
SETTINGS = ClusterSettings(nearest=0.01, farthest=0.10, minimum_share=0.01, widest=0.0125, prominence=0.25, edge=0.5)


def found(
    on: LiquidationMap,
    preset: Preset = Preset.SENSITIVE,
    baseline: DistanceBaseline | None = None,
    occupied: Sequence[tuple[int, int]] = (),
) -> list[FoundBand]:
    finder = BandFinder(replace(SETTINGS, preset=preset), on.settings.grid.log_step)
    finder.learn(baseline or DistanceBaseline(BaselineSettings()))
    return finder.find(on, density(on, finder.window_cells), occupied)


def test_density_is_the_share_of_open_interest_within_the_window() -> None:
    on = painted_map()
    low, _ = paint(on, 96, 50)
    assert density(on, 10).max() == pytest.approx(0.05)
    assert density(on, 10)[low + 5 - on.origin] == pytest.approx(0.05)


def test_density_without_open_interest_is_nothing() -> None:
    on = painted_map()
    paint(on, 96, 50)
    on.open_interest_base = None
    assert not density(on, 10).any()


@pytest.mark.parametrize(("preset", "share"), [(Preset.STRICT, 0.15), (Preset.SENSITIVE, 0.10)])
def test_a_fixed_preset_wants_its_share_within_half_a_per_cent(preset: Preset, share: float) -> None:
    enough, short = painted_map(), painted_map()
    paint(enough, 96, OPEN_INTEREST * share * 1.01)
    paint(short, 96, OPEN_INTEREST * share * 0.99)
    assert len(found(enough, preset)) == 1
    assert found(short, preset) == []


def test_the_same_amount_over_more_than_half_a_per_cent_is_not_enough() -> None:
    on = painted_map()
    paint(on, 96, OPEN_INTEREST * 0.12, cells=20)
    assert found(on) == []


def test_the_presets_are_ordered() -> None:
    on = painted_map()
    paint(on, 96, OPEN_INTEREST * 0.12)
    assert len(found(on, Preset.SENSITIVE)) == 1
    assert found(on, Preset.STRICT) == []


def test_bands_below_price_are_longs_and_above_it_shorts() -> None:
    on = painted_map()
    paint(on, 96, 200)
    paint(on, 104, 150)
    below, above = found(on)
    assert (below.side, above.side) == (Side.LONG, Side.SHORT)
    assert on.settings.grid.price(below.peak) == pytest.approx(96, rel=0.005)
    assert on.settings.grid.price(above.peak) == pytest.approx(104, rel=0.005)


def test_no_band_is_found_nearer_than_one_per_cent_or_farther_than_ten() -> None:
    for price, seen in ((99.4, False), (98.5, True), (91.0, True), (88.0, False)):
        on = painted_map()
        paint(on, price, 200)
        assert bool(found(on)) is seen, price


def test_a_band_reaches_to_where_density_is_half_its_peak() -> None:
    on = painted_map()
    low, high = paint(on, 96, 200)
    band = found(on)[0]
    # ten full cells seen through a window of ten fall to half five cells outside
    assert band.low in range(low - 6, low + 1)
    assert band.high in range(high, high + 7)
    assert band.base == pytest.approx(200)


@given(st.integers(10, 200), st.floats(0.1, 0.9))
@settings(max_examples=40, deadline=None)
def test_no_band_is_wider_than_the_cap(cells: int, share: float) -> None:
    on = painted_map()
    paint(on, 95, OPEN_INTEREST * share * cells / 10, cells)
    widest = BandFinder(SETTINGS, on.settings.grid.log_step).widest_cells
    bands = found(on)
    assert bands
    assert all(band.high - band.low + 1 <= widest + 1 for band in bands)
    assert (CELL ** (widest + 1)) - 1 < 0.015
    assert ClusterSettings().widest <= 0.015


@example([(102.0, 10.0, 2), (101.875, 90.0, 9), (102.875, 200.0, 20)])
@given(st.lists(st.tuples(st.floats(91, 109), st.floats(0, 300), st.integers(2, 60)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_bands_never_overlap_and_come_densest_first(heaps: list[tuple[float, float, int]]) -> None:
    on = painted_map()
    for price, base, cells in heaps:
        paint(on, price, base, cells)
    bands = found(on)
    shares = [band.window_share for band in bands]
    assert shares == sorted(shares, reverse=True)
    spans = sorted((band.low, band.high) for band in bands)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(spans))
    assert all(band.low <= band.peak <= band.high for band in bands)


@pytest.mark.parametrize(("valley", "bands"), [(0.0, 2), (20.0, 2), (28.0, 1)])
def test_a_second_peak_counts_when_it_rises_a_quarter_above_the_valley(valley: float, bands: int) -> None:
    on = painted_map()
    first = on.settings.grid.cell(96) - on.origin
    on.known[first : first + 50] = valley
    on.known[first : first + 10] = on.known[first + 40 : first + 50] = 30.0
    assert len(found(on)) == bands


def test_one_wide_heap_is_one_band_at_its_peak_and_not_a_row_of_them() -> None:
    on = painted_map()
    middle = on.settings.grid.cell(95) - on.origin
    slope = np.maximum(0, 40 - np.abs(np.arange(len(on.known)) - middle) * 0.4)
    on.known += slope
    bands = found(on)
    assert len(bands) == 1
    assert bands[0].peak == pytest.approx(middle + on.origin, abs=6)


def test_a_band_that_is_known_already_is_not_found_again_nor_is_its_fringe() -> None:
    on = painted_map()
    known = paint(on, 96, 300)
    assert len(found(on)) == 1
    assert found(on, occupied=[known]) == []
    paint(on, 92, 300)
    assert [band.base for band in found(on, occupied=[known])] == [pytest.approx(300)]


def baseline_of(on: LiquidationMap, hours: int = 80) -> DistanceBaseline:
    """A past in which the map always looked as ``on`` does, give or take a tenth."""
    random = np.random.default_rng(1)
    baseline = DistanceBaseline(BaselineSettings())
    assert on.boundary is not None
    for _ in range(hours):
        baseline.learn(density(on, 10) * random.uniform(0.9, 1.1), on.boundary - on.origin)
    return baseline


def test_the_adaptive_preset_sees_what_is_more_than_usual_at_that_distance() -> None:
    usual = painted_map()
    paint(usual, 94, 80)
    baseline = baseline_of(usual)
    assert found(usual, Preset.ADAPTIVE, baseline) == []
    paint(usual, 97, 40)
    bands = found(usual, Preset.ADAPTIVE, baseline)
    assert [usual.settings.grid.price(band.peak) for band in bands] == [pytest.approx(97, rel=0.005)]


def test_the_adaptive_preset_waits_for_its_history_and_never_takes_less_than_its_minimum() -> None:
    empty, on = painted_map(), painted_map()
    paint(on, 97, OPEN_INTEREST * 0.02)
    assert found(on, Preset.ADAPTIVE, baseline_of(empty, hours=71)) == []
    assert len(found(on, Preset.ADAPTIVE, baseline_of(empty))) == 1
    thin = painted_map()
    paint(thin, 97, OPEN_INTEREST * 0.009)
    assert found(thin, Preset.ADAPTIVE, baseline_of(empty)) == []


def test_exposure_of_unknown_age_forms_no_cluster() -> None:
    on = painted_map()
    column = on.settings.grid.cell(96) - on.origin
    on.exposure[..., 0, column : column + 10] = 50.0
    assert on.unknown.sum() > 0.1 * OPEN_INTEREST
    assert on.side_usd(Side.LONG).sum() > 0
    assert found(on) == []


def test_a_map_before_its_first_bar_has_no_bands() -> None:
    on = painted_map(PRICE)
    paint(on, 96, 200)
    on.boundary = None
    assert found(on) == []
