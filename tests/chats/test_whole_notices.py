"""A venue goes silent and comes back: who is told, over the real client libraries and their strict servers."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bot.app import App
from bot.chats import configured
from bot.markets.local.feed import LocalFeed
from bot.platforms.console import Printer
from bot.run_live import serve_live
from tests.bot.played import config
from tests.chats.discord_server import DiscordServer
from tests.chats.discord_server import world as w
from tests.chats.telegram_server import TelegramServer

VENUES = ("binance", "okx")
NOTICES = ("stale:", "recovered:", "notices about the data")


async def until(met: Callable[[], bool], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110 - venues and chats tell nobody
            await asyncio.sleep(0.02)


async def test_of_a_silent_venue_the_operator_and_who_opted_in_hear_once_that_it_is_out_and_once_that_it_is_back(
    tmp_path: Path,
) -> None:
    async with TelegramServer() as telegram, DiscordServer() as discord:
        operator, reader = telegram.world.started("Ada"), telegram.world.started("Eve")
        guild = discord.world.guild()
        opted, other = discord.world.channel(guild), discord.world.channel(guild)
        admin = discord.world.member(guild, "Grace", w.MANAGE_GUILD | w.MANAGE_CHANNELS)
        settings = config(
            source={"kind": "local", "venues": VENUES, "history_days": 1.0},
            charts={"draw": False},
            console={"watch": []},
            store={"path": str(tmp_path / "bot.db")},
            notices={"chats": (f"telegram:{operator}",)},
        )
        # Two intervals take four seconds: a busy machine alone makes nothing stale.
        feed = LocalFeed(6, VENUES, ["BTC"], speed=0.5, history_days=1.2, look_every_s=300.0)
        platforms = configured(settings, {**telegram.environment, **discord.environment})
        printer, stopping = Printer(Console(file=io.StringIO(), width=200)), asyncio.Event()
        async with App(settings, feed, printer=printer, platforms=platforms) as app:
            serving = asyncio.create_task(serve_live(app, feed, stopping, interactive=False))
            try:
                await until(lambda: app.caught_up and all(": connected" in one for one in app.chats.conditions()))
                telegram.world.say(reader, reader, "/watch BTC")
                await until(lambda: bool(telegram.sent(reader)))
                assert "is told" in (await discord.slash(admin, opted, "notices", switch="on")).answer.text

                def told() -> dict[str, list[str]]:
                    """Notices by who was told."""
                    chats = {
                        "operator": [letter.words for letter in telegram.sent(operator)],
                        "reader": [letter.words for letter in telegram.sent(reader)],
                        "opted": [f"{message.title} {message.text}" for message in opted.seen],
                        "other": [f"{message.title} {message.text}" for message in other.seen],
                    }
                    return {
                        chat: [text for text in texts if any(notice in text for notice in NOTICES)]
                        for chat, texts in chats.items()
                    }

                await until(lambda: not any(row.stale for row in feed.status()))
                before = {chat: len(texts) for chat, texts in told().items()}

                def new() -> dict[str, list[str]]:
                    return {chat: texts[before[chat] :] for chat, texts in told().items()}

                assert feed.venues is not None
                faults = feed.venues["okx"].faults
                faults.reset()
                faults.silent = True
                await until(lambda: bool(new()["operator"]) and bool(new()["opted"]))
                # Prices, bars and open interest go stale one after the other, and come back so.
                await until(lambda: len(next(row.stale for row in feed.status() if row.venue == "okx")) == 3)
                faults.clear()
                await until(lambda: len(new()["operator"]) == len(new()["opted"]) == 2)
                await asyncio.sleep(1.2)  # Notices are looked for once a second.
                found = new()
                for chat in ("operator", "opted"):
                    stale, recovered = found[chat]
                    assert "stale: okx: no " in stale
                    assert "recovered: okx: " in recovered
                    assert all(series in recovered for series in ("prices", "bars", "open interest"))
                assert told()["reader"] == told()["other"] == []
            finally:
                stopping.set()
                async with asyncio.timeout(15):
                    await serving
