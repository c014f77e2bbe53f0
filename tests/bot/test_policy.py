"""Who is told what, and why: each case is one sentence."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policy import ALERTS, HELD, Reason, ToldToday, decide, expires_at_ms, subscription_for
from detectors.event import Event, Fact, Label, Severity, Unit
from detectors.market import HOUR_MS, MINUTE_MS
from storage.chat_settings import ChatSettings, Quiet
from storage.chats import LastAlert, Subscription
from tests.storage.make import event

KINDS = frozenset({"formed", "approached", "shock"})
DEFAULT = Subscription("BTC")


def text(name: str, value: str) -> Fact:
    return Fact(name, value, Unit.TEXT, Label.ESTIMATED)


def formed(**changes: Any) -> Event:
    return event(
        **{"kind": "formed", "rung": 22.0, "notional_usd": 5e6, "facts": (text("build_class", "slow"),), **changes}
    )


def approached(rung: float, distance_pct: float | None = None) -> Event:
    distance = Fact("distance_pct", distance_pct or rung, Unit.RATIO, Label.CALCULATED)
    return event(kind="approached", rung=rung, facts=(distance,))


def shock(**changes: Any) -> Event:
    return event(**{"kind": "shock", "subject": "funding", "notional_usd": None, "level": None, "facts": (), **changes})


def told(about: Event, *, hours_ago: float, notional_usd: float | None = 5e6) -> LastAlert:
    return LastAlert("first", about.taken_at_ms - round(hours_ago * HOUR_MS), about.rung, notional_usd)


CASES: list[tuple[str, Event, Subscription | None, LastAlert | None, Reason]] = [
    ("a new cluster is told", formed(), DEFAULT, None, Reason.FIRST),
    ("a cluster armed again is told again", formed(arming=2), DEFAULT, None, Reason.REARMED),
    ("a chat without a subscription hears nothing", formed(), None, None, Reason.NOT_WATCHED),
    ("a subscription to another market does not count", formed(), Subscription("ETH"), None, Reason.NOT_WATCHED),
    ("a subscription to every market counts", formed(), Subscription("*"), None, Reason.FIRST),
    ("a kind that is off by default is silent", formed(kind="rare"), DEFAULT, None, Reason.KIND_OFF),
    ("a kind asked for is told", formed(kind="rare"), Subscription("BTC", frozenset({"rare"})), None, Reason.FIRST),
    ("kinds asked for replace the default", formed(), Subscription("BTC", frozenset({"rare"})), None, Reason.KIND_OFF),
    ("no kinds at all is silence", formed(), Subscription("BTC", frozenset()), None, Reason.KIND_OFF),
    (
        "a notice is too mild for a chat that wants warnings",
        formed(),
        Subscription("BTC", min_severity=Severity.WARNING),
        None,
        Reason.TOO_MILD,
    ),
    (
        "a critical event passes a chat that wants warnings",
        formed(severity=Severity.CRITICAL),
        Subscription("BTC", min_severity=Severity.WARNING),
        None,
        Reason.FIRST,
    ),
    ("the build class asked for is told", formed(), Subscription("BTC", build_class="slow"), None, Reason.FIRST),
    ("another build class is silent", formed(), Subscription("BTC", build_class="fast"), None, Reason.BUILD_CLASS),
    ("an event without build class is told", shock(), Subscription("BTC", build_class="fast"), None, Reason.FIRST),
    ("a cluster at the minimum size is told", formed(), Subscription("BTC", min_notional_usd=5e6), None, Reason.FIRST),
    ("a smaller one is silent", formed(), Subscription("BTC", min_notional_usd=5.1e6), None, Reason.TOO_SMALL),
    ("an unknown size is not a small one", shock(), Subscription("BTC", min_notional_usd=5e6), None, Reason.FIRST),
    (
        "a cluster that formed too small and grew is told when it passes the minimum",
        formed(rung=23.0, notional_usd=8.4e6),
        Subscription("BTC", min_notional_usd=5e6),
        None,
        Reason.FIRST,
    ),
    ("price at 3 % is too far for a chat that asked for 2 %", approached(3.0), DEFAULT, None, Reason.TOO_FAR),
    ("price at 2 % is told", approached(2.0), DEFAULT, None, Reason.FIRST),
    (
        "price at 5 % is told to a chat that asked for 5 %",
        approached(5.0),
        Subscription("BTC", within_pct=5.0),
        None,
        Reason.FIRST,
    ),
    ("a nearer rung is silent: the chat's own was crossed too", approached(0.5), DEFAULT, None, Reason.NEARER),
    ("a look that jumped to 0.4 % is told at the chat's rung", approached(2.0, 0.4), DEFAULT, None, Reason.FIRST),
    (
        "under the nearest rung nothing is told",
        approached(0.5),
        Subscription("BTC", within_pct=0.4),
        None,
        Reason.TOO_FAR,
    ),
    ("the rung counts, not where price is by now", approached(3.0, 1.4), DEFAULT, None, Reason.TOO_FAR),
    ("2.5 % means from the 2 % rung on", approached(3.0), Subscription("BTC", within_pct=2.5), None, Reason.TOO_FAR),
    (
        "coming to the same rung in the same arming is no news",
        approached(2.0),
        DEFAULT,
        told(approached(2.0), hours_ago=9, notional_usd=1.0),
        Reason.ALREADY_TOLD,
    ),
    (
        "a distance is no filter for a cluster that forms",
        formed(rung=22.0),
        Subscription("BTC", within_pct=0.5),
        None,
        Reason.FIRST,
    ),
    ("once told, a cluster is not told again", formed(), DEFAULT, told(formed(), hours_ago=1), Reason.ALREADY_TOLD),
    (
        "one that doubled within six hours is not told again",
        formed(rung=23.0, notional_usd=1e7),
        DEFAULT,
        told(formed(), hours_ago=6),
        Reason.ALREADY_TOLD,
    ),
    (
        "one that doubled since, more than six hours ago, is",
        formed(rung=23.0, notional_usd=1e7),
        DEFAULT,
        told(formed(), hours_ago=6.1),
        Reason.ESCALATED,
    ),
    (
        "one that grew by less than double is not",
        formed(rung=23.0, notional_usd=9.9e6),
        DEFAULT,
        told(formed(), hours_ago=99),
        Reason.ALREADY_TOLD,
    ),
    (
        "growth from an unknown size is not known to be growth",
        formed(rung=23.0, notional_usd=1e9),
        DEFAULT,
        told(formed(), hours_ago=99, notional_usd=None),
        Reason.ALREADY_TOLD,
    ),
    ("a funding shock is told once an arming", shock(), DEFAULT, told(shock(), hours_ago=99), Reason.ALREADY_TOLD),
    (
        "an event without a ladder never escalates",
        formed(rung=None, notional_usd=1e9),
        DEFAULT,
        told(formed(), hours_ago=99),
        Reason.ALREADY_TOLD,
    ),
]


@pytest.mark.parametrize(("about", "subscription", "last", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_that(about: Event, subscription: Subscription | None, last: LastAlert | None, reason: Reason) -> None:
    decision = decide(about, subscription, last, default_kinds=KINDS)
    assert decision.reason is reason
    assert decision.alert == (reason in {"first", "rearmed", "escalated"})


def test_what_was_there_before_the_bot_is_adopted_silently() -> None:
    assert decide(formed(), DEFAULT, None, default_kinds=KINDS, adopted=True).reason is Reason.ADOPTED


def test_a_muted_chat_is_silent_until_the_moment_its_mute_ends() -> None:
    end = formed().taken_at_ms
    assert decide(formed(), DEFAULT, None, default_kinds=KINDS, muted_until_ms=end + 1).reason is Reason.MUTED
    assert decide(formed(), DEFAULT, None, default_kinds=KINDS, muted_until_ms=end).reason is Reason.FIRST


def test_a_market_of_its_own_goes_before_every_market() -> None:
    own, every = Subscription("BTC", within_pct=1.0), Subscription("*")
    assert subscription_for("BTC", [own, every]) is own
    assert subscription_for("ETH", [own, every]) is every
    assert subscription_for("ETH", [own]) is None


def test_news_of_a_crossing_is_good_for_ten_minutes_and_other_news_for_two_hours() -> None:
    assert expires_at_ms(approached(2.0)) - approached(2.0).taken_at_ms == 10 * MINUTE_MS
    assert expires_at_ms(formed()) - formed().taken_at_ms == 2 * HOUR_MS
    assert expires_at_ms(shock()) - shock().taken_at_ms == 2 * HOUR_MS


@given(
    rungs=st.permutations([5.0, 3.0, 2.0, 1.0, 0.5]),
    within_pct=st.floats(0.5, 10),
    hours=st.lists(st.floats(0, 48), min_size=5, max_size=5),
)
def test_an_approach_is_told_exactly_once_an_arming_however_it_goes(
    rungs: list[float], within_pct: float, hours: list[float]
) -> None:
    subscription, last, alerts, at_ms = replace(DEFAULT, within_pct=within_pct), None, 0, 0
    for rung, wait in zip(rungs, hours, strict=True):
        at_ms += round(wait * HOUR_MS)
        about = replace(approached(rung), taken_at_ms=at_ms)
        if decide(about, subscription, last, default_kinds=KINDS).alert:
            alerts += 1
            last = LastAlert("first", at_ms, rung, about.notional_usd)
    assert alerts == 1


def test_every_reason_is_either_an_alert_or_a_silence_of_these_cases() -> None:
    covered = {case[4] for case in CASES} | {Reason.ADOPTED, Reason.MUTED, Reason.MARKET_MUTED} | HELD
    assert covered == set(Reason)
    assert {Reason.FIRST, Reason.REARMED, Reason.ESCALATED} == ALERTS


NIGHT = ChatSettings("Europe/Berlin", Quiet(22 * 60, 7 * 60))


def test_a_market_that_is_muted_is_silent_until_then_and_others_are_told() -> None:
    about = formed()
    settings = ChatSettings(muted_markets={"BTC": about.taken_at_ms + 1})
    assert decide(about, DEFAULT, None, default_kinds=KINDS, settings=settings).reason is Reason.MARKET_MUTED
    over = replace(about, taken_at_ms=about.taken_at_ms + 1)
    assert decide(over, DEFAULT, None, default_kinds=KINDS, settings=settings).reason is Reason.FIRST
    other = replace(about, market="ETH")
    assert decide(other, Subscription("*"), None, default_kinds=KINDS, settings=settings).reason is Reason.FIRST


def test_what_would_be_told_in_quiet_hours_is_held_until_they_end() -> None:
    about = formed(taken_at_ms=ms("2025-12-01T23:30+01:00"))
    decision = decide(about, DEFAULT, None, default_kinds=KINDS, settings=NIGHT)
    assert (decision.reason, decision.alert) == (Reason.QUIET, False)
    assert decision.hold_until_ms == ms("2025-12-02T07:00+01:00")
    silent = decide(formed(kind="rare"), DEFAULT, None, default_kinds=KINDS, settings=NIGHT)
    assert (silent.reason, silent.hold_until_ms) == (Reason.KIND_OFF, None)


@pytest.mark.parametrize(
    ("cap", "told_today", "reason"),
    [
        (6, ToldToday(5, 1), Reason.FIRST),
        (6, ToldToday(6, 0), Reason.CAPPED),
        (6, ToldToday(2, 2), Reason.CAPPED),
        (1, ToldToday(0, 0), Reason.FIRST),
        (None, ToldToday(500, 500), Reason.FIRST),
    ],
    ids=["room left", "the day is spent", "one cluster's third is spent", "a cap of one tells one", "no cap"],
)
def test_a_daily_cap_holds_back_what_is_over_it_and_one_cluster_cannot_spend_it(
    cap: int | None, told_today: ToldToday, reason: Reason
) -> None:
    about = formed(taken_at_ms=ms("2025-12-01T12:00+01:00"))
    settings = ChatSettings("Europe/Berlin", daily_cap=cap)
    decision = decide(about, DEFAULT, None, default_kinds=KINDS, settings=settings, told_today=told_today)
    assert decision.reason is reason
    if reason is Reason.CAPPED:
        assert decision.hold_until_ms == ms("2025-12-02T00:00+01:00")


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
