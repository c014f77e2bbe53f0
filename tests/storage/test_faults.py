"""Which failures of a database pass, so that the same call is made again, and which are faults of ours.

Every exception that psycopg and sqlite3 know has its verdict here: a new one of theirs turns this red.
"""

import asyncio
import inspect
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from storage.errors import StoreUnavailable
from storage.postgres import PostgresStore
from storage.sql import Connection
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from tests.storage.locking import lateness_s
from tests.storage.make import alert, event, tick
from tests.storage.test_leader import cut_off

PASSES, FAULT = True, False
SQLSTATES = {
    "08": PASSES,  # connection
    "28": PASSES,  # authorization: a password that is changed here and there
    "40": PASSES,  # a transaction to be made again
    "53": PASSES,  # disk full, too many connections, memory
    "55": PASSES,  # a lock that was not to be had, an object in use
    "57": PASSES,  # shut down, cancelled
    "58": PASSES,  # the server's disk
    "F0": PASSES,  # the server's configuration
    **dict.fromkeys(("02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23"), FAULT),
    **dict.fromkeys(("24", "25", "26", "27", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F"), FAULT),
    **dict.fromkeys(("42", "44", "54", "72", "HV", "P0", "XX"), FAULT),
}
EXCEPTIONS_OF_A_CLASS = {
    "ReadOnlySqlTransaction": PASSES,  # a standby that is not promoted yet
    "IdleInTransactionSessionTimeout": PASSES,  # the session is over
}
WITHOUT_SQLSTATE = {
    "OperationalError": PASSES,  # the connection broke
    "InterfaceError": PASSES,  # it is none any more
    "ConnectionTimeout": PASSES,
    "CancellationTimeout": PASSES,
    "_WaitTimeout": PASSES,
    "PipelineAborted": FAULT,  # what aborted it comes first
    "Error": FAULT,
    "Warning": FAULT,
    "DatabaseError": FAULT,
    "DataError": FAULT,
    "IntegrityError": FAULT,
    "InternalError": FAULT,
    "NotSupportedError": FAULT,
    "ProgrammingError": FAULT,
}
RESULT_CODES = {
    **dict.fromkeys(("PERM", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR", "FULL"), PASSES),
    **dict.fromkeys(("CANTOPEN", "PROTOCOL"), PASSES),
    **dict.fromkeys(("ERROR", "INTERNAL", "ABORT", "CORRUPT", "NOTFOUND", "EMPTY", "SCHEMA", "TOOBIG"), FAULT),
    **dict.fromkeys(("CONSTRAINT", "MISMATCH", "MISUSE", "NOLFS", "AUTH", "FORMAT", "RANGE", "NOTADB"), FAULT),
}
"""https://www.sqlite.org/rescode.html, the primary ones that are errors."""
SQLITE_EXCEPTIONS = {"DataError", "DatabaseError", "Error", "IntegrityError", "InterfaceError", "InternalError"} | {
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
}


def classes(module: object) -> dict[str, type[Exception]]:
    return {name: found for name, found in inspect.getmembers(module, inspect.isclass) if issubclass(found, Exception)}


def test_every_exception_of_psycopg_has_its_verdict() -> None:
    store = PostgresStore("postgresql://localhost/nowhere", "recorded")
    for name, kind in classes(psycopg.errors).items():
        state = getattr(kind, "sqlstate", None)
        expected = WITHOUT_SQLSTATE[name] if state is None else EXCEPTIONS_OF_A_CLASS.get(name, SQLSTATES[state[:2]])
        assert store._is_unavailable(kind("x")) is expected, name
    assert not store._is_unavailable(ValueError("x"))


@pytest.mark.parametrize("code", RESULT_CODES)
def test_every_result_code_of_sqlite_has_its_verdict_whatever_python_calls_it(code: str) -> None:
    store = SqliteStore(None, "recorded")
    assert set(classes(sqlite3)) == SQLITE_EXCEPTIONS
    number: int = getattr(sqlite3, f"SQLITE_{code}")
    for kind in (sqlite3.OperationalError, sqlite3.DatabaseError):
        for extended in (number, number | 3 << 8):
            error = kind("x")
            error.sqlite_errorcode = extended
            assert store._is_unavailable(error) is RESULT_CODES[code]


def test_what_python_raises_by_itself_is_a_fault_of_ours() -> None:
    store = SqliteStore(None, "recorded")
    assert not any(store._is_unavailable(kind("x")) for kind in (*classes(sqlite3).values(), ValueError))


# --- provoked


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return tmp_path / "bot.db"


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[SqlStore]:
    made: SqlStore = SqliteStore(place, "recorded") if isinstance(place, Path) else PostgresStore(place, "recorded")
    await made.open()
    yield made
    await made.close()


async def test_a_locked_database_never_holds_up_the_event_loop(store: SqlStore, place: Path | str) -> None:
    """How late it comes while one is locked for three seconds is measured by ``python -m benchmarks store``."""
    assert await lateness_s(store, place) < 0.05


async def test_a_statement_that_is_wrong_is_raised_as_it_is_and_never_tried_for_ever(store: SqlStore) -> None:
    def wrong(connection: Connection) -> None:
        connection.execute("SELECT 1 FROM no_such_table").fetchall()

    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable), match="no_such_table"):
        await store._write(wrong)
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable), match="no_such_table"):
        await store._read(wrong)
    assert (await store.commit_tick(tick(0))).snapshots == 1


@pytest.mark.parametrize("after", range(1, 9))
async def test_a_connection_cut_in_the_middle_of_a_tick_keeps_nothing_of_it_and_the_same_call_does_it_once(
    postgres_url: str, after: int
) -> None:
    store = PostgresStore(postgres_url, "recorded")
    await store.open()
    connection, count = store._postgres, 0
    assert connection is not None

    def cut(_: str) -> None:
        nonlocal count
        count += 1
        if count == after:
            cut_off(postgres_url)

    connection.set_trace_callback(cut)
    told = tick(0, alert(event()))
    with pytest.raises(StoreUnavailable):
        await store.commit_tick(told)
    assert count >= after
    until = time.monotonic() + 5
    while True:
        try:
            committed = await store.commit_tick(told)
            break
        except StoreUnavailable:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
    assert (committed.snapshots, committed.alerts, committed.deliveries) == (1, 1, 1)
    assert (await store.counts()).deliveries == {"pending": 1}
    await store.close()


async def test_a_database_that_takes_no_writes_for_a_while_is_waited_for(postgres_url: str) -> None:
    store = PostgresStore(postgres_url, "recorded")
    await store.open()
    assert store._postgres is not None
    store._postgres.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        await store.commit_tick(tick(0))
    store._postgres.execute("SET default_transaction_read_only = off")
    assert (await store.commit_tick(tick(0))).snapshots == 1
    await store.close()
