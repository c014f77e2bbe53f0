"""Bad input: refused and counted, never an exception, never an event, never in the state."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.engine import MarketEngine, Step
from detectors.market import Funding, LiquidationTotal, MarketSnapshot, OpenInterest, Print, Side, VenueSample
from detectors.screening import LARGEST_USD, SPIKE, Screen
from tests.detectors.histories import BAR_MS, START_MS, engine, run, story
from tests.strategies import NOT_A_NUMBER, spoilt

WARM_BARS = 128
"""The story's bars before its clusters are approached."""


@cache
def warm() -> tuple[bytes, bytes, tuple[MarketSnapshot, ...]]:
    """Checkpoint and decisions with two clusters standing, and the bars that come next."""
    told, on = story(), engine()
    run(on, told[:WARM_BARS])
    assert len(on.tracker.clusters) == 2
    return on.estimate.to_bytes(), on.decisions(), tuple(told[WARM_BARS:])


def warm_engine() -> MarketEngine:
    checkpoint, decisions, _ = warm()
    on = engine()
    on.recover(checkpoint, (), decisions)
    return on


def coming() -> tuple[MarketSnapshot, ...]:
    return warm()[2]


def first() -> MarketSnapshot:
    return coming()[0]


def with_bar(snapshot: MarketSnapshot, **changed: float) -> MarketSnapshot:
    assert snapshot.bar is not None
    return replace(snapshot, bar=replace(snapshot.bar, **changed))  # type: ignore[arg-type]


def look(snapshot: MarketSnapshot, **changed: float) -> MarketSnapshot:
    """A live look without a bar."""
    bare = replace(snapshot, bar=None, open_interest=None, funding=())
    return replace(bare, **changed)  # type: ignore[arg-type]


def times_thousand(snapshot: MarketSnapshot) -> MarketSnapshot:
    assert snapshot.bar is not None
    bar = snapshot.bar
    wild = replace(bar, open=bar.open * 1e3, high=bar.high * 1e3, low=bar.low * 1e3, close=bar.close * 1e3)
    price, low, high = (value * 1e3 for value in (snapshot.price, snapshot.low, snapshot.high))
    return replace(snapshot, price=price, low=low, high=high, bar=wild)


def check_clean(believed: MarketSnapshot, last_price: float) -> None:
    """Raises AssertionError where a value got through that no market has."""
    prices = [believed.price, believed.low, believed.high]
    if believed.bar is not None:
        prices += [believed.bar.open, believed.bar.high, believed.bar.low, believed.bar.close]
        assert math.isfinite(believed.bar.volume_base)
        assert believed.bar.volume_base >= 0
    assert all(math.isfinite(price) and price > 0 for price in prices)
    assert believed.low <= believed.price <= believed.high
    if believed.open_interest is not None:
        assert math.isfinite(believed.open_interest.base)
        assert believed.open_interest.base > 0
    assert all(math.isfinite(one.rate) and one.interval_hours > 0 for one in believed.funding)
    for one in believed.prints:
        assert math.isfinite(one.notional_usd)
        assert 0 < one.amount_base < math.inf
        assert last_price / 2 < one.price < last_price * 2
    for total in believed.liquidations:
        assert 0 <= min(total.long_usd, total.short_usd) <= max(total.long_usd, total.short_usd) < math.inf


def check_finite(on: MarketEngine) -> None:
    """Raises AssertionError where the state holds anything that is not a usable number."""
    estimate = on.estimate
    arrays = (estimate.map.known, estimate.map.exposure, estimate.map.scales, estimate.baseline.mean, estimate.shares)
    assert all(np.isfinite(array).all() and float(array.min(initial=0)) >= 0 for array in arrays)
    assert np.isfinite(estimate.trail.exposure).all()
    assert np.isfinite(estimate.candles).all()
    open_interest = estimate.map.open_interest_base
    assert open_interest is not None
    assert 0 < open_interest < math.inf
    sides = [estimate.map.side_usd(side).sum() for side in Side]
    assert max(sides) <= 1.2 * open_interest * max(estimate.recent_closes)
    assert all(math.isfinite(cluster.base) and math.isfinite(cluster.centre) for cluster in on.tracker.clusters)
    json.loads(on.decisions())


