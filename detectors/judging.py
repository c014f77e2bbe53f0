"""What came of an event, from the bars after it. Shared by the kinds' ``judge`` functions."""

from collections.abc import Sequence

from detectors.event import Event, Fact, Label, Outcome, OutcomeClass, Unit
from detectors.market import HOUR_MS, Bar, Side


def judge_reach(event: Event, later: Sequence[Bar], horizon_hours: float) -> Outcome:
    """Did price trade at the centre of the event's level within the horizon?

    ``later`` are the bars after the event in time order. Undecided until the horizon has passed or it was reached.
    """
    assert event.level is not None
    end = event.taken_at_ms + round(horizon_hours * HOUR_MS)
    for bar in later:
        if bar.opened_at_ms >= end:
            break
        if bar.low <= event.level.centre <= bar.high:
            hours = (bar.closed_at_ms - event.taken_at_ms) / HOUR_MS
            return Outcome(OutcomeClass.REACHED, bar.closed_at_ms, (_hours("hours_to_reach", hours),))
    return _not_yet(later, end)


def judge_move(event: Event, later: Sequence[Bar], horizon_hours: float, fraction: float, against: Side) -> Outcome:
    """Did price move by ``fraction`` against ``against`` within the horizon (down when against longs)?"""
    end = event.taken_at_ms + round(horizon_hours * HOUR_MS)
    down = against is Side.LONG
    target = event.price * (1 - fraction if down else 1 + fraction)
    for bar in later:
        if bar.opened_at_ms >= end:
            break
        if bar.low <= target if down else bar.high >= target:
            hours = (bar.closed_at_ms - event.taken_at_ms) / HOUR_MS
            return Outcome(OutcomeClass.REACHED, bar.closed_at_ms, (_hours("hours_to_move", hours),))
    return _not_yet(later, end)


def _not_yet(later: Sequence[Bar], end_ms: int) -> Outcome:
    last = later[-1].closed_at_ms if later else 0
    decided = last >= end_ms
    return Outcome(OutcomeClass.MISSED if decided else OutcomeClass.UNDECIDED, end_ms if decided else last)


def _hours(name: str, hours: float) -> Fact:
    return Fact(name, round(hours, 2), Unit.HOURS, Label.OBSERVED)
