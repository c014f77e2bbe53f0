"""The life of a cluster: birth, growth, split, merge, approach, sweep, dissolution, and what stays silent."""

import json
import math
from dataclasses import asdict

import pytest

from detectors.cluster import Change
from detectors.clusters import ClusterSettings, Preset
from detectors.market import HOUR_MS, Side
from detectors.tracked import DISTANCE_LADDER, Ended, TrackedCluster, record_of, tracked_from
from detectors.tracker import ClusterTracker
from tests.detectors.painted import OPEN_INTEREST, Stage, kinds_of, paint, rungs_of


def stage_with_long(base: float = 200.0, at: float = 96.0, cells: int = 10) -> tuple[Stage, TrackedCluster]:
    """One long cluster under a price of 100, born."""
    stage = Stage()
    paint(stage.map, at, base, cells)
    assert kinds_of(stage.bar()) == [Change.BORN]
    return stage, stage.tracker.clusters[0]


# --- identity


def test_a_cluster_is_born_once_and_then_only_kept() -> None:
    stage, cluster = stage_with_long()
    identity = cluster.identity
    assert stage.wait(6) == []
    assert [one.identity for one in stage.tracker.clusters] == [identity]


def test_its_identity_is_made_of_market_data_alone() -> None:
    (one, first), (other, second) = stage_with_long(), stage_with_long()
    assert first.identity == second.identity
    assert first.identity.startswith("long-")
    assert one.tracker.state() == other.tracker.state()


def test_a_birth_says_side_place_size_and_share() -> None:
    stage = Stage()
    low, high = paint(stage.map, 104, 150)
    born = stage.bar()[0].cluster
    grid = stage.map.settings.grid
    assert born.side is Side.SHORT
    assert born.share_of_open_interest == pytest.approx(150 / OPEN_INTEREST)
    assert born.level.centre == pytest.approx(math.sqrt(grid.price(low) * grid.price(high + 1)))
    assert born.notional_usd == pytest.approx(150 * born.level.centre)
    assert born.distance == pytest.approx(born.level.centre / 100 - 1)
    assert born.level.low <= born.core_low < born.core_high <= born.level.high
    assert born.core_high / born.core_low - 1 < 0.6 * (grid.price(high + 1) / grid.price(low) - 1)


def test_growth_keeps_the_identity_and_speaks_at_each_third_of_a_doubling_once() -> None:
    stage, cluster = stage_with_long(base=150)
    said = []
    for _ in range(20):
        paint(stage.map, 96, 30)
        said += stage.bar()
    grown = [change for change in said if change.what is Change.GREW]
    assert kinds_of(said) == [Change.GREW] * len(grown)
    # 150 * 96 = 14,400 USD at birth, 750 * 96 = 72,000 in the end: past 2^14 and 2^16, by at most a quarter at a time
    rungs = [change.rung for change in grown if change.rung is not None]
    assert (rungs[0], rungs[-1]) == (14.0, 16.0)
    assert [round(rung * 3) for rung in rungs if 14.5 < rung < 15.5] == [44, 45, 46]
    assert rungs == sorted(set(rungs))
    assert {change.cluster.identity for change in said} == {cluster.identity}


def test_shrinking_and_growing_again_past_one_doubling_speaks_once() -> None:
    stage, _ = stage_with_long(base=180)
    assert 180 * 100 > 2**14
    said = []
    for _ in range(6):
        said += stage.bar(closed=0.2)
        paint(stage.map, 96, 40)
        said += stage.bar()
    assert said == []


def test_a_split_keeps_the_identity_of_the_larger_part() -> None:
    stage, cluster = stage_with_long(base=300, cells=10)
    stage.wait(1)
    parts_from = stage.map.settings.grid.cell(96) - stage.map.origin
    stage.map.known[parts_from - 40 : parts_from + 40] = 0.0
    paint(stage.map, 96.1, 250)
    paint(stage.map, 95.1, 150)
    said = stage.wait(1)
    larger = max(stage.tracker.clusters, key=lambda one: one.base)
    assert larger.identity == cluster.identity
    assert len(stage.tracker.clusters) == 2
    assert Change.BORN not in kinds_of(said) or Change.SPLIT in kinds_of(said)


