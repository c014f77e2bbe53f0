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


async def test_a_later_recording_of_the_same_series_goes_on_and_each_is_known_from_then_on(made: Make) -> None:
    await filled(made, WINTER)
    ends_at_ms = tick(0).snapshot.taken_at_ms
    spring = Origin("the recording spring", CRASH.marks, begins_at_ms=ends_at_ms)
    summer = Origin("the recording summer", {**CRASH.marks, "binance/BTCUSDT/ohlcv_5m": "9,9"}, ends_at_ms + 86_400_000)
    notes: list[str] = []
    for origin in (spring, summer, WINTER, spring, summer):
        store = made(origin)
        notes += (await store.open()).notes
        await store.close()
    begins, goes_on = "nothing is known from 2025-12-01 00:05 UTC to", "goes on with the recording"
    assert [note.partition(goes_on)[0] for note in notes] == ["the recording spring ", "the recording summer "]
    assert f"{begins} 2025-12-02 00:05 UTC, and nothing is told across it" in notes[1]
    with pytest.raises(WrongSource, match="holds the recording summer"):
        await made(Origin("other", {"binance/BTCUSDT/ohlcv_5m": "5,5"})).open()


async def test_a_recording_that_begins_before_the_end_or_is_of_other_series_does_not_go_on(made: Make) -> None:
    await filled(made, WINTER)
    ends_at_ms = tick(0).snapshot.taken_at_ms
    after = r"or another one of its markets that begins after 2025-12-01 00:05 UTC, where it stands"
    with pytest.raises(WrongSource, match=after):
        await made(Origin("crash", CRASH.marks, begins_at_ms=ends_at_ms - 1)).open()
    with pytest.raises(WrongSource, match="cannot take bybit"):
        await made(Origin("bybit", {"bybit/BTCUSDT/ohlcv_5m": "7,8"}, begins_at_ms=ends_at_ms)).open()


async def test_a_recording_of_other_markets_is_another_one(made: Make) -> None:
    await filled(made, WINTER)
    with pytest.raises(WrongSource, match="cannot take sol"):
        await made(Origin("sol", {"binance/SOLUSDT/ohlcv_5m": "1,2"})).open()


async def test_a_database_of_an_earlier_version_goes_on_with_the_first_that_comes(made: Make) -> None:
    await filled(made, None)
    await filled(made, WINTER)
    with pytest.raises(WrongSource):
        await made(CRASH).open()
