"""One process leads: another waits for it, takes over within five seconds, and one that lost its place ends."""
# ruff: noqa: ASYNC220 - a test may wait for a process to start

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage.errors import StoreUnavailable, Superseded
from storage.outbox import Sent
from storage.postgres import PostgresStore
from storage.sql import Cursor
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import Committed, Opened
from tests.conftest import CHECKOUT
from tests.storage.make import BOB, alert, event, tick
from tests.storage.relay import Relay

CHILD = """
import asyncio, sys
from pathlib import Path
from storage.postgres import PostgresStore
from storage.sqlite import SqliteStore
place = sys.argv[1]
store = PostgresStore(place, "recorded") if "://" in place else SqliteStore(Path(place), "recorded")
asyncio.run(store.open())
print("leads", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / "bot.db")


def made(place: str, waits: list[str] | None = None) -> SqlStore:
    told = waits.append if waits is not None else None
    if "://" in place:
        return PostgresStore(place, "recorded", on_wait=told)
    return SqliteStore(Path(place), "recorded", on_wait=told)


def cut_off(url: str) -> None:
    """End every other connection to the database, as a server's restart does."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def written(store: SqlStore, n: int) -> None:
    """As the bot does: again, until the store takes it."""
    async with asyncio.timeout(5):
        while True:
            try:
                await store.commit_tick(tick(n, alert(event(n, subject=f"s{n}"))))
            except StoreUnavailable:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_process_that_is_killed_is_followed_within_five_seconds(place: str) -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", CHILD, place], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"leads\n"
        waits: list[str] = []
        follower = made(place, waits)
        opening = asyncio.create_task(follower.open())
        await asyncio.sleep(0.6)
        assert not opening.done()
        leader.kill()
        killed = time.monotonic()
        assert await opening == Opened(created=False, returned=0)
        assert time.monotonic() - killed < 5
    await follower.close()
    assert len(waits) == 1


async def test_waiting_can_be_given_up_and_leaves_the_leader_alone(place: str) -> None:
    first, second = made(place), made(place)
    await first.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.open(), 0.4)
    await second.close()
    await first.commit_tick(tick(0))
    third = made(place)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(third.open(), 0.4)
    await third.close()
    await first.close()


async def test_whoever_waits_goes_on_waiting_while_the_server_is_away_and_leads_once_it_is_back_and_free(
    postgres_url: str,
) -> None:
    leader, waits = made(postgres_url), list[str]()
    await leader.open()
    async with Relay(postgres_url) as relay:
        follower = made(relay.url, waits)
        opening = asyncio.create_task(follower.open())
        await until(lambda: follower.standing_by)
        assert follower.condition is None
        await relay.cut()
        await until(lambda: follower.condition is not None)
        assert "cannot be reached" in str(follower.condition)
        assert follower.standing_by
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(opening), 0.3)
        await leader.close()
        back = time.monotonic()
        await relay.mend()
        assert await opening == Opened(created=False, returned=0)
        assert time.monotonic() - back < 5
        assert follower.condition is None
        await follower.commit_tick(tick(0))
        await follower.close()
    assert len(waits) == 2
    assert waits[0].startswith("Waiting for the other copy")
    assert "goes on trying" in waits[1]


