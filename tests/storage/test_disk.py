"""A full disk: what is owed is still claimed and settled out of the ballast, it is said, and it ends by itself."""
# ruff: noqa: ASYNC240 - a test may wait for the disk

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import StoreUnavailable
from storage.outbox import Sent
from storage.sqlite import SqliteStore
from storage.store import TickCommit
from tests.storage.make import alert, event, tick

BIG = os.urandom(100_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with room for three megabytes."""
    place, mount = tmp_path / "disk", shutil.which("mount")
    place.mkdir()
    order = [mount or "", "-t", "tmpfs", "-o", "size=3m", "none", str(place)]
    if mount is None or os.geteuid() != 0 or subprocess.run(order, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def said(store: SqliteStore) -> str | None:
    return store.condition


async def commit_until_full(store: SqliteStore) -> int:
    for n in range(1, 100):
        try:
            await store.commit_tick(TickCommit(tick(n).snapshot, state=BIG + bytes([n])))
        except StoreUnavailable:
            return n
    raise AssertionError("the disk never became full")


async def test_on_a_full_disk_what_is_owed_goes_out_and_it_all_ends_by_itself(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "bot.db", "recorded")
    await store.open()
    await store.commit_tick(tick(0, *(alert(event(subject=f"s{n}")) for n in range(3))))
    filler = fill(small_disk)
    assert said(store) is None
    for _ in range(3):
        (claim,) = await store.claim(0, 1)
        await store.settle(claim.deliveries, Sent("m"))
    assert (await store.counts()).deliveries == {"sent": 3}
    fill(small_disk)
    n = await commit_until_full(store)
    assert "is full: make room" in (said(store) or "")
    filler.unlink()
    assert (await store.commit_tick(TickCommit(tick(n).snapshot, state=BIG))).snapshots == 1
    await store.heartbeat(1)
    assert said(store) is None
    assert (small_disk / "bot.db.ballast").stat().st_size == 256 * 1024
    await store.close()


async def test_a_backup_that_finds_no_room_leaves_nothing_behind(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "bot.db", "recorded")
    await store.open()
    await store.commit_tick(TickCommit(tick(0).snapshot, state=BIG))
    filler = fill(small_disk)
    with pytest.raises(StoreUnavailable):
        await store.backup()
    assert not list(small_disk.glob("*.part"))
    filler.unlink()
    assert await store.backup() is not None
    await store.close()


async def test_the_ballast_is_given_up_for_a_write_that_found_no_room(tmp_path: Path) -> None:
    """The same where no disk can be mounted: SQLite's own limit stands for the disk's."""
    store = SqliteStore(tmp_path / "bot.db", "recorded")
    await store.open()
    ballast = tmp_path / "bot.db.ballast"
    assert ballast.exists()
    await store._run(lambda: store._connection.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit_tick(TickCommit(tick(0).snapshot, state=BIG))
    assert not ballast.exists()
    assert said(store) is not None
    await store._run(lambda: store._connection.execute("PRAGMA max_page_count = 100000").fetchall())
    assert (await store.commit_tick(TickCommit(tick(0).snapshot, state=BIG))).snapshots == 1
    await store.heartbeat(1)
    assert (said(store), ballast.exists()) == (None, True)
    await store.close()


async def test_a_backup_is_checked_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "bot.db", "recorded")
    await store.open()
    assert await store.backup() is not None
    monkeypatch.setattr("storage.sqlite_files._problem", lambda path, ours: "page 7 is damaged")
    with pytest.raises(Exception, match=r"not sound \(page 7 is damaged\)"):
        await store.backup()
    await store.close()
    names = [file.name for file in tmp_path.iterdir() if "backup" in file.name]
    assert names == ["bot.db.backup-000001"]
    with sqlite3.connect(tmp_path / names[0]) as kept:
        assert kept.execute("PRAGMA quick_check").fetchone() == ("ok",)
    kept.close()
