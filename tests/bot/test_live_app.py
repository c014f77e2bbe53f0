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

from bot.app import App, make_feed
from bot.config import Config
from bot.markets.feed import NoVenue
from bot.markets.live import LiveFeed, VenueStatus
from bot.markets.live_types import BAR_MS
from bot.markets.live_watch import Gap
from bot.markets.local.feed import LocalFeed
from bot.markets.simulated_exchange import START_MS
from bot.message import as_text
from bot.platforms.console import CHAT, Printer, request
from bot.replies import venue_line
from bot.run_live import serve_live, tell_notices
from detectors.market import DAY_MS, HOUR_MS, MarketSnapshot
from storage.chats import Chat, Watch
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from tests.bot.played import config, keys, market, moments, play_all, subscribe, watcher

NOW_MS = START_MS + 2 * DAY_MS
VENUES = ("binance", "okx")
SPEED = 8.0
"""Bars a second."""


def settings(tmp_path: Path, **source: object) -> Config:
    return config(
        source={"kind": "local", "venues": VENUES, "history_days": 1.5, **source},
        charts={"draw": False},
        store={"path": str(tmp_path / "bot.db")},
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


async def until(met: Callable[[], bool], seconds: float = 8.0) -> None:
    for _ in range(round(seconds / 0.05)):
        if met():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came")


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
        await until(lambda: app.tally.snapshots > 4)
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
        assert "venue: okx is stopped" in answer


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
    assert len(opened(await stored(tmp_path / "bot.db"))) in {0, 432, 433}


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
        assert list(await app.store.gaps()) == [torn]
        await feed.close()


async def test_without_any_venue_the_start_says_why_and_makes_no_database(tmp_path: Path) -> None:
    live = settings(tmp_path, kind="live", venues=["nosuch"])
    with pytest.raises(NoVenue, match="ccxt has no venue called nosuch"):
        async with App(live, make_feed(live)):
            pass
    assert not await asyncio.to_thread((tmp_path / "bot.db").exists)


# --- the watcher under a live feed


async def test_the_past_is_learnt_in_one_commit_and_tells_nothing() -> None:
    store = SqliteStore(None, "simulated")
    await store.open()
    await subscribe(store)
    watching, other = watcher(store), watcher(store)
    await watching.start([market()])
    past = [one for moment in moments()[:600] for one in moment]
    assert await watching.learn(past) == 600
    counts = await store.counts()
    assert (counts.events, counts.deliveries, counts.silences) == ({}, {}, {})
    live = keys(await play_all(watching, moments()[600:800]))
    await other.start([market()])
    assert other.engines["BTC"].estimate.to_bytes() == watching.engines["BTC"].estimate.to_bytes()
    await store.close()
    whole = SqliteStore(None, "simulated")
    await whole.open()
    await subscribe(whole)
    played = watcher(whole)
    await played.start([market()])
    await play_all(played, moments()[:600])
    assert keys(await play_all(played, moments()[600:800])) == live
    await whole.close()


async def test_a_store_that_fails_in_the_middle_of_a_moment_loses_none_of_its_snapshots() -> None:
    class Unread(SqliteStore):
        failing = False

        async def subscriptions(self, chat: Chat | None = None) -> Sequence[Watch]:
            if self.failing:
                raise StoreUnavailable("locked")
            return await super().subscriptions(chat)

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
