"""A view of one venue in the whole live app: it ends with its last watcher, and waits for a venue that is out."""

import io
from pathlib import Path
from typing import Any

import pytest

from bot import view_ends
from bot.markets.live_types import BAR_MS
from bot.markets.local.feed import LocalFeed
from bot.message import as_text
from bot.platforms.console import request
from tests.bot.test_live_app import NOW_MS, VENUES, feed_of, opened, running, stored, until


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
        await app.open_views()
        assert "BTC@okx" in app.watcher.engines, "it ended before anybody could change his mind"
        monkeypatch.setattr(view_ends, "ENDS_AFTER_S", 0.0)
        await app.open_views()
        assert "BTC@okx" not in app.watcher.engines
        assert [market.base for market in app.feed.markets] == ["BTC", "PEPE"]  # type: ignore[union-attr]
        before = opened(await app.store.snapshots_since("BTC@okx", None))
        seen = app.watcher.market_times()["BTC"]
        await until(lambda: app.watcher.market_times()["BTC"] > seen + 4 * BAR_MS)
        assert opened(await app.store.snapshots_since("BTC@okx", None)) == before, "it was followed on"
        assert not app.failed_ticks

        app.views_out.add("BTC@gate")
        await app.open_views()
        assert not app.views_out, "a view that nobody watches was waited for"

        monkeypatch.setattr(view_ends, "ENDS_AFTER_S", 600.0)
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
        assert app.views_out == {"BTC@okx"}
        assert "BTC@okx is watched and cannot begin yet" in as_text(await app.commands.handle(request("/status")))
        await until(lambda: app.caught_up)
        await app.open_views()
        assert app.views_out == {"BTC@okx"}
        assert feed.venues is not None
        feed.venues["okx"].faults.clear()
        await until(lambda: "okx" in feed.markets[0].venues)
        await app.open_views()
        assert not app.views_out
        await until(lambda: app._waiting_for("BTC@okx") is None)
        seen = app.watcher.market_times()["BTC@okx"]
        await until(lambda: app.watcher.market_times()["BTC@okx"] > seen + BAR_MS)
        await app.commands.handle(request("/unwatch BTC on okx"))
    after = opened(await stored(tmp_path / "bot.db", "BTC@okx"))
    assert after == list(range(after[0], after[-1] + BAR_MS, BAR_MS)), "a bar is missing or told twice"
