"""The contract of every kind, present and to come: a new file in ``detectors/kinds`` is held to it by itself."""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from detectors import figures
from detectors.event import Event, Evidence, Label, Outcome, OutcomeClass, Unit
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Bar, Market, Side, VenueSample
from detectors.registry import EventKind, find_kinds
from detectors.series import MarketSeries
from tests.detectors.histories import BAR_MS, START_MS, Tape, engine, run, steps, story

KINDS = list(find_kinds().values())
SWEPT = find_kinds()["cluster_consumed"].settings
LONGEST_HEADLINE = 60
"""Of a message's title."""
LONG_NAMED = Market("1000000BABYDOGE", "1000000BABYDOGE/USDT:USDT", ("binance",), ("bybit",), price_decimals=8)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


@cache
def told(long_named: bool = False) -> Mapping[str, list[Event]]:
    """What each kind says of the story, with evidence."""
    # prices of 0.00012 with the open interest of a large market
    market, scale = (LONG_NAMED, 1.234567e-6) if long_named else (Market("BTC", "BTC/USDT:USDT", ("b",), ("b",)), 1.0)
    on = engine(market=market)
    said: dict[str, list[Event]] = {kind.kind: [] for kind in KINDS}
    for step in steps(on, story(market, scale)):
        for event in step.events:
            said[event.kind].append(step.view.with_evidence(event))
    return said


@every_kind
def test_the_story_makes_every_kind_speak(kind: EventKind) -> None:
    assert told()[kind.kind], f"extend story() in tests/detectors/histories.py until {kind.kind} happens in it"


@every_kind
def test_keys_are_unique_and_begin_with_the_kind(kind: EventKind) -> None:
    keys = [event.key for event in told()[kind.kind]]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(f"{kind.kind}:BTC:") for key in keys)


