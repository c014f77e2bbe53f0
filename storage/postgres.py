"""The store in PostgreSQL, for hosts whose disk does not last.

The connection that writes also holds a session-level advisory lock: losing one loses both, so two processes never write
at the same time. The server is told to notice within seconds that a connection is dead; a pooler that shares
connections between sessions (PgBouncer in transaction mode) breaks that, so connect to the server itself.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import Pipeline, RawCursor
from psycopg.conninfo import conninfo_to_dict

from storage.errors import NotOurs, StoreError
from storage.migrations import APPLICATION_ID, migrate_postgres
from storage.origin import GetOrigin, no_origin
from storage.sql import Cursor
from storage.sql_store import SqlStore
from storage.sql_writer import Connected

SCHEMES = ("postgres://", "postgresql://")
# Seconds. Both sides notice a peer that went away without a word, which is what a takeover waits for.
_OUR_SIDE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
_SERVER_SIDE = {"tcp_keepalives_idle": 2, "tcp_keepalives_interval": 1, "tcp_keepalives_count": 2}
_MOST_PREPARED = 400
# SQLSTATEs of what passes: connection, authorization (a password is changed on both sides), transactions to be made
# again, resources, objects in use, an operator's doing, the server's system and its configuration.
_PASSING_CLASSES = frozenset({"08", "28", "40", "53", "55", "57", "58", "F0"})
_PASSING = frozenset({"25006", "25P03"})
"""Read-only, as where a standby has not been promoted yet; a session ended for its idle transaction."""
_NO_NUL = str.maketrans("\x00", "\N{SYMBOL FOR NULL}")


class PostgresConnection:
    """psycopg's connection as the `storage.sql.Connection` that the SQL is written for.

    Between ``BEGIN`` and ``COMMIT`` statements are pipelined: each is sent at once, and what it gave is waited for only
    where it is looked at, or at the end. What went wrong is raised there, too, as itself.
    """

    def __init__(self, url: str) -> None:
        self.raw = psycopg.connect(
            url,
            autocommit=True,
            cursor_factory=RawCursor,
            client_encoding="utf8",
            application_name="clusterwatch",
            tcp_user_timeout=8000,
            prepare_threshold=1,
            **_OUR_SIDE,
        )
        self.raw.prepared_max = _MOST_PREPARED
        self._trace: Callable[[str], object] | None = None
        self._piped = ExitStack()
        self._pipeline: Pipeline | None = None
        self._unheard = False
        """Something was sent into the pipeline and its answer not waited for yet."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        if self._trace is not None:
            self._trace(sql)
        if sql == "ROLLBACK":
            self._leave(broken_off=True)
        elif sql == "BEGIN":
            self._enter()
        cursor = self.raw.execute(numbered(sql), _storable(parameters))
        if sql == "COMMIT":
            self._leave()
        return self._answer(cursor)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        if self._trace is not None:
            self._trace(sql)
        cursor = self.raw.cursor()
        cursor.executemany(numbered(sql), [_storable(row) for row in rows])
        return self._answer(cursor)

    def _answer(self, cursor: psycopg.Cursor[Any]) -> Cursor:
        if self._pipeline is None:
            return cursor
        self._unheard = True
        return _Answer(cursor, self.heard)

    @property
    def waits(self) -> bool:
        """Whether `heard` would have to wait."""
        return self._pipeline is not None and self._unheard

    def heard(self) -> None:
        """Wait until the server has done all that it was asked for. Raises what went wrong."""
        if self._pipeline is not None and self._unheard:
            self._unheard = False
            self._pipeline.sync()

    def _enter(self) -> None:
        if self._pipeline is None:
            self._pipeline = self._piped.enter_context(self.raw.pipeline())

    def _leave(self, *, broken_off: bool = False) -> None:
        """``broken_off``: what went wrong in it is known already, or of no interest."""
        self._pipeline, self._unheard = None, False
        with suppress(psycopg.Error) if broken_off else nullcontext():
            self._piped.close()

    def stream(self, sql: str) -> Iterator[Any]:
        """The rows of a query without holding all of them; inside a transaction."""
        self._leave()
        with psycopg.RawServerCursor(self.raw, "stream") as cursor:
            cursor.itersize = 1000
            cursor.execute(sql.encode())
            yield from cursor

    def set_trace_callback(self, callback: Callable[[str], object] | None, /) -> None:
        self._trace = callback

    @property
    def lost(self) -> bool:
        return bool(self.raw.closed)

    def close(self) -> None:
        self._leave(broken_off=True)
        self.raw.close()


