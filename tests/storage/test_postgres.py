"""What PostgreSQL alone does: statements in a pipeline, few waits for the server, whatever the number of chats."""

from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from storage.chats import Chat, Subscription
from storage.outbox import Sent
from storage.postgres import PostgresStore
from storage.sql import MOST_LISTED, Connection, insert, listed
from storage.store import TickCommit
from tests.storage.make import alert, event, look, snapshot, tick
from tests.storage.trips import Trips


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres_url, "recorded")
    await made.open()
    yield made
    await made.close()


def chats(number: int) -> list[Chat]:
    return [Chat("console", str(n)) for n in range(number)]


@pytest.mark.parametrize("number", [1, 60])
async def test_a_tick_with_an_alert_waits_once_for_the_server_however_many_chats_are_told(
    store: PostgresStore, number: int
) -> None:
    for chat in chats(number):
        await store.watch(chat, Subscription("BTC"))
    await store.commit_tick(tick(0, alert(event(), *chats(number))))  # the market and the view are made here
    trips = Trips(store)
    committed = await store.commit_tick(tick(1, alert(event(1, subject="s"), *chats(number))))
    assert (committed.events, committed.alerts, committed.deliveries) == (1, 1, number)
    assert trips.count == 1
    await store.commit_tick(tick(2))
    assert trips.count == 2


async def test_numbers_arrive_as_they_were(store: PostgresStore) -> None:
    low, high = 5e-324, 1.7976931348623157e308  # the smallest and the largest that there are
    await store.commit_tick(TickCommit(look(2**53, price=0.1 + 0.2)))
    await store.commit_tick(TickCommit(replace(look(2**53 + 1, price=0.1), low=low, high=high)))
    first, second = await store.snapshots_since("BTC", None)
    assert (first.taken_at_ms, first.price) == (2**53, 0.1 + 0.2)
    assert (second.taken_at_ms, second.low, second.high) == (2**53 + 1, low, high)


async def test_a_moment_of_many_markets_waits_once_for_the_server(store: PostgresStore) -> None:
    bases = [f"M{n}" for n in range(40)]
    await store.commit_ticks([replace(tick(0), snapshot=snapshot(0, base)) for base in bases])
    trips = Trips(store)
    committed = await store.commit_ticks([replace(tick(1), snapshot=snapshot(1, base)) for base in bases])
    assert committed.snapshots == len(bases)
    assert trips.count == 1


@pytest.mark.parametrize("number", [1, 32])
async def test_a_claim_and_its_settlement_wait_five_times_for_the_server_whatever_the_number_of_chats(
    store: PostgresStore, number: int
) -> None:
    await store.commit_tick(tick(0, alert(event(), *chats(number))))
    trips = Trips(store)
    claims = await store.claim(0, number)
    assert len(claims) == number
    assert trips.count == 3
    await store.settle_all([(claim.deliveries, Sent("m")) for claim in claims])
    assert trips.count == 5
    assert (await store.counts()).deliveries == {"sent": number}


async def test_what_goes_wrong_inside_a_pipeline_is_raised_as_itself_and_nothing_of_it_is_kept(
    store: PostgresStore,
) -> None:
    def wrong(connection: Connection) -> None:
        connection.execute("INSERT INTO refusals VALUES ('BTC', 'before', 1)")
        connection.execute("INSERT INTO refusals VALUES ('BTC', 'twice', 1)")
        connection.execute("INSERT INTO refusals VALUES ('BTC', 'twice', 1)")
        connection.execute("INSERT INTO refusals VALUES ('BTC', 'after', 1)")

    with pytest.raises(psycopg.errors.UniqueViolation, match="twice"):
        await store._write(wrong)
    assert (await store.counts()).refusals == {}
    await store.commit_tick(tick(0, alert(event())))
    assert len(await store.claim(0, 1)) == 1


async def test_a_wait_in_the_middle_raises_what_went_wrong_before_it(store: PostgresStore) -> None:
    def wrong(connection: Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('source', 'twice')")
        connection.execute("SELECT count(*) FROM meta").fetchone()

    with pytest.raises(psycopg.errors.UniqueViolation, match="source"):
        await store._write(wrong)
    assert (await store.commit_tick(tick(0))).snapshots == 1


@pytest.mark.parametrize("number", [1, 2, 5, 64, 300, MOST_LISTED])
async def test_lists_have_one_of_a_few_lengths_and_rows_go_in_in_order_and_once(
    store: PostgresStore, number: int
) -> None:
    names = [(f"m{n}",) for n in range(number)]
    texts = {listed(names[:n])[0] for n in range(1, number + 1)}
    assert len(texts) <= 6

    def put(connection: Connection) -> list[str]:
        insert(connection, "markets (base)", names)
        marks, values = listed(names)
        found = connection.execute(f"SELECT base FROM markets WHERE base IN ({marks}) ORDER BY id", values)
        return [base for (base,) in found.fetchall()]

    assert await store._write(put) == [base for (base,) in names]


async def test_a_state_that_did_not_change_is_not_written_again_but_after_a_failure_it_is(
    store: PostgresStore, postgres_url: str
) -> None:
    def version() -> str:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            return str(other.execute("SELECT xmin, blob FROM states").fetchone())

    await store.commit_tick(tick(0, state=b"same"))
    first = version()
    await store.commit_tick(tick(1, state=b"same"))
    assert version() == first
    with pytest.raises(ValueError, match="not finite"):
        await store.commit_ticks([tick(2, state=b"other"), replace(tick(3), snapshot=look(10**13, price=float("nan")))])
    await store.commit_tick(tick(2, state=b"other"))
    assert "other" in version()
    assert (await store.load_market("BTC")).state == b"other"


async def test_looks_and_bars_that_were_stored_before_are_told_apart_inside_one_transaction(
    store: PostgresStore,
) -> None:
    await store.commit_ticks([tick(0), tick(2)])
    late = tick(1)  # a bar that was missing so far, between two that are there
    committed = await store.commit_ticks([late, tick(2), late, tick(3)])
    assert committed.snapshots == 2
    assert [one.bar.opened_at_ms for one in await store.snapshots_since("BTC", None) if one.bar] == [
        tick(n).snapshot.bar.opened_at_ms  # type: ignore[union-attr]
        for n in (0, 2, 1, 3)
    ]
    again = replace(tick(0), snapshot=look(tick(3).snapshot.taken_at_ms))
    assert (await store.commit_tick(again)).snapshots == 0
