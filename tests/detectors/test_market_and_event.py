"""Market types, and events that survive a trip through JSON."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from detectors.event import Event, Evidence, Fact, Label, Severity, Unit
from detectors.market import Bar, Funding, Market, Side
from tests.strategies import events, evidences


def test_each_side_is_the_other_ones_other() -> None:
    assert Side.LONG.other is Side.SHORT
    assert Side.SHORT.other is Side.LONG


def test_a_bar_is_known_when_it_closes() -> None:
    assert Bar(300_000, 300_000, 1, 1, 1, 1, 0).closed_at_ms == 600_000


def test_the_next_funding_is_one_interval_later_however_long_that_is() -> None:
    assert Funding(0, 0.0001, 8).next_at_ms == 8 * 3_600_000
    assert Funding(0, 0.0001, 1).next_at_ms == 3_600_000


def test_a_market_names_all_its_venues() -> None:
    assert Market("BTC", "BTC/USDT:USDT", ("binance", "bybit"), ()).venue == "binance+bybit"


@given(events)
def test_an_event_survives_a_trip_through_json(event: Event) -> None:
    assert Event.from_json(event.to_json()) == event


@given(evidences())
@settings(max_examples=40)
def test_evidence_survives_a_trip_through_json_to_the_last_bit(evidence: Evidence) -> None:
    back = Evidence.from_json(evidence.to_json())
    assert back == evidence
    assert back.heat_usd.dtype == np.float32
    assert back.opened_at_ms.dtype == np.int64


@given(evidences())
@settings(max_examples=20)
def test_evidence_with_one_number_changed_is_another_evidence(evidence: Evidence) -> None:
    assert replace(evidence, edges=evidence.edges + 1) != evidence
    assert replace(evidence, interval_ms=evidence.interval_ms + 1) != evidence


@given(events)
def test_the_key_changes_with_everything_it_is_made_of_and_with_nothing_else(event: Event) -> None:
    bar = event.bar_opened_at_ms
    others = [
        replace(event, kind=event.kind + "x"),
        replace(event, market=event.market + "x"),
        replace(event, subject=event.subject + "x"),
        replace(event, arming=event.arming + 1),
        replace(event, rung=17.0 if event.rung is None else None),
        replace(event, bar_opened_at_ms=bar + 1),
    ]
    assert len({event.key, *(other.key for other in others)}) == len(others) + 1
    assert replace(event, price=event.price + 1, headline="other", taken_at_ms=event.taken_at_ms + 1).key == event.key


@given(events)
def test_facts_are_read_by_name(event: Event) -> None:
    facts = (
        Fact("a", 1.5, Unit.RATIO, Label.OBSERVED),
        Fact("b", "words", Unit.TEXT, Label.OBSERVED),
        Fact("c", None, Unit.USD, Label.ESTIMATED),
    )
    event = replace(event, facts=facts)
    assert (event.value("a"), event.value("b"), event.value("c"), event.value("d")) == (1.5, "words", None, None)
    assert (event.number("a"), event.number("b"), event.number("c")) == (1.5, None, None)


def test_severities_compare() -> None:
    assert Severity.NOTICE < Severity.WARNING < Severity.CRITICAL


@given(events)
def test_a_number_that_is_none_is_never_written_into_json(event: Event) -> None:
    with pytest.raises(ValueError, match="JSON"):
        replace(event, price=float("nan")).to_json()
