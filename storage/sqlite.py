"""The store in SQLite: one connection in one writer thread, so that the event loop never waits for the disk.

Write-ahead log with ``synchronous=FULL``: a commit that returned survives a power cut. SQLite up to 3.51.2 can damage
a write-ahead log that two connections reset, hence one connection.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database

from detectors.chance import Chance
from detectors.event import Event
from detectors.market import MarketSnapshot, PrintGap, VenueSample
from detectors.scoring import Scored
from detectors.series import MarketSeries
from storage import (
    chat_owners,
    chat_settings,
    chat_upkeep,
    conversations,
    holds,
    outcomes,
    sqlite_alerts,
    sqlite_chats,
    sqlite_gaps,
    sqlite_outbox,
    sqlite_past,
)
from storage.chat_settings import ChatSettings
from storage.chats import Chat, LastAlert, Subscription, Watch
from storage.conversations import Context
from storage.errors import StoreError, StoreUnavailable, WrongSource
from storage.market_facts import StoredReach, StoredTiers
from storage.migrations import migrate
from storage.outbox import STORM, Claim, Delivery, Settlement, Storm
from storage.sqlite_files import DatabaseFile
from storage.sqlite_series import Series
from storage.store import ALWAYS_MS, Committed, Counts, Opened, StoredAlert, StoredMarket, TickCommit

T = TypeVar("T")


class SqliteStore:
    """``path`` None: a temporary store in memory, for replays. ``source`` is recorded, simulated or live."""

    def __init__(self, path: Path | None, source: str, *, max_subscriptions: int = 50) -> None:
        self._file = DatabaseFile(path) if path else None
        self._source = source
        self._max_subscriptions = max_subscriptions
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._database: Database | None = None
        self._series: Series | None = None
        self._closed = False

    # -- opening and closing

    async def open(self) -> Opened:
        try:
            return await self._run(self._open)
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(
                f"{self._where} cannot be opened ({error}): see who holds it, and its rights."
            ) from error

    def _open(self) -> Opened:
        notes = self._file.ready() if self._file else []
        created = self._file is None or not self._file.path.exists()
        database = Database(self._file.path if self._file else ":memory:", execute_plugins=False)
        try:
            if self._file:
                database.conn.execute("PRAGMA busy_timeout = 10000")
                database.conn.execute("PRAGMA journal_mode = WAL")
                database.conn.execute("PRAGMA synchronous = FULL")
            database.conn.execute("PRAGMA foreign_keys = ON")
            migrate(database, self._where)
            with _transaction(database.conn) as connection:
                _bind(connection, self._source, self._where)
                returned = sqlite_outbox.return_claimed(connection)
        except BaseException:
            database.close()
            raise
        if self._file:
            self._file.mark()
        self._database, self._series = database, Series(database.conn)
        return Opened(created=created, returned=returned, notes=tuple(notes))

    async def close(self) -> None:
        def close() -> None:
            if self._database is not None:
                self._database.close()
            self._database = self._series = None

        if not self._closed:
            self._closed = True
            await self._run(close)
            self._writer.shutdown()

    async def backup(self) -> str | None:
        file = self._file
        return None if file is None else str(await self._run(lambda: file.backup(self._connection)))

    # -- markets

    async def commit_tick(self, tick: TickCommit) -> Committed:
        return await self.commit_ticks((tick,))

    async def commit_ticks(self, ticks: Sequence[TickCommit]) -> Committed:
        return await self._write(lambda connection: self._commit(connection, ticks))

    def _commit(self, connection: sqlite3.Connection, ticks: Sequence[TickCommit]) -> Committed:
        total = Committed()
        states: dict[str, bytes | None] = {}
        for tick in ticks:
            if self._stored_series.add(tick.snapshot):
                base = tick.snapshot.market.base
                states[base] = states.get(base) if tick.state is None else tick.state
                sqlite_alerts.add_silences(connection, tick.silences, tick.snapshot.taken_at_ms)
                total += Committed(snapshots=1)
            if tick.events or tick.alerts or tick.completed:
                total += sqlite_alerts.add_decisions(connection, tick)
        for base, state in states.items():
            self._stored_series.save_position(base, state)
        return total

    async def save_checkpoint(self, market: str, bar_opened_at_ms: int, blob: bytes) -> None:
        await self._write(lambda _: self._stored_series.save_checkpoint(market, bar_opened_at_ms, blob))

    async def load_market(self, market: str) -> StoredMarket:
        return await self._run(lambda: self._stored_series.load(market))

    async def snapshots_since(self, market: str, bar_opened_at_ms: int | None) -> Sequence[MarketSnapshot]:
        return await self._run(lambda: self._stored_series.since(market, bar_opened_at_ms))

    async def put_before(
        self, market: str, snapshots: Sequence[MarketSnapshot], *, asked_from_ms: int, state: bytes | None = None
    ) -> int:
        def put(connection: sqlite3.Connection) -> int:
            sqlite_past.note_asked(connection, market, asked_from_ms)
            added = self._stored_series.add_before(market, snapshots)
            if added or state is not None:
                self._stored_series.save_position(market, state)
            return added

        return await self._write(put)

    async def reach(self, market: str) -> StoredReach:
        return await self._run(lambda: sqlite_past.reach(self._connection, market))

    async def note_tiers(self, market: str, tiers: StoredTiers) -> None:
        await self._write(lambda connection: sqlite_past.note_tiers(connection, market, tiers))

    async def tiers(self) -> Mapping[str, StoredTiers]:
        return await self._run(lambda: sqlite_past.tiers(self._connection))

    async def note_samples(self, samples: Mapping[str, Sequence[VenueSample]]) -> None:
        await self._write(lambda connection: sqlite_past.note_samples(connection, samples))

    async def samples(self, market: str, since_ms: int = 0) -> Sequence[VenueSample]:
        return await self._run(lambda: sqlite_past.samples(self._connection, market, since_ms))

    async def note_refusals(self, market: str, counts: Mapping[str, int]) -> None:
        rows = [(market, reason, n) for reason, n in counts.items()]
        upsert = "INSERT INTO refusals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
        await self._write(lambda connection: connection.executemany(upsert, rows))

    async def note_gaps(self, gaps: Sequence[PrintGap]) -> None:
        await self._write(lambda connection: sqlite_gaps.note(connection, gaps))

    async def gaps(self, since_ms: int = 0) -> Sequence[PrintGap]:
        return await self._run(lambda: sqlite_gaps.since(self._connection, since_ms))

    # -- outcomes

    async def to_judge(self, market: str, taken_until_ms: Mapping[str, int]) -> Sequence[Event]:
        return await self._run(lambda: outcomes.to_judge(self._connection, market, taken_until_ms))

    async def series(
        self, market: str, since_ms: int, until_ms: int = ALWAYS_MS, *, observed_since_ms: int | None = None
    ) -> MarketSeries:
        return await self._run(lambda: outcomes.series(self._connection, market, since_ms, until_ms, observed_since_ms))

    async def save_outcomes(self, scored: Sequence[Scored]) -> int:
        return await self._write(lambda connection: outcomes.save(connection, scored))

    async def save_chances(self, chances: Mapping[str, Chance | None]) -> None:
        await self._write(lambda connection: outcomes.save_chances(connection, chances))

    async def outcomes(
        self, since_ms: int = 0, *, market: str | None = None, kind: str | None = None, whole: bool = False
    ) -> Sequence[Scored]:
        return await self._run(lambda: outcomes.load(self._connection, since_ms, market, kind, whole=whole))

    async def waiting(self, market: str | None = None) -> Mapping[str, int]:
        return await self._run(lambda: outcomes.waiting(self._connection, market))

    # -- chats

    async def watch(self, chat: Chat, subscription: Subscription) -> None:
        limit = self._max_subscriptions
        await self._write(lambda connection: sqlite_chats.watch(connection, chat, subscription, limit))

    async def unwatch(self, chat: Chat, market: str | None) -> int:
        return await self._write(lambda connection: sqlite_chats.unwatch(connection, chat, market))

    async def subscriptions(self, chat: Chat | None = None) -> Sequence[Watch]:
        return await self._run(lambda: sqlite_chats.subscriptions(self._connection, chat))

    async def mute(self, chat: Chat, until_ms: int | None) -> None:
        await self._write(lambda connection: sqlite_chats.mute(connection, chat, until_ms))

    async def park(self, chat: Chat, reason: str) -> None:
        await self._write(lambda connection: sqlite_chats.park(connection, chat, reason))

    async def unpark(self, chat: Chat) -> bool:
        return await self._write(lambda connection: chat_upkeep.unpark(connection, chat))

    async def migrate_chat(self, old: Chat, new: Chat) -> bool:
        return await self._write(lambda connection: chat_upkeep.migrate(connection, old, new))

    async def note_owner(self, chat: Chat, user_id: str, most_chats: int) -> None:
        await self._write(
            lambda connection: chat_owners.note(
                connection, chat, user_id, most_chats, lambda: sqlite_chats.chat_row(connection, chat)
            )
        )

    async def set_chat_settings(self, chat: Chat, settings: ChatSettings) -> None:
        await self._write(
            lambda connection: chat_settings.save(connection, sqlite_chats.chat_row(connection, chat), settings)
        )

    async def chat_settings(self, chats: Collection[Chat] | None = None) -> Mapping[Chat, ChatSettings]:
        return await self._run(lambda: chat_settings.load(self._connection, chats))

    async def release_held(self, market_ms: int) -> int:
        return len(await self._write(lambda connection: holds.release(connection, market_ms)))

    async def put_off_held(self, chat: Chat, reason: str, until_ms: int) -> int:
        return await self._write(lambda connection: holds.put_off(connection, chat, reason, until_ms))

    async def told_since(self, chat: Chat, since_ms: int) -> Mapping[tuple[str, str], int]:
        return await self._run(lambda: holds.told_since(self._connection, chat, since_ms))

    async def last_told_all(self, kind: str, market: str, subject: str, arming: int) -> Mapping[Chat, LastAlert]:
        return await self._run(lambda: conversations.last_told_all(self._connection, kind, market, subject, arming))

    async def contexts(self, claims: Sequence[Claim]) -> Sequence[Context]:
        return await self._run(lambda: conversations.contexts(self._connection, claims))

    async def last_told(self, chat: Chat, kind: str, market: str, subject: str, arming: int) -> LastAlert | None:
        conversation = (kind, market, subject, arming)
        return await self._run(lambda: sqlite_chats.last_told(self._connection, chat, conversation))

    # -- outbox

    async def claim(
        self,
        now_ms: int,
        limit: int,
        *,
        market_ms: int | None = None,
        storm: Storm = STORM,
        flush: bool = False,
        platform: str | None = None,
    ) -> Sequence[Claim]:
        return await self._write(
            lambda connection: sqlite_outbox.claim(
                connection, now_ms, limit, market_ms, storm, flush=flush, platform=platform
            )
        )

    async def settle_all(self, settled: Sequence[tuple[Sequence[Delivery], Settlement]]) -> None:
        def settle(connection: sqlite3.Connection) -> None:
            for deliveries, settlement in settled:
                sqlite_outbox.settle(connection, deliveries, settlement)

        await self._write(settle)

    async def settle(self, deliveries: Sequence[Delivery], settlement: Settlement) -> None:
        await self._write(lambda connection: sqlite_outbox.settle(connection, deliveries, settlement))

    # -- reading back

    async def recent(self, n: int, *, chat: Chat | None = None, market: str | None = None) -> Sequence[StoredAlert]:
        return await self._run(lambda: sqlite_alerts.recent(self._connection, n, chat, market))

    async def alert(self, alert_id: str) -> StoredAlert | None:
        return await self._run(lambda: sqlite_alerts.alert(self._connection, alert_id))

    async def counts(self) -> Counts:
        return await self._run(lambda: sqlite_alerts.counts(self._connection))

    async def heartbeat(self, now_ms: int) -> None:
        replace = "INSERT OR REPLACE INTO meta VALUES ('heartbeat_at_ms', ?)"
        await self._write(lambda connection: connection.execute(replace, (now_ms,)))

    # -- the writer thread

    @property
    def _where(self) -> str:
        return str(self._file.path) if self._file else "The temporary store"

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise StoreError("The store is not open: call open() first, and nothing after close().")
        return self._database.conn

    @property
    def _stored_series(self) -> Series:
        if self._series is None:
            raise StoreError("The store is not open: call open() first, and nothing after close().")
        return self._series

    async def _run(self, work: Callable[[], T]) -> T:
        # Shielded: what was asked for is done even if the asker is cancelled while it waits for its turn.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, work))

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transact() -> T:
            connection = self._connection
            try:
                with _transaction(connection):
                    return work(connection)
            except BaseException as error:
                self._stored_series.forget()
                if isinstance(error, sqlite3.OperationalError):
                    raise StoreUnavailable(f"{self._where} cannot be written now ({error}).") from error
                raise

        return await self._run(transact)


def _bind(connection: sqlite3.Connection, source: str, where: str) -> None:
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('source', ?)", (source,))
    (bound,) = connection.execute("SELECT value FROM meta WHERE name = 'source'").fetchone()
    if bound != source:
        raise WrongSource(where, bound, source)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One transaction that takes the write lock at once, so that it cannot fail half-way for want of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
