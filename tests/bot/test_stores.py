"""Which store the bot works with, and what two copies of it do."""

import asyncio
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bot.app import App, make_feed
from bot.config import Config, ConfigError
from bot.markets.recorded import RecordedFeed
from bot.markets.simulated import SimulatedFeed, write_simulation
from bot.platforms import console
from bot.stores import check_host, is_new, make_store
from storage.errors import StoreError, WrongSource
from storage.postgres import PostgresStore
from storage.sqlite import SqliteStore


def config(path: str) -> Config:
    source = {"kind": "simulated", "days": 2.0, "markets": ["BTC"]}
    return Config.model_validate({"source": source, "store": {"path": path}, "charts": {"draw": False}})


def test_a_host_that_wipes_its_disk_is_refused_unless_there_is_a_database_elsewhere() -> None:
    check_host({})
    check_host({"DYNO": "worker.1", "DATABASE_URL": "postgres://..."})
    with pytest.raises(ConfigError, match=r"wipes its disk.*no DATABASE_URL; add PostgreSQL"):
        check_host({"DYNO": "worker.1"})
    with pytest.raises(ConfigError, match="no DATABASE_URL"):
        check_host({"DYNO": "worker.1", "DATABASE_URL": ""})


def test_database_url_wins_over_the_file_but_memory_stays_memory() -> None:
    environ = {"DATABASE_URL": "postgres://user:hunter2@127.0.0.1:1/bot"}
    assert isinstance(make_store(config("bot.db"), environ, "live"), PostgresStore)
    assert isinstance(make_store(config("bot.db"), {}, "live"), SqliteStore)
    assert isinstance(make_store(config("bot.db"), {"DATABASE_URL": " \n"}, "live"), SqliteStore)
    padded = {"DATABASE_URL": f" {environ['DATABASE_URL']}\r\n"}
    assert make_store(config("bot.db"), padded, "live").where == "PostgreSQL database bot at 127.0.0.1"
    assert isinstance(make_store(config(""), environ, "simulated"), SqliteStore)


async def test_whether_a_start_would_make_the_database_is_known_before_it_does(
    tmp_path: Path, postgres_url: str
) -> None:
    file, memory = config(str(tmp_path / "bot.db")), config("")
    for settings, environ in ((file, {}), (file, {"DATABASE_URL": postgres_url})):
        assert is_new(settings, environ)
        store = make_store(settings, environ, "simulated")
        await store.open()
        await store.close()
        assert not is_new(settings, environ)
    assert is_new(memory, {"DATABASE_URL": postgres_url})
    assert not is_new(file, {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/bot"})


@pytest.mark.parametrize(
    "url", ["mysql://root:hunter2@db/bot", "postgresql://user:hunter2@host/bot?sslmode=&nonsense=1"]
)
def test_what_is_no_address_of_postgresql_is_refused_without_repeating_the_secret(url: str) -> None:
    with pytest.raises((ConfigError, StoreError), match="postgresql://USER:PASSWORD@HOST") as caught:
        make_store(config("bot.db"), {"DATABASE_URL": url}, "live")
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    environ = {"DATABASE_URL": "postgres://user:hunter2@127.0.0.1:1/bot"}
    store = make_store(config("bot.db"), environ, "live")
    with pytest.raises(StoreError, match=r"PostgreSQL database bot at 127\.0\.0\.1 cannot be opened") as caught:
        await store.open()
    assert "hunter2" not in str(caught.value)
    await store.close()


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
async def test_a_second_copy_says_once_that_it_waits_and_goes_on_where_the_first_one_ends(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environ = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if backend == "postgres" else {}
    settings = config(str(tmp_path / "bot.db"))
    said = [StringIO(), StringIO()]
    first, second = (
        App(
            settings,
            make_feed(settings),
            printer=console.Printer(Console(file=out, width=200)),
            platforms=(),
            environ=environ,
        )
        for out in said
    )
    async with first:
        for _ in range(30):
            await first.tick()
        cursor = (await first.store.load_market("BTC")).cursor
        assert cursor is not None
        starting = asyncio.create_task(second.__aenter__())
        await asyncio.sleep(0.8)
        assert not starting.done()
    before = asyncio.get_running_loop().time()
    await asyncio.wait_for(starting, 5)
    assert asyncio.get_running_loop().time() - before < 5
    assert second.stands_at_ms == cursor.taken_at_ms
    await second.__aexit__()
    assert said[1].getvalue().count("Waiting for the other copy") == 1
    assert "Waiting" not in said[0].getvalue()


def test_a_simulation_is_known_by_its_seed_and_a_recording_by_how_its_candles_begin(tmp_path: Path) -> None:
    one, same = SimulatedFeed(1, 2, ["BTC"]), SimulatedFeed(1, 9)
    assert one.origin().is_same(same.origin())
    assert not one.origin().is_same(SimulatedFeed(2, 2, ["BTC"]).origin())
    assert "seed 1" in one.origin().name
    folders = {name: tmp_path / name for name in ("first", "longer", "other")}
    for name, seed, days in (("first", 1, 0.02), ("longer", 1, 0.05), ("other", 2, 0.02)):
        write_simulation(seed, days, folders[name], ["PEPE"])  # the fewest traders
    moved = shutil.copytree(folders["first"], tmp_path / "moved")
    first, longer, other, copy = (RecordedFeed(folder).origin() for folder in (*folders.values(), moved))
    assert first.is_same(longer)
    assert first.is_same(copy)
    assert not first.is_same(other)
    assert str(folders["other"]) in other.name


async def test_a_bot_with_another_seed_refuses_the_database_of_the_first(tmp_path: Path) -> None:
    def bot(seed: int) -> App:
        source = {"kind": "simulated", "seed": seed, "markets": ["BTC"], "days": 1.0, "warm_up_days": 0.0}
        settings = Config.model_validate(
            {"source": source, "store": {"path": str(tmp_path / "bot.db")}, "charts": {"draw": False}}
        )
        return App(settings, make_feed(settings), environ={})

    for _ in range(2):
        async with bot(1) as app:
            assert await app.tick()
    with pytest.raises(WrongSource, match=r"holds the simulation of seed 1 and cannot take the simulation of seed 2"):
        async with bot(2):
            pass
