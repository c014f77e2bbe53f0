"""Markets and views of one venue that come and go in the whole live app, with whoever watches them."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot import following
from bot.app import App
from bot.following import Following
from bot.markets.live_types import BAR_MS
from bot.markets.local.feed import LocalFeed
from bot.message import as_text
from bot.platforms.console import CHAT, request
from bot.platforms.seam import Choices
from detectors.market import HOUR_MS
from storage.chats import Watch
from storage.errors import StoreUnavailable
from storage.store import NewAlert
from tests.bot.test_live_app import NOW_MS, VENUES, feed_of, opened, running, stored, until


def waiting(app: App) -> Mapping[str, str]:
    assert app.following is not None
    return app.following.waiting


async def look(app: App) -> None:
    assert app.following is not None
    await app.following.look()


async def test_a_view_that_nobody_watches_any_more_ends_and_goes_on_where_it_stood_when_somebody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, feed_of(), io.StringIO()) as (app, _):
        await until(lambda: app.catching_up is not None and app.catching_up.condition is None)
        await app.commands.handle(request("/watch BTC on okx"))
        await until(lambda: app._waiting_for("BTC@okx") is None)
        seen = app.watcher.market_times()["BTC@okx"]
        await until(lambda: app.watcher.market_times()["BTC@okx"] > seen + BAR_MS)
        await app.commands.handle(request("/unwatch BTC on okx"))
        await look(app)
        assert "BTC@okx" in app.watcher.engines, "it ended before anybody could change his mind"
        monkeypatch.setattr(following, "ENDS_AFTER_S", 0.0)
        await look(app)
        assert "BTC@okx" not in app.watcher.engines
        assert [market.base for market in app.feed.markets] == ["BTC", "PEPE"]  # type: ignore[union-attr]
        before = opened(await app.store.snapshots_since("BTC@okx", None))
        seen = app.watcher.market_times()["BTC"]
        await until(lambda: app.watcher.market_times()["BTC"] > seen + 4 * BAR_MS)
        assert opened(await app.store.snapshots_since("BTC@okx", None)) == before, "it was followed on"
        assert not app.failed_ticks

        monkeypatch.setattr(following, "ENDS_AFTER_S", 600.0)
        await app.commands.handle(request("/watch BTC on okx"))
        await until(lambda: app._waiting_for("BTC@okx") is None)
        seen = app.watcher.market_times()["BTC@okx"]
        await until(lambda: app.watcher.market_times()["BTC@okx"] > seen + BAR_MS)
        assert "BTC@okx" in as_text(await app.commands.handle(request("/map BTC@okx")))
    after = opened(await stored(tmp_path / "bot.db", "BTC@okx"))
    assert len(after) > len(before) + 3
    assert after == list(range(after[0], after[-1] + BAR_MS, BAR_MS)), "a bar is missing or told twice"


async def test_a_stored_view_whose_venue_is_out_at_the_start_begins_when_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path, feed_of(), io.StringIO()) as (app, _):
        await until(lambda: app.caught_up)
        await app.commands.handle(request("/watch BTC on okx"))
        await until(lambda: app._waiting_for("BTC@okx") is None)

    class OutAtFirst(LocalFeed):
        def _rewrite(self, exchange: Any) -> None:
            assert self.venues is not None
            if not self.venues["okx"].faults.script and not self.markets:
                self.venues["okx"].faults.answer(503)
            super()._rewrite(exchange)

    feed = OutAtFirst(6, VENUES, ["BTC", "PEPE"], speed=8.0, history_days=2.0, now_ms=NOW_MS + 12 * 3_600_000)
    async with running(tmp_path, feed, io.StringIO()) as (app, _):
        assert list(waiting(app)) == ["BTC@okx"]
        assert "BTC@okx is watched and cannot begin yet" in as_text(await app.commands.handle(request("/status")))
        await until(lambda: app.caught_up)
        await look(app)
        assert list(waiting(app)) == ["BTC@okx"]
        assert feed.venues is not None
        feed.venues["okx"].faults.clear()
        await until(lambda: "okx" in feed.markets[0].venues)
        await look(app)
        assert not waiting(app)
        await until(lambda: app._waiting_for("BTC@okx") is None)
        seen = app.watcher.market_times()["BTC@okx"]
        await until(lambda: app.watcher.market_times()["BTC@okx"] > seen + BAR_MS)
        await app.commands.handle(request("/unwatch BTC on okx"))
    after = opened(await stored(tmp_path / "bot.db", "BTC@okx"))
    assert after == list(range(after[0], after[-1] + BAR_MS, BAR_MS)), "a bar is missing or told twice"


def largest_of_all(hours_later: float = 0.0) -> LocalFeed:
    """The config asks for the largest market alone, which is a copy of PEPE; PEPE and one more are listed."""
    now_ms = NOW_MS + round(hours_later * HOUR_MS)
    return LocalFeed(6, VENUES, ["PEPE"], copies=2, speed=2.0, history_days=2.0, now_ms=now_ms, largest=1)


async def test_a_chat_that_asks_for_a_market_not_followed_yet_is_told_when_alerts_come_and_keeps_it(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, largest_of_all(), io.StringIO()) as (app, _):
        [first] = app.watcher.engines
        assert first != "PEPE"
        await until(lambda: app.caught_up)
        answer = await app.commands.handle(request("/map PEPE"))
        assert as_text(answer).startswith("PEPE is not followed yet: watch it, and its history is read.")
        assert "/watch PEPE" in as_text(answer)
        suggested = await app.commands.suggest(CHAT, Choices.MARKET, "pe")
        assert suggested == ["PEPE"]
        assert "Did you mean PEPE" in (await app.commands.handle(request("/watch PEPPE"))).title

        feed = app.feed
        assert isinstance(feed, LocalFeed)
        assert feed.venues is not None
        feed.joins._due_ms = 2**53
        for venue in VENUES:
            feed.venues[venue].faults.delisted.add("COPY2")
        feed.joins._read_ms = 0
        assert "No market called" in (await app.commands.handle(request("/watch NOTHING"))).title
        assert app.following is not None
        assert "COPY2" not in app.following.offered(), "a name on no list is worth asking the venues again"
        for venue in VENUES:
            feed.venues[venue].faults.clear()
        feed.joins._read_ms = 0

        answer = await app.commands.handle(request("/watch 1000pepe min $1"))
        assert "COPY2" not in app.following.offered(), "a name that is known is not"
        assert answer.title.startswith("Watching PEPE. Its history is being read from binance and okx: first alerts in")
        assert (await app.commands.handle(request("/watch PEPE"))).title == "Watching PEPE."
        await until(lambda: app._waiting_for("PEPE") is None)
        assert "PEPE" in as_text(await app.commands.handle(request("/map PEPE")))
        tiers = app.watcher.tiers("PEPE")
        assert tiers is not None
        assert tiers.source.startswith("okx's public tiers of PEPE"), "its tiers were not asked for"
        assert not app.failed_ticks
    async with running(tmp_path, largest_of_all(12.0), io.StringIO()) as (app, _):
        assert set(app.watcher.engines) == {first, "PEPE"}
        await until(lambda: app._waiting_for("PEPE") is None)
        assert (await app.commands.handle(request("/unwatch PEPE"))).title.startswith("PEPE has no settings of its own")
    after = opened(await stored(tmp_path / "bot.db", "PEPE"))
    assert after == list(range(after[0], after[-1] + BAR_MS, BAR_MS)), "a bar is missing or told twice"


async def test_what_the_store_cannot_end_goes_on_being_followed_and_is_ended_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "ENDS_AFTER_S", 0.0)
    followed, failing = {"PEPE", "PEPE@okx"}, [StoreUnavailable("the disk is full")]

    class Nobody:
        async def subscriptions(self) -> list[Watch]:
            return []

        async def remove(self, _: str) -> list[NewAlert]:
            if failing:
                raise failing.pop()
            return []

    views = SimpleNamespace(alone=lambda: [base for base in followed if "@" in base], end=followed.remove)
    joins = SimpleNamespace(
        is_due=False, gone=dict, asked_for={"PEPE"}, bases=set, end=followed.remove, say=lambda _: None
    )
    feed: Any = SimpleNamespace(views=views, joins=joins, markets=())
    nobody: Any = Nobody()
    one = Following(feed, nobody, nobody, most=9, ready_hours=1.0, tell=lambda _: None, say=lambda _, __: None)
    with pytest.raises(StoreUnavailable):
        await one.look()
    assert followed == {"PEPE", "PEPE@okx"}
    await one.look()
    assert "PEPE@okx" not in followed
