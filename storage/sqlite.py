"""The store in SQLite.

Write-ahead log with ``synchronous=FULL``: a commit that returned survives a power cut. SQLite up to 3.51.2 can damage
a write-ahead log that two connections reset, hence one connection.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlite_utils import Database

from storage.migrations import migrate_sqlite
from storage.origin import GetOrigin, no_origin
from storage.sql import Connection
from storage.sql_store import SqlStore
from storage.sql_writer import Connected
from storage.sqlite_files import DatabaseFile

_PASSING = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Result codes of what may go well later: a lock, a disk, rights, memory."""
_WRITE_BACK_AFTER = 500
"""Pages in the log, about: half of what SQLite itself waits for, which then makes a commit wait (4 ms for 0.4)."""
_PAGES_A_COMMIT = 4
"""Besides one a row, about."""


class SqliteStore(SqlStore):
    """``path`` None: a temporary store in memory, for replays."""

    begin = "BEGIN IMMEDIATE"  # takes the write lock at once, so that it cannot fail half-way for want of it

    def __init__(
        self,
        path: Path | None,
        source: str,
        *,
        origin: GetOrigin = no_origin,
        max_subscriptions: int = 50,
        on_wait: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(source, origin=origin, max_subscriptions=max_subscriptions, on_wait=on_wait)
        self._file = DatabaseFile(path) if path else None
        self._database: Database | None = None
        self._full = False
        self._changes, self._in_log = 0, 0

    @property
    def where(self) -> str:
        return str(self._file.path) if self._file else "The temporary store"

    def _lead(self) -> bool:
        return self._file is None or self._file.lock()

    def _connect(self) -> Connected:
        notes = self._file.ready() if self._file else []
        created = self._file is None or not self._file.path.exists()
        self._database = database = Database(self._file.path if self._file else ":memory:", execute_plugins=False)
        try:
            if self._file:
                database.conn.execute("PRAGMA busy_timeout = 10000")
                database.conn.execute("PRAGMA journal_mode = WAL")
                database.conn.execute("PRAGMA synchronous = FULL")
            database.conn.execute("PRAGMA foreign_keys = ON")
            migrate_sqlite(database, self.where)
        except BaseException:
            self._disconnect()
            raise
        if self._file:
            self._file.mark()
            self._full = not self._file.keep_ballast()
        return Connected(database.conn, created, tuple(notes))

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None
        if self._file is not None:
            self._file.unlock()

    def _make_room(self, error: BaseException) -> bool:
        if not isinstance(error, sqlite3.Error) or error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            return False
        self._full = True
        if self._file is None or not self._file.give_up_ballast():
            return False
        with suppress(sqlite3.Error):  # a log that is written back is written anew from its beginning
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        return True

    def _after_commit(self) -> Callable[[], object] | None:
        """The log is written back between two commits rather than inside of one."""
        if self._database is None or self._file is None:
            return None
        changes = self._database.conn.total_changes
        self._in_log += changes - self._changes + _PAGES_A_COMMIT
        self._changes = changes
        if self._in_log < _WRITE_BACK_AFTER:
            return None
        self._in_log = 0
        return self._write_back

    def _write_back(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):  # it stays in the log, and SQLite tries it with one of the next commits
                self._database.conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @property
    def condition(self) -> str | None:
        full = "The disk of the database is full: make room; alerts may come late"
        return full if self._full else super().condition

    async def heartbeat(self, now_ms: int) -> None:
        await super().heartbeat(now_ms)
        file = self._file
        if self._full and file is not None:
            self._full = not await self._run(file.keep_ballast)

    def _roll_back(self, connection: Connection) -> None:
        # A full disk or a failed read rolls back by itself, and a second time is an error.
        if self._database is not None and self._database.conn.in_transaction:
            connection.execute("ROLLBACK")

    def _is_unavailable(self, error: BaseException) -> bool:
        # Python calls a wrong statement operational, too, which would be tried for ever.
        return isinstance(error, sqlite3.Error) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _PASSING

    async def backup(self) -> str | None:
        file = self._file
        return None if file is None else str(await self._read(file.backup))
