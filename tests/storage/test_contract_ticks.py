"""The contract of every store: ticks, series, state, and reading alerts back."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.event import Fact, Label, Unit
from detectors.market import Bar, Funding, LiquidationTotal, MarketSnapshot, OpenInterest, Print, Side, VenueSample
from storage import venue_samples
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import Checkpoint, Committed, Cursor, Silence, Store, StoredMarket, TickCommit
from tests.storage.make import ALICE, BOB, START_MS, alert, event, evidence, look, market, snapshot, tick

finite = st.floats(allow_nan=False, allow_infinity=False)
moments = st.integers(0, 2**53)
samples = st.builds(
    VenueSample,
    st.sampled_from(["binance", "okx"]),
    st.sampled_from(["BTC/USDT:USDT", "1000PEPE/USDT:USDT"]),
    moments,
    moments,
    *[st.none() | finite] * 6,
    st.none() | moments,
    *[st.none() | finite] * 2,
)
bars = st.builds(Bar, st.just(0), st.just(300_000), *[finite] * 5, st.none() | finite)


def snapshots() -> st.SearchStrategy[MarketSnapshot]:
    return st.builds(
        MarketSnapshot,
        st.just(market()),
        st.just(0),
        finite,
        finite,
        finite,
        st.none() | bars,
        st.none() | st.builds(OpenInterest, moments, finite, moments),
        st.lists(st.builds(Funding, moments, finite, finite), max_size=2).map(tuple),
        st.lists(st.builds(Print, moments, st.sampled_from(Side), *[finite] * 3), max_size=2).map(tuple),
        st.lists(st.builds(LiquidationTotal, moments, moments, finite, finite, st.text()), max_size=2).map(tuple),
        st.lists(samples, max_size=3).map(tuple),
    )


async def test_a_market_never_seen_has_nothing_stored(store: Store) -> None:
    assert await store.load_market("BTC") == StoredMarket()
    assert list(await store.snapshots_since("BTC", None)) == []


async def test_a_tick_keeps_its_snapshot_state_and_place(store: Store) -> None:
    await store.commit_tick(tick(0))
    await store.commit_tick(tick(1))
    found = await store.load_market("BTC")
    assert found.state == b"state 1"
    assert found.cursor == Cursor(snapshot(1).taken_at_ms, START_MS + 300_000)
    assert list(await store.snapshots_since("BTC", None)) == [snapshot(0), snapshot(1)]


async def test_the_same_ticks_again_add_nothing(store: Store) -> None:
    ticks = [tick(n, alert(event(n), ALICE, BOB), silences=(Silence(BOB, "kind", "too_far"),)) for n in range(3)]
    first = await store.commit_ticks(ticks)
    before = await store.counts()
    again = await store.commit_ticks([replace(one, state=b"older") for one in ticks])
    assert first == Committed(snapshots=3, events=3, alerts=3, deliveries=6)
    assert again == Committed()
    assert await store.counts() == before
    assert (await store.load_market("BTC")).state == b"state 2"


async def test_the_first_stored_bar_wins(store: Store) -> None:
    await store.commit_tick(tick(0))
    bar = snapshot(0).bar
    assert bar is not None
    late = replace(snapshot(0), taken_at_ms=START_MS + 900_000, bar=replace(bar, close=1.0))
    assert (await store.commit_tick(TickCommit(late))).snapshots == 0
    assert list(await store.snapshots_since("BTC", None)) == [snapshot(0)]


async def test_a_look_at_a_time_that_has_passed_is_a_repeat(store: Store) -> None:
    looks = [look(START_MS + 1), look(START_MS + 2)]
    assert (await store.commit_ticks([TickCommit(one) for one in looks])).snapshots == 2
    assert (await store.commit_ticks([TickCommit(one, state=b"older") for one in looks])).snapshots == 0
    assert list(await store.snapshots_since("BTC", None)) == looks
    assert (await store.load_market("BTC")).state is None


async def test_snapshots_come_back_in_the_order_committed_and_market_by_market(store: Store) -> None:
    order = [snapshot(0), snapshot(0, "ETH"), look(START_MS + 400_000), snapshot(2), snapshot(1), snapshot(1, "ETH")]
    await store.commit_ticks([TickCommit(one) for one in order])
    assert list(await store.snapshots_since("BTC", None)) == [s for s in order if s.market.base == "BTC"]
    assert list(await store.snapshots_since("BTC", START_MS)) == [s for s in order[1:] if s.market.base == "BTC"]
    assert list(await store.snapshots_since("ETH", START_MS)) == [snapshot(1, "ETH")]


async def test_a_market_that_gains_a_venue_keeps_each_snapshots_own_view(store: Store) -> None:
    joined = replace(market(), venues=("binance", "bybit"))
    await store.commit_ticks([TickCommit(snapshot(0)), TickCommit(replace(snapshot(1), market=joined))])
    found = await store.snapshots_since("BTC", None)
    assert [one.market.venue for one in found] == ["binance", "binance+bybit"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(snapshots(), min_size=1, max_size=5))
async def test_any_snapshot_comes_back_as_it_was(made: list[MarketSnapshot]) -> None:
    def at(n: int, one: MarketSnapshot) -> MarketSnapshot:
        return replace(one, taken_at_ms=n, bar=one.bar and replace(one.bar, opened_at_ms=n))

    sent = [at(n, one) for n, one in enumerate(made)]
    store = SqliteStore(None, "recorded")
    await store.open()
    await store.commit_ticks([TickCommit(one) for one in sent])
    found = list(await store.snapshots_since("BTC", None))
    await store.close()
    assert found == sent


@pytest.mark.parametrize(
    "bad",
    [
        {"price": float("nan")},
        {"low": float("inf")},
        {"by_venue": (VenueSample("okx", "BTC/USDT:USDT", 1, 1, mark_price=float("nan")),)},
    ],
)
async def test_a_number_that_is_not_finite_is_refused_and_nothing_of_its_batch_kept(
    store: Store, bad: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="not finite"):
        await store.commit_ticks([tick(0), TickCommit(snapshot(1, **bad))])
    assert await store.load_market("BTC") == StoredMarket()
    await store.commit_tick(tick(0))
    assert list(await store.snapshots_since("BTC", None)) == [snapshot(0)]


async def test_one_bad_event_undoes_its_whole_tick(store: Store) -> None:
    broken = event(facts=(Fact("ratio", float("nan"), Unit.RATIO, Label.CALCULATED),))
    with pytest.raises(ValueError):
        await store.commit_tick(tick(0, alert(event(1)), events=(broken,)))
    assert (await store.counts()).events == {}
    assert (await store.load_market("BTC")).cursor is None


async def test_a_checkpoint_is_replaced_and_needs_its_bar(store: Store) -> None:
    await store.commit_ticks([tick(0), tick(1)])
    await store.save_checkpoint("BTC", START_MS, b"old")
    await store.save_checkpoint("BTC", START_MS + 300_000, b"new")
    assert (await store.load_market("BTC")).checkpoint == Checkpoint(START_MS + 300_000, b"new")
    with pytest.raises(ValueError, match="commit its tick first"):
        await store.save_checkpoint("BTC", START_MS + 600_000, b"ahead")
    with pytest.raises(ValueError, match="DOGE"):
        await store.save_checkpoint("DOGE", START_MS, b"unknown")
    assert list(await store.snapshots_since("DOGE", None)) == []


async def test_what_each_venue_said_is_kept_after_a_restart_in_few_bytes(store: SqlStore) -> None:
    told = tuple(
        VenueSample(venue, "BTC/USDT:USDT", START_MS + 1, START_MS + 300, 100.5, 100.25, 7.25, 5000.25, -0.0001, 8.0)
        for venue in ("binance", "okx", "bybit")
    )
    said = [replace(snapshot(n), by_venue=told[:n]) for n in range(4)]
    await store.commit_ticks([TickCommit(one) for one in said])
    store._stored_series.forget()  # as after a start: nothing is known but what is stored
    assert list(await store.snapshots_since("BTC", None)) == said
    sizes = await store._read(lambda c: c.execute("SELECT by_venue FROM snapshots ORDER BY seq").fetchall())
    assert [0 if size is None else len(size) for (size,) in sizes] == [0, 63, 125, 187]


def test_samples_of_another_format_are_never_guessed_at() -> None:
    with pytest.raises(ValueError, match="format 2"):
        venue_samples.unpack(b"\x02", 0, {})


async def test_looks_before_a_checkpoint_are_dropped_and_those_with_data_kept(store: Store) -> None:
    funded = replace(look(START_MS + 310_000), funding=(Funding(START_MS + 305_000, 0.0001, 8.0),))
    bare = replace(
        look(START_MS + 320_000), by_venue=(VenueSample("okx", "BTC/USDT:USDT", START_MS, START_MS + 1, 100.5),)
    )
    after = look(START_MS + 610_000)
    await store.commit_ticks([TickCommit(s) for s in (snapshot(0), funded, bare, snapshot(1), after)])
    await store.save_checkpoint("BTC", START_MS + 300_000, b"map")
    assert list(await store.snapshots_since("BTC", None)) == [snapshot(0), funded, snapshot(1), after]
    assert list(await store.snapshots_since("BTC", START_MS + 300_000)) == [after]


async def test_an_alert_comes_back_with_its_evidence_and_reason(store: Store) -> None:
    told = event(evidence=evidence())
    await store.commit_tick(tick(0, alert(told, reason="escalated")))
    found = await store.alert(told.key)
    assert found is not None
    assert found.event == told
    assert found.event.evidence == evidence()
    assert found.reason == "escalated"
    assert await store.alert("no such alert") is None


async def test_recent_alerts_are_the_newest_first_of_one_chat_or_market(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event(0), ALICE)))
    await store.commit_tick(tick(1, alert(event(1), ALICE, BOB)))
    await store.commit_tick(tick(2, alert(event(2, market="ETH"), BOB)))
    everything = [one.event.bar_opened_at_ms for one in await store.recent(9)]
    assert everything == [START_MS + 600_000, START_MS + 300_000, START_MS]
    assert [one.alert_id for one in await store.recent(9, chat=ALICE)] == [event(1).key, event(0).key]
    assert [one.event.market for one in await store.recent(9, market="ETH")] == ["ETH"]
    assert len(await store.recent(1, market="BTC")) == 1


async def test_a_completed_event_keeps_what_was_first_seen(store: Store) -> None:
    await store.commit_tick(tick(0, alert(event())))
    receipt = event(headline="swept")
    assert (await store.commit_tick(tick(1, completed=(receipt,)))).revisions == 1
    assert (await store.commit_tick(tick(1, completed=(receipt,)))).revisions == 0
    found = await store.alert(event().key)
    assert found is not None
    assert (found.event.headline, found.newest.headline) == ("BTC long cluster", "swept")


async def test_an_event_never_seen_cannot_be_completed(store: Store) -> None:
    with pytest.raises(ValueError, match="never stored"):
        await store.commit_tick(tick(0, completed=(event(),)))


async def test_counts_say_what_was_refused_silenced_and_seen(store: Store) -> None:
    silences = (Silence(ALICE, "k", "too_far"), Silence(BOB, "k", "too_far"), Silence(BOB, "k", "muted"))
    await store.commit_tick(tick(0, alert(event()), silences=silences))
    await store.note_refusals("BTC", {"spike": 2})
    await store.note_refusals("BTC", {"spike": 1, "gap": 1})
    await store.heartbeat(7)
    await store.heartbeat(8)
    counts = await store.counts()
    assert counts.silences == {"too_far": 2, "muted": 1}
    assert counts.refusals == {("BTC", "spike"): 3, ("BTC", "gap"): 1}
    assert counts.events == {"cluster_formed": 1}
    assert counts.deliveries == {"pending": 1}
    assert counts.oldest_pending_ms == counts.last_alert_ms == event().taken_at_ms
    assert counts.heartbeat_at_ms == 8


async def test_what_a_failed_commit_made_is_made_again_by_the_next(store: Store) -> None:
    told = tick(0, alert(event(0), BOB))
    with pytest.raises(ValueError, match="never stored"):
        await store.commit_ticks([told, replace(tick(1), completed=(event(5),))])
    assert await store.commit_tick(told) == Committed(snapshots=1, events=1, alerts=1, deliveries=1)
    assert [claim.chat for claim in await store.claim(0, 10)] == [BOB]
