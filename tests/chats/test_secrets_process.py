"""P16 on the whole bot, as a process at DEBUG, through trouble of every kind to its end: no secret anywhere in it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from aiohttp import web

from bot.app import App, make_feed
from bot.chats import configured
from bot.config import ConfigError, load, parse
from bot.platforms.seam import ChatPlatform
from bot.stores import make_store
from tests.chats.bot_process import BotProcess, bot_process, free_port, write_config
from tests.chats.discord_server import DiscordServer, Fault, Trouble
from tests.chats.discord_server import world as w
from tests.chats.telegram_server import TelegramServer

TELEGRAM = "4242424242:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
DISCORD = "MTE4NjAyNTk4ODM2NDQ3MDI3MA.GqYx0b.3vXk9nU1mZ4rT7wQ2sL8pJ6hB5cD0fG1eAyNs"
DATABASE_PASSWORD = "d4tabase-p@ss/word"
BASE_URL_PASSWORD = "hunter2-of-the-proxy"
PING = "5f0e1c9a-ping-token-3b7d"


def shows(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of secrets that stand in the text, however they are spelt."""
    return [name for name, secret in secrets.items() if secret in text or quote(secret, safe="") in text]


@asynccontextmanager
async def pinged(answers: list[int]) -> AsyncIterator[tuple[str, list[int]]]:
    """A dead man's switch that answers so, then 200; its URL, and what it has answered."""
    given: list[int] = []

    async def called(_: web.Request) -> web.Response:
        given.append(answers.pop(0) if answers else 200)
        return web.Response(status=given[-1])

    app = web.Application()
    app.router.add_get(f"/{PING}", called)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/{PING}", given
    await runner.cleanup()


async def trouble_of_every_kind(
    bot: BotProcess, telegram: TelegramServer, discord: DiscordServer, url: str, ann: int
) -> None:
    """Commands on both platforms, refusals, garbage, faults of ours, a lost database and a lost gateway."""
    guild = discord.world.guild()
    channel = discord.world.channel(guild)
    await discord.invite(guild)
    manager = discord.world.member(guild, "manager", w.MANAGE_GUILD | w.MANAGE_CHANNELS)
    asked = await discord.slash(manager, channel, "watch", symbol="BTC")
    assert "Watching BTC" in asked.answer.text
    for kind in ("500", "reset", "garbage", "429"):
        telegram.fault("sendMessage", kind, hold_s=1.0)
    telegram.fault("getUpdates", "garbage")
    discord.faults.add(Fault(Trouble.STATUS, status=503, times=2))
    discord.faults.add(Fault(Trouble.GARBAGE, route="POST callback"))
    telegram.world.say(ann, ann, "/watch BTC")
    telegram.world.updates.append({"update_id": next(telegram.world._update_ids), "message": {"chat": 1}})
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    telegram.world.say(ann, ann, "/status")
    await discord.gateway.close_all(4000)
    await telegram.until(lambda: "an update could not be read" in bot.said, 20)
    await telegram.until(lambda: any("Status" in letter.words for letter in telegram.sent(ann)), 30)
    await telegram.until(lambda: discord.gateway.connected, 20)
    for path in ("/healthz", "/metrics"):
        assert await bot.ask(path)


