"""A digest comes once it is due and the chat wants to hear of it: not while it is quiet or muted, not unwatched."""

from collections.abc import AsyncIterator, Sequence

import pytest

from bot.digests import NOT_WATCHED, release_due
from bot.policy import Reason, decide
from detectors.market import DAY_MS, HOUR_MS
from storage.chat_settings import ChatSettings, Quiet
from storage.chats import Chat, Subscription, Watch
from storage.sqlite import SqliteStore
from storage.store import NewAlert, NewDelivery
from tests.storage.make import ALICE, BOB, event, tick

NOON_MS = event().taken_at_ms // DAY_MS * DAY_MS + 12 * HOUR_MS
MIDNIGHT_MS = NOON_MS + 12 * HOUR_MS
NIGHT = Quiet(22 * 60, 7 * 60)


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(None, "recorded")
    await store.open()
    await store.watch(ALICE, Subscription("*"))
    yield store
    await store.close()


async def hold(store: SqliteStore, market: str = "BTC", reason: str = "capped", until_ms: int = MIDNIGHT_MS) -> None:
    told = event(market=market, subject=f"{market} {reason}")
    await store.commit_tick(tick(0, NewAlert(told, (NewDelivery(ALICE, reason, None, until_ms),))))


async def told(store: SqliteStore, now_ms: int) -> list[str]:
    """The markets that a digest of now is about."""
    await release_due(store, now_ms)
    return [one.event.market for claim in await store.claim(0, 9) for one in claim.deliveries]


def test_what_a_cap_holds_back_waits_for_the_end_of_the_quiet_hours_that_midnight_is_in() -> None:
    decision = decide(
        event(taken_at_ms=NOON_MS),
        Subscription("BTC"),
        None,
        default_kinds=frozenset({"cluster_formed"}),
        settings=ChatSettings(quiet=NIGHT, daily_cap=0),
    )
    assert (decision.reason, decision.hold_until_ms) == (Reason.CAPPED, MIDNIGHT_MS + 7 * HOUR_MS)


async def test_a_digest_that_falls_due_in_quiet_hours_said_later_waits_for_their_end(store: SqliteStore) -> None:
    await hold(store)
    await store.set_chat_settings(ALICE, ChatSettings(quiet=NIGHT, daily_cap=1))
    assert await told(store, MIDNIGHT_MS) == []
    assert await told(store, MIDNIGHT_MS + 7 * HOUR_MS - 1) == []
    assert await told(store, MIDNIGHT_MS + 7 * HOUR_MS) == ["BTC"]


async def test_a_mute_puts_a_digest_off_and_its_end_brings_it(store: SqliteStore) -> None:
    await hold(store)
    await hold(store, reason="quiet", until_ms=MIDNIGHT_MS + HOUR_MS)
    await store.mute(ALICE, MIDNIGHT_MS + DAY_MS)
    assert await told(store, MIDNIGHT_MS + DAY_MS - 1) == []
    await store.mute(ALICE, None)
    assert await told(store, MIDNIGHT_MS) == ["BTC"]


async def test_the_mute_of_one_market_leaves_the_digest_of_others_alone(store: SqliteStore) -> None:
    await hold(store)
    await hold(store, "ETH")
    await store.set_chat_settings(ALICE, ChatSettings(muted_markets={"BTC": MIDNIGHT_MS + DAY_MS}))
    assert await told(store, MIDNIGHT_MS) == ["ETH"]
    assert (await store.counts()).deliveries == {"sending": 1, "held": 1}


async def test_what_a_chat_stopped_watching_is_dropped_with_the_reason_and_counted(store: SqliteStore) -> None:
    await hold(store)
    await hold(store, "ETH")
    await store.unwatch(ALICE, None)
    await store.watch(ALICE, Subscription("ETH"))
    assert await told(store, MIDNIGHT_MS) == ["ETH"]
    assert (await store.counts()).deliveries == {"sending": 1, "expired": 1}
    notes = await store._read(lambda c: c.execute("SELECT note FROM deliveries WHERE state = 'expired'").fetchall())
    assert notes == [(NOT_WATCHED,)]


async def test_what_a_set_had_in_it_is_told_though_it_may_have_left_it(store: SqliteStore) -> None:
    await hold(store)
    await store.unwatch(ALICE, None)
    await store.watch(ALICE, Subscription("top10"))
    assert await told(store, MIDNIGHT_MS) == ["BTC"]


async def test_a_parked_chat_that_watches_still_gets_the_reason_of_its_parking(store: SqliteStore) -> None:
    await hold(store)
    await store.park(ALICE, "blocked")
    assert await told(store, MIDNIGHT_MS) == []
    assert (await store.counts()).deliveries == {"dead": 1}


async def test_while_a_muted_chat_has_a_digest_due_the_other_chats_are_not_read(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hold(store)
    await store.mute(ALICE, MIDNIGHT_MS + DAY_MS)
    await store.watch(BOB, Subscription("BTC"))
    read: list[Watch] = []
    subscriptions = store.subscriptions

    async def reading(*chats: Chat) -> Sequence[Watch]:
        read.extend(found := await subscriptions(*chats))
        return found

    monkeypatch.setattr(store, "subscriptions", reading)
    assert not await release_due(store, MIDNIGHT_MS)
    assert {one.chat for one in read} == {ALICE}


async def test_before_anything_is_due_nothing_is_asked(store: SqliteStore) -> None:
    await hold(store)
    await store.watch(BOB, Subscription("BTC"))
    assert not await release_due(store, MIDNIGHT_MS - 1)
    assert (await store.counts()).deliveries == {"held": 1}
