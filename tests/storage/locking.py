"""A database that another program holds locked, and how late the event loop comes meanwhile."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from storage.sql_store import SqlStore
from tests.storage.make import tick


@contextmanager
def locked(place: Path | str) -> Iterator[None]:
    """``place`` is a file, or a URL of PostgreSQL."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.rollback()
    else:
        with psycopg.connect(place) as session:
            session.execute("LOCK TABLE snapshots, markets IN ACCESS EXCLUSIVE MODE")
            yield
            session.rollback()


async def lateness_s(store: SqlStore, place: Path | str) -> float:
    """The least of what four locks cost the loop: a busy machine comes late now and then, a store in the way always."""
    late: list[float] = []
    for n in range(4):
        late.append(0.0)
        with locked(place):
            writing = asyncio.create_task(store.commit_tick(tick(n)))
            until = time.monotonic() + 0.15
            while time.monotonic() < until:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                late[-1] = max(late[-1], time.monotonic() - before - 0.005)
            assert not writing.done()
        assert (await writing).snapshots == 1
    return min(late)