def test_a_merge_keeps_the_identity_of_the_older() -> None:
    stage, older = stage_with_long(base=150, at=95.5)
    stage.wait(1)
    paint(stage.map, 97.0, 200)
    assert kinds_of(stage.wait(1)) == [Change.BORN]
    here = stage.map.settings.grid.cell(96.2) - stage.map.origin
    stage.map.known[here - 60 : here + 60] = 0.0
    paint(stage.map, 96.2, 500, cells=12)
    for cluster in stage.tracker.clusters:
        cluster.low, cluster.high = (stage.map.settings.grid.cell(price) for price in (95.9, 96.5))
    said = stage.wait(1)
    assert [c.cluster.identity for c in said if c.what is Change.MERGED] == [older.identity]
    assert [one.identity for one in stage.tracker.clusters] == [older.identity]


def test_neighbours_that_grow_towards_each_other_never_share_cells() -> None:
    stage, _ = stage_with_long()
    paint(stage.map, 94.9, 210)
    stage.wait(2)
    assert len(stage.tracker.clusters) == 2
    shared = []
    for _ in range(30):
        for price in (95.1, 95.3, 95.5, 95.7):
            paint(stage.map, price, 8, 4)
        stage.wait(1)
        one, *others = stage.tracker.clusters
        shared += [one.overlap(other.low, other.high) for other in others]
    assert shared
    assert max(shared) <= 0


def test_two_sides_are_two_clusters_with_lives_of_their_own() -> None:
    stage, cluster = stage_with_long()
    paint(stage.map, 104, 200)
    assert kinds_of(stage.bar()) == [Change.BORN]
    assert {one.side for one in stage.tracker.clusters} == set(Side)
    stage.go(95)
    assert [one.side for one in stage.tracker.clusters] == [Side.SHORT]
    assert cluster not in stage.tracker.clusters


# --- hysteresis


def test_a_cluster_that_hovers_at_the_threshold_forms_once() -> None:
    stage, cluster = stage_with_long(base=0.101 * OPEN_INTEREST)
    said = []
    for _ in range(20):
        said += stage.bar(closed=0.05)
        paint(stage.map, 96, 0.05 * cluster.base / 0.95)
        said += stage.bar()
    assert said == []
    assert [one.identity for one in stage.tracker.clusters] == [cluster.identity]


def test_a_cluster_diluted_away_fades_silently_and_comes_back_as_itself() -> None:
    stage, cluster = stage_with_long(base=110)
    stage.map.open_interest_base = 3 * OPEN_INTEREST
    assert kinds_of(stage.bar()) == [Change.FADED]
    stage.map.open_interest_base = OPEN_INTEREST
    said = stage.bar()
    assert kinds_of(said) == [Change.REVIVED]
    assert said[0].cluster.identity == cluster.identity


def test_a_cluster_that_comes_back_owes_nothing_of_the_time_before_it_ended() -> None:
    stage, cluster = stage_with_long(base=110)
    cluster.entered_at_ms = cluster.left_at_ms = stage.at_ms
    cluster.base_at_entry, cluster.consumed_since_entry = cluster.base, 0.5 * cluster.base
    stage.tracker.ended.append(Ended(stage.at_ms, revivable=True, cluster=cluster))
    stage.tracker.clusters.clear()
    assert kinds_of(stage.bar()) == [Change.REVIVED]
    assert kinds_of(stage.go(100.0)) == []
    (back,) = stage.tracker.clusters
    assert (back.identity, back.entered_at_ms) == (cluster.identity, None)
    assert back.consumed_since_entry == 0


@pytest.mark.parametrize(("revivable", "hours"), [(False, 12), (True, 48)])
def test_what_has_ended_is_kept_only_as_long_as_something_asks_for_it(revivable: bool, hours: int) -> None:
    stage, cluster = stage_with_long(base=110)
    stage.bar()
    stage.tracker.ended.append(Ended(stage.at_ms, revivable, cluster))
    stage.at_ms += hours * HOUR_MS
    stage.bar()
    assert stage.tracker.ended
    stage.bar()
    assert not stage.tracker.ended


def test_a_preset_that_wants_more_sees_the_same_cluster_later() -> None:
    strict = Stage(tracker=ClusterTracker(ClusterSettings(preset=Preset.STRICT)))
    paint(strict.map, 96, 120)
    assert strict.bar() == []
    paint(strict.map, 96, 40)
    assert kinds_of(strict.bar()) == [Change.BORN]