def check_run(snapshots: Sequence[MarketSnapshot]) -> list[Step]:
    """Steps an engine through anything; raises where anything but clean silence or clean events comes of it."""
    on = warm_engine()
    kept = []
    for snapshot in snapshots:
        last_price = on.screen.last_price or snapshot.price
        refused = sum(on.refused.values())
        step = on.step(snapshot)
        if step is None:
            assert sum(on.refused.values()) > refused
            continue
        check_clean(step.snapshot, last_price)
        for event in step.events:
            event.to_json()
            assert event.price == step.snapshot.price
        kept.append(step)
    check_finite(on)
    return kept


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_comes_nothing_raises_and_the_state_stays_finite(data: st.DataObject) -> None:
    bars = coming()[:24]
    wrong = data.draw(st.sets(st.integers(0, len(bars) - 1), max_size=8))
    check_run([data.draw(spoilt(bar)) if index in wrong else bar for index, bar in enumerate(bars)])


BAD_BARS: dict[str, Any] = {
    "a bar that is not a number": lambda s: with_bar(s, close=math.nan),
    "an infinite bar": lambda s: with_bar(s, high=math.inf),
    "an infinite volume": lambda s: with_bar(s, volume_base=math.inf),
    "a negative price": lambda s: with_bar(s, low=-1.0),
    "a price of zero": lambda s: with_bar(s, open=0.0),
    "a negative volume": lambda s: with_bar(s, volume_base=-1.0),
    "a high under the close": lambda s: with_bar(s, high=s.bar.close * 0.99),
    "a low over the open": lambda s: with_bar(s, low=s.bar.open * 1.01),
    "a bar out of order": lambda s: with_bar(s, opened_at_ms=START_MS),
    "a thousand times the price": times_thousand,
    "a low a thousand times too low": lambda s: with_bar(s, low=s.bar.low / 1000),
    "a look that is not a number": lambda s: look(s, price=math.nan),
    "a look at a negative price": lambda s: look(s, price=-1.0),
    "a look at zero": lambda s: look(s, price=0.0),
    "a look at infinity": lambda s: look(s, high=math.inf),
    "a look with its low over its high": lambda s: look(s, low=s.high * 1.1),
    "a look at a price outside its own range": lambda s: look(s, price=s.price * 1000),
    "a look at a thousand times the price": lambda s: look(times_thousand(s)),
}


@pytest.mark.parametrize("wrong", BAD_BARS.values(), ids=BAD_BARS)
def test_one_bad_snapshot_is_refused_whole_and_counted(wrong: Any) -> None:
    on = warm_engine()
    assert on.step(wrong(first())) is None
    assert sum(on.refused.values()) == 1


def check_rubbish_is_nothing(wrong: Mapping[int, Any]) -> None:
    """Raises AssertionError where rubbish before the bars of these numbers changes an event or the state."""
    bars = coming()[:42]
    clean, dirty = warm_engine(), warm_engine()
    mixed = [
        one for number, bar in enumerate(bars) for one in ([wrong[number](bar), bar] if number in wrong else [bar])
    ]
    assert run(dirty, mixed) == run(clean, bars)
    assert dirty.decisions() == clean.decisions()
    assert dirty.estimate.to_bytes() == clean.estimate.to_bytes()


@given(st.dictionaries(st.integers(0, 41), st.sampled_from(list(BAD_BARS.values())), max_size=12))
@settings(max_examples=25, deadline=None)
def test_rubbish_between_good_bars_changes_no_event_and_no_state(wrong: dict[int, Any]) -> None:
    check_rubbish_is_nothing(wrong)


def test_a_bar_said_twice_is_counted_once() -> None:
    on = warm_engine()
    assert on.step(first()) is not None
    assert on.step(first()) is None
    assert on.refused == {"bar_repeated": 1}


def test_a_spike_is_refused_and_believed_once_the_next_bar_confirms_it() -> None:
    on = warm_engine()
    wild, confirmed = times_thousand(first()), times_thousand(coming()[1])
    assert on.step(wild) is None
    step = on.step(confirmed)
    assert step is not None
    assert step.snapshot.bar == confirmed.bar
    assert on.refused == {"price_spike": 1}


