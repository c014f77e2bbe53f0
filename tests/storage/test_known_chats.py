"""Chats read from a database beside the bot that writes it."""

from pathlib import Path

import pytest

from storage.chats import Chat, Subscription
from storage.known_chats import subscribed
from storage.postgres import PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_chats_that_watch_something_are_listed_while_the_bot_runs(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "bot.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    store: SqlStore = SqliteStore(path, "recorded") if isinstance(path, Path) else PostgresStore(path, "recorded")
    await store.open()
    for name in ("1", "2", "3", "4"):
        await store.watch(Chat("telegram", name), Subscription("BTC"))
    await store.watch(Chat("discord", "5"), Subscription("BTC"))
    await store.park(Chat("telegram", "2"), "blocked")
    await store.unwatch(Chat("telegram", "3"), None)
    assert subscribed(path, "telegram", 10) == ["4", "1"]
    assert subscribed(path, "telegram", 1) == ["4"]
    assert subscribed(path, "discord", 10) == ["5"]
    await store.close()


def test_a_server_that_is_away_or_a_database_without_tables_knows_nobody(postgres_url: str) -> None:
    assert subscribed(postgres_url, "telegram", 10) == []
    assert subscribed("postgresql://bot@127.0.0.1:1/db", "telegram", 10) == []


def test_a_file_that_is_missing_or_no_database_knows_nobody_and_is_left_as_it_is(tmp_path: Path) -> None:
    assert subscribed(tmp_path / "none.db", "telegram", 10) == []
    assert not (tmp_path / "none.db").exists()
    other = tmp_path / "other.db"
    other.write_text("hello, no database")
    assert subscribed(other, "telegram", 10) == []
    assert other.read_text() == "hello, no database"