# --- approach


def test_each_rung_of_the_ladder_is_crossed_once_on_the_way_in() -> None:
    stage, _ = stage_with_long(at=93.0)
    rungs = []
    for price in (99.0, 98.0, 97.0, 96.0, 95.0, 94.5, 94.0, 93.7, 93.4):
        rungs += rungs_of(stage.go(price))
    assert rungs == list(DISTANCE_LADDER)


def test_going_back_and_forth_over_a_rung_crosses_it_once() -> None:
    stage, _ = stage_with_long(at=93.0)
    rungs = [rung for price in (97.9, 97.5, 98.2, 97.5, 98.4, 97.4) for rung in rungs_of(stage.go(price))]
    assert rungs == [5.0]


def test_a_rung_speaks_again_only_after_price_was_half_as_far_again() -> None:
    stage, cluster = stage_with_long(at=93.0)
    centre = stage.map.settings.grid.price(cluster.centre)
    stage.go(centre * 1.0199)
    stage.go(centre * 1.029)
    assert rungs_of(stage.go(centre * 1.0199)) == []
    stage.go(centre * 1.0315)
    said = [change for change in stage.go(centre * 1.0199) if change.what is Change.CROSSED]
    assert [(change.rung, change.arming) for change in said] == [(2.0, 2)]


def test_a_wick_counts_as_being_there() -> None:
    stage, _ = stage_with_long(at=93.0)
    assert rungs_of(stage.go(99.0, low=94.7)) == [5.0, 3.0, 2.0]


def test_a_cluster_born_near_price_does_not_say_that_price_came_near() -> None:
    stage, _ = stage_with_long(at=98.3)
    assert rungs_of(stage.go(99.8)) == []
    assert rungs_of(stage.go(99.2)) == [1.0]


# --- sweeps


def test_a_cluster_is_consumed_when_four_fifths_of_it_were_traded_through() -> None:
    stage, cluster = stage_with_long(base=200, cells=20)
    whole = cluster.base
    three_quarters, four_fifths = (stage.depth(cluster, part) for part in (0.75, 0.8))
    assert Change.CONSUMED not in kinds_of(stage.go(three_quarters))
    said = stage.go(four_fifths)
    assert kinds_of(said) == [Change.CONSUMED]
    sweep = said[0].sweep
    assert sweep is not None
    assert sweep.base_at_entry == pytest.approx(whole)
    assert 0.8 <= sweep.fraction <= 1.0
    assert stage.tracker.clusters == []


def test_a_jump_through_a_cluster_in_one_look_says_the_final_state_only() -> None:
    stage, _ = stage_with_long()
    said = stage.go(94.0)
    assert kinds_of(said) == [Change.CONSUMED]
    assert said[0].sweep is not None
    assert said[0].sweep.crossed_at_once
    assert said[0].sweep.fraction == pytest.approx(1.0)


def test_a_sweep_after_an_approach_did_not_come_at_once() -> None:
    stage, _ = stage_with_long()
    stage.go(97.2)
    said = stage.go(94.0)
    assert said[0].sweep is not None
    assert not said[0].sweep.crossed_at_once


def test_looks_between_bars_see_a_sweep_without_waiting_for_the_bar() -> None:
    stage, _ = stage_with_long()
    before = stage.map.to_bytes()
    assert kinds_of(stage.look(94.0, minutes=1)) == [Change.CONSUMED]
    assert stage.map.to_bytes() == before


def test_many_looks_at_the_same_depth_consume_no_more_than_one() -> None:
    stage, cluster = stage_with_long(base=200, cells=20)
    halfway = stage.depth(cluster, 0.5)
    said = [change for _ in range(20) for change in stage.look(halfway, minutes=0.1)]
    assert Change.CONSUMED not in kinds_of(said)


