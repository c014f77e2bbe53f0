"""The receipt of a sweep: told with it, and completed minutes later by what was really liquidated."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from detectors.event import Event
from detectors.market import HOUR_MS, MINUTE_MS, LiquidationTotal, MarketSnapshot, Print, Side
from detectors.registry import find_kinds
from tests.detectors.histories import BAR_MS, MARKET, Tape, engine, looks_between, run, steps, story

SWEPT = find_kinds()["cluster_consumed"].settings


def receipts(snapshots: Sequence[MarketSnapshot]) -> tuple[list[Event], list[tuple[int, Event]]]:
    """Sweeps as first told, and what completed them with the time it did."""
    told_first, completed = [], []
    for step in steps(engine(), snapshots):
        told_first += [event for event in step.events if event.kind == "cluster_consumed"]
        completed += [(step.snapshot.taken_at_ms, event) for event in step.completed]
    return told_first, completed


def with_prints(every_usd: float = 1e6) -> list[MarketSnapshot]:
    """The story, with a long liquidated in each bar."""
    return [
        replace(one, prints=(Print(one.taken_at_ms, Side.LONG, one.price, every_usd / one.price, every_usd),))
        for one in story()
    ]


def test_a_sweep_is_completed_ten_minutes_later_with_what_was_liquidated_since() -> None:
    (sweep,), ((at_ms, whole),) = receipts(with_prints())
    assert at_ms == sweep.taken_at_ms + 10 * MINUTE_MS
    first, last = sweep.number("observed_liquidation_usd"), whole.number("observed_liquidation_usd")
    assert first is not None
    assert last == first + 2e6


def test_completing_an_event_changes_its_facts_alone() -> None:
    (sweep,), ((_, whole),) = receipts(with_prints())
    assert replace(whole, facts=()) == replace(sweep, facts=())
    kept = {"exposure_at_risk_usd", "expected_liquidation_usd", "extent", "minutes_in_zone"}
    assert {name: whole.value(name) for name in kept} == {name: sweep.value(name) for name in kept}
    at_risk = whole.number("exposure_at_risk_usd")
    assert at_risk
    assert whole.number("expected_liquidation_usd") == pytest.approx(at_risk * SWEPT.realised_share)


def test_an_hourly_total_completes_a_sweep_when_it_comes() -> None:
    (sweep,), _ = receipts(story())
    started_ms = sweep.taken_at_ms // HOUR_MS * HOUR_MS
    total = LiquidationTotal(started_ms, HOUR_MS, 7e6, 1e6, "binance+bybit")
    earlier = LiquidationTotal(started_ms - 3 * HOUR_MS, HOUR_MS, 9e9, 9e9, "binance+bybit")
    told_then = [
        replace(
            one,
            liquidations=(total,)
            if one.taken_at_ms == started_ms + HOUR_MS
            else (earlier,)
            if one.taken_at_ms == started_ms
            else (),
        )
        for one in longer_story()
    ]
    _, ((at_ms, whole),) = receipts(told_then)
    assert at_ms == started_ms + HOUR_MS
    assert whole.number("observed_liquidation_usd") == 7e6
    (title,) = (fact.title for fact in whole.facts if fact.name == "observed_liquidation_usd")
    assert title == "liquidated on binance+bybit"


def longer_story() -> list[MarketSnapshot]:
    """The story and four quiet hours."""
    tape = Tape(95.8, at_ms=story()[-1].taken_at_ms)
    tape.walk([95.8] * 48, [600.0] * 48)
    return [*story(), *tape.written]


def test_a_sweep_of_which_nothing_is_seen_is_completed_with_open_interest_alone() -> None:
    (sweep,), ((at_ms, whole),) = receipts(longer_story())
    assert at_ms == sweep.taken_at_ms + 90 * MINUTE_MS
    assert whole.value("observed_liquidation_usd") is None
    change = whole.number("open_interest_change")
    assert change is not None
    assert change < -0.5


@pytest.mark.parametrize(("venues", "scale"), [(("binance", "okx"), 3.0), (("binance",), 1.0)])
def test_the_change_of_open_interest_is_left_out_where_other_venues_are_counted_by_then(
    venues: tuple[str, ...], scale: float
) -> None:
    (sweep,), _ = receipts(with_prints())
    before = replace(MARKET, open_interest_venues=("binance",))
    joined = [
        replace(one, market=before)
        if one.taken_at_ms <= sweep.taken_at_ms
        else replace(
            one,
            market=replace(before, open_interest_venues=venues),
            open_interest=one.open_interest and replace(one.open_interest, base=scale * one.open_interest.base),
        )
        for one in with_prints()
    ]
    _, ((_, whole),) = receipts(joined)
    assert whole.number("receipt_after_minutes") == 10
    (change,) = (fact for fact in whole.facts if fact.name == "open_interest_change")
    if scale == 1.0:
        assert change.shown
        assert isinstance(change.value, float)
    else:
        assert (change.value, change.shown) == (None, False), "what a venue holds that joined was taken for a change"


def test_a_receipt_waits_for_the_bar_that_brings_the_prints_of_its_ten_minutes() -> None:
    """Live, prints come with their bar, and a sweep is told between two."""
    looks = looks_between(with_prints())
    (sweep,), ((at_ms, whole),) = receipts(looks)
    assert sweep.taken_at_ms % BAR_MS, "told between bars, or it shows nothing"
    assert at_ms % BAR_MS == 0
    assert 10 * MINUTE_MS <= at_ms - sweep.taken_at_ms < 15 * MINUTE_MS
    assert whole.number("receipt_after_minutes") == round((at_ms - sweep.taken_at_ms) / MINUTE_MS)


def test_where_a_stream_is_heard_and_silent_the_receipt_says_that_nothing_was_liquidated() -> None:
    heard = replace(MARKET, venues=("binance", "bybit"), streams_liquidations=True)
    bars = [replace(one, market=heard) for one in story()]
    (whole,) = [event for step in steps(engine(market=heard), bars) for event in step.completed]
    assert whole.number("observed_liquidation_usd") == 0
    (title,) = (fact.title for fact in whole.facts if fact.name == "observed_liquidation_usd")
    assert title == "liquidated on binance+bybit"


@pytest.mark.parametrize("coverage", ["full", "sampled", "partly sampled"])
def test_a_receipt_says_how_much_of_what_was_liquidated_is_seen(coverage: str) -> None:
    bars = [replace(one, market=replace(one.market, coverage=coverage)) for one in with_prints()]
    on = engine(market=bars[0].market)
    (whole,) = [event for step in steps(on, bars) for event in step.completed]
    (title,) = (fact.title for fact in whole.facts if fact.name == "observed_liquidation_usd")
    assert title == f"liquidated on binance, {coverage}"


def test_a_restart_between_sweep_and_receipt_loses_no_receipt() -> None:
    bars = with_prints()
    (sweep,), ((_, whole),) = receipts(bars)
    at = next(number for number, one in enumerate(bars) if one.taken_at_ms == sweep.taken_at_ms) + 1
    before, after = engine(), engine()
    run(before, bars[:at])
    after.recover(None, bars[:at], before.decisions())
    assert [event for step in steps(after, bars[at:]) for event in step.completed] == [whole]
