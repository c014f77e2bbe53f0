"""Every released schema reaches the newest with its data, on both backends, and a kill on the way is safe."""
# ruff: noqa: ASYNC240 - a test may wait for the disk

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from storage.chats import Subscription
from storage.errors import NotOurs
from storage.migrations import APPLICATION_ID, POSTGRES_WORDS, migrate_postgres, statements, steps
from storage.outbox import Sent, Task
from storage.postgres import PostgresConnection, PostgresStore
from storage.sqlite import SqliteStore
from tests.storage.make import ALICE, START_MS

RELEASED = Path(__file__).parent / "released"
"""Dumps of databases as earlier versions left them."""


@pytest.mark.parametrize("dump", sorted(RELEASED.glob("*.sql")), ids=lambda file: file.stem)
async def test_a_released_database_comes_up_with_its_data(dump: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bot.db")) as old:
        old.executescript(dump.read_text(encoding="utf-8"))
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    store = SqliteStore(tmp_path / "bot.db", "recorded")
    opened = await store.open()
    assert (opened.created, opened.returned) == (False, 1)
    stored = await store.load_market("BTC")
    assert stored.state == b"state 4"
    assert stored.checkpoint is not None
    assert len(await store.snapshots_since("BTC", None)) == 5
    assert [watch.subscription for watch in await store.subscriptions(ALICE)] == [Subscription("BTC", within_pct=3.0)]
    counts = await store.counts()
    assert counts.silences == {"far": 4}
    assert counts.refusals == {("BTC", "spike"): 2}
    assert counts.heartbeat_at_ms == 7
    assert [gap.since_ms for gap in await store.gaps()] == ([START_MS] if dump.stem >= "0002" else [])
    told = []
    while claims := await store.claim(0, 9):
        for claim in claims:
            told.append((claim.task, claim.chat, claim.deliveries[0].event.subject))
            await store.settle(claim.deliveries, Sent("m"))
    assert told == [*((Task.SEND, ALICE, f"s{n}") for n in range(1, 4)), (Task.EDIT, ALICE, "s0")]
    assert (await store.counts()).deliveries == {"sent": 4, "dead": 4}
    await store.close()
    new = SqliteStore(tmp_path / "new.db", "recorded")
    await new.open()
    await new.close()
    assert shape(tmp_path / "bot.db") == shape(tmp_path / "new.db"), "a released step was edited"


def shape(path: Path) -> set[tuple[str, str]]:
    """Every table and index with the words it was made with."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(name, " ".join(sql.split())) for name, sql in rows if not name.startswith("_sqlite_migrations")}


def tables(connection: PostgresConnection) -> set[str]:
    listed = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return {name for (name,) in connection.execute(listed)} - {"clusterwatch_migrations"}


def test_a_kill_anywhere_in_a_migration_of_postgresql_leaves_whole_steps(postgres_url: str) -> None:
    whole: list[set[str]] = [set()]
    for text in steps().values():
        made = [s.split()[2] for s in statements(text, POSTGRES_WORDS) if s.startswith("CREATE TABLE")]
        gone = [s.split()[2] for s in statements(text, POSTGRES_WORDS) if s.startswith("DROP TABLE")]
        whole.append((whole[-1] | set(made)) - set(gone))
    cuts, done = 0, 0
    while done < len(steps()):
        connection = PostgresConnection(postgres_url)
        left = 3 + 2 * cuts

        def cut(_: str, connection: PostgresConnection = connection) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                connection.close()

        connection.set_trace_callback(cut)
        try:
            migrate_postgres(connection, "here")
        except psycopg.OperationalError:
            cuts += 1
        connection.close()
        after = PostgresConnection(postgres_url)
        done = 0
        if after.execute("SELECT to_regclass('clusterwatch_migrations') IS NOT NULL").fetchone()[0]:
            done = after.execute("SELECT count(*) FROM clusterwatch_migrations").fetchone()[0]
        assert tables(after) == whole[done]
        after.close()
    assert cuts > 5


async def test_a_newer_versions_postgresql_is_refused(postgres_url: str) -> None:
    store = PostgresStore(postgres_url, "recorded")
    await store.open()
    await store._write(lambda c: c.execute("INSERT INTO clusterwatch_migrations (name) VALUES ('9999_later')"))
    await store.close()
    again = PostgresStore(postgres_url, "recorded")
    with pytest.raises(NotOurs, match="9999_later"):
        await again.open()
    await again.close()


async def test_another_programs_tables_are_left_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as theirs:
        theirs.execute("CREATE TABLE events (x INTEGER)")
    store = PostgresStore(postgres_url, "recorded")
    with pytest.raises(NotOurs, match="another program's tables"):
        await store.open()
    await store.close()
    with psycopg.connect(postgres_url, autocommit=True) as theirs:
        listed = theirs.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert listed in {(1,), (2,)}  # their own, and our record of no step
