"""A database is carried over whole, to either backend and back, or not at all."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import main
from detectors.market import PrintGap, VenueSample
from storage.chats import Chat, Subscription
from storage.errors import StoreError, StoreUnavailable
from storage.move import move, tables
from storage.outbox import Sent
from storage.postgres import PostgresConnection, PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import Silence
from tests.storage.make import ALICE, BOB, START_MS, alert, event, evidence, snapshot, tick

TARGETS = ("sqlite", "postgres")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SqlStore]:
    """A store of an empty database, anew with every call."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda: PostgresStore(url, "recorded")
    return lambda: SqliteStore(tmp_path / "new.db", "recorded")


async def filled(path: Path) -> None:
    store = SqliteStore(path, "recorded")
    await store.open()
    for n in range(5):
        told = event(n, evidence=evidence(), subject=f"s{n}", headline="€ ☃ \x00")
        await store.commit_tick(tick(n, alert(told, ALICE, BOB), silences=(Silence(BOB, "k", "far"),)))
    claims = await store.claim(0, 9)
    await store.settle(claims[0].deliveries, Sent("m"))
    said = (VenueSample("okx", "BTC/USDT:USDT", START_MS, START_MS + 1, 100.5),)
    last = tick(5, completed=(event(0, subject="s0", headline="swept"),))
    await store.commit_tick(replace(last, snapshot=replace(snapshot(5), by_venue=said)))
    await store.save_checkpoint("BTC", START_MS, bytes(range(256)))
    await store.watch(Chat("console", "a\x00b"), Subscription("BTC"))
    await store.note_refusals("BTC", {"spike": 2})
    await store.note_gaps([PrintGap("okx", START_MS)])
    await store.heartbeat(7)
    await store.close()


def rows(store: SqlStore) -> dict[str, list[tuple[object, ...]]]:
    connection = store.attach()
    assert connection is not None
    found = {table: sorted(map(tuple, connection.execute(f"SELECT * FROM {table}")), key=repr) for table in tables()}
    store.detach()
    return found


async def test_every_table_of_both_schemas_is_carried(path: Path, postgres_url: str) -> None:
    await filled(path)
    for store, listed in (
        (SqliteStore(path, ""), "SELECT name FROM sqlite_master WHERE type = 'table'"),
        (PostgresStore(postgres_url, ""), "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"),
    ):
        connection = store.attach()
        assert connection is not None
        names = {name for (name,) in connection.execute(listed)}
        store.detach()
        assert names - {"_sqlite_migrations", "clusterwatch_migrations"} == set(tables())


async def test_everything_arrives_and_comes_back_the_same(path: Path, postgres_url: str, tmp_path: Path) -> None:
    await filled(path)
    there = move(SqliteStore(path, ""), PostgresStore(postgres_url, ""))
    back = move(PostgresStore(postgres_url, ""), SqliteStore(tmp_path / "back.db", ""))
    assert there == back
    assert {table: there[table] for table in ("snapshots", "events", "deliveries", "chats")} == {
        "snapshots": 6,
        "events": 5,
        "deliveries": 10,
        "chats": 3,
    }
    first, last = rows(SqliteStore(path, "")), rows(SqliteStore(tmp_path / "back.db", ""))
    for table in set(tables()) - {"meta"}:
        expected = [tuple(v.replace("\x00", "␀") if isinstance(v, str) else v for v in row) for row in first[table]]
        assert last[table] == sorted(expected, key=repr), table


async def test_the_bot_goes_on_in_the_new_place(path: Path, target: Callable[[], SqlStore]) -> None:
    await filled(path)
    move(SqliteStore(path, ""), target())
    store = target()
    opened = await store.open()
    assert not opened.created
    assert opened.returned == 1
    assert (await store.load_market("BTC")).state == b"state 5"
    fresh = await store.commit_tick(tick(6, alert(event(6, subject="new"), Chat("console", "carol"))))
    assert (fresh.snapshots, fresh.deliveries) == (1, 1)
    repeated = await store.commit_tick(tick(1, alert(event(1, subject="s1"), ALICE, BOB)))
    assert (repeated.snapshots, repeated.deliveries) == (0, 0)
    await store.close()


async def test_a_target_that_holds_anything_is_refused(path: Path, target: Callable[[], SqlStore]) -> None:
    await filled(path)
    store = target()
    await store.open()
    await store.close()
    with pytest.raises(StoreError, match="not empty"):
        move(SqliteStore(path, ""), target())


async def test_a_move_cut_off_leaves_the_target_empty_and_can_be_made_again(
    path: Path, target: Callable[[], SqlStore]
) -> None:
    await filled(path)

    def cut(table: str, done: int, of: int) -> None:
        if table == "deliveries":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(SqliteStore(path, ""), target(), cut)
    assert not any(rows(target()).values())
    assert sum(move(SqliteStore(path, ""), target()).values()) > 30


async def test_a_row_that_arrives_changed_is_noticed_and_nothing_is_kept(
    path: Path, target: Callable[[], SqlStore]
) -> None:
    await filled(path)
    spoiled = target()
    attach = spoiled.attach

    def attach_and_spoil() -> object:
        connection = attach()
        assert connection is not None
        execute = connection.executemany

        def executemany(sql: str, given: list[tuple[object, ...]]) -> object:
            if sql.startswith("INSERT INTO chats"):
                given = [(*row[:2], "mallory", *row[3:]) if row[2] == "alice" else row for row in given]
            return execute(sql, given)

        return Spoiled(connection, executemany)

    class Spoiled:
        def __init__(self, connection: object, executemany: object) -> None:
            self.connection, self.executemany = connection, executemany

        def __getattr__(self, name: str) -> object:
            return getattr(self.connection, name)

    spoiled.attach = attach_and_spoil  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreError, match="chats did not arrive"):
        move(SqliteStore(path, ""), spoiled)
    assert not any(rows(target()).values())


async def test_a_running_bots_database_is_left_alone(path: Path, postgres_url: str) -> None:
    await filled(path)
    running = SqliteStore(path, "recorded")
    await running.open()
    with pytest.raises(StoreUnavailable, match="stop it first"):
        move(SqliteStore(path, ""), PostgresStore(postgres_url, ""))
    await running.close()


def test_the_command_carries_over_says_so_and_refuses_twice(path: Path, postgres_url: str) -> None:
    asyncio.run(filled(path))
    order = ["move", "--from", str(path), "--to", postgres_url]
    done = CliRunner().invoke(main, order)
    assert done.exit_code == 0, done.output
    assert "compared by count and checksum" in done.output
    assert "set DATABASE_URL" in done.output
    with_ids = PostgresConnection(postgres_url)
    assert with_ids.execute("SELECT count(*) FROM deliveries").fetchone() == (10,)
    with_ids.close()
    again = CliRunner().invoke(main, order)
    assert again.exit_code == 2
    assert "not empty" in again.output
