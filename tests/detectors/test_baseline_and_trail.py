"""What is usual at a distance, and what is remembered of the map's past."""

import numpy as np
import pytest

from detectors.baseline import BaselineSettings, DistanceBaseline
from detectors.market import DAY_MS, HOUR_MS
from detectors.trail import BINS, CELLS_A_BIN, COLUMN_MS, COLUMNS, OLD_COLUMN_MS, OLD_COLUMNS, Trail
from tests.detectors.histories import START_MS

SETTINGS = BaselineSettings(reach_cells=50, ready_hours=10)


def learnt(shares: list[np.ndarray], boundary: int = 100) -> DistanceBaseline:
    baseline = DistanceBaseline(SETTINGS)
    for share in shares:
        baseline.learn(share, boundary)
    return baseline


def test_a_baseline_is_believed_only_after_enough_hours() -> None:
    calm = [np.full(200, 0.01)] * SETTINGS.ready_hours
    assert not learnt(calm[:-1]).ready
    assert learnt(calm).ready


def test_what_never_changes_is_its_own_threshold() -> None:
    assert learnt([np.full(200, 0.01)] * 20).threshold(3.0) == pytest.approx(np.full(100, 0.01))


def test_each_signed_distance_has_its_own_usual_density() -> None:
    share = np.zeros(200)
    share[80], share[130] = 0.04, 0.09
    threshold = learnt([share] * 20).threshold(3.0)
    assert threshold[50 - 20] == pytest.approx(0.04)
    assert threshold[50 + 30] == pytest.approx(0.09)
    assert threshold.sum() == pytest.approx(0.13)


def test_distances_move_with_price() -> None:
    shares = []
    for boundary in range(90, 110):
        share = np.zeros(200)
        share[boundary + 7] = 0.04
        shares.append((share, boundary))
    baseline = DistanceBaseline(SETTINGS)
    for share, boundary in shares:
        baseline.learn(share, boundary)
    assert baseline.threshold(3.0)[50 + 7] == pytest.approx(0.04)


def test_the_threshold_rises_with_how_much_a_distance_varies() -> None:
    random = np.random.default_rng(3)
    steady = learnt([np.full(200, 0.01 + 0.0001 * random.normal()) for _ in range(100)])
    restless = learnt([np.full(200, 0.01 + 0.002 * random.normal()) for _ in range(100)])
    assert steady.threshold(3.0)[50] < restless.threshold(3.0)[50]
    assert restless.threshold(1.0)[50] < restless.threshold(3.0)[50]


def test_mean_and_deviation_are_those_of_the_samples_while_history_is_short() -> None:
    roots = np.array([0.1, 0.2, 0.15, 0.05])
    baseline = learnt([np.full(200, root**2) for root in roots])
    assert baseline.mean[50] == pytest.approx(roots.mean())
    assert baseline.variance[50] == pytest.approx(roots.var())


def test_a_map_narrower_than_the_reach_is_learnt_where_it_is() -> None:
    baseline = learnt([np.full(60, 0.01)] * 12, boundary=10)
    assert (baseline.mean > 0).sum() == 60


def test_a_baseline_survives_a_checkpoint() -> None:
    random = np.random.default_rng(5)
    shares = [random.random(200) for _ in range(15)]
    baseline = learnt(shares)
    loaded = DistanceBaseline.from_bytes(SETTINGS, baseline.to_bytes())
    for one in (baseline, loaded):
        one.learn(shares[0], 100)
    assert loaded.to_bytes() == baseline.to_bytes()


def trail_of(levels: list[float], boundary: int = 10_000) -> Trail:
    """Half-hourly columns of a map with that much in each of 40 cells from 150 under the price's."""
    trail = Trail()
    for number, level in enumerate(levels):
        known = np.zeros(1280)
        known[490:530] = level
        trail.add(START_MS + number * COLUMN_MS, known, boundary - 640, boundary, 1000.0)
    return trail