@every_kind
def test_events_and_their_evidence_survive_a_trip_through_json(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        assert event.evidence is not None
        evidence = Evidence.from_json(event.evidence.to_json())
        assert evidence == event.evidence
        assert Event.from_json(event.to_json(), evidence) == event


@every_kind
@pytest.mark.parametrize("long_named", [False, True])
def test_headlines_fit_a_phone_and_name_the_market(kind: EventKind, long_named: bool) -> None:
    for event in told(long_named)[kind.kind]:
        assert event.headline.startswith(event.market), event.headline
        assert len(event.headline) <= LONGEST_HEADLINE, event.headline
        assert "\n" not in event.headline


@every_kind
def test_facts_have_names_of_their_own_units_and_labels(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        names = [fact.name for fact in event.facts]
        assert len(set(names)) == len(names)
        for fact in event.facts:
            assert isinstance(fact.unit, Unit)
            assert isinstance(fact.label, Label)
            assert (fact.unit is Unit.TEXT) == isinstance(fact.value, str), fact
            if fact.name.endswith(("_usd", "_base", "_hours", "_minutes", "_bps")):
                assert fact.name.rpartition("_")[2] in fact.unit, fact
            assert not isinstance(fact.value, float) or math.isfinite(fact.value), fact


@every_kind
def test_the_spine_is_that_of_the_moment(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        assert event.taken_at_ms == event.bar_opened_at_ms + BAR_MS
        assert event.side in (*Side, None)
        assert event.price > 0
        if event.level is not None:
            assert event.level.low <= event.level.centre <= event.level.high
        if event.notional_usd is not None:
            assert event.notional_usd > 0


@every_kind
def test_where_sources_differ_the_event_names_both(kind: EventKind) -> None:
    for event in told(long_named=True)[kind.kind]:
        assert event.value("sources") == "binance prices, bybit open interest"
    assert all(event.value("sources") is None for event in told()[kind.kind])


def test_the_picture_never_names_another_size_or_place_for_the_cluster_than_the_words() -> None:
    """What is in the map when the chart is made can be less than what an event of the same bar was told of."""
    for step in steps(engine(market=LONG_NAMED), story(LONG_NAMED, 1.234567e-6)):
        for event in step.events:
            if event.level is None or event.notional_usd is None:
                continue
            larger = replace(event, notional_usd=2 * event.notional_usd)
            (own,) = (band for band in step.view.evidence(larger).bands if band.own)
            assert (own.low, own.high, own.notional_usd) == (event.level.low, event.level.high, larger.notional_usd)


@every_kind
def test_evidence_marks_the_band_the_event_is_about(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        assert event.evidence is not None
        assert [band.own for band in event.evidence.bands].count(True) == (event.level is not None)
        cells = len(event.evidence.edges) - 1
        assert event.evidence.heat_usd.shape == (len(event.evidence.ohlc), cells)
        assert len(event.evidence.long_usd) == len(event.evidence.short_usd) == cells


@every_kind
def test_detecting_twice_says_the_same_and_changes_nothing(kind: EventKind) -> None:
    spoke = 0
    on = engine()
    memory = dict[str, object]()
    for snapshot in story():
        step = on.step(snapshot)
        assert step is not None
        before = copy.deepcopy(memory)
        state = on.tracker.state()
        first, after = kind.detect(step.view, kind.settings, memory)
        assert memory == before
        second, after_again = kind.detect(step.view, kind.settings, copy.deepcopy(before))
        assert (tuple(first), after) == (tuple(second), after_again)
        assert on.tracker.state() == state
        assert json.loads(json.dumps(after)) == after
        memory = after
        spoke += len(first)
    assert spoke


def series_after(event: Event, prices: list[float]) -> MarketSeries:
    """A bar for each price, from the event on, each trading at that price alone."""
    opened = (event.taken_at_ms + number * BAR_MS for number in range(len(prices)))
    bars = [Bar(at, BAR_MS, price, price, price, price, 1.0) for at, price in zip(opened, prices, strict=True)]
    return MarketSeries.of(bars)


FIVE_DAYS = 5 * DAY_MS // BAR_MS


def judged(kind: EventKind, event: Event, series: MarketSeries) -> Outcome:
    (outcome,) = kind.judge([event], series, kind.settings)
    return outcome


def swings(event: Event, bars: int = FIVE_DAYS) -> MarketSeries:
    """A market that trades at every price in its first bar."""
    series = series_after(event, [event.price] * bars)
    series.low[0], series.high[0] = event.price * 0.5, event.price * 2
    return series


def flees(event: Event, bars: int = FIVE_DAYS) -> MarketSeries:
    return series_after(event, [event.price * (1.5 if event.side is Side.LONG else 0.7)] * bars)


@every_kind
def test_an_event_is_undecided_until_its_horizon_and_the_hour_after_are_known(kind: EventKind) -> None:
    bars = (kind.horizon_ms(kind.settings) + HOUR_MS) // BAR_MS
    for event in told()[kind.kind]:
        assert judged(kind, event, MarketSeries.of([])).outcome is OutcomeClass.UNDECIDED
        # even what came in the first bar, or the quick ones would be counted before the slow
        assert judged(kind, event, swings(event, bars - 1)).outcome is OutcomeClass.UNDECIDED
        assert judged(kind, event, swings(event, bars)).outcome in {OutcomeClass.REACHED, OutcomeClass.MISSED}


@every_kind
def test_a_market_that_swings_and_one_that_flees_turn_out_unlike_each_other(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        came, went = judged(kind, event, swings(event)), judged(kind, event, flees(event))
        assert {came.outcome, went.outcome} == {OutcomeClass.REACHED, OutcomeClass.MISSED}
        assert came.question is not None
        assert came.question == went.question
        assert came.question.wanted is (came.outcome is OutcomeClass.REACHED)
        assert came.decided_at_ms == event.taken_at_ms + kind.horizon_ms(kind.settings) + HOUR_MS


@every_kind
def test_what_happens_after_the_horizon_does_not_count(kind: EventKind) -> None:
    horizon = kind.horizon_ms(kind.settings) // BAR_MS
    for event in told()[kind.kind]:
        calm = judged(kind, event, flees(event))
        late, just_in_time = flees(event), flees(event)
        late.low[horizon], late.high[horizon] = event.price * 0.5, event.price * 2
        just_in_time.low[horizon - 1], just_in_time.high[horizon - 1] = event.price * 0.5, event.price * 2
        assert judged(kind, event, late).outcome is calm.outcome
        assert judged(kind, event, just_in_time).outcome is not calm.outcome


@every_kind
def test_what_happened_before_the_alert_does_not_count(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        after = flees(event)
        before = [Bar(event.taken_at_ms - BAR_MS, BAR_MS, 1.0, event.price * 2, event.price / 2, event.price, 1.0)]
        opened = zip(after.opened_at_ms.tolist(), after.close.tolist(), strict=True)
        longer = MarketSeries.of([*before, *(Bar(at, BAR_MS, p, p, p, p, 1.0) for at, p in opened)])
        assert judged(kind, event, longer) == judged(kind, event, after)


@every_kind
def test_the_configured_horizon_is_the_one_that_counts(kind: EventKind) -> None:
    for event in told()[kind.kind]:
        hourly = replace(kind.settings, judged_after_hours=1.0)
        (outcome,) = kind.judge([event], flees(event, 30), hourly)
        assert outcome.decided_at_ms == event.taken_at_ms + 2 * HOUR_MS
        assert outcome.question is not None
        assert outcome.question.horizon_ms == kind.horizon_ms(hourly) == HOUR_MS


# --- funding_shock


def shocks(rates: list[float]) -> list[Event]:
    tape = Tape(100.0, at_ms=START_MS)
    for rate in rates:
        tape.settle(rate)
        tape.bar(100.0, 1000.0)
    return run(engine(), tape.written)


CALM = [0.0001, 0.00012, 0.00008] * 6
"""A median of 0.0001 and so little spread that the floor is the deviation."""
FUNDING = find_kinds()["funding_shock"].settings


def test_one_shock_is_told_once_while_it_lasts() -> None:
    events = shocks([*CALM, 0.002, 0.0021, 0.0019])
    assert [(event.kind, event.side, event.arming) for event in events] == [("funding_shock", Side.LONG, 1)]
    assert events[0].value("crowded_side") == "longs"
    assert events[0].number("minutes_to_funding") == 8 * 60


def test_negative_funding_means_that_shorts_are_crowded() -> None:
    assert [event.side for event in shocks([*CALM, -0.002])] == [Side.SHORT]


def test_a_rate_that_goes_back_to_normal_crowds_nobody() -> None:
    lasting = [-0.001, -0.0011, -0.0009] * 6
    assert shocks([*lasting, -0.00002]) == []
    assert [event.side for event in shocks([*lasting, 0.0005])] == [Side.LONG]


def test_the_next_funding_is_when_the_venues_say_and_not_an_interval_after_the_last() -> None:
    tape = Tape(100.0, at_ms=START_MS)
    for rate in (*CALM, 0.002):
        tape.settle(rate)
        tape.bar(100.0, 1000.0)
    *before, last = tape.written
    settled_ms = last.funding[0].taken_at_ms

    def sample(venue: str, next_ms: int) -> VenueSample:
        return VenueSample(venue, "BTC/USDT:USDT", settled_ms, settled_ms, next_funding_at_ms=next_ms)

    told = tuple(sample(venue, settled_ms + n * HOUR_MS) for venue, n in (("binance", 4), ("okx", 1), ("bybit", 0)))
    (event,) = run(engine(), [*before, replace(last, by_venue=told)])
    assert event.number("minutes_to_funding") == 60


def test_between_the_two_thresholds_a_shock_is_not_over() -> None:
    between = 0.0001 + (FUNDING.rearm_score + 0.5) * FUNDING.deviation_floor_8h
    assert FUNDING.rearm_score + 0.5 < FUNDING.score
    assert len(shocks([*CALM, 0.002, between, 0.002])) == 1


def test_under_the_lower_threshold_it_is_armed_again() -> None:
    events = shocks([*CALM, 0.002, 0.0001, 0.002])
    assert [event.arming for event in events] == [1, 2]
    assert events[0].key != events[1].key


def test_a_turn_from_one_crowded_side_to_the_other_is_a_shock_of_its_own() -> None:
    assert [event.side for event in shocks([*CALM, 0.002, -0.002])] == [Side.LONG, Side.SHORT]


def test_a_rate_far_out_in_a_flat_history_but_small_is_no_shock() -> None:
    least = FUNDING.least_rate_8h
    assert least > FUNDING.score * FUNDING.deviation_floor_8h
    assert shocks([0.0001] * 20 + [0.0001 + 0.95 * least]) == []
    assert len(shocks([0.0001] * 20 + [0.0001 + 1.05 * least])) == 1


def test_without_history_nothing_is_unusual() -> None:
    assert shocks([0.0001] * 11 + [0.003]) == []
    assert len(shocks([0.0001] * 12 + [0.003])) == 1


def test_a_swept_cluster_is_at_one_place_in_headline_and_band() -> None:
    for event in told()["cluster_consumed"]:
        assert event.level is not None
        assert f"at {figures.level(event.level.centre, event.price_decimals)}" in event.headline


def test_what_open_interest_did_is_not_known_before_a_sample_has_come_since_the_entry() -> None:
    sweep = told()["cluster_consumed"][0]
    assert sweep.value("open_interest_change") is not None
    entered_at_ms = sweep.taken_at_ms - (sweep.number("minutes_in_zone") or 0) * MINUTE_MS
    late = [one if one.taken_at_ms < entered_at_ms else replace(one, open_interest=None) for one in story()]
    again = next(event for event in run(engine(), late) if event.kind == "cluster_consumed")
    assert again.key == sweep.key
    assert any(fact.name == "open_interest_change" and fact.value is None for fact in again.facts)
