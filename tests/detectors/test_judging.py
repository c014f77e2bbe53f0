"""What came of an alert: measured on the bars after it, waited for, and never guessed across a hole."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import Event, Fact, Label, Level, Outcome, OutcomeClass, Unit, facts_from_json, facts_to_json
from detectors.judging import AFTER_MS, CONSUMED_AT, CONSUMED_DEPTH, LATE_MS, judge_bands, judge_moves
from detectors.market import HOUR_MS, Bar, Print, Side
from detectors.series import MarketSeries
from tests.storage.make import BAR_MS, event

HOURS = 2.0
BARS = round((HOURS * HOUR_MS + AFTER_MS) / BAR_MS)
LATE = LATE_MS // BAR_MS
LONG = event(0, price=100.0, level=Level(96.0, 97.0, 96.5))
SHORT = event(0, price=100.0, level=Level(103.0, 104.0, 103.5), side=Side.SHORT)


def bars(prices: Sequence[float | tuple[float, float, float]], start_ms: int = LONG.taken_at_ms) -> list[Bar]:
    """Bars from the event on, each trading at one price, or (low, high, close)."""
    made = []
    for number, price in enumerate(prices):
        low, high, close = price if isinstance(price, tuple) else (price, price, price)
        made.append(Bar(start_ms + number * BAR_MS, BAR_MS, close, high, low, close, 1.0))
    return made


def judge(alert: Event, prices: Sequence[float | tuple[float, float, float]], prints: Sequence[Print] = ()) -> Outcome:
    padded = [*prices, *[prices[-1]] * (BARS - len(prices))]
    (outcome,) = judge_bands([alert], MarketSeries.of(bars(padded), prints), HOURS)
    return outcome


def number(outcome: Outcome, name: str) -> float | None:
    return next((float(fact.value) for fact in outcome.facts if fact.name == name and fact.value is not None), None)


def test_a_band_is_consumed_once_price_trades_through_four_fifths_of_its_height() -> None:
    edge = math.exp(math.log(97.0) + CONSUMED_DEPTH * math.log(96.0 / 97.0))
    assert judge(LONG, [100.0, edge * 0.9999, 99.0]).outcome is OutcomeClass.REACHED
    assert judge(LONG, [100.0, edge * 1.0001, 99.0]).outcome is OutcomeClass.MISSED
    up = math.exp(math.log(103.0) + CONSUMED_DEPTH * math.log(104.0 / 103.0))
    assert judge(SHORT, [100.0, up * 1.0001, 101.0]).outcome is OutcomeClass.REACHED
    assert judge(SHORT, [100.0, up * 0.9999, 101.0]).outcome is OutcomeClass.MISSED


def test_where_the_alert_says_behind_which_price_four_fifths_of_the_exposure_lie_that_counts() -> None:
    fact = Fact(CONSUMED_AT, 96.7, Unit.PRICE, Label.ESTIMATED, shown=False)
    top_heavy = replace(LONG, facts=(*LONG.facts, fact))
    assert judge(top_heavy, [100.0, 96.69, 99.0]).outcome is OutcomeClass.REACHED
    assert judge(top_heavy, [100.0, 96.71, 99.0]).outcome is OutcomeClass.MISSED
    assert judge(LONG, [100.0, 96.69, 99.0]).outcome is OutcomeClass.MISSED
    outside = replace(LONG, facts=(replace(fact, value=90.0),))
    assert judge(outside, [100.0, 95.9, 99.0]).outcome is OutcomeClass.REACHED, "no farther than the band"


def test_a_wick_counts() -> None:
    assert judge(LONG, [100.0, (95.9, 100.0, 99.5), 99.5]).outcome is OutcomeClass.REACHED


def test_the_time_to_touch_the_depth_and_the_way_back_are_measured() -> None:
    outcome = judge(LONG, [100.0, 98.0, 96.5, 96.5, 98.43])
    assert number(outcome, "hours_to_touch") == 0.25
    assert number(outcome, "depth") == pytest.approx(0.5, abs=0.01)
    assert number(outcome, "bounce_pct") == pytest.approx(2.0, abs=0.01)
    assert number(outcome, "short_of_pct") is None


def test_a_level_that_was_not_touched_says_how_far_price_stayed_from_it() -> None:
    outcome = judge(LONG, [100.0, 98.0, 99.0])
    assert [fact.name for fact in outcome.facts] == ["short_of_pct"]
    assert number(outcome, "short_of_pct") == pytest.approx(100 * (98 / 97 - 1), abs=0.01)


def test_the_hour_after_the_touch_says_how_far_price_went_on_and_where_it_stood() -> None:
    outcome = judge(LONG, [100.0, 97.0, 92.15, *[95.06] * 11, 50.0])
    assert number(outcome, "overshoot_1h_pct") == pytest.approx(100 * (97 / 92.15 - 1), abs=0.01)
    assert number(outcome, "move_1h_pct") == pytest.approx(100 * (97 / 95.06 - 1), abs=0.01)


def test_a_market_that_stays_inside_the_band_is_stalled_for_its_longest_stay() -> None:
    outcome = judge(LONG, [100.0, 96.5, 96.6, 98.0, *[96.4] * 6, 99.0])
    assert number(outcome, "stalled_hours") == 0.5


def test_observed_liquidations_count_in_the_band_on_its_side_within_the_horizon() -> None:
    at = LONG.taken_at_ms

    def seen(after_ms: int, side: Side, price: float, usd: float) -> Print:
        return Print(at + after_ms, side, price, usd / price, usd)

    prints = [
        seen(-1, Side.LONG, 96.5, 1e6),
        seen(5, Side.LONG, 96.5, 2e6),
        seen(6, Side.SHORT, 96.5, 4e6),
        seen(7, Side.LONG, 97.5, 8e6),
        seen(round(HOURS * HOUR_MS) - 1, Side.LONG, 96.0, 16e6),
        seen(round(HOURS * HOUR_MS), Side.LONG, 96.5, 32e6),
    ]
    assert number(judge(LONG, [100.0, 96.5], prints), "observed_in_band_usd") == 18e6
    assert number(judge(LONG, [100.0, 96.5]), "observed_in_band_usd") is None


def test_a_hole_is_waited_for_and_then_leaves_the_alert_unjudged_whatever_came_before_it() -> None:
    whole = bars([100.0, 95.0, *[99.0] * (BARS + LATE)])
    holed = [bar for number, bar in enumerate(whole) if number != 10]

    def outcome(known: list[Bar]) -> OutcomeClass:
        return judge_bands([LONG], MarketSeries.of(known), HOURS)[0].outcome

    assert outcome(holed[: BARS + LATE - 2]) is OutcomeClass.UNDECIDED
    assert outcome(holed) is OutcomeClass.UNJUDGED
    assert outcome(whole) is OutcomeClass.REACHED
    assert outcome(whole[1:]) is OutcomeClass.UNJUDGED
    # holes before the alert and after the hour that follows it are none of its business
    earlier = bars([100.0], LONG.taken_at_ms - 9 * BAR_MS)
    assert outcome([*earlier, *whole[:BARS], *whole[BARS + 3 :]]) is OutcomeClass.REACHED


def test_a_move_is_asked_for_against_the_side() -> None:
    series = MarketSeries.of(bars([100.0, 98.0, *[100.0] * BARS]))
    down, up = judge_moves([LONG, LONG], series, HOURS, 0.02, [Side.LONG, Side.SHORT])
    assert (down.outcome, up.outcome) == (OutcomeClass.REACHED, OutcomeClass.MISSED)
    (more,) = judge_moves([LONG], series, HOURS, 0.0201, [Side.LONG])
    assert more.outcome is OutcomeClass.MISSED


def test_the_first_bar_of_an_alert_between_bars_is_the_next_one() -> None:
    between = replace(LONG, taken_at_ms=LONG.taken_at_ms + 7_000)
    series = MarketSeries.of(bars([95.0, *[100.0] * (BARS + 1)]))
    (outcome,) = judge_bands([between], series, HOURS)
    assert outcome.outcome is OutcomeClass.MISSED


def test_an_event_without_a_level_cannot_be_asked_about_one() -> None:
    with pytest.raises(ValueError, match="side and a level"):
        judge_bands([replace(LONG, level=None)], MarketSeries.of([]), HOURS)


def test_facts_of_an_outcome_survive_a_trip_through_json() -> None:
    outcome = judge(LONG, [100.0, 96.5])
    assert facts_from_json(facts_to_json(outcome.facts)) == outcome.facts


def plainly(alert: Event, after: Sequence[Bar]) -> tuple[bool, float]:
    """Whether the band was consumed and when it was touched, bar by bar in plain Python."""
    assert alert.level is not None
    long = alert.side is Side.LONG
    near, far = (alert.level.high, alert.level.low) if long else (alert.level.low, alert.level.high)
    needed = near * (far / near) ** CONSUMED_DEPTH
    consumed, touched = False, math.inf
    for bar in after:
        if bar.opened_at_ms >= alert.taken_at_ms + HOURS * HOUR_MS:
            break
        if bar.low <= near if long else bar.high >= near:
            touched = min(touched, (bar.closed_at_ms - alert.taken_at_ms) / HOUR_MS)
        consumed = consumed or (bar.low <= needed if long else bar.high >= needed)
    return consumed, touched


walks = st.lists(st.floats(-0.02, 0.02), min_size=BARS + 20, max_size=BARS + 20)


@settings(max_examples=60, deadline=None)
@given(walks, st.integers(0, 19))
def test_many_alerts_at_once_come_out_as_each_alone_and_as_in_plain_python(moves: list[float], first: int) -> None:
    price, made = 100.0, []
    for move in moves:
        close = price * math.exp(move)
        made.append((min(price, close), max(price, close), close))
        price = close
    walk = bars(made)
    series = MarketSeries.of(walk)
    alerts = [replace(one, taken_at_ms=one.taken_at_ms + first * BAR_MS) for one in (LONG, SHORT)]
    together = judge_bands([*alerts, *alerts], series, HOURS)
    assert together[:2] == together[2:] == [judge_bands([one], series, HOURS)[0] for one in alerts]
    for alert, outcome in zip(alerts, together, strict=False):
        consumed, touched = plainly(alert, walk[first:])
        assert outcome.outcome is (OutcomeClass.REACHED if consumed else OutcomeClass.MISSED)
        assert number(outcome, "hours_to_touch") == (None if touched == math.inf else round(touched, 2))
