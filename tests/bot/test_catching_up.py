"""Catching up while the store is away now and then: nothing of the past is lost, and nothing waits for it for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot import catching_up
from bot.catching_up import CatchingUp
from bot.markets.live_history import Past, Progress, Stretch
from bot.markets.live_types import BAR_MS
from bot.reliving import Resumed
from bot.run_live import catch_up
from detectors.market import DAY_MS, Market, MarketSnapshot
from storage.errors import StoreUnavailable, Superseded
from storage.market_facts import StoredReach
from storage.store import Cursor
from tests.bot.played import market, moments


@cache
def played() -> list[MarketSnapshot]:
    return [one for moment in moments(300 / 288) for one in moment if one.bar is not None]


def now_ms() -> int:
    """The last one's, and now."""
    return played()[-1].taken_at_ms


class Feed:
    """Tells what it is asked for; ``broken``: with an error."""

    def __init__(self) -> None:
        self.markets: tuple[Market, ...] = (market(),)
        self.live_from_ms = now_ms()
        self.broken = False
        self.silent = 0
        """How many stretches no venue tells of, before they do."""
        self.asked: list[Stretch] = []
        self.clock = SimpleNamespace(sleep=asyncio.sleep, now_ms=lambda: now_ms())
        self.tiers_in = asyncio.Event()
        """When the venues have told their leverage tiers."""
        self.tiers_in.set()

    async def past(
        self, stretches: Sequence[Stretch], on_progress: Callable[[Progress], None] = lambda _: None
    ) -> AsyncIterator[Past]:
        del on_progress
        for one in stretches:
            self.asked.append(one)
            if self.broken:
                raise ZeroDivisionError
            if self.silent:
                self.silent -= 1
                yield Past(one, [], complete=False)
                continue
            bars = [told for told in played() if told.bar and one.since_ms <= told.bar.opened_at_ms < one.until_ms]
            yield Past(one, bars, complete=True)

    def now_ms(self) -> int:
        return now_ms()

    async def tiers_asked(self, within_s: float) -> None:
        del within_s
        await self.tiers_in.wait()

    def tiers_are_told(self, base: str) -> bool:
        del base
        return self.tiers_in.is_set()

    def tiers(self, base: str) -> tuple[tuple[Any, ...], str]:
        del base
        return (), "the venue" if self.tiers_in.is_set() else "a table"