def test_a_spike_in_live_looks_is_believed_once_the_next_look_confirms_it() -> None:
    on = warm_engine()
    assert on.step(look(times_thousand(first()))) is None
    assert on.step(look(times_thousand(coming()[1]))) is not None


def test_two_spikes_that_disagree_are_both_refused() -> None:
    on = warm_engine()
    assert on.step(times_thousand(first())) is None
    assert on.step(times_thousand(times_thousand(coming()[1]))) is None
    assert on.refused == {"price_spike": 2}


def flash(low: float, *prices: float) -> MarketSnapshot:
    """The next bar with a wick down to that part of its price, and longs liquidated at those."""
    whole = first()
    prints = tuple(Print(whole.taken_at_ms, Side.LONG, one * whole.price, 1.0, one * whole.price) for one in prices)
    return replace(with_bar(whole, low=low * whole.price), prints=prints)


def test_a_flash_crash_within_one_bar_is_believed_at_once_for_nothing_can_confirm_it() -> None:
    on = warm_engine()
    step = on.step(flash(1 / 6))
    assert step is not None
    assert step.snapshot.low == pytest.approx(first().price / 6)
    assert "cluster_consumed" in {event.kind for event in step.events}


def test_liquidations_anywhere_in_the_range_of_their_bar_are_believed() -> None:
    on = warm_engine()
    step = on.step(flash(0.5, 0.95, 0.7, 0.5, 0.41, 0.39))
    assert step is not None
    assert [round(one.price / first().price, 2) for one in step.snapshot.prints] == [0.95, 0.7, 0.5, 0.41]
    assert on.refused == {"print_far_from_price": 1}


def test_a_move_just_short_of_a_spike_is_believed_at_once() -> None:
    price = first().price / (SPIKE * 0.99)
    on = warm_engine()
    assert on.step(look(first(), price=price, low=price, high=price)) is not None


def test_dollars_in_the_place_of_base_units_are_never_believed_however_long_they_agree() -> None:
    on = engine()
    for snapshot in coming():
        assert snapshot.open_interest is not None
        dollars = replace(snapshot.open_interest, base=2 * LARGEST_USD / snapshot.price)
        on.step(replace(snapshot, open_interest=dollars))
    assert on.refused["open_interest_implausible"] == len(coming())
    assert on.estimate.map.open_interest_base is None


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        *((wrong, "open_interest_not_a_number") for wrong in NOT_A_NUMBER),
        (0.0, "open_interest_not_positive"),
        (-5.0, "open_interest_not_positive"),
        (1.6e6, "open_interest_spike"),
        (1.6, "open_interest_spike"),
    ],
)
def test_bad_open_interest_is_refused_and_its_bar_kept(base: float, reason: str) -> None:
    on = warm_engine()
    before = on.estimate.map.open_interest_base
    snapshot = replace(first(), open_interest=OpenInterest(first().taken_at_ms, base, BAR_MS))
    step = on.step(snapshot)
    assert step is not None
    assert step.snapshot.open_interest is None
    assert on.refused == {reason: 1}
    assert on.estimate.map.open_interest_base == before


