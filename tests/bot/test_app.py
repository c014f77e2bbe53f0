"""The composition root and what runs in it: the demonstration, the played market, start and stop."""

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from bot import run
from bot.app import App, make_feed
from bot.config import Config, ConfigError, ConsoleSection
from bot.markets.names import UnknownMarket
from bot.markets.simulated import SimulatedFeed
from bot.platforms.console import CHAT, Printer
from storage.errors import WrongSource
from storage.sqlite import SqliteStore
from tests.bot.played import DAYS, SEED, config


def simulated(tmp_path: Path, *, store: str = "", draw: bool = False, **source: object) -> Config:
    return config(
        source={"seed": SEED, "days": DAYS, "markets": ["BTC"], "warm_up_days": 2.0, "speed": 1000.0, **source},
        charts={"folder": str(tmp_path / "charts"), "draw": draw},
        store={"path": store},
    )


def app_of(settings: Config, out: io.StringIO) -> App:
    return App(settings, make_feed(settings), printer=Printer(Console(file=out, width=160, highlight=False)))


async def test_the_demonstration_tells_every_alert_draws_its_chart_and_sums_up(tmp_path: Path) -> None:
    out = io.StringIO()
    async with app_of(simulated(tmp_path, draw=True, days=2.5), out) as app:
        await run.demonstration(app, asyncio.Event())
        counts = await app.store.counts()
    total = sum(app.tally.alerts.values())
    assert total == counts.deliveries["sent"] > 0
    assert len(list((tmp_path / "charts").glob("*.png"))) == total
    text = out.getvalue()
    assert text.count("SIMULATED market") >= 1
    assert f"{total} alerts from" in text
    assert f"Charts: {tmp_path / 'charts'}" in text


async def test_piped_commands_are_answered_and_then_the_market_goes_on(tmp_path: Path) -> None:
    out = io.StringIO()
    async with app_of(simulated(tmp_path), out) as app:
        await run.demonstration(app, asyncio.Event(), ["/unwatch all", "/watch BTC funding", "/status"])
        counts = await app.store.counts()
    text = out.getvalue()
    assert "Watching BTC." in text
    assert "Market time 2026-01-07 00:05 UTC" in text
    assert counts.silences["kind_off"] > 0


async def test_the_warm_up_is_silent_and_the_market_then_plays_until_it_ends(tmp_path: Path) -> None:
    out = io.StringIO()
    async with app_of(simulated(tmp_path), out) as app:
        await run.serve(app, asyncio.Event(), interactive=False, commands=["/status"])
        counts = await app.store.counts()
        first = (await app.store.recent(10_000))[-1].event
    assert counts.silences["muted"] > 0
    assert first.taken_at_ms >= app.begins_at_ms + 2 * 86_400_000
    assert counts.deliveries == {"sent": sum(app.tally.alerts.values())}
    assert "The market has ended" in out.getvalue()


async def test_told_to_stop_it_stops_in_order_and_the_next_start_goes_on(tmp_path: Path) -> None:
    path, out = tmp_path / "bot.db", io.StringIO()
    settings = simulated(tmp_path, store=str(path), speed=400.0)
    stopping = asyncio.Event()
    async with app_of(settings, out) as app:
        serving = asyncio.create_task(run.serve(app, stopping, interactive=False))
        await asyncio.sleep(1.5)
        stopping.set()
        async with asyncio.timeout(5):
            await serving
    view = app.watcher.engines["BTC"].view()
    assert view is not None
    again = app_of(settings, out)
    async with again:
        assert again.stands_at_ms == view.taken_at_ms
        await again.store.unwatch(CHAT, None)
    async with app_of(settings, out) as third:
        assert await third.store.subscriptions(CHAT) == []


async def test_told_to_stop_the_demonstration_keeps_what_it_has_told(tmp_path: Path) -> None:
    stopping, out = asyncio.Event(), io.StringIO()
    async with app_of(simulated(tmp_path), out) as app:
        asyncio.get_running_loop().call_later(0.4, stopping.set)
        await run.demonstration(app, stopping)
        counts = await app.store.counts()
    assert 0 < app.tally.snapshots < DAYS * 288
    assert counts.deliveries.get("sent", 0) == sum(app.tally.alerts.values())


async def test_the_jobs_of_the_house_can_run(tmp_path: Path) -> None:
    settings = simulated(tmp_path, store=str(tmp_path / "bot.db"), draw=True)
    async with app_of(settings, io.StringIO()) as app:
        assert await app.tick()
        await app.beat()
        await app.keep_house()
        await app.back_up()
        assert (await app.store.counts()).heartbeat_at_ms
    assert (tmp_path / "bot.db.backup-000001").exists()


async def test_a_start_that_fails_closes_what_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    recorded = SqliteStore(path, "recorded")
    await recorded.open()
    await recorded.close()
    with pytest.raises(WrongSource):
        async with app_of(simulated(tmp_path, store=str(path)), io.StringIO()):
            pass
    with pytest.raises(UnknownMarket):
        make_feed(simulated(tmp_path, markets=["BTX"]))


async def test_a_market_misspelt_for_the_terminal_is_said_before_a_database_is_made_and_once_mended_it_watches(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bot.db"
    right = simulated(tmp_path, store=str(path))
    wrong = right.model_copy(update={"console": ConsoleSection(watch=("BTC", "BTX"))})
    with pytest.raises(ConfigError, match=r"console\.watch: there is no market called 'BTX'; did you mean BTC\?"):
        async with app_of(wrong, io.StringIO()):
            pass
    assert not path.exists()
    async with app_of(right, io.StringIO()) as app:
        assert [one.subscription.market for one in await app.store.subscriptions(CHAT)] == ["*"]
    async with app_of(wrong, io.StringIO()) as app:  # a market that goes does not keep a bot from starting
        assert [one.subscription.market for one in await app.store.subscriptions(CHAT)] == ["*"]


async def test_parts_can_be_replaced(tmp_path: Path) -> None:
    store = SqliteStore(None, "simulated")
    settings = simulated(tmp_path)
    async with App(settings, SimulatedFeed(1, 1, ["PEPE"]), store=store) as app:
        assert app.store is store
        assert list(app.watcher.engines) == ["PEPE"]
