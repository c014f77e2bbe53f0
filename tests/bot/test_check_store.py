"""``python -m bot check`` looks at the database that a start would work with, and disturbs no bot that does."""

import os
from pathlib import Path

import psycopg
import pytest

from bot import check_live
from bot.check_store import database_row, place_of
from bot.config import Config
from bot.platforms.seam import CheckRow
from storage.chats import Chat, Subscription
from storage.postgres import PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore


def config(path: str) -> Config:
    return Config.model_validate({"store": {"path": path}})


def test_the_place_is_the_url_of_the_environment_before_the_config_s_file() -> None:
    environ = {"DATABASE_URL": "postgres://somewhere/db"}
    assert place_of(config("bot.db"), environ, local=False) == "postgres://somewhere/db"
    assert place_of(config("bot.db"), {}, local=False) == Path("bot.db")
    assert place_of(config(""), environ, local=False) is None
    assert place_of(config("bot.db"), environ, local=True) is None


async def test_a_database_is_looked_at_before_the_first_start_while_a_bot_works_with_it_and_after(
    postgres_url: str,
) -> None:
    empty = await database_row(postgres_url)
    assert (empty.ok, empty.what) == (True, "database")
    assert "no bot works with it now; its tables will be made" in empty.said
    store = PostgresStore(postgres_url, "live")
    await store.open()
    await store.heartbeat(1)
    busy = await database_row(postgres_url)
    assert busy.ok
    assert busy.said.endswith("a bot works with it now")
    await store.heartbeat(2)  # it still leads
    await store.close()
    assert (await database_row(postgres_url)).said.endswith("no bot works with it now")


async def test_looking_makes_nothing(postgres_url: str) -> None:
    await database_row(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


async def test_what_is_wrong_is_said_with_the_fix_and_without_the_password(postgres_url: str) -> None:
    away = await database_row("postgresql://bot:hunter2@127.0.0.1:1/clusterwatch")
    assert not away.ok
    assert "clusterwatch at 127.0.0.1 cannot be reached" in away.said
    other = await database_row("mysql://bot:hunter2@somewhere/db")
    assert (other.ok, other.fix) == (False, "mend DATABASE_URL")
    wrong = await database_row("postgresql://bot:hunter2@[somewhere/db")
    assert not wrong.ok
    assert "hunter2" not in " ".join((away.said, away.fix, other.said, other.fix, wrong.said, wrong.fix))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS looker")
        connection.execute("CREATE ROLE looker LOGIN")
    try:
        poor = await database_row(postgres_url.replace("clusterwatch@", "looker@"))
        assert not poor.ok
        assert "may make no tables" in poor.said
        assert "GRANT" in poor.fix
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP ROLE looker")


class Asked:
    """A platform that remembers which chats it was asked about."""

    name = "telegram"
    limits = per_second = start = run = stop = send = edit = condition = invite = None

    def __init__(self) -> None:
        self.chats: list[str] = []

    async def check(self) -> list[CheckRow]:
        return []

    async def check_chats(self, chats: list[str]) -> list[CheckRow]:
        self.chats += chats
        return []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_chats_are_checked_out_of_the_store_that_is_configured(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bot.db"
    store: SqlStore
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
        monkeypatch.setitem(os.environ, "DATABASE_URL", url)
        store = PostgresStore(url, "live")
    else:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        store = SqliteStore(path, "live")
    asked = Asked()
    monkeypatch.setattr(check_live, "configured", lambda *_: [asked])
    await watched(store)
    await check_live._platform_rows(config(str(path)))
    await store.close()
    assert asked.chats == ["2", "1"]


async def watched(store: SqlStore) -> None:
    await store.open()
    for name in ("1", "2", "3"):
        await store.watch(Chat("telegram", name), Subscription("BTC"))
    await store.watch(Chat("discord", "4"), Subscription("BTC"))
    await store.park(Chat("telegram", "3"), "blocked")
