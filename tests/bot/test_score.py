"""Alerts are scored from the stored series, when their horizon has passed and whenever the job happens to run."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from bot.playback import Tally, play
from bot.score import Scorer
from bot.watch import Watcher
from detectors import odds
from detectors.event import Event, Fact, Label, OutcomeClass, Unit
from detectors.market import DAY_MS, HOUR_MS
from detectors.registry import find_kinds
from detectors.scoring import Scored
from storage.outbox import Sent, Task
from storage.sqlite import SqliteStore
from storage.store import NewAlert
from tests.bot.played import CHAT, config, market, moments, play_all, standing, subscribe, watcher

DAYS = 9.0


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    """`played` opens it."""
    made = SqliteStore(None, "simulated")
    yield made
    await made.close()


@pytest.fixture
async def empty() -> AsyncIterator[SqliteStore]:
    """Opened and watched, with nothing in it."""
    made = SqliteStore(None, "simulated")
    await made.open()
    await subscribe(made)
    yield made
    await made.close()


def scorer(store: SqliteStore, *, keep_bars: bool = False, **kinds: object) -> Scorer:
    return Scorer(store, find_kinds(), config(kinds=kinds).kinds, keep_bars=keep_bars)


async def played(store: SqliteStore) -> Watcher:
    """After nine days, all of which `CHAT` was told of."""
    return await standing(store, days=DAYS)


async def nothing(_alerts: Sequence[NewAlert]) -> None: ...


def facts_of(scored: Sequence[Scored]) -> list[tuple[object, ...]]:
    return [(one.key, one.outcome, one.decided_at_ms, one.question, one.facts) for one in scored]


async def test_every_alert_whose_horizon_has_passed_gets_its_outcome_and_the_others_wait(store: SqliteStore) -> None:
    watching = await played(store)
    decided = await scorer(store).score(watching.market_times())
    alerts = await store.recent(10_000)
    outcomes = await store.outcomes(with_alert=True)
    horizons = {name: kind.horizon_ms(kind.settings) + HOUR_MS for name, kind in find_kinds().items()}
    end_ms = watching.market_times()["BTC"]
    due = {alert.alert_id for alert in alerts if alert.event.taken_at_ms + horizons[alert.event.kind] <= end_ms}
    assert {one.key for one in outcomes} == due
    assert decided == len(due) > 10
    assert sum((await store.waiting()).values()) == len(alerts) - len(due)
    assert {one.outcome for one in outcomes} == {OutcomeClass.REACHED, OutcomeClass.MISSED}


async def test_an_alert_that_reached_nobody_is_scored_all_the_same(store: SqliteStore) -> None:
    """Nothing was claimed or sent here: decided is what counts."""
    watching = await played(store)
    await scorer(store).score(watching.market_times())
    assert (await store.counts()).deliveries.get("sent", 0) == 0
    assert await store.outcomes()


async def test_scoring_again_changes_nothing_and_when_it_runs_makes_no_difference(store: SqliteStore) -> None:
    at_once = scorer(store)
    watching = await played(store)
    await at_once.score(watching.market_times())
    before = await store.outcomes(with_alert=True)
    assert await at_once.score(watching.market_times(), anew=True) == 0
    assert await store.outcomes(with_alert=True) == before
    daily = SqliteStore(None, "simulated")
    await daily.open()
    await subscribe(daily)
    day_by_day = watcher(daily, batch=7)
    await day_by_day.start([market()])
    await play(moments(DAYS), day_by_day, Tally(), nothing, scorer=scorer(daily, keep_bars=True))
    assert facts_of(await daily.outcomes(with_alert=True)) == facts_of(before)
    assert [one.chance for one in await daily.outcomes()] == [one.chance for one in before]
    await daily.close()


async def test_the_configured_settings_are_the_ones_that_count(store: SqliteStore) -> None:
    watching = await played(store)
    short = scorer(store, cluster_approached={"judged_after_hours": 2.0})
    await short.score(watching.market_times())
    found = await store.outcomes(kind="cluster_approached")
    assert found
    assert {one.question.horizon_ms for one in found if one.question} == {2 * HOUR_MS}
    assert {one.decided_at_ms - one.taken_at_ms for one in found} == {3 * HOUR_MS}


async def test_a_hole_in_the_series_leaves_alerts_unjudged_and_counted(store: SqliteStore, empty: SqliteStore) -> None:
    await played(store)
    first = min(one.event.taken_at_ms for one in await store.recent(10_000))
    hole = range(first + HOUR_MS, first + 2 * HOUR_MS)
    missing = [m for m in moments(DAYS) if m[0].taken_at_ms not in hole and m[0].taken_at_ms < first + 5 * DAY_MS]
    watching = watcher(empty, batch=500)
    await watching.start([market()])
    await play_all(watching, missing)
    await scorer(empty).score(watching.market_times())
    outcomes = {one.taken_at_ms: one for one in await empty.outcomes()}
    assert outcomes[first].outcome is OutcomeClass.UNJUDGED
    assert any(one.judged for one in outcomes.values())


async def test_an_alert_carries_its_odds_once_enough_like_it_are_judged(
    empty: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odds, "LEAST", 8)  # thirty take a month to come
    judging = scorer(empty, cluster_formed={"judged_after_hours": 3.0})
    watching = Watcher(empty, config().engine_settings(), find_kinds(), batch=200, evidence=False, odds=judging.odds)
    await watching.start([market()])
    await play(moments(DAYS), watching, Tally(), nothing, scorer=judging)
    formed = [one for one in reversed(await empty.recent(10_000)) if one.event.kind == "cluster_formed"]
    with_odds = [one.event for one in formed if one.event.value("odds") is not None]
    assert with_odds
    first = with_odds[0]
    judged_then = [
        one
        for one in await empty.outcomes(kind="cluster_formed")
        if one.decided_at_ms <= first.taken_at_ms // DAY_MS * DAY_MS and one.judged
    ]
    assert first.number("odds_n") == len(judged_then) >= 8
    assert first.number("odds_reached") == sum(one.reached for one in judged_then)
    assert formed[0].event.value("odds") is None


async def test_a_restart_knows_the_odds_at_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odds, "LEAST", 8)
    watching = await played(store)
    judging = scorer(store, cluster_formed={"judged_after_hours": 3.0})
    await judging.score(watching.market_times())
    formed = next(one.event for one in await store.recent(10_000) if one.event.kind == "cluster_formed")
    again = scorer(store, cluster_formed={"judged_after_hours": 3.0})
    assert again.odds(formed) == ()
    await again.refresh(watching.market_times()["BTC"])
    assert again.odds(formed) == judging.odds(formed) != ()


async def test_a_chat_that_watches_nothing_makes_no_alerts_and_no_outcomes(empty: SqliteStore) -> None:
    await empty.unwatch(CHAT, None)
    watching = watcher(empty, batch=500)
    await watching.start([market()])
    await play_all(watching, moments())
    assert (await empty.counts()).events
    assert await scorer(empty).score(watching.market_times()) == 0


async def test_a_sweep_told_of_is_edited_once_its_receipt_is_whole_and_stays_the_same_event(empty: SqliteStore) -> None:
    told: dict[str, list[tuple[Task, Event]]] = {}
    watching = Watcher(
        empty,
        config().engine_settings(),
        find_kinds(),
        evidence=False,
        odds=lambda _: (Fact("odds", "in 90 days", Unit.TEXT, Label.CALCULATED),),
    )
    await watching.start([market()])
    for number, moment in enumerate(moments(DAYS)):
        await watching.take(moment)
        for claim in await empty.claim(number, 50, flush=True):
            for delivery in claim.deliveries:
                told.setdefault(delivery.event.key, []).append((claim.task, delivery.event))
            await empty.settle(claim.deliveries, Sent("1"))
    sweeps = {key: seen for key, seen in told.items() if key.startswith("cluster_consumed")}
    whole = {key: seen for key, seen in sweeps.items() if len(seen) > 1}
    assert whole
    for (first_task, first), (second_task, second) in whole.values():
        assert (first_task, second_task) == (Task.SEND, Task.EDIT)
        assert replace(first, facts=()) == replace(second, facts=())
        assert first.value("receipt_after_minutes") is None
        assert second.value("receipt_after_minutes") is not None
        assert first.value("odds") == second.value("odds") == "in 90 days"
    assert all(len(seen) == 1 for key, seen in told.items() if key not in sweeps)
