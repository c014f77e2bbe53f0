"""Chats read from a database file beside the bot that writes it."""

from pathlib import Path

from storage.chats import Chat, Subscription
from storage.known_chats import subscribed
from storage.sqlite import SqliteStore


async def test_chats_that_watch_something_are_listed_while_the_bot_runs(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    store = SqliteStore(path, "recorded")
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


def test_a_file_that_is_missing_or_no_database_knows_nobody_and_is_left_as_it_is(tmp_path: Path) -> None:
    assert subscribed(tmp_path / "none.db", "telegram", 10) == []
    assert not (tmp_path / "none.db").exists()
    other = tmp_path / "other.db"
    other.write_text("hello, no database")
    assert subscribed(other, "telegram", 10) == []
    assert other.read_text() == "hello, no database"
