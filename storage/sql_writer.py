"""What every SQL store does alike: one connection in one writer thread, so that the event loop never waits for it.

One process leads: whoever holds the backend's lock writes. Another waits in `lead` until the lock is free, and a leader
that lost its connection goes on only if nobody led in between, for what it has in memory would be out of date.
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from storage import sql_claim, sql_outbox
from storage.errors import StoreError, StoreUnavailable, Superseded, WrongSource
from storage.origin import GetOrigin, bind, no_origin
from storage.sql import Connection
from storage.sql_series import Series
from storage.store import Opened

T = TypeVar("T")
LOOK_EVERY_S = 0.25
"""How often a waiting process tries to lead; a takeover takes so long at most once the lock is free."""
LOOK_AGAIN_WITHIN_S = 2.0
"""As often at least where the database itself is away: a takeover within five seconds needs it."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection with this version's schema. ``created``: it was empty before."""

    connection: Connection
    created: bool
    notes: tuple[str, ...] = ()


class SqlWriter(ABC):
    """``source`` is recorded, simulated, local or live, and ``origin`` says at `open` which one, where there are many.

    ``on_wait`` is told why `lead` waits, whenever that becomes another reason.
    """

    begin = "BEGIN"

    def __init__(
        self, source: str, *, origin: GetOrigin = no_origin, on_wait: Callable[[str], object] | None = None
    ) -> None:
        self._source, self._origin = source, origin
        self._on_wait = on_wait
        self.standing_by = False
        self._away: str | None = None
        """Why the database is not there, while this copy stands by."""
        self._look_again_s = LOOK_EVERY_S
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._open_connection: Connection | None = None
        self._series: Series | None = None
        self._leader = secrets.token_hex(16)
        self._heard: set[int] = set()
        """Deliveries claimed by this process and not settled yet."""
        self._superseded = False
        self._closed = False

    # -- what a backend gives; all of it runs in the writer thread

    @property
    @abstractmethod
    def where(self) -> str:
        """The database as an operator knows it, without secrets."""

    @abstractmethod
    def _lead(self) -> bool:
        """Take the lock; False while another process has it."""

    @abstractmethod
    def _connect(self) -> Connected:
        """Connect, check and migrate; the lock is held."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the connection and let go of the lock; harmless when there is neither."""

    @abstractmethod
    def _is_unavailable(self, error: BaseException) -> bool:
        """Whether the same call may succeed later."""

    def _make_room(self, error: BaseException) -> bool:  # noqa: ARG002 - a backend may need it
        """Whether what failed is worth trying at once again, for something was done about it."""
        return False

    def _after_commit(self) -> Callable[[], object] | None:
        """What the writer thread does next, when whoever asked for the commit has its answer."""
        return None

    @property
    def condition(self) -> str | None:
        """What the operator should know of the store, for ``/status``; None when all is well."""
        return self._away

    def _is_lost(self) -> bool:
        """Whether the connection, and the lock with it, is gone."""
        return False

    # -- opening and closing

    async def open(self) -> Opened:
        await self.lead()
        with self._opening():
            return await self._run(self._open)

    async def lead(self) -> None:
        try:
            with self._opening():
                while True:
                    if await self._leads():
                        return
                    await asyncio.sleep(self._look_again_s)
        finally:
            self.standing_by, self._away = False, None

    async def _leads(self) -> bool:
        """Whoever has seen another copy lead goes on waiting where the database goes away meanwhile, and looks less
        often; a first start that does not find it is told so."""
        try:
            leads = await self._run(self._lead)
        except Exception as error:
            if not self.standing_by or not self._is_unavailable(error):
                raise
            if self._away is None:
                self._tell_waiting(f"{self.where} cannot be reached; this copy, which stands by, goes on trying.")
            self._away = f"{self.where} cannot be reached ({_words(error)})"
            self._look_again_s = min(2 * self._look_again_s, LOOK_AGAIN_WITHIN_S)
            return False
        if not leads and (not self.standing_by or self._away is not None):
            self._tell_waiting(f"Waiting for the other copy of Clusterwatch, which works with {self.where}.")
        self.standing_by, self._away, self._look_again_s = not leads, None, LOOK_EVERY_S
        return leads

    def _tell_waiting(self, text: str) -> None:
        if self._on_wait is not None:
            self._on_wait(text)

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._is_unavailable(error):
                raise StoreUnavailable(
                    f"{self.where} cannot be opened ({_words(error)}): see who holds it, and its rights."
                ) from error
            raise

    def _open(self) -> Opened:
        connected = self._connect()
        try:
            with self.transaction(connected.connection) as connection:
                _bind(connection, self._source, self.where)
                note = bind(connection, self._origin(), self.where)
                set_meta(connection, "leader", self._leader)
                returned = sql_outbox.return_claimed(connection)
                sql_claim.warm_up(connection)
        except BaseException:
            self._disconnect()
            raise
        self._open_connection, self._series = connected.connection, Series(connected.connection)
        return Opened(created=connected.created, returned=returned, notes=(*connected.notes, *([note] if note else ())))

    async def close(self) -> None:
        def close() -> None:
            self._open_connection = self._series = None
            self._disconnect()

        if not self._closed:
            self._closed = True
            await self._run(close)
            self._writer.shutdown()

    # -- for work on a database that no bot works with (`storage.move`): in the caller's own thread

    def attach(self) -> Connection | None:
        """A connection with this version's schema, bound to no source; None while a bot works with the database."""
        with self._faults_named("opened"):
            return self._connect().connection if self._lead() else None

    def detach(self) -> None:
        self._disconnect()
        self._writer.shutdown()

    # -- the writer thread

    @property
    def _connection(self) -> Connection:
        return self._opened(self._open_connection)

    @property
    def _stored_series(self) -> Series:
        return self._opened(self._series)

    def _opened(self, part: T | None) -> T:
        if part is None:
            raise StoreError("The store is not open: call open() first, and nothing after close().")
        return part

    async def _run(self, work: Callable[[], T]) -> T:
        # Shielded: what was asked for is done even if the asker is cancelled while it waits for its turn.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, work))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._faults_named("read"):
                return work(self._ready())

        return await self._run(read)

    async def _write(self, work: Callable[[Connection], T], committed: Callable[[T], object] | None = None) -> T:
        """One transaction; ``committed`` is called with its result in the writer thread."""

        def transact() -> T:
            try:
                with self._faults_named("written"):
                    try:
                        with self.transaction(self._ready()) as connection:
                            result = work(connection)
                    except Exception as error:
                        if not self._make_room(error):
                            raise
                        self._stored_series.forget()
                        with self.transaction(self._ready()) as connection:
                            result = work(connection)
            except BaseException:
                if self._series is not None:  # that of now: a lost connection was made anew with another
                    self._series.forget()
                raise
            if committed is not None:
                committed(result)
            if (work_after := self._after_commit()) is not None:
                self._writer.submit(work_after)
            return result

        return await self._run(transact)

    @contextmanager
    def _faults_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if self._is_unavailable(error):
                raise StoreUnavailable(f"{self.where} cannot be {what} now ({_words(error)}).") from error
            raise

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[Connection]:
        connection.execute(self.begin)
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: Connection) -> None:
        if not self._is_lost():
            connection.execute("ROLLBACK")

    # -- going on after a lost connection

    def _ready(self) -> Connection:
        """The connection, made anew where it was lost. Raises StoreUnavailable, Superseded."""
        connection = self._connection
        if self._superseded:
            raise Superseded(self.where)
        if not self._is_lost():
            return connection
        led = self._lead()
        renewed = self._connect().connection
        found = renewed.execute("SELECT value FROM meta WHERE name = 'leader'").fetchone()
        if found is None or found[0] != self._leader:
            self._superseded = True
            self._disconnect()
            raise Superseded(self.where)
        if not led:  # nobody else has begun: the server has not noticed yet that our connection is gone
            self._disconnect()
            raise StoreUnavailable(f"{self.where} still holds the lock of the connection that was lost.")
        with self.transaction(renewed):
            sql_outbox.return_unheard(renewed, self._heard)
        self._open_connection, self._series = renewed, Series(renewed)
        return renewed


def _bind(connection: Connection, source: str, where: str) -> None:
    connection.execute("INSERT INTO meta VALUES ('source', ?) ON CONFLICT DO NOTHING", (source,))
    (bound,) = connection.execute("SELECT value FROM meta WHERE name = 'source'").fetchone()
    if bound != source:
        raise WrongSource(where, f"a {bound} market", f"a {source} one")


def set_meta(connection: Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
    )


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())