class _Answer:
    """A `storage.sql.Cursor` whose answer may still be on its way; ``heard`` waits for it."""

    def __init__(self, cursor: psycopg.Cursor[Any], heard: Callable[[], None]) -> None:
        self._cursor, self._heard = cursor, heard

    @property
    def rowcount(self) -> int:
        self._heard()
        return self._cursor.rowcount

    @property
    def description(self) -> Any:
        self._heard()
        return self._cursor.description

    def fetchone(self) -> Any:
        self._heard()
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        self._heard()
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        self._heard()
        return iter(self._cursor)


@lru_cache(maxsize=512)
def numbered(sql: str) -> bytes:
    """``?`` as ``$1``, ``$2`` ...; no statement of ours has a question mark in a text of its own."""
    count = 0

    def number(_: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${count}"

    return re.sub(r"\?", number, sql).encode()


def without_nul(value: Any) -> Any:
    """PostgreSQL's texts hold no NUL: its symbol takes its place."""
    return value.translate(_NO_NUL) if isinstance(value, str) and "\x00" in value else value


# Numbers go as texts, which are of the type that the statement wants: one is prepared for the types of its parameters,
# and NULL has none. psycopg writes texts twice as fast as numbers whose type is left open.
_TEXTS: dict[type, Callable[[Any], str]] = {int: str, float: repr, str: without_nul}


def _storable(values: Sequence[Any]) -> list[Any]:
    return [value if (text := _TEXTS.get(type(value))) is None else text(value) for value in values]


class PostgresStore(SqlStore):
    """``url`` is a ``postgresql://`` one; its parameters are libpq's."""

    def __init__(
        self,
        url: str,
        source: str,
        *,
        origin: GetOrigin = no_origin,
        max_subscriptions: int = 50,
        on_wait: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(source, origin=origin, max_subscriptions=max_subscriptions, on_wait=on_wait)
        self._url = url
        self._postgres: PostgresConnection | None = None
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise StoreError(
                "DATABASE_URL is not one of PostgreSQL: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            ) from None
        self._name = f"PostgreSQL database {parts.get('dbname', '')} at {parts.get('host', 'this machine')}"

    @property
    def where(self) -> str:
        return self._name

    def _lead(self) -> bool:
        if self._postgres is None or self._postgres.lost:
            self._postgres = PostgresConnection(self._url)
            for setting, value in _SERVER_SIDE.items():
                self._postgres.execute(f"SET {setting} = {value}")
        # Two bots may share a database, each in a schema of its own.
        lock = "SELECT pg_try_advisory_lock(CAST(? AS INTEGER), hashtext(current_schema()))"
        return bool(self._postgres.execute(lock, (APPLICATION_ID,)).fetchone()[0])

    def _connect(self) -> Connected:
        connection = self._postgres
        assert connection is not None
        try:
            self._check_encoding(connection)
            (before,) = connection.execute("SELECT to_regclass('clusterwatch_migrations') IS NOT NULL").fetchone()
            migrate_postgres(connection, self.where)
        except psycopg.errors.DuplicateTable as error:
            self._disconnect()
            raise NotOurs(
                f"{self.where} holds another program's tables: give Clusterwatch a database or a schema of its own."
            ) from error
        except BaseException:
            self._disconnect()
            raise
        return Connected(connection, created=not before)

    def _check_encoding(self, connection: PostgresConnection) -> None:
        (encoding,) = connection.execute("SHOW server_encoding").fetchone()
        if encoding != "UTF8":
            raise NotOurs(f"{self.where} is encoded as {encoding}: make one with ENCODING 'UTF8'.")

    def _disconnect(self) -> None:
        if self._postgres is not None:
            self._postgres.close()
        self._postgres = None

    def _is_lost(self) -> bool:
        return self._postgres is None or self._postgres.lost

    def _is_unavailable(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg.Error) or isinstance(error, psycopg.errors.PipelineAborted):
            return False  # a pipeline is aborted by another error, which comes first
        state = error.sqlstate
        if state is None:  # not of the server: the connection broke, or is none any more
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return state[:2] in _PASSING_CLASSES or state in _PASSING

    async def backup(self) -> str | None:
        """None: backups of the database are its provider's, or ``pg_dump``'s."""
        return None
