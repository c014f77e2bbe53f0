"""A decision that fails or is broken off in the middle, and a commit that is (P1, P2, P12): no alert is lost by it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bot.watch import Watcher
from storage.chats import Chat, Watch
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from storage.store import Committed, TickCommit
from tests.bot.played import keys, market, moments, play_all, standing, watcher


class Slow(SqliteStore):
    """Reading who watches, or committing, fails or hangs once at the given time."""

    def __init__(self) -> None:
        super().__init__(None, "simulated")
        self.at, self.reads, self.commits = -1, 0, 0
        self.how, self.what = "fails", "read"
        self.hanging = asyncio.Event()

    async def _trouble(self, what: str, n: int) -> None:
        if (what, n) == (self.what, self.at):
            if self.how == "fails":
                raise StoreUnavailable("locked")
            self.hanging.set()
            await asyncio.sleep(60)

    async def subscriptions(self, *chats: Chat) -> Sequence[Watch]:
        self.reads += 1
        await self._trouble("read", self.reads)
        return await super().subscriptions(*chats)

    async def last_told_all(self, *args: Any) -> Any:
        self.reads += 1
        await self._trouble("read", self.reads)
        return await super().last_told_all(*args)

    async def commit_ticks(self, ticks: Sequence[TickCommit]) -> Committed:
        self.commits += 1
        await self._trouble("commit", self.commits)
        committed = await super().commit_ticks(ticks)
        await self._trouble("committed", self.commits)
        return committed


FROM, UNTIL = 320, 720
"""Bars: from just before the first event until more than seven times somebody was asked who watches."""


async def prepared() -> tuple[Slow, Watcher]:
    store = Slow()
    return store, await standing(store, FROM)


async def decided(store: SqliteStore) -> list[str]:
    return sorted(alert.alert_id for alert in await store.recent(1000))


@pytest.fixture(scope="module")
def due() -> list[str]:
    async def play() -> list[str]:
        store, watching = await prepared()
        told = keys(await play_all(watching, moments()[FROM:UNTIL]))
        await store.close()
        return sorted(told)

    return asyncio.run(play())


@pytest.mark.parametrize("how", ["fails", "hangs"])
@pytest.mark.parametrize(("what", "at"), [("read", n) for n in range(1, 8)] + [("commit", 167), ("committed", 286)])
async def test_a_tick_that_is_broken_off_is_decided_anew_and_loses_nothing(
    due: list[str], how: str, what: str, at: int
) -> None:
    store, watching = await prepared()
    store.how, store.what, store.at = how, what, at
    broken = 0
    for moment in moments()[FROM:UNTIL]:
        try:
            await _soon(watching, moment, store)
        except (StoreUnavailable, asyncio.CancelledError):
            broken += 1
    await watching.flush()
    await watching.checkpoint()
    assert broken == 1
    assert await decided(store) == due
    again = watcher(store)
    await again.start([market()])
    assert again.engines["BTC"].estimate.to_bytes() == watching.engines["BTC"].estimate.to_bytes()
    await store.close()


async def _soon(watching: Watcher, moment: Any, store: Slow) -> None:
    """As a stop does it: what hangs is cancelled."""
    taking = asyncio.ensure_future(watching.take(moment))
    hanging = asyncio.ensure_future(store.hanging.wait())
    await asyncio.wait([taking, hanging], return_when=asyncio.FIRST_COMPLETED)
    hanging.cancel()
    if store.hanging.is_set():
        store.hanging.clear()
        taking.cancel()
    await taking


async def test_a_stop_in_the_middle_of_a_decision_makes_no_checkpoint_ahead_of_the_series(due: list[str]) -> None:
    store, watching = await prepared()
    store.how, store.at = "hangs", 3
    for moment in moments()[FROM:UNTIL]:
        try:
            await _soon(watching, moment, store)
        except asyncio.CancelledError:
            break
    await watching.flush()
    await watching.checkpoint()
    again = watcher(store)
    await again.start([market()])
    await play_all(again, moments()[FROM:UNTIL])
    assert await decided(store) == due
    await store.close()


async def test_a_fault_of_ours_in_a_decision_or_a_look_up_holds_no_market_up(
    due: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Any) -> Any:
        raise KeyError("BTC")

    store, watching = await prepared()
    watching.look_up = broken
    assert sorted(keys(await play_all(watching, moments()[FROM:UNTIL]))) == due
    assert "nothing could be looked up" in caplog.text
    await store.close()
    store, watching = await prepared()
    watching._decider.look = lambda: broken(None)  # type: ignore[method-assign]
    failed = 0
    for moment in moments()[FROM:UNTIL]:
        try:
            await watching.take(moment)
        except KeyError:
            failed += 1
    await watching.flush()
    assert failed > 0
    assert len(await store.snapshots_since("BTC", None)) == UNTIL
    await store.close()
