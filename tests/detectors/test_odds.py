"""The odds line: said with enough alerts, in words that promise nothing, and never from what is known only later."""

from dataclasses import replace

from detectors.chance import Chance
from detectors.event import Event, OutcomeClass, Question
from detectors.market import DAY_MS, HOUR_MS, Side
from detectors.odds import is_odds, odds_table
from detectors.registry import find_kinds
from detectors.scoring import Scored
from tests.storage.make import START_MS, event

NOW_MS = START_MS + 90 * DAY_MS
FORMED = find_kinds()["cluster_formed"]
ASKED = event(taken_at_ms=NOW_MS)


def record(
    n: int, reached: int, chance: float | None = 0.41, market: str = "BTC", since_ms: int = START_MS
) -> list[Scored]:
    """Alerts spread over the time up to now."""
    made = []
    for number in range(n):
        at_ms = since_ms + (NOW_MS - 2 * DAY_MS - since_ms) * number // max(1, n - 1)
        outcome = OutcomeClass.REACHED if number * reached // n < (number + 1) * reached // n else OutcomeClass.MISSED
        level = None if chance is None else Chance(chance, 900)
        question = Question(Side.LONG, 0.02, DAY_MS)
        made.append(
            Scored(
                f"{market}-{number}",
                "cluster_formed",
                market,
                "cluster_formed",
                Side.LONG,
                at_ms,
                outcome,
                at_ms + DAY_MS,
                question,
                level,
            )
        )
    return made


def said(scored: list[Scored], about: Event = ASKED, now_ms: int = NOW_MS) -> dict[str, object]:
    return {fact.name: fact.value for fact in odds_table(scored, now_ms).facts(about, FORMED, 24 * HOUR_MS)}


def test_the_line_is_that_of_the_issue() -> None:
    assert said(record(112, 64))["odds"] == (
        "in 90 days, 64 of 112 such clusters were consumed within 24 h (57 %, at least 49 %); "
        "a level this far away by chance: 41 %"
    )


def test_under_thirty_alerts_nothing_is_said() -> None:
    assert said(record(29, 20)) == {}
    assert "odds" in said(record(30, 20))


def test_what_is_unjudged_makes_no_thirty() -> None:
    holed = [replace(one, outcome=OutcomeClass.UNJUDGED) for one in record(5, 5)]
    assert said([*record(29, 20), *holed]) == {}


def test_a_market_with_few_alerts_is_told_of_all_markets_and_says_so() -> None:
    facts = said([*record(20, 10), *record(40, 10, market="ETH")])
    assert str(facts["odds"]).startswith("in 90 days and all markets, 20 of 60 such clusters")
    assert facts["odds_market"] == "all markets"
    assert str(said([*record(31, 10), *record(40, 10, market="ETH")])["odds"]).startswith("in 90 days, 10 of 31")


def test_alerts_of_another_group_or_older_than_ninety_days_do_not_count() -> None:
    others = [replace(one, group="cluster_approached@2") for one in record(50, 50)]
    assert said(others) == {}
    assert said(record(60, 30, since_ms=START_MS - 200 * DAY_MS)) == {}


def test_what_was_decided_later_is_not_known_yet() -> None:
    alerts = record(60, 30)
    early = START_MS + 45 * DAY_MS
    known = [one for one in alerts if one.decided_at_ms <= early]
    assert odds_table(alerts, early) == odds_table(known, early)
    assert 20 < len(known) < 40


def test_without_a_chance_level_the_line_stands_alone() -> None:
    assert str(said(record(40, 20, chance=None))["odds"]).endswith("(50 %, at least 37 %)")


def test_a_kind_that_did_worse_than_chance_for_thirty_days_is_marked() -> None:
    facts = said(record(200, 60, chance=0.41))
    assert str(facts["below_chance"]).startswith("worse than chance over the last 30 days (31 % against 41 %")
    assert "below_chance" not in said(record(200, 120, chance=0.41))


def test_a_record_younger_than_thirty_days_marks_nothing() -> None:
    assert "below_chance" not in said(record(60, 5, since_ms=NOW_MS - 29 * DAY_MS))


def test_the_facts_are_told_from_those_of_the_kind() -> None:
    facts = odds_table(record(200, 60), NOW_MS).facts(ASKED, FORMED, DAY_MS)
    assert all(is_odds(fact) for fact in facts)
    assert not any(is_odds(fact) for fact in ASKED.facts)
    assert [fact.name for fact in facts if fact.shown] == ["odds", "below_chance"]
