"""A copy that waits for another one: what ``/healthz`` and ``/metrics`` say of it, and the dead man's switch."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from bot.app import App, make_feed
from bot.config import HealthSection, parse
from bot.health import Health, serving
from bot.run import opened
from storage.postgres import PostgresStore
from storage.sqlite import SqliteStore
from tests.bot.test_health import free_port, state
from tests.storage.relay import Relay


async def test_a_copy_that_waits_for_another_one_says_so_and_is_healthy(tmp_path: Path) -> None:
    leads, waits = (SqliteStore(tmp_path / "bot.db", "simulated") for _ in range(2))
    await leads.open()
    health = Health(version="1", beat_every_s=30, store=waits)
    opening = asyncio.create_task(waits.open())
    async with asyncio.timeout(5):
        while await state(health) != ("standing by", ()):  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
    await leads.close()
    await opening
    assert await state(health) == ("starting", ())
    await waits.close()


async def test_a_copy_that_waits_ends_when_it_is_told_to(tmp_path: Path) -> None:
    path, stopping = tmp_path / "bot.db", asyncio.Event()
    leads = SqliteStore(path, "simulated")
    await leads.open()
    settings = parse({"store": {"path": str(path)}}, "test")
    app = App(settings, make_feed(settings))
    async with AsyncExitStack() as until_end, asyncio.timeout(5):
        opening = asyncio.create_task(opened(app, until_end, stopping))
        while not app.store.standing_by:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
        stopping.set()
        assert not await opening
    await leads.close()


async def test_a_copy_that_waits_while_the_database_is_away_says_so_and_is_not_healthy(postgres_url: str) -> None:
    port, leads = free_port(), PostgresStore(postgres_url, "simulated")
    await leads.open()
    async with Relay(postgres_url) as relay:
        waits = PostgresStore(relay.url, "simulated")
        health = Health(version="1", beat_every_s=30, store=waits)
        opening = asyncio.create_task(waits.open())
        async with (
            serving(health, HealthSection(), port),
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
            asyncio.timeout(10),
        ):

            async def answers(status: int, reasons: list[str]) -> None:
                while True:
                    async with session.get("/healthz") as answer:
                        found = answer.status, await answer.json()
                    if found == (status, {"state": "standing by", "reasons": reasons}):
                        break
                    await asyncio.sleep(0.01)
                async with session.get("/metrics") as answer:
                    text = await answer.text()
                assert "clusterwatch_standing_by 1.0" in text
                assert f"clusterwatch_healthy {int(status == 200)}.0" in text

            await answers(200, [])
            await relay.cut()
            await answers(503, ["store"])
            await relay.mend()
            await answers(200, [])
        await leads.close()
        await opening
        assert await state(health) == ("starting", ())
        await waits.close()


async def test_a_copy_that_waits_leaves_the_dead_man_s_switch_to_the_one_that_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads, waits = (SqliteStore(tmp_path / "bot.db", "simulated") for _ in range(2))
    await leads.open()
    health, called = Health(version="1", beat_every_s=30, store=waits), asyncio.Event()

    async def call(url: str, session: aiohttp.ClientSession) -> None:
        assert not waits.standing_by
        called.set()

    monkeypatch.setattr("bot.health._call", call)
    opening = asyncio.create_task(waits.open())
    async with asyncio.timeout(5), aiohttp.ClientSession() as session:
        while not waits.standing_by:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
        pinging = asyncio.create_task(health.ping("http://127.0.0.1:1", 0.01, session))
        await asyncio.sleep(0.1)
        assert not called.is_set()
        await leads.close()
        await opening
        await called.wait()
    assert not pinging.done()
    pinging.cancel()
    await waits.close()
