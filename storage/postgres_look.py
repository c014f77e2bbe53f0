"""A look at a PostgreSQL database beside the bot that works with it: for checks from outside. It changes nothing.

It neither takes the lock nor waits for one, and gives up after a few seconds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from storage.migrations import APPLICATION_ID
from storage.postgres import PostgresConnection

_WITHIN_MS = 5000


@dataclass(frozen=True, slots=True)
class Look:
    """What a database is like for the user that the URL names."""

    version: str
    encoding: str
    has_tables: bool
    """Clusterwatch has worked with it before."""
    may_create: bool
    """A start could make or upgrade the tables."""
    is_led: bool
    """A bot works with it now."""


def look(url: str) -> Look:
    """Raises psycopg.Error."""
    with _beside(url) as connection:
        version, encoding, tables, may_create, led = connection.execute(
            "SELECT current_setting('server_version'), current_setting('server_encoding'), "
            "to_regclass('clusterwatch_migrations') IS NOT NULL, "
            "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), "
            # A lock of two 32-bit numbers; pg_locks shows them without their sign.
            "EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = ? "
            "AND objid::bigint = (hashtext(current_schema())::bigint & 4294967295) "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            (APPLICATION_ID,),
        ).fetchone()
    return Look(version.split()[0], encoding, tables, may_create, led)


def read(url: str, sql: str, parameters: Sequence[Any]) -> list[Any]:
    """The rows of a query; none where the database cannot be reached or has no such table."""
    try:
        with _beside(url) as connection:
            return connection.execute(sql, parameters).fetchall()
    except psycopg.Error:
        return []


@contextmanager
def _beside(url: str) -> Iterator[PostgresConnection]:
    connection = PostgresConnection(url)
    try:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = {_WITHIN_MS}")
        yield connection
    finally:
        connection.close()
