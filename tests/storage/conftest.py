"""The backends that the contract holds for. A further backend joins by one more entry in ``BACKENDS``."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from storage.postgres import PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import Store

Make = Callable[[], Store]
"""Another store over the same database."""
BACKENDS = ("sqlite_file", "sqlite_temporary", "postgres")


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    made: SqlStore
    if request.param == "postgres":
        made = PostgresStore(request.getfixturevalue("postgres_url"), "recorded", max_subscriptions=3)
    else:
        made = SqliteStore(
            tmp_path / "bot.db" if request.param == "sqlite_file" else None, "recorded", max_subscriptions=3
        )
    await made.open()
    yield made
    await made.close()
