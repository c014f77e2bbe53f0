"""The contract of every store: what came of alerts is kept once and for good, beside the series it was judged on."""

import pytest

from detectors.chance import Chance
from detectors.event import Event, Fact, Label, OutcomeClass, Question, Unit
from detectors.market import LiquidationTotal, Print, Side
from detectors.scoring import Scored, group_of
from storage.chats import Subscription
from storage.store import Store, TickCommit
from tests.storage.make import ALICE, BAR_MS, START_MS, alert, event, look, snapshot, tick

ONE = event(0)
TWO = event(1, kind="funding_shock", side=None, level=None, subject="funding")
ALL = {"cluster_formed": 2**52, "funding_shock": 2**52}
FACTS = (Fact("depth", 0.75, Unit.FRACTION, Label.OBSERVED),)


def scored(made: Event = ONE, outcome: OutcomeClass = OutcomeClass.REACHED, chance: Chance | None = None) -> Scored:
    asked = Question(Side.LONG, 0.02, 7_200_000, wanted=False)
    at_ms = made.taken_at_ms
    return Scored(
        made.key, made.kind, made.market, group_of(made), made.side, at_ms, outcome, at_ms + 9, asked, chance, FACTS
    )


async def told(store: Store) -> None:
    await store.watch(ALICE, Subscription("BTC"))
    await store.commit_tick(tick(0, alert(ONE)))
    await store.commit_tick(tick(1, alert(TWO)))


async def test_every_alert_is_to_be_judged_until_something_is_known_of_it(store: Store) -> None:
    await told(store)
    assert [one.key for one in await store.to_judge("BTC", ALL)] == [ONE.key, TWO.key]
    assert dict(await store.waiting()) == {"cluster_formed": 1, "funding_shock": 1}
    assert await store.save_outcomes([scored()]) == 1
    assert [one.key for one in await store.to_judge("BTC", ALL)] == [TWO.key]
    assert dict(await store.waiting("BTC")) == {"funding_shock": 1}
    assert dict(await store.waiting("ETH")) == {}


async def test_only_alerts_are_judged_of_kinds_and_times_that_are_asked_for(store: Store) -> None:
    await told(store)
    await store.commit_tick(tick(2, events=(event(2, subject="seen by nobody"),)))
    assert [one.key for one in await store.to_judge("BTC", ALL)] == [ONE.key, TWO.key]
    assert await store.to_judge("BTC", {"cluster_formed": ONE.taken_at_ms - 1}) == []
    assert [one.key for one in await store.to_judge("BTC", {"cluster_formed": ONE.taken_at_ms})] == [ONE.key]
    assert await store.to_judge("ETH", ALL) == []


async def test_an_outcome_comes_back_as_it_was_saved(store: Store) -> None:
    await told(store)
    saved = scored(chance=Chance(0.41, 900))
    await store.save_outcomes([saved, scored(TWO, OutcomeClass.UNJUDGED)])
    first, second = await store.outcomes(with_alert=True)
    assert first.event == ONE
    assert second.event == TWO
    for found, expected in ((first, saved), (second, scored(TWO, OutcomeClass.UNJUDGED))):
        assert found.facts == FACTS
        for name in ("key", "kind", "market", "group", "side", "taken_at_ms", "outcome", "question", "chance"):
            assert getattr(found, name) == getattr(expected, name), name
    assert [(one.facts, one.event) for one in await store.outcomes()] == [((), None)] * 2


async def test_outcomes_are_found_by_time_market_and_kind(store: Store) -> None:
    await told(store)
    await store.save_outcomes([scored(), scored(TWO)])
    assert [one.key for one in await store.outcomes(TWO.taken_at_ms)] == [TWO.key]
    assert [one.key for one in await store.outcomes(kind="cluster_formed")] == [ONE.key]
    assert [one.key for one in await store.outcomes(market="BTC", kind="funding_shock")] == [TWO.key]
    assert await store.outcomes(market="ETH") == []


async def test_the_first_outcome_stays_and_only_its_chance_is_told_anew(store: Store) -> None:
    await told(store)
    await store.save_outcomes([scored()])
    assert await store.save_outcomes([scored(outcome=OutcomeClass.MISSED)]) == 0
    await store.save_chances({ONE.key: Chance(0.3, 50)})
    (kept,) = await store.outcomes()
    assert (kept.outcome, kept.chance) == (OutcomeClass.REACHED, Chance(0.3, 50))
    await store.save_chances({ONE.key: None})
    assert [one.chance for one in await store.outcomes()] == [None]


async def test_what_is_undecided_or_of_no_alert_is_refused_and_nothing_of_it_is_kept(store: Store) -> None:
    await told(store)
    with pytest.raises(ValueError, match="not decided yet"):
        await store.save_outcomes([scored(TWO), scored(outcome=OutcomeClass.UNDECIDED)])
    with pytest.raises(ValueError, match="never stored"):
        await store.save_outcomes([scored(TWO), scored(event(7))])
    assert await store.outcomes() == []


async def test_the_series_holds_the_bars_of_the_time_in_order_and_no_looks(store: Store) -> None:
    for number in range(4):
        await store.commit_tick(tick(number))
    await store.commit_tick(TickCommit(look(START_MS + 4 * BAR_MS + 9_000)))
    series = await store.series("BTC", START_MS + BAR_MS, START_MS + 3 * BAR_MS)
    assert series.opened_at_ms.tolist() == [START_MS + BAR_MS, START_MS + 2 * BAR_MS]
    assert series.closed_at_ms.tolist() == [START_MS + 2 * BAR_MS, START_MS + 3 * BAR_MS]
    bar = snapshot(1).bar
    assert bar is not None
    assert (series.low[0], series.high[0], series.close[0]) == (bar.low, bar.high, bar.close)
    assert len(await store.series("ETH", 0)) == 0
    assert len(await store.series("BTC", 0)) == 4


async def test_the_series_holds_what_was_seen_liquidated_where_that_is_asked_for(store: Store) -> None:
    early = Print(START_MS + 1, Side.LONG, 100.0, 1.0, 100.0)
    late = Print(START_MS + BAR_MS + 1, Side.SHORT, 101.0, 2.0, 202.0)
    total = LiquidationTotal(START_MS, BAR_MS, 5.0, 6.0, "binance")
    await store.commit_tick(TickCommit(snapshot(0, prints=(early,))))
    await store.commit_tick(TickCommit(snapshot(1, prints=(late,), liquidations=(total,))))
    whole = await store.series("BTC", 0, observed_since_ms=0)
    assert whole.print_at_ms.tolist() == [early.taken_at_ms, late.taken_at_ms]
    assert whole.print_side.tolist() == [0, 1]
    assert whole.print_usd.tolist() == [100.0, 202.0]
    assert whole.totals == (total,)
    later = await store.series("BTC", 0, observed_since_ms=START_MS + BAR_MS + 1)
    assert later.print_at_ms.tolist() == [late.taken_at_ms]
    assert (await store.series("BTC", 0)).print_at_ms.tolist() == []
