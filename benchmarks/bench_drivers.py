"""psycopg against asyncpg on the same server: ``python -m benchmarks drivers``.

Statements in a transaction: one after the other, all rows of one at once, and (psycopg alone can) different ones in a
pipeline, which is how the store works. asyncpg is no dependency: where it is not installed, its rows are left out.
To have them, ``pip install --target DIR asyncpg`` and ``PYTHONPATH=DIR python -m benchmarks drivers``.
"""

import asyncio
import importlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from benchmarks.store_ticks import p99
from storage.postgres import PostgresConnection, numbered
from tests import postgres_server

STATEMENTS = 50
TABLE = "CREATE TABLE IF NOT EXISTS numbers (id BIGINT PRIMARY KEY, name TEXT NOT NULL, price DOUBLE PRECISION)"
INSERT = "INSERT INTO numbers VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
SELECT = "SELECT name, price FROM numbers WHERE id = ?"
Row = tuple[str, ...]


def run(*, quick: bool) -> list[Report]:
    rounds = 10 if quick else 300
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server.start(Path(folder) / "postgres", fsync="on") as server,
    ):
        rows = asyncio.run(_psycopg(server.create_database(), rounds))
        there = find_spec("asyncpg") is not None
        if there:
            rows += asyncio.run(_asyncpg(server.create_database(), rounds))
    notes = (f"{rounds} transactions of {STATEMENTS} statements each, prepared, flushed to the disk at their end.",)
    missing = () if there else ("asyncpg is not installed here; see benchmarks/bench_drivers.py.",)
    columns = ("driver", "statements", "p50", "p99", "processor time of the client")
    return [Report("A transaction by driver, milliseconds", columns, tuple(rows), (*notes, *missing))]


async def _timed(driver: str, what: str, rounds: int, work: Callable[[int], Awaitable[None]]) -> Row:
    for n in range(5):  # prepares, and gives the server's plans time to settle
        await work(n)
    taken, used = [], time.process_time()
    for n in range(5, 5 + rounds):
        started = time.perf_counter()
        await work(n)
        taken.append(time.perf_counter() - started)
    used = (time.process_time() - used) / rounds
    return (driver, what, *(f"{seconds * 1000:.2f}" for seconds in (statistics.median(taken), p99(taken), used)))


def _rows(start: int) -> list[tuple[int, str, float]]:
    return [(start + n, "a name", n / 3) for n in range(STATEMENTS)]


async def _psycopg(url: str, rounds: int) -> list[Row]:
    connection = PostgresConnection(url)
    raw = connection.raw
    raw.execute(TABLE.encode())
    insert, select = numbered(INSERT), numbered(SELECT)

    async def one_by_one(n: int) -> None:
        raw.execute(b"BEGIN")
        for row in _rows(n * STATEMENTS):
            raw.execute(insert, row)
        raw.execute(b"COMMIT")

    async def read(n: int) -> None:
        raw.execute(b"BEGIN")
        for key in range(n, n + STATEMENTS):
            raw.execute(select, (key,)).fetchone()
        raw.execute(b"COMMIT")

    async def piped(n: int) -> None:
        connection.execute("BEGIN")
        for row in _rows(-n * STATEMENTS):
            connection.execute(INSERT, row)
        connection.execute("COMMIT")

    async def many(n: int) -> None:
        connection.execute("BEGIN")
        connection.executemany(INSERT, _rows((n + rounds + 5) * STATEMENTS))
        connection.execute("COMMIT")

    rows = [
        await _timed("psycopg", "writes, one by one", rounds, one_by_one),
        await _timed("psycopg", "reads, one by one", rounds, read),
        await _timed("psycopg", "writes in a pipeline", rounds, piped),
        await _timed("psycopg", "rows of one write", rounds, many),
    ]
    connection.close()
    return rows


async def _asyncpg(url: str, rounds: int) -> list[Row]:
    asyncpg: Any = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(url)
    await connection.execute(TABLE)
    insert, select = numbered(INSERT).decode(), numbered(SELECT).decode()

    async def one_by_one(n: int) -> None:
        async with connection.transaction():
            for row in _rows(n * STATEMENTS):
                await connection.execute(insert, *row)

    async def read(n: int) -> None:
        async with connection.transaction():
            for key in range(n, n + STATEMENTS):
                await connection.fetchrow(select, key)

    async def many(n: int) -> None:
        async with connection.transaction():
            await connection.executemany(insert, _rows((n + rounds + 5) * STATEMENTS))

    rows = [
        await _timed("asyncpg", "writes, one by one", rounds, one_by_one),
        await _timed("asyncpg", "reads, one by one", rounds, read),
        await _timed("asyncpg", "rows of one write", rounds, many),
    ]
    await connection.close()
    return rows
