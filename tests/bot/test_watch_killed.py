"""P1 inside the watcher: whatever the store holds when the process dies, the next start tells all that is missing."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from storage.sql import Connection
from storage.sqlite import SqliteStore
from tests.bot.played import CHAT, market, moments, play_all, subscribe, watcher

MOMENTS_AFTER = 3
"""Beyond the first one that leads to an alert."""


class Killed(BaseException):
    """Nothing in the bot catches it, as nothing catches ``kill -9``."""


class Mortal(SqliteStore):
    """Whoever works with it dies right after a write; ``writes`` are survived."""

    def __init__(self, path: Path, writes: int) -> None:
        super().__init__(path, "simulated")
        self._writes = writes

    async def _write(self, work: Callable[[Connection], Any], committed: Callable[[Any], object] | None = None) -> Any:
        done = await super()._write(work, committed)
        if self._writes == 0:
            raise Killed
        self._writes -= 1
        return done


async def told(store: SqliteStore, first: int, last: int) -> list[str]:
    """What the store says was told, after a start and the moments from ``first`` to before ``last``."""
    await store.open()
    try:
        watching = watcher(store)
        await watching.start([market()])
        await play_all(watching, moments()[first:last])
        return [alert.alert_id for alert in await store.recent(1000, chat=CHAT)]
    finally:
        await store.close()


async def until_before_its_first_alert(path: Path) -> int:
    """Play into a new store; the moment that leads to the first alert, which is not taken there."""
    ahead, behind = SqliteStore(None, "simulated"), SqliteStore(path, "simulated")
    for store in (ahead, behind):
        await store.open()
        await subscribe(store)
    looks, follows = watcher(ahead), watcher(behind, batch=1000)
    for one in (looks, follows):
        await one.start([market()])
    first = 0
    while not await looks.take(moments()[first]):
        await follows.take(moments()[first])
        first += 1
    await follows.flush()
    await follows.checkpoint()
    for store in (ahead, behind):
        await store.close()
    return first


async def test_killed_after_any_write_of_a_tick_that_tells_something_the_next_start_tells_it_all(
    tmp_path: Path,
) -> None:
    before = tmp_path / "before.db"
    first = await until_before_its_first_alert(before)
    last = first + 1 + MOMENTS_AFTER
    calm = await told(SqliteStore(Path(shutil.copy(before, tmp_path / "calm.db")), "simulated"), first, last)
    assert calm
    for writes in count():
        path = Path(shutil.copy(before, tmp_path / f"{writes}.db"))
        try:
            assert await told(Mortal(path, writes), first, last) == calm
        except Killed:
            assert await told(SqliteStore(path, "simulated"), first, last) == calm
        else:
            break
    assert writes > MOMENTS_AFTER