class Shell:
    """What catching up needs of the app. Every ``fails``-th call of the store fails."""

    def __init__(self, resumed: Sequence[Resumed] = (), fails: int = 2) -> None:
        self.resumed, self._fails, self._calls = resumed, fails, 0
        self.config = SimpleNamespace(source=SimpleNamespace(history_days=1.0))
        self.printer = SimpleNamespace(show=lambda _: None)
        self.failed_ticks = 0
        self.taken: list[MarketSnapshot] = []
        self.put: list[int] = []
        self.put_with: list[str] = []
        """Where the leverage tiers of each were from."""
        self.used: Any = SimpleNamespace(tiers=(), source="an earlier run")
        self.store, self.watcher = self, self
        self.engines = {market().base: None}

    def _call(self) -> None:
        self._calls += 1
        if self._calls % self._fails == 1:
            raise StoreUnavailable("locked")

    async def take(self, snapshots: Sequence[MarketSnapshot]) -> None:
        self.taken += snapshots  # what the store fails to commit is kept for the next call
        self._call()

    async def reach(self, base: str) -> StoredReach:
        del base
        self._call()
        return StoredReach(first_bar_opened_at_ms=now_ms() - DAY_MS // 2)

    async def put_before(
        self, base: str, past: Sequence[MarketSnapshot], *, tiers: Any = None, **_: Any
    ) -> Sequence[Any]:
        del base
        self.put.append(len(past))
        if tiers is not None:
            self.put_with.append(tiers.source)
            self.used = tiers
        return ()

    def tell(self, alerts: Sequence[Any]) -> None:
        del alerts

    def tiers(self, base: str) -> Any:
        del base
        return self.used

    async def checkpoint_in_turns(self) -> None:
        pass


def catching(shell: Shell, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> CatchingUp:
    monkeypatch.setattr(catching_up, "_STORE_AGAIN_S", 0.0)
    monkeypatch.setattr(catching_up, "_MISSED_AGAIN_AFTER_S", 0.0)
    monkeypatch.setattr(catching_up, "_are_apart", lambda *_: False)
    monkeypatch.setattr(CatchingUp, "_position_usd", 1.0)
    return CatchingUp(cast(Any, shell), cast(Any, feed))


def stored(bars_missed: int) -> Resumed:
    """A market that was last there so many bars ago."""
    return Resumed(market(), Cursor(0, now_ms() - BAR_MS * (bars_missed + 1)), settings_changed=False)


async def test_a_new_market_does_not_wait_for_its_tiers_and_is_made_anew_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell, feed = Shell(fails=10**9), Feed()
    shell._calls, shell.used = 1, None
    feed.tiers_in.clear()
    past = catching(shell, feed, monkeypatch)
    monkeypatch.setattr(catching_up, "_are_apart", lambda *_: True)
    running = asyncio.create_task(past.run())
    await asyncio.wait_for(past.first_stage_done.wait(), 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert shell.put_with == ["a table"]
    assert past.condition is None, "all is in but the tiers"
    feed.tiers_in.set()
    await asyncio.wait_for(running, 2)
    assert shell.put_with == ["a table", "the venue"]


async def test_tiers_of_an_earlier_run_are_kept_where_no_venue_tells_its_own_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell, feed = Shell([stored(0)], fails=10**9), Feed()
    shell._calls = 1
    feed.tiers_in.clear()

    async def gave_up(within_s: float) -> None:
        del within_s

    monkeypatch.setattr(feed, "tiers_asked", gave_up)
    past = catching(shell, feed, monkeypatch)
    monkeypatch.setattr(catching_up, "_are_apart", lambda *_: True)
    await asyncio.wait_for(past.run(), 2)
    assert shell.put_with == []


async def test_a_store_that_is_away_does_not_end_the_second_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell([stored(0)])
    past = catching(shell, Feed(), monkeypatch)
    await past.run()
    assert past.condition is None
    assert len(shell.put) == 1, "the rest of the past never came"


async def test_a_store_that_fails_in_the_middle_of_a_catch_up_loses_no_bar_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell, feed = Shell([stored(200)]), Feed()
    past = catching(shell, feed, monkeypatch)
    past.let_through(played()[-1:])
    await past.run()
    opened = [one.bar.opened_at_ms for one in shell.taken if one.bar is not None]
    assert opened[:200] == list(range(now_ms() - 200 * BAR_MS, now_ms(), BAR_MS))
    assert past.waiting_for("BTC") is None


@pytest.mark.parametrize(("silent", "caught_up"), [(1, 20), (2, 0)])
async def test_bars_that_no_venue_tells_of_at_once_are_asked_for_again_before_later_ones_go_in(
    silent: int, caught_up: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, feed = Shell([stored(20)], fails=10**9), Feed()
    feed.silent = silent
    past = catching(shell, feed, monkeypatch)
    live = played()[-1]
    past.let_through([live])
    await past.run()
    assert len(shell.taken) == caught_up + 1
    assert shell.taken[-1] == live
    assert past.waiting_for("BTC") is None


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_view_whose_past_cannot_be_fetched_goes_on_without_it(
    is_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, feed = Shell(fails=10**9), Feed()
    feed.markets, feed.broken = (), True
    past = catching(shell, feed, monkeypatch)
    past.add(Resumed(market(), None, settings_changed=False) if is_new else stored(20))
    let_through = past.let_through(played()[-1:])
    assert past.waiting_for("BTC") is not None
    await asyncio.gather(*past._adding)
    assert [*let_through, *shell.taken] == played()[-1:], "what came live waits for ever"
    assert past.waiting_for("BTC") is None
    assert shell.failed_ticks == 2


async def test_of_a_market_that_cannot_be_made_anew_nothing_piles_up_and_it_is_said_to_be_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell, feed = Shell([replace(stored(20), to_rebuild=True)], fails=10**9), Feed()
    tries: list[str] = []

    async def rebuild(base: str) -> None:
        tries.append(base)
        raise ZeroDivisionError

    monkeypatch.setattr(shell, "rebuild", rebuild, raising=False)
    past = catching(shell, feed, monkeypatch)
    assert past.let_through(played()[-1:]) == ()
    await past.run()
    assert tries == ["BTC"] * 3
    assert past.let_through(played()[-1:]) == ()
    assert (past._held, shell.taken) == ({}, [])
    assert past.waiting_for("BTC") == (
        "BTC is out until a restart: its estimate could not be made anew. The log says why."
    )
    assert past.faults == ["BTC is out until a restart: its estimate could not be made anew"]


async def test_what_ends_catching_up_is_told_and_that_it_is_done_ends_nothing() -> None:
    async def superseded() -> None:
        raise Superseded("the database")

    async def done() -> None:
        pass

    with pytest.raises(Superseded):
        await catch_up(cast(Any, SimpleNamespace(run=superseded)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(catch_up(cast(Any, SimpleNamespace(run=done))), 0.01)