def test_a_column_is_due_every_half_hour_by_the_clock_of_the_market() -> None:
    trail = Trail()
    assert trail.due(START_MS)
    trail.add(START_MS, np.zeros(1280), 0, 640, 1.0)
    assert not trail.due(START_MS + COLUMN_MS - 1)
    assert trail.due(START_MS + COLUMN_MS)


def test_the_history_of_a_band_is_what_the_map_held_in_it() -> None:
    times, history = trail_of([0.0, 1.0, 2.0]).band_history(9_850, 9_889)
    assert times.tolist() == [START_MS + n * COLUMN_MS for n in range(3)]
    assert history == pytest.approx([0.0, 40.0, 80.0], rel=2e-3)


def test_a_bin_that_a_band_covers_in_part_counts_in_part() -> None:
    trail = trail_of([1.0])
    whole = trail.band_history(9_850, 9_889)[1]
    assert trail.band_history(9_851, 9_888)[1] == pytest.approx(whole - 2, rel=2e-3)


def test_a_band_that_was_out_of_sight_has_a_history_only_since_it_was_seen() -> None:
    trail = trail_of([1.0, 1.0])
    far = 10_000 + BINS * CELLS_A_BIN
    trail.add(START_MS + 2 * COLUMN_MS, np.zeros(1280), far - 640, far, 1000.0)
    trail.add(START_MS + 3 * COLUMN_MS, np.zeros(1280), 10_000 - 640, 10_000, 1000.0)
    assert trail.band_history(9_850, 9_889)[0].tolist() == [START_MS + 3 * COLUMN_MS]


def test_a_trail_keeps_three_days_in_full_and_stays_in_order() -> None:
    trail = trail_of([float(n % 7) for n in range(COLUMNS + 30)])
    columns = list(trail.columns())
    assert [taken for taken, _, _ in columns] == [START_MS + n * COLUMN_MS for n in range(30, COLUMNS + 30)]
    times, history = trail.band_history(9_850, 9_889)
    assert np.all(np.diff(times) > 0)
    assert history[-COLUMNS:] == pytest.approx([40.0 * (n % 7) for n in range(30, COLUMNS + 30)], rel=2e-3)
    assert columns[-1][0] - columns[0][0] >= 72 * HOUR_MS


def test_before_these_it_remembers_a_month_every_eighteen_hours() -> None:
    trail = trail_of([1.0 + n / 100 for n in range(45 * 48)])
    times, history = trail.band_history(9_850, 9_889)
    old = times[:-COLUMNS]
    assert len(old) == OLD_COLUMNS
    assert np.all(np.diff(old) == OLD_COLUMN_MS)
    assert times[-1] - times[0] >= 29 * DAY_MS
    expected = [40 * (1.0 + (at_ms - START_MS) // COLUMN_MS / 100) for at_ms in times.tolist()]
    assert history == pytest.approx(expected, rel=2e-3)


def test_a_trail_tells_its_past_on_the_scale_of_now() -> None:
    one, other = Trail(), Trail()
    for number in range(5):
        known = np.full(1000, float(number + 1))
        one.add(number * COLUMN_MS, known, 0, 500, 1000.0)
        other.add(number * COLUMN_MS, known * 2.5, 0, 500, 2500.0)
    one.rebase(2.5)
    assert one.band_history(450, 460)[1] == pytest.approx(other.band_history(450, 460)[1])


def test_a_trail_survives_a_checkpoint() -> None:
    count = COLUMNS + 60
    trail = trail_of([1.0, 2.0, 3.0] * (count // 3))
    count = trail.count
    loaded = Trail.from_bytes(trail.to_bytes())
    for one in (trail, loaded):
        one.add(START_MS + count * COLUMN_MS, np.ones(1280), 9_000, 9_640, 900.0)
    assert loaded.to_bytes() == trail.to_bytes()
    assert loaded.band_history(9_850, 9_889)[1].tolist() == trail.band_history(9_850, 9_889)[1].tolist()
    assert trail.old_count > 1
