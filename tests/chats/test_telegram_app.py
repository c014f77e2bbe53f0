"""The whole bot on Telegram: the real app, commands, store, detectors, charts and library; only Telegram is local."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from bot.app import App, make_feed
from bot.platforms.console import Printer
from bot.platforms.telegram import TelegramPlatform
from storage.chats import Chat
from tests.bot.played import DAYS, SEED, config
from tests.chats.telegram_server import TelegramServer
from tests.chats.telegram_state import Letter
from tests.chats.telegram_world import World


@dataclass
class Bot:
    """The app as it runs, with a market that the test plays."""

    app: App
    server: TelegramServer

    @property
    def world(self) -> World:
        return self.server.world

    async def says(self, chat_id: int, act: Callable[[], object]) -> Letter:
        """What the bot writes next in a chat after somebody did something."""
        before = len(self.server.sent(chat_id))
        act()
        await self.server.until(lambda: len(self.server.sent(chat_id)) > before)
        return self.server.sent(chat_id)[-1]

    async def play_until(self, met: Callable[[], object]) -> None:
        """Bars, one after another, until something holds."""
        while not met():
            assert await self.app.tick(), "the market has ended"
            await asyncio.sleep(0)
            await self.server.until(lambda: not self.app.deliverer._under_way(), 15)

    def alerts(self, chat_id: int) -> list[Letter]:
        """Messages with a chart that nobody asked for."""
        return [letter for letter in self.server.sent(chat_id) if letter.photo and letter.reply_to is None]


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Bot]:
    settings = config(
        source={"seed": SEED, "days": DAYS, "markets": ["BTC"]},
        charts={"folder": str(tmp_path / "charts")},
        console={"watch": []},
        store={"path": str(tmp_path / "bot.db")},
    )
    async with TelegramServer() as server:
        platform = TelegramPlatform(server.token, base_url=server.address)
        printer = Printer(Console(file=io.StringIO(), width=160))
        async with App(settings, make_feed(settings), printer=printer, platforms=[platform]) as app:
            await app.open_chats()
            tasks = [asyncio.create_task(app.chats.run()), asyncio.create_task(app.deliverer.run())]
            await server.until(lambda: server.api.calls["getupdates"])
            for _ in range(2 * 288):
                await app.tick()
            yield Bot(app, server)
            tasks[0].cancel()
            await app.deliverer.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert server.limits.refused == 0, "never over Telegram's limits"


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with running(tmp_path) as bot:
        yield bot


async def test_from_start_to_an_alert_with_its_chart(bot: Bot) -> None:
    ann = bot.world.person("Ann")
    assert await bot.says(ann, lambda: bot.world.say(ann, ann, "/start"))
    watching = await bot.says(ann, lambda: bot.world.say(ann, ann, "/watch btc"))
    assert "Watching BTC" in watching.words
    again = await bot.says(ann, lambda: bot.world.say(ann, ann, "/watch $BTC"))
    assert "Watching BTC" in again.words
    chat = Chat("telegram", str(ann))
    assert [watch.subscription.market for watch in await bot.app.store.subscriptions(chat)] == ["BTC"]
    await bot.play_until(lambda: bot.alerts(ann))
    alert = bot.alerts(ann)[0]
    assert alert.words.split("\n")[0][0] in "🟢🔴🔵"
    assert "SIMULATED" in alert.words
    assert "Not financial advice" in alert.words
