"""The store on both backends: ``python -m benchmarks store``.

Claims out of an outbox of 100,000 pending deliveries, however they are spread over chats; what a running bot commits
(`benchmarks.store_ticks`); how late the event loop comes while another program locks the database for three seconds.
PostgreSQL is a real server on this machine (`tests.postgres_server`) that flushes to the disk, as SQLite does.
"""

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from benchmarks.report import Report
from benchmarks.store_ticks import CHATS, FEEDS, measure, p99
from storage import sql_queues
from storage.outbox import Claim, Sent
from storage.postgres import PostgresStore
from storage.sql import Connection
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import TickCommit
from tests import postgres_server
from tests.storage.make import event, look, tick

SPREADS = ((1, 100_000), (1_000, 100), (100_000, 1))
"""(chats, pending deliveries of each)."""
IN_FLIGHT = 32
DAY_MS = 86_400_000


def run(*, quick: bool) -> list[Report]:
    rounds, starts, divide = (20, 2, 100) if quick else (300, 20, 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server.start(Path(folder) / "postgres", fsync="on", autovacuum="on") as server,
    ):
        number = iter(range(100))
        makers: dict[str, Callable[[], tuple[SqlStore, str]]] = {
            "SQLite": lambda: _sqlite(Path(folder) / f"{next(number)}.db"),
            "PostgreSQL": lambda: _postgres(server.create_database()),
        }
        claims, locks = [], []
        for name, make in makers.items():
            for chats, each in SPREADS:
                spread = (max(1, chats // divide), max(1, each // divide)) if chats * each > divide else (1, 1)
                claims.append(asyncio.run(_claims(name, make, *spread, starts, rounds)))
            locks.append(asyncio.run(_locked(name, make, 0.3 if quick else 3.0)))
        ticks = asyncio.run(_ticks({name: make() for name, make in makers.items()}, quick=quick))
    return [
        Report(
            "Claiming out of a full outbox, milliseconds",
            (
                "store",
                "chats",
                "pending",
                f"first claim of {IN_FLIGHT} chats p50",
                "slowest",
                "claim p50",
                "claim p99",
                "settle p99",
            ),
            tuple(claims),
            (
                f"First claims are those of {starts} starts, each with a connection of its own.",
                f"Then {rounds} claims of one chat each, with {IN_FLIGHT} in flight, each settled as sent.",
            ),
        ),
        ticks,
        Report(
            "Event loop while another program locks the database", ("store", "locked", "slowest wake-up"), tuple(locks)
        ),
    ]


def _sqlite(path: Path) -> tuple[SqlStore, str]:
    return SqliteStore(path, "recorded"), str(path)


def _postgres(url: str) -> tuple[SqlStore, str]:
    return PostgresStore(url, "recorded"), url


async def _claims(
    name: str, make: Callable[[], tuple[SqlStore, str]], chats: int, each: int, starts: int, rounds: int
) -> tuple[str, ...]:
    store, place = make()
    await store.open()
    await store._write(lambda connection: _fill(connection, chats, each))  # noqa: SLF001 - no use-case owes so much
    if "://" in place:
        with psycopg.connect(place, autocommit=True) as other:
            other.execute("VACUUM ANALYZE")  # as autovacuum does within a minute
    firsts: list[float] = []
    held: list[Claim] = []
    for _ in range(starts):
        await store.settle_all([(one.deliveries, Sent("m")) for one in held])
        await store.close()
        store = PostgresStore(place, "recorded") if "://" in place else SqliteStore(Path(place), "recorded")
        await store.open()
        started = time.perf_counter()
        held = list(await store.claim(0, IN_FLIGHT))
        firsts.append(time.perf_counter() - started)
    claiming, settling = [0.0], [0.0]
    for _ in range(rounds):
        if not held:
            break
        done = held.pop(0)
        started = time.perf_counter()
        await store.settle(done.deliveries, Sent("m"))
        settling.append(time.perf_counter() - started)
        started = time.perf_counter()
        held += await store.claim(0, 1)
        claiming.append(time.perf_counter() - started)
    await store.close()
    times = (statistics.median(firsts), max(firsts), statistics.median(claiming), p99(claiming), p99(settling))
    return (name, f"{chats:,}", f"{chats * each:,}", *(f"{seconds * 1000:.2f}" for seconds in times))


def _fill(connection: Connection, chats: int, each: int) -> None:
    """Alerts a day apart, so that none are grouped."""
    one = event(0)
    connection.executemany(
        "INSERT INTO events (key, kind, market, subject, arming, taken_at_ms, spine) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((f"key-{n}", one.kind, "BTC", f"s{n}", 1, n * DAY_MS, one.to_json()) for n in range(each)),
    )
    connection.executemany(
        "INSERT INTO chats (platform, chat_id) VALUES ('console', ?)", ((str(n),) for n in range(chats))
    )
    connection.execute(
        "INSERT INTO deliveries (event_id, chat, taken_at_ms, reason) "
        "SELECT e.id, c.id, e.taken_at_ms, 'first' FROM events e CROSS JOIN chats c ORDER BY e.id, c.id"
    )
    sql_queues.rebuild(connection)


async def _ticks(made: Mapping[str, tuple[SqlStore, str]], *, quick: bool) -> Report:
    stores = {name: store for name, (store, _) in made.items()}
    for store in stores.values():
        await store.open()
    # A server that has run for an hour writes its log into files it has used before; to make a new one takes 50 ms.
    await stores["PostgreSQL"]._read(lambda connection: connection.execute("CHECKPOINT"))  # noqa: SLF001
    feeds, days, looks = (2, 0.6, 1) if quick else (FEEDS, 1.25, 3)
    taken = await measure(stores, days=days, looks=looks, feeds=feeds)
    for store in stores.values():
        await store.close()
    deliveries = next(iter(taken.values())).deliveries
    return Report(
        f"Committing what a bot with {feeds * 4} markets and {CHATS} chats commits, milliseconds",
        ("store", "one transaction of", "n", "p50", "p99", "slowest", "its COMMIT p50", "COMMIT p99", "waits"),
        tuple(row for name, one in taken.items() for row in one.rows(name)),
        (
            f"All markets in one transaction, as live; {deliveries:,} deliveries. A checkpoint is of one market.",
            "A COMMIT is timed until its answer; a server may have something of the transaction still to do by then.",
            "For comparison, 4 kB written and flushed to this disk: p50 {:.2f}, p99 {:.2f}.".format(*_flushes()),
        ),
    )


def _flushes() -> tuple[float, float]:
    """Milliseconds, median and 99th percentile: no commit can be quicker than the disk."""
    taken = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(300):
            file.write(bytes(4096))
            started = time.perf_counter()
            file.flush()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), p99(taken)


async def _locked(name: str, make: Callable[[], tuple[SqlStore, str]], for_s: float) -> tuple[str, ...]:
    store, place = make()
    await store.open()
    await store.commit_tick(tick(0))
    worst = 0.0
    with _lock(place):
        writing = [asyncio.create_task(store.commit_tick(TickCommit(look(10**13 + n)))) for n in range(20)]
        until = time.perf_counter() + for_s
        while time.perf_counter() < until:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - due)
        assert not any(task.done() for task in writing)
    await asyncio.gather(*writing)
    await store.close()
    return (name, f"{for_s:.1f} s", f"{worst * 1000:.1f} ms")


@contextmanager
def _lock(place: str) -> Iterator[None]:
    if "://" in place:
        with psycopg.connect(place) as other:
            other.execute("LOCK TABLE snapshots, markets IN ACCESS EXCLUSIVE MODE")
            yield
            other.rollback()
    else:
        with closing(sqlite3.connect(place)) as other_file:
            other_file.execute("BEGIN IMMEDIATE")
            yield
            other_file.rollback()
