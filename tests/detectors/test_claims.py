"""The article's claims are answered from the record, with their n; few cases are called few."""

from dataclasses import replace

import pytest

from detectors.chance import Chance
from detectors.claims import LEAST, LUCK, UNKNOWN, claims_of, funding_shocks, sharp_approaches, slow_builds
from detectors.event import Fact, Label, OutcomeClass, Question, Unit
from detectors.market import DAY_MS, HOUR_MS, Side
from detectors.scoring import Scored
from tests.storage.make import START_MS, event


def text(name: str, value: str) -> Fact:
    return Fact(name, value, Unit.TEXT, Label.ESTIMATED)


def alert(day: int, kind: str, *facts: Fact, came: bool = True, chance: float = 0.5, **measured: float) -> Scored:
    at_ms = START_MS + day * DAY_MS
    told = event(taken_at_ms=at_ms, kind=kind, subject=f"{kind}-{day}", facts=facts)
    outcome = OutcomeClass.REACHED if came else OutcomeClass.MISSED
    return Scored(
        told.key,
        kind,
        "BTC",
        kind,
        Side.LONG,
        at_ms,
        outcome,
        at_ms + DAY_MS,
        Question(Side.LONG, 0.02, DAY_MS),
        Chance(chance, 900),
        tuple(Fact(name, value, Unit.RATIO, Label.OBSERVED) for name, value in measured.items()),
        told,
    )


def builds(slow_pct: list[float], fast_pct: list[float]) -> list[Scored]:
    named = [("slow", value) for value in slow_pct] + [("fast", value) for value in fast_pct]
    return [
        alert(day, "cluster_formed", text("build_class", built), overshoot_1h_pct=value)
        for day, (built, value) in enumerate(named)
    ]


def test_slow_builds_that_clear_more_violently_are_called_so_and_fast_ones_too() -> None:
    violent, tame = [1.0 + day / 100 for day in range(30)], [0.3 + day / 100 for day in range(30)]
    claim = slow_builds(builds(violent, tame))
    assert (claim.verdict, claim.n) == ("yes", {"slow": 30, "fast": 30})
    assert claim.figures["slow_farther"] == 1.0
    assert slow_builds(builds(tame, violent)).verdict == "no, the other way round"
    alike = [float(day % 7) for day in range(30)]
    assert slow_builds(builds(alike, alike)).verdict == LUCK


def test_a_cluster_told_of_twice_counts_once_and_untouched_ones_not_at_all() -> None:
    once = builds([1.0] * LEAST, [0.5] * LEAST)
    twice = [replace(one, kind="cluster_approached") for one in once]
    untouched = [replace(one, facts=()) for one in builds([1.0] * 40, [])]
    assert slow_builds([*once, *twice]).n == {"slow": LEAST, "fast": LEAST}
    assert slow_builds(untouched).n == {"slow": 0, "fast": 0}


def test_how_far_price_went_on_after_a_sweep_says_nothing_of_the_band() -> None:
    """A sweep is judged by a move of two per cent, so its overshoot is counted from there."""
    sweeps = [replace(one, kind="cluster_consumed") for one in builds([1.0] * 40, [0.5] * 40)]
    assert slow_builds(sweeps).n == {"slow": 0, "fast": 0}


def test_few_builds_are_called_few() -> None:
    assert slow_builds(builds([1.0] * (LEAST - 1), [0.1] * 50)).verdict == UNKNOWN


def approaches(sharp: list[bool], grind: list[bool], sharp_chance: float = 0.5) -> list[Scored]:
    return [
        alert(day, "cluster_approached", text("approach", "sharp move"), came=came, chance=sharp_chance)
        for day, came in enumerate(sharp)
    ] + [alert(day, "cluster_approached", text("approach", "slow grind"), came=came) for day, came in enumerate(grind)]


def test_sharp_approaches_are_held_against_their_own_chance_level() -> None:
    often, seldom = [day % 10 != 0 for day in range(60)], [day % 10 == 0 for day in range(60)]
    assert sharp_approaches(approaches(often, seldom)).verdict == "yes"
    # price reaches more in restless times: as much more by chance is no difference
    level = sharp_approaches(approaches(often, [day % 2 == 0 for day in range(60)], sharp_chance=0.9))
    assert level.verdict == LUCK
    assert level.figures["difference_beyond_chance"] == pytest.approx(0.0, abs=0.01)


def test_shocks_that_dissolve_clusters_are_told_from_dissolutions_at_any_time() -> None:
    shocks = [alert(day, "funding_shock") for day in range(3, 63, 5)]
    after = [replace(one, kind="cluster_dissolved", taken_at_ms=one.taken_at_ms + 3 * HOUR_MS) for one in shocks]
    span = [alert(0, "other"), alert(70, "other")]
    claim = funding_shocks([*shocks, *after, *span])
    assert claim.verdict == "yes"
    assert claim.figures["dissolved_after"] == 12
    anyway = [alert(day, "cluster_dissolved") for day in range(1, 70)]
    assert funding_shocks([*shocks, *anyway, *span]).verdict == LUCK
    others = [replace(one, side=Side.SHORT) for one in after]
    assert funding_shocks([*shocks, *others, *span]).figures["dissolved_after"] == 0


def test_without_anything_every_claim_is_open() -> None:
    assert [claim.verdict for claim in claims_of([])] == [UNKNOWN] * 3
    assert all(claim.asks.endswith("?") for claim in claims_of([]))