async def test_while_the_server_is_away_a_waiting_process_looks_less_often(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, pauses = made(postgres_url), list[float]()
    await leader.open()
    async with Relay(postgres_url) as relay:
        follower = made(relay.url)
        pause = asyncio.sleep

        async def counted(seconds: float) -> None:
            pauses.append(seconds)
            await pause(0.001)

        monkeypatch.setattr("storage.sql_writer.asyncio.sleep", counted)
        opening = asyncio.create_task(follower.open())
        await until(lambda: bool(pauses))
        await relay.cut()
        await until(lambda: pauses[-2:] == [2.0, 2.0])
        assert sorted(pauses) == pauses
        assert {0.25, 0.5, 1.0} <= set(pauses)
        await relay.mend()
        await until(lambda: pauses[-1] == 0.25)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await follower.close()
    await leader.close()


async def test_a_first_start_that_does_not_find_its_server_says_so_at_once(postgres_url: str) -> None:
    async with Relay(postgres_url) as relay:
        await relay.cut()
        store = made(relay.url)
        with pytest.raises(StoreUnavailable, match="cannot be opened"):
            await store.open()
        await store.close()
        await relay.mend()


async def until(happens: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happens():
            await asyncio.wait([asyncio.create_task(asyncio.to_thread(time.sleep, 0.005))])


async def test_a_lost_connection_is_made_anew_and_nothing_is_lost_or_written_twice(postgres_url: str) -> None:
    store = made(postgres_url)
    await store.open()
    for n in range(6):
        if n % 2:
            cut_off(postgres_url)
        await written(store, n)
    assert len(await store.snapshots_since("BTC", None)) == 6
    assert (await store.counts()).deliveries == {"pending": 6}
    await store.close()


async def test_what_fails_on_a_connection_that_was_made_anew_is_stored_by_the_next_attempt(postgres_url: str) -> None:
    store = made(postgres_url)
    await store.open()
    await store.commit_tick(tick(0))
    cut_off(postgres_url)
    told = tick(1, alert(event(1), BOB))
    fails = replace(tick(2), completed=(event(9),))
    await notices_that_it_was_cut_off(store)
    with pytest.raises(ValueError, match="never stored"):
        await store.commit_ticks([told, fails])
    assert await store.commit_tick(told) == Committed(snapshots=1, events=1, alerts=1, deliveries=1)
    await store.close()


async def notices_that_it_was_cut_off(store: SqlStore) -> None:
    with pytest.raises(StoreUnavailable):
        await store.heartbeat(0)


async def test_whoever_lost_the_lead_to_another_writes_nothing_more(postgres_url: str) -> None:
    first, second = made(postgres_url), made(postgres_url)
    await first.open()
    await first.commit_tick(tick(0))
    opening = asyncio.create_task(second.open())
    cut_off(postgres_url)
    for _ in range(100):
        try:
            await asyncio.wait_for(asyncio.shield(opening), 0.1)
            break
        except StoreUnavailable:  # the waiting connection was cut off as well: its process begins again
            opening = asyncio.create_task(second.open())
        except TimeoutError:
            continue
    assert opening.done()
    for _ in range(2):
        with pytest.raises(Superseded, match=r"took PostgreSQL .* over"):
            await written(first, 1)
    await second.commit_tick(tick(1))
    assert len(await second.snapshots_since("BTC", None)) == 2
    await first.close()
    await second.close()


async def test_a_lock_that_the_server_has_not_let_go_yet_is_waited_for(postgres_url: str) -> None:
    store = made(postgres_url)
    await store.open()
    cut_off(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as ghost:
        ghost.execute("SELECT pg_advisory_lock(%s, hashtext(current_schema()))", (0x436C7761,))
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.commit_tick(tick(0))
    await written(store, 0)
    await store.close()


async def test_a_claim_that_nobody_heard_of_is_given_back_and_is_no_repeat(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(postgres_url, "recorded")
    await store.open()
    await store.commit_tick(tick(0, alert(event(subject="heard"))))
    (heard,) = await store.claim(0, 1)
    await store.commit_tick(tick(1, alert(event(1, subject="unheard"), BOB)))
    connection = store._postgres
    assert connection is not None
    execute = connection.execute

    def breaks_after_the_commit(sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        done = execute(sql, parameters)
        if sql == "COMMIT":
            connection.close()
            raise psycopg.OperationalError("the connection broke")
        return done

    monkeypatch.setattr(connection, "execute", breaks_after_the_commit)
    with pytest.raises(StoreUnavailable, match="broke"):
        await store.claim(0, 1)
    (again,) = await store.claim(0, 9)
    assert (again.deliveries[0].event.subject, again.deliveries[0].attempts) == ("unheard", 1)
    assert not again.deliveries[0].possible_repeat
    await store.settle(heard.deliveries, Sent("m"))
    assert (await store.counts()).deliveries == {"sent": 1, "sending": 1}
    await store.close()
