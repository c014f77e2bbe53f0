"""A database goes on with the recording or simulation that it was filled from, and refuses another one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from storage.errors import WrongSource
from storage.origin import Origin
from storage.postgres import PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from tests.storage.make import tick

Make = Callable[[Origin | None], SqlStore]
WINTER = Origin("the recording winter", {"binance/BTCUSDT/ohlcv_5m": "1,2", "binance/ETHUSDT/ohlcv_5m": "3,4"})
CRASH = Origin("the recording crash", {"binance/BTCUSDT/ohlcv_5m": "7,8"})


@pytest.fixture(params=["sqlite", "postgres"])
async def made(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Another store over the same database, each with its own idea of where the markets come from."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    stores: list[SqlStore] = []

    def make(origin: Origin | None) -> SqlStore:
        store: SqlStore = (
            PostgresStore(url, "recorded", origin=lambda: origin)
            if url
            else SqliteStore(tmp_path / "bot.db", "recorded", origin=lambda: origin)
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.close()


async def filled(made: Make, origin: Origin | None) -> None:
    store = made(origin)
    await store.open()
    await store.commit_tick(tick(0))
    await store.close()


async def test_a_second_recording_is_refused_by_name_with_the_fix_and_changes_nothing(made: Make) -> None:
    await filled(made, WINTER)
    text = r"holds the recording winter and cannot take the recording crash: name another database"
    for _ in range(2):
        with pytest.raises(WrongSource, match=text):
            await made(CRASH).open()
    store = made(WINTER)
    await store.open()
    assert len(await store.snapshots_since("BTC", None)) == 1


async def test_the_same_recording_is_taken_again_and_adds_nothing(made: Make) -> None:
    await filled(made, WINTER)
    store = made(Origin("the recording winter, moved", WINTER.marks))
    await store.open()
    assert (await store.commit_tick(tick(0))).snapshots == 0


async def test_a_recording_that_grew_or_is_there_in_part_is_the_same_one(made: Make) -> None:
    whole = Origin("whole", {**WINTER.marks, "okx/BTC-USDT-SWAP/ohlcv_5m": "5,6"})
    part = Origin("part", {"okx/BTC-USDT-SWAP/ohlcv_5m": "5,6"})
    for origin in (WINTER, whole, part, WINTER):
        store = made(origin)
        await store.open()
        await store.close()
    with pytest.raises(WrongSource, match="holds the recording winter"):
        await made(Origin("other", {"okx/BTC-USDT-SWAP/ohlcv_5m": "9,9"})).open()


async def test_a_recording_of_other_markets_is_another_one(made: Make) -> None:
    await filled(made, WINTER)
    with pytest.raises(WrongSource, match="cannot take sol"):
        await made(Origin("sol", {"binance/SOLUSDT/ohlcv_5m": "1,2"})).open()


async def test_a_database_of_an_earlier_version_goes_on_with_the_first_that_comes(made: Make) -> None:
    await filled(made, None)
    await filled(made, WINTER)
    with pytest.raises(WrongSource):
        await made(CRASH).open()