def test_partly_consumed_is_said_half_an_hour_after_price_left() -> None:
    stage, cluster = stage_with_long(base=200, cells=20)
    halfway = stage.depth(cluster, 0.5)
    assert Change.ENTERED in kinds_of(stage.go(halfway))
    said = [(bar * 5, change) for bar in range(1, 13) for change in stage.go(98.0)]
    partly = [(minutes, change) for minutes, change in said if change.what is Change.PARTLY_CONSUMED]
    assert len(partly) == 1
    minutes, change = partly[0]
    assert minutes in (30, 35)
    assert change.sweep is not None
    assert 0.3 <= change.sweep.fraction < 0.8


def test_price_that_dips_in_again_within_the_half_hour_has_not_left() -> None:
    stage, cluster = stage_with_long(base=200, cells=20)
    halfway = stage.depth(cluster, 0.5)
    stage.go(halfway)
    said = [change for _ in range(18) for change in stage.go(98.0, low=halfway)]
    assert Change.PARTLY_CONSUMED not in kinds_of(said)


def test_an_edge_that_was_only_touched_is_not_consumed_even_partly() -> None:
    stage, cluster = stage_with_long(base=200, cells=20)
    edge = stage.depth(cluster, 0.25)
    stage.go(edge)
    said = [change for _ in range(12) for change in stage.go(98.0)]
    assert not {Change.PARTLY_CONSUMED, Change.CONSUMED} & set(kinds_of(said))
    assert len(stage.tracker.clusters) == 1


def test_a_swept_band_stays_quiet_for_twelve_hours() -> None:
    stage, _ = stage_with_long()
    stage.go(94.0)
    stage.go(100.0)
    paint(stage.map, 96, 200)
    assert stage.wait(11.5) == []
    assert kinds_of(stage.wait(1)) == [Change.BORN]


def test_a_swept_band_does_not_silence_the_other_side_or_another_place() -> None:
    stage, _ = stage_with_long()
    stage.go(94.0)
    stage.go(100.0)
    paint(stage.map, 104, 200)
    paint(stage.map, 92, 200)
    assert kinds_of(stage.bar()) == [Change.BORN, Change.BORN]


# --- dissolution


def test_closings_alone_dissolve_a_cluster() -> None:
    stage, cluster = stage_with_long()
    said = [change for _ in range(12) for change in stage.bar(closed=0.08)]
    dissolved = [change for change in said if change.what is Change.DISSOLVED]
    assert len(dissolved) == 1
    assert dissolved[0].reference_base == pytest.approx(200)
    assert dissolved[0].cluster.base < 100
    assert dissolved[0].cluster.identity == cluster.identity


def test_closings_with_price_within_half_a_per_cent_do_not_count_as_dissolving() -> None:
    stage, cluster = stage_with_long()
    stage.bar(closed=0.01)
    stage.go(stage.map.settings.grid.price(cluster.high + 1) * 1.003)
    stage.go(100.0)
    said = [change for _ in range(20) for change in stage.bar(closed=0.08)]
    assert Change.DISSOLVED not in kinds_of(said)


def test_what_price_took_is_not_dissolved() -> None:
    stage, cluster = stage_with_long(base=200, cells=20)
    stage.go(stage.depth(cluster, 0.3))
    stage.go(100.0)
    said = [change for _ in range(20) for change in stage.bar(closed=0.03)]
    assert Change.DISSOLVED not in kinds_of(said)


def test_dilution_alone_never_dissolves() -> None:
    stage, _ = stage_with_long()
    stage.map.open_interest_base = 10 * OPEN_INTEREST
    assert kinds_of(stage.wait(1)) == [Change.FADED]


# --- state


def test_a_tracker_continues_from_its_stored_state() -> None:
    stage, _ = stage_with_long(at=93.0)
    stage.go(97.0)
    stored = json.loads(json.dumps(stage.tracker.state()))
    loaded = ClusterTracker.from_state(stage.tracker.settings, stored)
    assert loaded == stage.tracker
    assert loaded.clusters[0].side is Side.LONG


def test_a_record_is_all_of_a_cluster_as_it_was_then() -> None:
    cluster = TrackedCluster("long-1-2", Side.LONG, 1, 2, 3, 4.5, 2.5, 0.1, 5.0, 7)
    record = record_of(cluster)
    assert list(record.items()) == list(asdict(cluster).items())
    cluster.armed[0] = not cluster.armed[0]
    cluster.armings[0] += 1
    assert record["armed"] != cluster.armed
    assert record["armings"] != cluster.armings
    assert tracked_from(record) != cluster