def test_open_interest_that_stays_at_its_new_height_is_believed() -> None:
    on = warm_engine()
    for snapshot in coming()[:2]:
        on.step(replace(snapshot, open_interest=OpenInterest(snapshot.taken_at_ms, 16_000, BAR_MS)))
    assert on.estimate.map.open_interest_base == 16_000


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Funding(first().taken_at_ms, math.nan, 8), "funding_not_a_number"),
        (Funding(first().taken_at_ms, 1e-4, 0), "funding_not_a_number"),
        (Funding(first().taken_at_ms, 1e-4, -8), "funding_not_a_number"),
        (Funding(first().taken_at_ms, 0.5, 8), "funding_implausible"),
        (Funding(first().taken_at_ms, 1e-4, 5e-324), "funding_implausible"),
        (Funding(first().taken_at_ms, 1e-4, 8 * 3600), "funding_implausible"),
        (Funding(START_MS, 1e-4, 8), "funding_repeated"),
        (Funding(first().taken_at_ms * 1000, 1e-4, 8), "funding_from_the_future"),
    ],
)
def test_bad_funding_is_refused_and_its_bar_kept(wrong: Funding, reason: str) -> None:
    on = warm_engine()
    before = list(on.estimate.funding)
    assert on.step(replace(first(), funding=(wrong,))) is not None
    assert on.refused == {reason: 1}
    assert list(on.estimate.funding) == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"price": math.nan}, "print_not_a_number"),
        ({"amount_base": -1.0}, "print_not_a_number"),
        ({"notional_usd": math.inf}, "print_not_a_number"),
        ({"notional_usd": -5.0}, "print_not_a_number"),
        ({"notional_usd": 1e300}, "print_implausible"),
        ({"price": 100_000.0}, "print_far_from_price"),
        ({"taken_at_ms": START_MS}, "print_old"),
    ],
)
def test_a_bad_print_is_refused_and_its_bar_kept(changed: dict[str, Any], reason: str) -> None:
    on = warm_engine()
    good = Print(first().taken_at_ms, Side.LONG, 99.0, 1.0, 99.0)
    step = on.step(replace(first(), prints=(replace(good, **changed), good)))
    assert step is not None
    assert step.snapshot.prints == (good,)
    assert on.refused == {reason: 1}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        *((value, "liquidations_not_a_number") for value in (*NOT_A_NUMBER, -1.0)),
        (1e300, "liquidations_implausible"),
    ],
)
def test_bad_totals_of_liquidations_are_refused(wrong: float, reason: str) -> None:
    on = warm_engine()
    total = LiquidationTotal(first().taken_at_ms - 3_600_000, 3_600_000, 5.0, wrong, "binance")
    assert on.step(replace(first(), liquidations=(total,))) is not None
    assert on.refused == {reason: 1}
    assert not on.estimate.observed


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"price": math.nan}, "venue_not_a_number"),
        ({"long_short_ratio": math.inf}, "venue_not_a_number"),
        ({"open_interest_base": -1.0}, "venue_not_positive"),
        ({"price": 0.0}, "venue_price_implausible"),
    ],
)
def test_one_venue_s_bad_part_is_refused_and_the_rest_kept(wrong: dict[str, Any], reason: str) -> None:
    on, bar = warm_engine(), first()
    good = VenueSample("okx", "BTC/USDT:USDT", bar.taken_at_ms, bar.taken_at_ms, bar.price, open_interest_base=5.0)
    step = on.step(replace(bar, by_venue=(good, replace(good, venue="gate", **wrong))))
    assert step is not None
    assert step.view.by_venue == (good,)
    assert on.refused == {reason: 1}


def test_one_venue_s_price_in_another_unit_is_refused() -> None:
    on, bar = warm_engine(), first()
    sample = VenueSample("okx", "BTC/USDT:USDT", bar.taken_at_ms, bar.taken_at_ms, bar.price * 1000)
    step = on.step(replace(bar, by_venue=(sample,)))
    assert step is not None
    assert (step.view.by_venue, dict(on.refused)) == ((), {"venue_price_implausible": 1})


@pytest.mark.parametrize("unit", ["microseconds", "far ahead"])
def test_a_bar_from_the_future_is_refused_and_the_right_ones_after_it_are_not(unit: str) -> None:
    assert first().bar is not None
    opened = first().taken_at_ms - BAR_MS
    ahead = opened * 1000 if unit == "microseconds" else opened + 10 * BAR_MS
    on = warm_engine()
    assert on.step(with_bar(first(), opened_at_ms=ahead)) is None
    assert on.step(first()) is not None


HARMFUL = sorted(set(BAD_BARS) - {"a look with its low over its high"})


@pytest.mark.parametrize("fault", HARMFUL)
def test_without_the_gate_the_check_turns_red(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_rubbish_is_nothing({20: BAD_BARS[fault]})
    monkeypatch.setattr(Screen, "pass_through", lambda self, snapshot: snapshot)
    with pytest.raises((AssertionError, ValueError, OverflowError)):
        check_rubbish_is_nothing({20: BAD_BARS[fault]})
