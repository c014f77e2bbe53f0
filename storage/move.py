"""Carry a whole database over to another, of either backend: all in one transaction, read back before it ends.

Every table of the schema is copied row by row with its ids; counts and checksums of both sides must agree, or nothing
is kept. The source is left as it was.
"""
# ruff: noqa: S608 - only names from the schema are formatted into a statement; every value is bound

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from storage.errors import StoreError, StoreUnavailable
from storage.migrations import steps
from storage.postgres import PostgresConnection, without_nul
from storage.sql import Connection
from storage.sql_writer import SqlWriter

Progress = Callable[[str, int, int], object]
"""Told (table, rows carried, rows in all)."""
_AT_ONCE = 1000
_WAITS_S = (0.0, 0.1, 0.3, 0.6)
"""A server needs a moment to let go of the lock of a bot that has just ended."""


def tables() -> list[str]:
    """Every table of the schema, none before one that it refers to."""
    text = "\n".join(steps().values())
    gone = set(re.findall(r"^DROP TABLE (\w+)", text, re.MULTILINE))
    return [name for name in re.findall(r"^CREATE TABLE (\w+)", text, re.MULTILINE) if name not in gone]


def numbered_tables() -> list[str]:
    """Those whose ids the database gives out."""
    return re.findall(r"^CREATE TABLE (\w+) \(\s*id \{id\}", "\n".join(steps().values()), re.MULTILINE)


def move(source: SqlWriter, target: SqlWriter, on_progress: Progress = lambda *_: None) -> dict[str, int]:
    """The rows carried over, by table. Neither store may be open, here or elsewhere; both are closed after.

    Raises StoreError: a running bot holds one of them, the source is empty, or the target is not.
    """
    try:
        before = _attach(source)
        counts = _counts(before)
        if not sum(counts.values()):
            raise StoreError(f"{source.where} is empty: there is nothing to carry over.")
        after = _attach(target)
        if sum(_counts(after).values()):
            raise StoreError(
                f"{target.where} is not empty, and two histories cannot be joined: name an empty database."
            )
        with source.transaction(before), target.transaction(after):
            _carry(before, after, counts, on_progress)
            _compare(before, after, counts, target.where)
    finally:
        target.detach()
        source.detach()
    return counts


def _attach(store: SqlWriter) -> Connection:
    for wait_s in _WAITS_S:
        time.sleep(wait_s)
        connection = store.attach()
        if connection is not None:
            return connection
    raise StoreUnavailable(f"A running Clusterwatch works with {store.where}: stop it first.")


def _counts(connection: Connection) -> dict[str, int]:
    return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables()}


def _carry(before: Connection, after: Connection, counts: dict[str, int], on_progress: Progress) -> None:
    for table in tables():
        names = _columns(after, table)
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
        done = 0
        for rows in _rows(before, table, names):
            after.executemany(insert, rows)
            done += len(rows)
            on_progress(table, done, counts[table])
    if isinstance(after, PostgresConnection):
        for table in numbered_tables():
            after.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table})) "
                f"WHERE EXISTS (SELECT 1 FROM {table})"
            )


def _compare(before: Connection, after: Connection, counts: dict[str, int], where: str) -> None:
    for table in tables():
        names = _columns(after, table)
        there = _checksum(after, table, names)
        if there != _checksum(before, table, names) or there[0] != counts[table]:
            raise StoreError(f"{table} did not arrive in {where} as it was: nothing was kept there; try again.")


def _checksum(connection: Connection, table: str, names: Sequence[str]) -> tuple[int, int]:
    """(rows, sum of the rows' hashes), whatever their order."""
    count, total = 0, 0
    for rows in _rows(connection, table, names):
        count += len(rows)
        for row in rows:
            total += int.from_bytes(hashlib.sha256(repr(row).encode("utf-8", "surrogatepass")).digest()[:16])
    return count, total % 2**128


def _rows(connection: Connection, table: str, names: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
    select = f"SELECT {', '.join(names)} FROM {table}"
    batch: list[tuple[Any, ...]] = []
    rows = connection.stream(select) if isinstance(connection, PostgresConnection) else connection.execute(select)
    for row in rows:
        # SQLite keeps numbers in ``meta`` as it was given them; texts lose what PostgreSQL cannot hold.
        batch.append(tuple(without_nul(str(value) if table == "meta" else value) for value in row))
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _columns(connection: Connection, table: str) -> list[str]:
    return [column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]
