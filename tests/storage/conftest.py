"""The backends that the contract holds for. A further backend joins by one more entry in ``BACKENDS``."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from storage.sqlite import SqliteStore
from storage.store import Store

BACKENDS: dict[str, Callable[[Path], Store]] = {
    "sqlite_file": lambda folder: SqliteStore(folder / "bot.db", "recorded", max_subscriptions=3),
    "sqlite_temporary": lambda _: SqliteStore(None, "recorded", max_subscriptions=3),
}


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = BACKENDS[request.param](tmp_path)
    await opened.open()
    yield opened
    await opened.close()
