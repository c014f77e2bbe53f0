import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.message import TITLE_LIMIT, Message, Table, as_text, distance, from_event, grouped, handle_of
from detectors.event import Fact, Label, Severity, Unit
from detectors.market import Side
from tests.bot.sample_events import sample_event

EVENT = replace(sample_event(), evidence=None)


def test_an_alert_says_what_where_how_big_then_its_own_facts_then_its_labels() -> None:
    message = from_event(EVENT, "FIRST")
    assert message.title == "🟢 BTC long cluster $182M, 2.0% below"
    assert message.lines == (
        "Price 88,420.00 at 00:00 UTC · band ≈86,457 to 86,846 · 2.0% below",
        "Size ≈$182M · ≈4.6% of open interest",
        "Built in: ≈3 h 20 min",
        "Open interest change: -2.1%",
        "Liquidated: $42.1M",
    )
    assert message.footer[:3] == (
        "Why now: first alert about it",
        "≈ estimated, as is the cluster in the first line · others observed or calculated",
        "A probability map, not a promise. Not financial advice.",
    )
    assert message.alert_id == EVENT.key
    assert message.footer[-1].endswith(handle_of(EVENT.key))


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=200),
    st.sampled_from([None, *Side]),
    st.sampled_from(list(Severity)),
)
def test_a_title_fits_the_lock_screen_whatever_the_headline(headline: str, side: Side, severity: Severity) -> None:
    message = from_event(replace(EVENT, headline=headline, side=side, severity=severity), "FIRST")
    assert len(message.title) <= TITLE_LIMIT


def test_a_long_headline_is_cut_at_a_word() -> None:
    event = replace(EVENT, headline="BTC long cluster of a size that no one has seen here for many weeks")
    assert from_event(event, "FIRST").title == "🟢 BTC long cluster of a size that no one has seen here for…"


def test_where_a_wick_came_nearer_than_price_is_now_both_distances_are_said() -> None:
    assert EVENT.level is not None
    near = Fact("distance_pct", 0.8, Unit.RATIO, Label.CALCULATED)
    said = from_event(replace(EVENT, facts=(near,)), "FIRST").lines[0]
    assert said.endswith("2.0% below now, 0.80% at the nearest")


@pytest.mark.parametrize(("side", "sign"), [(Side.LONG, "🟢"), (Side.SHORT, "🔴")])
def test_the_side_is_said_in_words_beside_its_colour(side: Side, sign: str) -> None:
    title = from_event(replace(EVENT, side=side, headline="BTC funding at +0.1200%"), "FIRST").title
    assert title.startswith(sign)
    assert side.value in title


def test_a_sideless_event_carries_neither_sides_colour() -> None:
    title = from_event(replace(EVENT, side=None, headline="BTC data is stale"), "FIRST").title
    assert "🟢" not in title
    assert "🔴" not in title


def test_a_critical_event_is_marked() -> None:
    assert "❗" in from_event(replace(EVENT, severity=Severity.CRITICAL), "FIRST").title


def test_an_event_of_an_unknown_kind_with_nothing_but_its_spine_is_shown() -> None:
    event = replace(EVENT, kind="kind_since_removed", side=None, level=None, notional_usd=None, facts=())
    message = from_event(event, "")
    assert message.lines == ("Price 88,420.00 at 00:00 UTC",)
    assert message.footer[0] == "All observed"


def test_a_distance_is_told_as_a_fact_when_the_event_has_no_level() -> None:
    nearest = Fact("distance_pct", 3.1, Unit.RATIO, Label.CALCULATED, "Nearest cluster")
    event = replace(EVENT, level=None, notional_usd=None, facts=(nearest,))
    assert "Nearest cluster: 3.1%" in from_event(event, "FIRST").lines


def test_an_observed_size_is_not_called_estimated() -> None:
    observed = Fact("notional_usd", 182e6, Unit.USD, Label.OBSERVED)
    message = from_event(replace(EVENT, level=None, facts=(observed,)), "FIRST")
    assert "Size $182M" in message.lines
    assert not any("estimated" in line for line in message.footer)


def test_what_is_not_known_is_said_and_never_printed_as_nan() -> None:
    facts = (
        Fact("observed_usd", None, Unit.USD, Label.OBSERVED),
        Fact("share_of_open_interest", math.nan, Unit.FRACTION, Label.ESTIMATED),
    )
    text = as_text(from_event(replace(EVENT, facts=facts, notional_usd=math.nan), "FIRST"))
    assert "Observed usd: not known" in text
    assert not re.search(r"\bnan\b", text.lower())


def test_an_estimate_told_in_words_is_marked_where_it_holds_a_number() -> None:
    facts = (
        Fact("nearest", "$40M at 86,000", Unit.TEXT, Label.ESTIMATED),
        Fact("build", "fast", Unit.TEXT, Label.ESTIMATED),
    )
    lines = from_event(replace(EVENT, facts=facts), "FIRST").lines
    assert "Nearest: ≈$40M at 86,000" in lines
    assert "Build: fast" in lines


def test_a_late_alert_says_how_late() -> None:
    assert "late by 12 min" in from_event(EVENT, "FIRST", late_by_ms=12 * 60_000).lines[0]
    assert "late" not in from_event(EVENT, "FIRST", late_by_ms=20_000).lines[0]


def test_a_simulated_market_and_a_possible_repeat_are_said() -> None:
    footer = from_event(replace(EVENT, simulated=True), "FIRST", possible_repeat=True).footer
    assert footer[0] == "SIMULATED market"
    assert footer[1].startswith("Possible repeat")
    assert not any("SIMULATED" in line or "repeat" in line for line in from_event(EVENT, "FIRST").footer)


@pytest.mark.parametrize(
    ("level", "said"), [(98.0, "2.0% below"), (101.5, "1.5% above"), (100.0, "at the price"), (99.5, "0.50% below")]
)
def test_a_distance_says_its_direction(level: float, said: str) -> None:
    assert distance(100.0, level) == said


def test_a_storm_becomes_one_message_with_a_line_an_alert() -> None:
    events = [replace(EVENT, headline=f"BTC long cluster {n}", simulated=n == 3) for n in range(7)]
    message = grouped([from_event(event, "FIRST") for event in events])
    assert message.title == "7 alerts in 1 minute"
    assert message.lines == tuple(f"🟢 BTC long cluster {n}" for n in range(7))
    assert "SIMULATED market" in message.footer


def test_a_long_downtime_is_summed_up_without_hiding_how_many_there_were() -> None:
    message = grouped([Message(title=f"alert {n}") for n in range(50)], span_ms=3 * 3_600_000)
    assert message.title == "50 alerts in 3 h"
    assert message.lines[-1] == "and 30 more: see /recent"


def test_nothing_cannot_be_grouped() -> None:
    with pytest.raises(ValueError, match="nothing to group"):
        grouped([])


def test_plain_text_lines_up_a_table_and_ends_with_the_footer() -> None:
    table = Table(("market", "price"), (("BTC", "88,420"), ("1000PEPE", "0.01")))
    text = as_text(Message(title="Watching", lines=("two markets",), table=table, footer=("UTC",)))
    assert text == "Watching\ntwo markets\n\nmarket    price\nBTC       88,420\n1000PEPE  0.01\n\nUTC"