async def test_through_all_trouble_to_its_end_the_bot_shows_no_secret_at_debug(
    tmp_path: Path, postgres_url: str
) -> None:
    database = postgres_url.replace("clusterwatch@", f"clusterwatch:{quote(DATABASE_PASSWORD, safe='')}@", 1)
    async with (
        TelegramServer(token=TELEGRAM) as telegram,
        DiscordServer(w.World(DISCORD)) as discord,
        pinged([500, 500, 500]) as (ping_url, pings),
    ):
        environ = {
            **telegram.environment,
            **discord.environment,
            "TELEGRAM_BASE_URL": telegram.address.replace("http://", f"http://operator:{BASE_URL_PASSWORD}@"),
            "DATABASE_URL": database,
        }
        async with bot_process(
            tmp_path,
            environ,
            log={"level": "debug"},
            health={"ping_url": ping_url, "ping_seconds": 1},
            charts={"draw": True, "folder": str(tmp_path / "charts")},
        ) as bot:
            await bot.running()
            ann = telegram.world.started("Ann")
            await trouble_of_every_kind(bot, telegram, discord, postgres_url, ann)
            telegram.token = "4242424242:AAanother"
            telegram.world.say(ann, ann, "/status")  # what waits for updates asks again, and is refused
            assert await bot.ended(10) == 1
        tokens = {f"interaction {n}": one for n, one in enumerate(discord.interactions.by_token)}
    assert pings
    assert tokens
    for part in ("DEBUG", "Traceback", "discord.gateway", "discord.webhook", "dead man's switch", "BotFather"):
        assert part in bot.said, f"{part}: the log holds less than this test is about"
    secrets = {
        "Telegram token": TELEGRAM,
        "the secret half of it": TELEGRAM.partition(":")[2],
        "Discord token": DISCORD,
        "the last part of it": DISCORD.rpartition(".")[2],
        "password of the database": DATABASE_PASSWORD,
        "password in a base URL": BASE_URL_PASSWORD,
        "token of the dead man's switch": PING,
        **tokens,
    }
    assert shows(bot.said, secrets) == []
    assert shows("".join(bot.asked), secrets) == []


SECRETS = {
    "Telegram": TELEGRAM,
    "Discord": DISCORD,
    "database": DATABASE_PASSWORD,
    "ping": PING,
    "base": BASE_URL_PASSWORD,
}
DATABASE = f"postgresql://clusterwatch:{quote(DATABASE_PASSWORD, safe='')}@127.0.0.1:1/bot"
ENVIRON = {
    "TELEGRAM_TOKEN": TELEGRAM,
    "DISCORD_TOKEN": DISCORD,
    "DATABASE_URL": DATABASE,
    "TELEGRAM_BASE_URL": f"http://operator:{BASE_URL_PASSWORD}@127.0.0.1:1",
}


def reprs(what: Any, seen: set[int] | None = None, depth: int = 3) -> str:
    """Of an object and of what it is made of, a few steps deep, as a debugger or a careless log line shows it."""
    seen = set() if seen is None else seen
    if depth == 0 or id(what) in seen or isinstance(what, str | bytes | int | float | type):
        return ""
    seen.add(id(what))
    inside = list(vars(what).values()) if hasattr(what, "__dict__") else []
    own = [repr(what), str(what)]
    return "\n".join([*own, *(reprs(one, seen, depth - 1) for one in inside if not isinstance(one, str | bytes))])


async def test_no_repr_of_the_config_the_app_its_store_and_its_platforms_shows_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(
        tmp_path / "config.toml",
        {
            "source": {"kind": "local", "venues": ["binance"], "markets": ["BTC"]},
            "store": {"path": str(tmp_path / "bot.db")},
            "health": {"ping_url": f"https://ping.example.org/{PING}"},
        },
    )
    config = load(tmp_path / "config.toml")
    store = make_store(config, ENVIRON, "local")
    platforms: list[ChatPlatform] = configured(config, ENVIRON)
    app = App(config, make_feed(config), store=store, platforms=platforms, environ=ENVIRON)
    assert len(platforms) == 2
    for what in (config, config.health, store, app, app.deliverer, app.chats, *platforms):
        assert shows(reprs(what), SECRETS) == [], type(what).__name__
    await store.close()


def test_a_config_that_is_refused_does_not_repeat_the_secret_in_it() -> None:
    with pytest.raises(ConfigError) as refused:
        parse({"health": {"ping_url": f"ping.example.org/{PING}"}}, "test")
    assert "health.ping_url" in str(refused.value)
    assert shows(str(refused.value), SECRETS) == []


async def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path) -> None:
    async with bot_process(tmp_path, {"DATABASE_URL": DATABASE}, log={"level": "debug"}) as bot:
        assert await asyncio.wait_for(bot.process.wait(), 60) == 2
    assert "cannot be opened" in bot.said
    assert shows(bot.said, SECRETS) == []
