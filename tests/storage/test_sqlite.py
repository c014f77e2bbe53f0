"""What only a database file can suffer: crashes, damage, loss, other programs, newer versions."""
# ruff: noqa: ASYNC240 - a test may wait for the disk

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from storage.chats import Subscription
from storage.errors import DatabaseLost, NotOurs, StoreError, StoreUnavailable, WrongSource
from storage.migrations import migrate_sqlite, sqlite_migrations, steps
from storage.outbox import Later, Sent, Task
from storage.sqlite import SqliteStore
from storage.store import Opened
from tests.storage.locking import lateness_s
from tests.storage.make import ALICE, alert, event, snapshot, tick
from tests.storage.steps_taken import steps_taken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


async def opened(path: Path, source: str = "recorded") -> tuple[SqliteStore, Opened]:
    store = SqliteStore(path, source)
    return store, await store.open()


async def filled(path: Path, *, backup: bool = False) -> None:
    """A database with one tick, and a second tick after the backup."""
    store, _ = await opened(path)
    await store.commit_tick(tick(0))
    if backup:
        await store.backup()
    await store.commit_tick(tick(1))
    await store.close()


def files(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_first_start_makes_a_database_and_a_second_finds_it(path: Path) -> None:
    await filled(path)
    store, found = await opened(path)
    assert found == Opened(created=False, returned=0)
    assert (await store.load_market("BTC")).state == b"state 1"
    await store.close()


async def test_a_commit_is_flushed_to_the_disk_before_it_returns(path: Path) -> None:
    store, _ = await opened(path)
    assert store._database is not None
    pragmas = await store._run(lambda: [store._connection.execute(f"PRAGMA {p}").fetchone()[0] for p in PRAGMAS])
    await store.close()
    assert dict(zip(PRAGMAS, pragmas, strict=True)) == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


PRAGMAS = ("journal_mode", "synchronous", "foreign_keys")


async def test_the_log_is_written_back_between_commits_and_not_inside_of_one(path: Path) -> None:
    store, _ = await opened(path)
    ran: list[str] = []
    await store._run(lambda: store._connection.set_trace_callback(ran.append))
    busiest = 0
    for n in range(12):
        await store.commit_ticks([replace(tick(n), snapshot=snapshot(n, f"M{m}")) for m in range(60)])
        busiest = max(busiest, await store._run(lambda: pages_in_log(path)))
    await store.close()
    assert busiest < 1000, "where SQLite would write it back inside of a commit"
    steps = [one for one in ran if one.startswith(("BEGIN", "COMMIT", "PRAGMA"))]
    back = [n for n, one in enumerate(steps) if "wal_checkpoint" in one]
    assert 2 <= len(back) < 12
    assert {steps[n - 1] for n in back} == {"COMMIT"}


def pages_in_log(path: Path) -> int:
    """By the log's index: a log that was written back is filled anew from its beginning, and its file stays as long."""
    return int.from_bytes(path.with_name(f"{path.name}-shm").read_bytes()[16:20], sys.byteorder)


async def test_a_database_of_one_source_refuses_another_and_says_the_fix(path: Path) -> None:
    await filled(path)
    store = SqliteStore(path, "live")
    with pytest.raises(WrongSource, match=r"bot\.db holds a recorded market and cannot take a live one: .* another"):
        await store.open()
    await store.close()


async def test_what_was_being_sent_in_a_crash_is_a_possible_repeat(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit_tick(tick(0, alert(event(subject="a")), alert(event(subject="b"))))
    await store.claim(0, 1)
    await store.close()
    store, found = await opened(path)
    assert found.returned == 1
    repeats = {}
    for _ in range(2):
        (claim,) = await store.claim(0, 1)
        repeats[claim.deliveries[0].event.subject] = claim.deliveries[0].possible_repeat
        await store.settle(claim.deliveries, Sent("m"))
    assert repeats == {"a": True, "b": False}
    await store.close()


async def test_a_start_forgets_how_long_the_last_process_meant_to_wait(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit_tick(tick(0, alert(event())))
    await store.settle((await store.claim(0, 1))[0].deliveries, Later(10**12, "429"))
    await store.close()
    store, found = await opened(path)
    assert found.returned == 0
    assert not (await store.claim(0, 1))[0].deliveries[0].possible_repeat
    await store.close()


async def test_a_write_whose_asker_is_cancelled_is_made_all_the_same(path: Path) -> None:
    store, _ = await opened(path)
    asked = [asyncio.create_task(store.commit_tick(tick(n))) for n in range(3)]
    await asyncio.sleep(0)
    for one in asked:
        one.cancel()
    assert len(await store.snapshots_since("BTC", None)) == 3
    await store.close()


async def test_an_edit_cut_off_by_a_crash_is_made_again(path: Path) -> None:
    store, _ = await opened(path)
    await store.commit_tick(tick(0, alert(event())))
    await store.settle((await store.claim(0, 1))[0].deliveries, Sent("m"))
    await store.commit_tick(tick(1, completed=(event(headline="receipt"),)))
    assert (await store.claim(0, 1))[0].task is Task.EDIT
    await store.close()
    store, found = await opened(path)
    assert found.returned == 0
    assert (await store.claim(0, 1))[0].task is Task.EDIT
    await store.close()


@pytest.mark.parametrize("damage", ["zeroed", "overwritten", "cut short", "emptied", "text"])
async def test_a_damaged_database_is_set_aside_and_the_newest_backup_takes_its_place(path: Path, damage: str) -> None:
    await filled(path, backup=True)
    hurt(path, damage)
    store, found = await opened(path)
    assert (await store.load_market("BTC")).state == b"state 0"
    await store.close()
    assert not found.created
    assert "bot.db.corrupt-1" in found.notes[0]
    assert "bot.db.backup-000001 took its place" in found.notes[0]
    assert "bot.db.corrupt-1" in files(path)


async def test_a_damaged_database_without_a_backup_stops_the_start_every_time(path: Path) -> None:
    await filled(path)
    hurt(path, "overwritten")
    for sentence in (r"damaged .* set aside as .*bot\.db\.corrupt-1.* delete .*bot\.db\.marker", "is missing"):
        store = SqliteStore(path, "recorded")
        with pytest.raises(DatabaseLost, match=sentence):
            await store.open()
        await store.close()
    assert files(path) == {"bot.db.ballast", "bot.db.corrupt-1", "bot.db.marker"}


async def test_a_damaged_backup_is_passed_over(path: Path) -> None:
    await filled(path, backup=True)
    store, _ = await opened(path)
    await store.backup()
    await store.close()
    hurt(path, "zeroed")
    hurt(path.with_name("bot.db.backup-000002"), "zeroed")
    store, found = await opened(path)
    await store.close()
    assert "backup-000001" in found.notes[0]


async def test_a_missing_database_is_restored_or_refused_but_never_silently_empty(path: Path) -> None:
    await filled(path, backup=True)
    path.unlink()
    store, found = await opened(path)
    assert (await store.load_market("BTC")).state == b"state 0"
    assert "is missing" in found.notes[0]
    await store.close()
    path.unlink()
    path.with_name("bot.db.backup-000001").unlink()
    store = SqliteStore(path, "recorded")
    with pytest.raises(DatabaseLost, match="is missing"):
        await store.open()
    await store.close()
    path.with_name("bot.db.marker").unlink()
    store, found = await opened(path)
    assert found == Opened(created=True, returned=0)
    await store.close()


async def test_three_backups_are_kept_and_each_is_whole(path: Path) -> None:
    store, _ = await opened(path)
    for n in range(5):
        await store.commit_tick(tick(n))
        place = await store.backup()
        assert place is not None
    await store.close()
    kept = sorted(file for file in files(path) if "backup" in file)
    assert kept == ["bot.db.backup-000003", "bot.db.backup-000004", "bot.db.backup-000005"]
    with closing(sqlite3.connect(path.with_name(kept[0]))) as backup:
        assert backup.execute("SELECT count(*) FROM snapshots").fetchone() == (3,)
        assert backup.execute("PRAGMA quick_check").fetchone() == ("ok",)


async def test_a_temporary_store_has_no_backup() -> None:
    store = SqliteStore(None, "recorded")
    await store.open()
    assert await store.backup() is None
    await store.close()


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "sqlite"])
async def test_another_programs_file_is_left_as_it_is(path: Path, content: str) -> None:
    if content == "sqlite":
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (x)")
    else:
        path.write_text(content)
    before = path.read_bytes()
    store = SqliteStore(path, "recorded")
    with pytest.raises(NotOurs, match="name another file"):
        await store.open()
    await store.close()
    assert path.read_bytes() == before
    assert files(path) == {"bot.db"}


async def test_a_newer_versions_database_is_refused(path: Path) -> None:
    await filled(path)
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('clusterwatch', '9999_later')")
    store = SqliteStore(path, "recorded")
    with pytest.raises(NotOurs, match="9999_later"):
        await store.open()
    await store.close()


def tables_after(count: int) -> set[str]:
    """Of the first ``count`` steps."""
    with closing(Database(memory=True)) as database:
        sqlite_migrations().apply(database, stop_before=list(steps())[count:])
        return set(database.table_names()) - {"_sqlite_migrations"}


def test_a_migration_cut_off_anywhere_leaves_whole_steps_and_is_done_by_the_next_start(path: Path) -> None:
    migrations = sqlite_migrations()
    whole = [tables_after(n) for n in range(len(steps()) + 1)]
    left, cuts = 0, 0

    def cut_once() -> int:
        nonlocal left
        left -= 1
        return int(left == 0)

    with closing(sqlite3.connect(path)) as connection:
        database = Database(connection)
        connection.set_progress_handler(cut_once, 20)
        while len(migrations.applied(database)) < len(steps()):
            left = cuts * 4 + 1
            try:
                migrate_sqlite(database, "bot.db")
            except sqlite3.OperationalError:
                cuts += 1
                left = 0
                done = len(migrations.applied(database))
                assert set(database.table_names()) - {"_sqlite_migrations"} == whole[done]
            left = 0
        assert [step.name for step in migrations.applied(database)] == list(steps())
    assert cuts > 10


async def test_a_locked_database_never_holds_up_the_event_loop(path: Path) -> None:
    store, _ = await opened(path)
    assert await lateness_s(store, path) < 0.05
    await store.close()


async def test_a_write_that_cannot_be_made_now_is_said_so_and_can_be_made_later(path: Path) -> None:
    store, _ = await opened(path)
    await store._run(lambda: store._connection.execute("PRAGMA busy_timeout = 10"))
    with locked(path), pytest.raises(StoreUnavailable, match="locked"):
        await store.commit_tick(tick(0))
    assert (await store.commit_tick(tick(0))).snapshots == 1
    await store.close()


async def test_looking_for_work_costs_the_same_however_much_was_sent_before(path: Path) -> None:
    store, _ = await opened(path)

    async def find_nothing() -> None:
        assert await store.claim(0, 9) == []

    await store.watch(ALICE, Subscription("BTC"))
    before = await steps_taken(store, find_nothing)
    await store.commit_tick(tick(0, *(alert(event(subject=str(n))) for n in range(300))))
    while claims := await store.claim(0, 9):
        await store.settle_all([(claim.deliveries, Sent("m")) for claim in claims])
    after = await steps_taken(store, find_nothing)
    await store.park(ALICE, "blocked")
    parked = await steps_taken(store, find_nothing)
    await store.close()
    assert max(after, parked) < before + 10  # a row looked at for each alert would be 60 more


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path, "recorded")
    with pytest.raises(StoreError, match="not open"):
        await store.commit_tick(tick(0, alert(event(), ALICE)))
    await store.close()
    await store.close()


def hurt(path: Path, damage: str) -> None:
    size = path.stat().st_size
    match damage:
        case "zeroed":
            path.write_bytes(bytes(size))
        case "overwritten":
            with path.open("r+b") as file:
                file.seek(100)
                file.write(b"\xff" * (size - 200))
        case "cut short":
            with path.open("r+b") as file:
                file.truncate(size // 3)
        case "emptied":
            path.write_bytes(b"")
        case _:
            path.write_text("not a database")
