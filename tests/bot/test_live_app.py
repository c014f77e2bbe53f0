"""The live path in the shell: real ccxt, local venues, the app around them."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bot import catching_up
from bot.app import App, make_feed
from bot.config import Config
from bot.markets.feed import NoVenue
from bot.markets.live import LiveFeed, VenueStatus
from bot.markets.live_history import Past
from bot.markets.live_types import BAR_MS
from bot.markets.live_watch import Gap
from bot.markets.local.feed import LocalFeed
from bot.markets.simulated_exchange import START_MS
from bot.message import as_text
from bot.platforms.console import CHAT, Printer, request
from bot.replies import venue_line
from bot.run_live import serve_live, tell_notices
from bot.watch import Watcher
from detectors.market import DAY_MS, HOUR_MS, MarketSnapshot
from storage.chats import Chat, Watch
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from tests.bot.played import config, market, moments, subscribe, watcher

NOW_MS = START_MS + 2 * DAY_MS
VENUES = ("binance", "okx")
CHANGED: dict[str, object] = {}
"""Further sections of the config."""
SPEED = 8.0
"""Bars a second."""


def settings(tmp_path: Path, **source: object) -> Config:
    return config(
        source={"kind": "local", "venues": VENUES, "history_days": 1.5, **source},
        charts={"draw": False},
        store={"path": str(tmp_path / "bot.db")},
        **CHANGED,
    )


def feed_of(hours_later: float = 0.0, *, speed: float = SPEED) -> LocalFeed:
    now_ms = NOW_MS + round(hours_later * HOUR_MS)
    return LocalFeed(6, VENUES, ["BTC", "PEPE"], speed=speed, history_days=2.0, now_ms=now_ms)


@asynccontextmanager
async def running(tmp_path: Path, feed: LiveFeed, out: io.StringIO) -> AsyncIterator[tuple[App, asyncio.Event]]:
    """An app that is being served; told to stop at the end, and given ten seconds for it."""
    stopping = asyncio.Event()
    printer = Printer(Console(file=out, width=160, highlight=False))
    async with App(settings(tmp_path), feed, printer=printer) as app:
        serving = asyncio.create_task(serve_live(app, feed, stopping, interactive=False))
        try:
            yield app, stopping
        finally:
            stopping.set()
            async with asyncio.timeout(10):
                await serving


async def until(met: Callable[[], bool], seconds: float = 25.0) -> None:
    for _ in range(round(seconds / 0.05)):
        if met():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came")


async def test_a_view_of_one_venue_is_added_while_running_and_taken_up_again_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, feed_of(), io.StringIO()) as (app, _):
        await until(lambda: app.caught_up)
        answer = await app.commands.handle(request("/watch BTC on okx"))
        assert answer.title.startswith("Watching BTC@okx. Still fetching the past of BTC@okx")
        await until(lambda: app._waiting_for("BTC@okx") is None)
        view = app.watcher.engines["BTC@okx"].view()
        assert view is not None
        assert view.market.venues == ("okx",)
        assert "only on binance, okx" in (await app.commands.handle(request("/watch BTC on gate"))).title
        seen = app.watcher.market_times()["BTC@okx"]
        await until(lambda: app.watcher.market_times()["BTC@okx"] > seen + BAR_MS)
        assert "BTC@okx" in as_text(await app.commands.handle(request("/map BTC@okx")))
    before = [one.bar.opened_at_ms for one in await stored(tmp_path / "bot.db", "BTC@okx") if one.bar is not None]
    assert len(before) > 1.4 * DAY_MS / BAR_MS
    later = (before[-1] - NOW_MS) / HOUR_MS + 3.0  # than the last bar, however long all of this took
    async with running(tmp_path, feed_of(later), io.StringIO()) as (app, _):
        assert "BTC@okx" in app.watcher.engines
        await until(lambda: app.caught_up)
        await until(lambda: app._waiting_for("BTC@okx") is None)
        assert (await app.commands.handle(request("/unwatch BTC on okx"))).title == "No more of BTC@okx."
    after = [one.bar.opened_at_ms for one in await stored(tmp_path / "bot.db", "BTC@okx") if one.bar is not None]
    assert len(after) > len(before)
    assert after == list(range(after[0], after[-1] + BAR_MS, BAR_MS)), "a bar is missing or told twice"


async def stored(path: Path, base: str = "BTC") -> Sequence[MarketSnapshot]:
    store = SqliteStore(path, "local")
    await store.open()
    try:
        return await store.snapshots_since(base, None)
    finally:
        await store.close()


def opened(snapshots: Sequence[MarketSnapshot]) -> list[int]:
    return [one.bar.opened_at_ms for one in snapshots if one.bar is not None]


def fetched(out: io.StringIO) -> int:
    """How many bars it said it caught up with."""
    return int(out.getvalue().partition("Caught up: ")[2].partition(" bars")[0].replace(",", ""))


async def test_the_first_start_learns_the_past_silently_and_a_restart_fetches_only_what_is_missing(
    tmp_path: Path,
) -> None:
    out = io.StringIO()
    async with running(tmp_path, feed_of(), out) as (app, _):
        await until(lambda: sum(app.tally.alerts.values()) >= 2)
        told = await app.store.recent(1000, chat=CHAT)
        assert min(one.event.taken_at_ms for one in told) > NOW_MS
        assert (await app.store.counts()).events
        stood_at_ms = app.watcher.engines["BTC"].screen.last_bar_opened_at_ms or 0
        assert "Clusterwatch" not in out.getvalue()
        assert "Caught up: 864 bars" in out.getvalue() or stood_at_ms > NOW_MS
    before = await stored(tmp_path / "bot.db")
    assert NOW_MS - 1.5 * DAY_MS <= opened(before)[0] < NOW_MS - DAY_MS
    hours = (opened(before)[-1] - NOW_MS) / HOUR_MS + 6
    again = io.StringIO()
    async with running(tmp_path, feed_of(hours), again) as (app, _):
        assert app.stands_at_ms is not None
        await until(lambda: "Caught up" in again.getvalue() and app.tally.snapshots > 4)
        assert 2 * 5 * 12 <= fetched(again) <= 2 * 8 * 12
    after = await stored(tmp_path / "bot.db")
    assert after[:400] == before[:400], "what was stored was written again"
    apart = {later - earlier for earlier, later in itertools.pairwise(opened(after))}
    assert apart == {BAR_MS}, "the restart left a hole"


async def test_status_says_of_each_venue_what_it_gives_and_one_that_stops_takes_none_with_it(tmp_path: Path) -> None:
    feed, out = feed_of(), io.StringIO()
    async with running(tmp_path, feed, out) as (app, _):
        await until(lambda: app.tally.snapshots > 4)
        answer = as_text(await app.commands.handle(request("/status")))
        assert "Source: SIMULATED (local venues)" in answer
        assert "binance: 2 markets · prices " in answer
        assert "liquidations sampled" in answer
        assert "liquidations full" in answer
        assert feed.venues is not None
        feed.venues["okx"].faults.answer(451)
        await until(lambda: "okx is stopped; geo-block (451)" in out.getvalue())
        seen = app.tally.snapshots
        await until(lambda: app.tally.snapshots > seen + 6)
        answer = as_text(await app.commands.handle(request("/status")))
        assert "okx: STOPPED, geo-block (451)" in answer


async def test_a_fault_of_ours_in_one_venue_s_work_is_said_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, out = feed_of(), io.StringIO()
    async with running(tmp_path, feed, out) as (app, _):

        async def broken(_: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(feed._parts["okx"].client, "looks", broken)
        await until(lambda: "okx: its worker ended by a fault of ours" in out.getvalue())
        seen = app.tally.snapshots
        await until(lambda: app.tally.snapshots > seen + 6)
        assert feed.refusals["fault okx/worker"] >= 1


async def test_told_to_stop_while_venues_hang_it_ends_in_time(tmp_path: Path) -> None:
    feed, out = feed_of(), io.StringIO()
    async with running(tmp_path, feed, out) as (app, stopping):
        await until(lambda: app.tally.snapshots > 2)
        assert feed.venues is not None
        for name in VENUES:
            feed.venues[name].faults.delay(30.0)
        await asyncio.sleep(0.3)
        stopping.set()


async def test_told_to_stop_while_it_fetches_the_past_it_leaves_all_of_a_market_or_nothing(tmp_path: Path) -> None:
    feed = feed_of()
    async with running(tmp_path, feed, io.StringIO()) as (_, stopping):
        assert feed.venues is not None
        for name in VENUES:
            feed.venues[name].faults.delay(0.2)
        await asyncio.sleep(0.3)
        stopping.set()
    past = [at_ms for at_ms in opened(await stored(tmp_path / "bot.db")) if at_ms < NOW_MS]
    assert len(past) in {0, 432}


async def test_a_first_start_follows_at_once_and_answers_while_it_fetches_the_past(tmp_path: Path) -> None:
    feed, out = feed_of(speed=1.0), io.StringIO()
    async with running(tmp_path, feed, out) as (app, _):
        assert feed.venues is not None
        for name in VENUES:
            for path in ("klines", "candles"):
                feed.venues[name].faults.delay(1.0, path=path)
        await until(lambda: app.tally.snapshots > 0)
        assert len(await app.store.snapshots_since("BTC", None)) > 0, "the first price was not taken in"
        answer = as_text(await app.commands.handle(request("/map BTC")))
        assert "Still fetching the past of BTC" in answer
        assert "Fetching the past" in as_text(await app.commands.handle(request("/status")))
        for name in VENUES:
            feed.venues[name].faults.clear()
        await until(lambda: "Caught up: 864 bars" in out.getvalue())
        assert "BTC liquidation map" in as_text(await app.commands.handle(request("/map BTC")))
        await until(lambda: app.catching_up is not None and app.catching_up.condition is None)
        assert "Fetching" not in as_text(await app.commands.handle(request("/status")))


async def test_the_newest_days_come_first_and_the_rest_is_fetched_behind_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catching_up, "FIRST_STAGE_DAYS", 0.5)
    out = io.StringIO()
    async with running(tmp_path, feed_of(speed=1.0), out) as (app, _):
        await until(lambda: "The whole past is in: " in out.getvalue())
        assert "Caught up: 288 bars" in out.getvalue()
        # One bar of each market is asked for again, to see on which scale its open interest is.
        assert "The whole past is in: 578 bars" in out.getvalue()
    kept = await stored(tmp_path / "bot.db")
    assert opened(kept)[0] == NOW_MS - 1.5 * DAY_MS
    assert {later - earlier for earlier, later in itertools.pairwise(opened(kept))} == {BAR_MS}
    levels = [one.open_interest.base for one in kept if one.open_interest is not None]
    assert max(abs(later / earlier - 1) for earlier, later in itertools.pairwise(levels)) < 0.05
    again = io.StringIO()
    async with running(tmp_path, feed_of(1.0, speed=1.0), again) as (app, _):
        await until(lambda: app.catching_up is not None and app.catching_up.condition is None)
        await until(lambda: "Caught up" in again.getvalue())
        assert "The whole past" not in again.getvalue(), "what had been asked for was asked for again"


async def test_what_comes_live_of_a_stored_market_waits_for_the_bars_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, feed_of(speed=1.0), out := io.StringIO()) as (app, _):
        await until(lambda: "Caught up" in out.getvalue())
    before = await stored(tmp_path / "bot.db")
    async with running(tmp_path, feed_of(3.0, speed=1.0), again := io.StringIO()) as (app, _):
        feed = app.feed
        assert isinstance(feed, LocalFeed)
        past, may_come = feed.past, asyncio.Event()

        async def held_up(*asked: Any) -> AsyncIterator[Past]:
            await may_come.wait()
            async for told in past(*asked):
                yield told

        monkeypatch.setattr(feed, "past", held_up)
        await until(lambda: app.tally.snapshots > 1)
        assert len(await app.store.snapshots_since("BTC", None)) == len(before), "a price overtook the bars before it"
        assert "Still " in as_text(await app.commands.handle(request("/map BTC")))
        may_come.set()
        await until(lambda: "Caught up" in again.getvalue())
    after = await stored(tmp_path / "bot.db")
    assert {later - earlier for earlier, later in itertools.pairwise(opened(after))} == {BAR_MS}
    times = [one.taken_at_ms for one in after]
    assert times == sorted(times)


async def test_after_a_change_of_settings_it_serves_at_once_and_makes_the_estimates_anew_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, feed_of(speed=1.0), out := io.StringIO()) as (app, _):
        await until(lambda: "Caught up" in out.getvalue())
    before = await stored(tmp_path / "bot.db")
    rebuild, may_go_on, failed = Watcher.rebuild, asyncio.Event(), list[str]()

    async def held_up(self: Watcher, base: str) -> None:
        if base not in failed:
            failed.append(base)
            raise StoreUnavailable("locked")
        await may_go_on.wait()
        await rebuild(self, base)

    monkeypatch.setattr(Watcher, "rebuild", held_up)
    monkeypatch.setattr(catching_up, "_STORE_AGAIN_S", 0.05)
    monkeypatch.setattr("tests.bot.test_live_app.CHANGED", {"clusters": {"deviations": 0.5}})
    async with running(tmp_path, feed_of(3.0, speed=1.0), again := io.StringIO()) as (app, _):
        await until(lambda: app.tally.snapshots > 1 and bool(failed))
        assert "Still making the estimate of BTC anew" in as_text(await app.commands.handle(request("/map BTC")))
        assert len(await app.store.snapshots_since("BTC", None)) == len(before), "a price overtook the bars before it"
        may_go_on.set()
        await until(lambda: "Caught up" in again.getvalue())
        assert sorted(failed) == ["BTC", "PEPE"]
        assert "BTC liquidation map" in as_text(await app.commands.handle(request("/map BTC")))
        assert not app.failed_ticks
    after = await stored(tmp_path / "bot.db")
    assert {later - earlier for earlier, later in itertools.pairwise(opened(after))} == {BAR_MS}


async def test_when_liquidations_were_missed_is_kept_in_the_database_once(tmp_path: Path) -> None:
    torn = Gap("binance", NOW_MS - 2000, NOW_MS - 1000)

    class TornFeed(LocalFeed):
        @property
        def gaps(self) -> list[Gap]:
            return [torn]

    feed = TornFeed(6, VENUES, ["BTC"], speed=SPEED, history_days=1.0, now_ms=NOW_MS)
    printer = Printer(Console(file=io.StringIO(), width=160))
    async with App(settings(tmp_path), feed, printer=printer) as app:
        await tell_notices(app, feed)
        await tell_notices(app, feed)
        assert list(await app.store.gaps()).count(torn) == 1
        await feed.close()


async def test_without_any_venue_the_start_says_why_and_makes_no_database(tmp_path: Path) -> None:
    asked = settings(tmp_path, kind="live")
    live = asked.model_copy(update={"source": asked.source.model_copy(update={"venues": ("nosuch",)})})
    with pytest.raises(NoVenue, match="ccxt has no venue called nosuch"):
        async with App(live, make_feed(live)):
            pass
    assert not await asyncio.to_thread((tmp_path / "bot.db").exists)


# --- the watcher under a live feed


async def test_a_store_that_fails_in_the_middle_of_a_moment_loses_none_of_its_snapshots() -> None:
    class Unread(SqliteStore):
        failing = False

        async def subscriptions(self, *chats: Chat) -> Sequence[Watch]:
            if self.failing:
                raise StoreUnavailable("locked")
            return await super().subscriptions(*chats)

    store = Unread(None, "simulated")
    await store.open()
    await subscribe(store)
    watching = watcher(store)
    await watching.start([market()])
    store.failing = True
    played = [one for moment in moments() for one in moment]
    with pytest.raises(StoreUnavailable):
        await watching.take(played)
    store.failing = False
    for _ in range(3):
        await watching.take(())
    assert len(await store.snapshots_since("BTC", None)) == len(played)
    await store.close()


async def test_a_bar_that_closed_before_the_last_look_is_not_lost_by_a_restart() -> None:
    store = SqliteStore(None, "simulated")
    await store.open()
    first = watcher(store)
    await first.start([market()])
    bars = [one for moment in moments()[:12] for one in moment]
    for one in bars[:11]:
        await first.take([one])
    late = bars[11].taken_at_ms + 5_000
    price = bars[10].price
    await first.take([MarketSnapshot(market(), late, price, price, price)])
    again = watcher(store)
    await again.start([market()])
    await again.take([bars[10]])
    await again.take([bars[11]])
    kept = await store.snapshots_since("BTC", None)
    assert opened(kept) == opened(bars)
    assert kept[-1].taken_at_ms == late
    await store.close()


def test_a_venue_s_line_tells_what_is_stale_missed_and_refused() -> None:
    venue = VenueStatus("gate", 3, "", ("bars",), {"prices": 99_000, "bars": 40_000}, "totals", 0, ("volume",))
    gaps = [Gap("gate", 10_000, 12_000), Gap("okx", 0, 1), Gap("gate", 95_000)]
    assert venue_line(venue, gaps, 100_000) == (
        "gate: 3 markets · prices 1 s old · bars STALE, 1 min old · "
        "liquidations totals, 2 gaps of 7 s in all, the last one lasts · not trusted: volume"
    )
    stopped = replace(venue, stopped="banned (418)")
    assert venue_line(stopped, (), 0) == "gate: STOPPED, banned (418); 3 markets without it"
