"""One market step by step: the same twice, the same after a stop, silent across gaps and at the start."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.clusters import Preset
from detectors.engine import MarketEngine
from detectors.event import Event
from detectors.leverage import LeverageModel
from detectors.market import Bar, MarketSnapshot
from detectors.registry import find_kinds
from tests.detectors.histories import (
    BAR_MS,
    MARKET,
    PLAIN,
    RandomMarket,
    Tape,
    engine,
    looks_between,
    random_market,
    run,
    snapshots_of,
    steps,
    story,
    straight,
)
from tests.detectors.test_screening import times_thousand


def keys(events: Sequence[Event]) -> list[str]:
    return [event.key for event in events]


def told_in_order(kind: str, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind == kind]


# --- the story


def test_of_what_dissolved_far_from_price_nothing_is_told() -> None:
    kinds = find_kinds()
    dissolved = kinds["cluster_dissolved"]
    near = replace(dissolved, settings=replace(dissolved.settings, farthest=0.001))
    only_near = MarketEngine(MARKET, engine().settings, {**kinds, dissolved.kind: near})
    assert told_in_order("cluster_dissolved", run(engine(), story()))
    assert not told_in_order("cluster_dissolved", run(only_near, story()))


def test_the_story_is_told_as_it_happened() -> None:
    events = run(engine(), story())
    kinds = [event.kind for event in events]
    assert kinds.index("cluster_formed") < kinds.index("cluster_approached") < kinds.index("cluster_consumed")
    formed = told_in_order("cluster_formed", events)
    swept, dissolved = (told_in_order(kind, events) for kind in ("cluster_consumed", "cluster_dissolved"))
    assert [event.side for event in swept] == ["long"]
    assert [event.side for event in dissolved] == ["short"]
    assert {swept[0].subject, dissolved[0].subject} == {event.subject for event in formed}
    assert swept[0].value("extent") == "wholly"
    assert len(told_in_order("funding_shock", events)) == 1


def test_a_cluster_that_grew_fast_says_so() -> None:
    formed = told_in_order("cluster_formed", run(engine(), story()))
    assert formed[-1].value("build_class") == "fast"
    hours = formed[-1].number("build_hours")
    assert hours is not None
    assert 1.0 <= hours <= 4.0


def test_live_looks_and_bars_alone_tell_the_same_about_the_same_bars() -> None:
    bars = story()
    by_bar, live = run(engine(), bars), run(engine(), looks_between(bars))
    subject = [(event.kind, event.subject, event.arming, event.rung, event.bar_opened_at_ms) for event in by_bar]
    assert [(event.kind, event.subject, event.arming, event.rung, event.bar_opened_at_ms) for event in live] == subject


def test_a_live_look_tells_of_a_sweep_before_its_bar_has_closed() -> None:
    bars = story()
    swept = next(step for step in steps(engine(), bars) if "cluster_consumed" in [e.kind for e in step.events])
    at = bars.index(next(bar for bar in bars if bar.taken_at_ms == swept.snapshot.taken_at_ms))
    on = engine()
    run(on, bars[:at])
    dive = bars[at]
    look = replace(dive, bar=None, open_interest=None, funding=(), taken_at_ms=dive.taken_at_ms - BAR_MS // 2)
    now = on.step(look)
    assert now is not None
    assert [event.kind for event in now.events] == ["cluster_consumed"]
    assert keys(now.events) == [event.key for event in swept.events if event.kind == "cluster_consumed"]
    assert [event.kind for event in run(on, [dive])] == []


# --- the same again


markets = st.builds(
    RandomMarket,
    bars=st.just(360),
    seed=st.integers(0, 10**6),
    bar_move=st.sampled_from([0.002, 0.005]),
    missing_bars=st.sampled_from([0.0, 0.02]),
    missing_open_interest=st.sampled_from([0.0, 0.1]),
)


@given(markets)
@settings(max_examples=5, deadline=None)
def test_the_same_snapshots_give_the_same_events(made_of: RandomMarket) -> None:
    told = snapshots_of(random_market(made_of))
    one, other = engine(PLAIN), engine(PLAIN)
    assert run(one, told) == run(other, told)
    assert one.decisions() == other.decisions()
    assert one.estimate.to_bytes() == other.estimate.to_bytes()


def believed_by(on: MarketEngine, told: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
    return [step.snapshot for step in steps(on, told)]


def recovered(told: Sequence[MarketSnapshot], checkpoint_at: int, stopped_at: int) -> MarketEngine:
    """An engine started anew from what would be stored: checkpoint, believed snapshots since, decisions."""
    before = engine(PLAIN)
    believed_by(before, told[:checkpoint_at])
    checkpoint = before.estimate.to_bytes() if checkpoint_at else None
    since = believed_by(before, told[checkpoint_at:stopped_at])
    after = engine(PLAIN)
    after.recover(checkpoint, since, before.decisions())
    return after


@given(markets, st.integers(0, 340), st.integers(0, 40), st.booleans())
@settings(max_examples=12, deadline=None)
def test_stopped_at_any_snapshot_it_goes_on_as_if_it_had_not(
    made_of: RandomMarket, checkpoint_at: int, since: int, live: bool
) -> None:
    told = snapshots_of(random_market(made_of))
    if live:
        told = looks_between(told)
    stopped_at = min(len(told), checkpoint_at + since)
    never, again = engine(PLAIN), recovered(told, checkpoint_at, stopped_at)
    run(never, told[:stopped_at])
    assert again.decisions() == never.decisions()
    assert run(again, told[stopped_at:]) == run(never, told[stopped_at:])
    assert again.decisions() == never.decisions()
    assert again.estimate.to_bytes() == never.estimate.to_bytes()


def test_stopped_anywhere_in_the_story_it_tells_the_rest_of_it() -> None:
    told = story()
    whole = engine()
    events = [(number, event) for number, bar in enumerate(told) for event in run(whole, [bar])]
    for stopped_at in range(80, len(told), 7):
        before, after = engine(), engine()
        run(before, told[: stopped_at - 5])
        checkpoint = before.estimate.to_bytes()
        since = believed_by(before, told[stopped_at - 5 : stopped_at])
        after.recover(checkpoint, since, before.decisions())
        assert run(after, told[stopped_at:]) == [event for number, event in events if number >= stopped_at]


def test_stopped_between_a_spike_and_its_confirmation_it_still_believes_the_confirmation() -> None:
    told = story()[:60]
    before, after = engine(), engine()
    believed = believed_by(before, told[:50])
    assert before.step(times_thousand(told[50])) is None
    after.recover(None, believed, before.decisions())
    assert before.step(times_thousand(told[51])) is not None
    assert after.step(times_thousand(told[51])) is not None


def test_a_recovery_tells_nothing_again() -> None:
    told = story()
    on = engine()
    believed = believed_by(on, told)
    again = engine()
    again.recover(None, believed, on.decisions())
    assert run(again, told[-1:]) == []


# --- silence


def test_without_open_interest_it_tells_only_of_funding() -> None:
    bare = [replace(snapshot, open_interest=None) for snapshot in story()]
    on = engine()
    assert {event.kind for event in run(on, bare)} <= {"funding_shock"}
    view = on.view()
    assert view is not None
    assert view.open_interest_usd is None
    assert view.clusters == ()


def test_clusters_that_are_there_when_detection_begins_are_adopted_silently() -> None:
    on = engine(preset=Preset.ADAPTIVE)
    told = snapshots_of(random_market(RandomMarket(80 * 12, 2, bar_move=0.004)))
    ready_at = next(number for number, _ in enumerate(steps(on, told)) if on.finder.ready)
    assert on.adopted
    fresh = engine(preset=Preset.ADAPTIVE)
    assert [event for event in run(fresh, told[: ready_at + 1]) if event.kind != "funding_shock"] == []


def test_what_is_of_unknown_age_forms_no_cluster() -> None:
    tape = Tape(100.0)
    for _ in range(100):
        tape.bar(100.0, 1000.0)
    on = engine(LeverageModel((25.0,), (1.0,), turnover_daily=0.0))
    assert run(on, tape.written) == []
    assert on.estimate.map.unknown.sum() > 0
    assert on.tracker.clusters == []


def test_a_venue_that_joins_makes_no_cluster_grow_and_ends_none() -> None:
    """From then on the tracker is where it would be, had that venue been counted all along."""
    bars = story()
    at = next(number for number, one in enumerate(bars) if one.price < 97.5)
    wider = replace(MARKET, venues=("binance", "bybit"), open_interest_venues=("binance", "bybit"))
    counted = [_times(one, 2.0) for one in bars]
    joined = bars[:at] + [replace(one, market=wider) for one in counted[at:]]
    always, joining = engine(), engine()
    for number, (all_along, joins) in enumerate(zip(counted, joined, strict=True)):
        expected, told = always.step(all_along), joining.step(joins)
        assert expected
        assert told
        if number >= at:
            assert joining.tracker.clusters or number > at, "or it shows nothing"
            assert [event.key for event in told.events] == [event.key for event in expected.events]
            assert _amounts(joining) == pytest.approx(_amounts(always), rel=1e-5)


def _times(snapshot: MarketSnapshot, factor: float) -> MarketSnapshot:
    interest = snapshot.open_interest
    return replace(snapshot, open_interest=interest and replace(interest, base=interest.base * factor))


def _amounts(on: MarketEngine) -> list[float]:
    """All that the tracker holds, in numbers."""
    clusters = (*on.tracker.clusters, *(end.cluster for end in on.tracker.ended))
    values = [value for cluster in clusters for value in vars(cluster).values()]
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


@pytest.mark.parametrize("missing", ["bars", "open interest"])
def test_after_a_gap_nothing_is_told_for_twelve_bars(missing: str) -> None:
    bars = story()
    gap = slice(126, 126 + 6)
    if missing == "bars":
        told = bars[: gap.start] + bars[gap.stop :]
        first_after = bars[gap.stop].taken_at_ms
    else:
        told = [replace(b, open_interest=None) if n in range(gap.start, gap.stop) else b for n, b in enumerate(bars)]
        first_after = bars[gap.stop].taken_at_ms
    on = engine()
    events = run(on, told)
    quiet_until = first_after + 11 * BAR_MS
    assert on.gaps == 1
    assert [event for event in events if first_after <= event.taken_at_ms <= quiet_until] == []
    assert [event.kind for event in events if event.taken_at_ms > quiet_until]


def test_a_gap_of_three_bars_is_bridged_and_silences_nothing() -> None:
    bars = story()
    on = engine()
    run(on, bars[:110] + bars[113:])
    assert on.gaps == 0


def test_a_funding_shock_in_the_quiet_after_a_gap_is_told_when_it_is_over_if_it_lasts() -> None:
    tape = Tape(100.0)
    for _ in range(20):
        tape.settle(0.0001)
        tape.walk([100.0] * 4, [1000.0] * 4)
    tape.at_ms += 6 * BAR_MS
    tape.settle(0.002)
    tape.walk([100.0] * 12, [1000.0] * 12)
    after = tape.at_ms
    tape.settle(0.002)
    tape.walk([100.0] * 2, [1000.0] * 2)
    events = run(engine(), tape.written)
    assert [event.kind for event in events] == ["funding_shock"]
    assert events[0].taken_at_ms > after


def test_between_bars_events_belong_to_the_bar_that_is_open() -> None:
    bars = story()
    on = engine()
    run(on, bars[:1])
    for step in steps(on, looks_between(bars[1:])):
        at = step.snapshot.taken_at_ms
        opened = at - BAR_MS if step.snapshot.bar else at - at % BAR_MS
        assert step.view.bar_opened_at_ms == opened


def test_a_jump_back_in_time_is_no_bar() -> None:
    on = engine()
    run(on, story()[:20])
    old = Bar(story()[5].taken_at_ms, BAR_MS, 100, 100, 100, 100, 1)
    assert on.step(replace(story()[20], bar=old)) is None
    assert on.refused == {"bar_out_of_order": 1}


def test_straight_steps_end_where_they_should() -> None:
    assert straight(0, 10, 4) == [2.5, 5.0, 7.5, 10.0]
