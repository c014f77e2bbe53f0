"""A scripted conversation on Discord with the whole bot behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.chats import Chat
from tests.chats.discord_server import DiscordServer
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel, Message
from tests.chats.whole_bot import whole_bot


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


async def next_message(server: DiscordServer, channel: Channel, after: int) -> Message:
    while len(channel.seen) <= after:
        server.changed.clear()
        await server.changed.wait()
    return channel.seen[-1]


async def test_from_a_menu_to_an_alert_a_mute_from_its_button_and_a_digest(
    tmp_path: Path, server: DiscordServer
) -> None:
    guild = server.world.guild()
    channel = server.world.channel(guild)
    ada = server.world.member(guild, "Ada", w.MANAGE_GUILD | w.MANAGE_CHANNELS)
    eve = server.world.member(guild, "Eve")
    async with whole_bot(tmp_path, server.environment) as bot:
        store, chat = bot.app.store, Chat("discord", str(channel.id))
        page = (await server.slash(ada, channel, "watch")).answer
        asked = await server.press(ada, channel, page, "BTC")
        assert "Watching BTC" in asked.answer.text
        assert [one.subscription.market for one in await store.subscriptions(chat)] == ["BTC"]

        before = len(channel.seen)
        headline = await bot.play_until_alert()
        alert = await next_message(server, channel, before)
        assert headline[:30] in alert.title
        assert alert.files
        refused = await server.press(eve, channel, alert, "Unwatch")
        assert refused.answer.ephemeral
        assert "Not changed" in refused.answer.text
        assert [one.subscription.market for one in await store.subscriptions(chat)] == ["BTC"]

        muted = await server.press(ada, channel, alert, "Mute BTC 24 h")
        assert "BTC muted until" in muted.answer.text
        await bot.play_until_alert()
        assert (await store.counts()).silences["market_muted"] >= 1
        await server.slash(ada, channel, "unmute", symbol="BTC")

        await server.slash(ada, channel, "quiet", hours="00:00-23:59", zone="UTC")
        for _ in range(2):
            await bot.play_until_alert()
        assert (await store.counts()).deliveries["held"] >= 2
        await server.slash(ada, channel, "quiet", hours="off")
        before = len(channel.seen)
        await bot.app.send_digests()
        digest = await next_message(server, channel, before)
        assert "While it was quiet" in digest.text
        await server.kick(guild)
        async with asyncio.timeout(10):
            while not (await store.counts()).parked:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
        assert (await store.counts()).parked.keys() == {chat}


async def test_markets_kinds_and_time_zones_are_completed_while_one_types(
    tmp_path: Path, server: DiscordServer
) -> None:
    guild = server.world.guild()
    channel = server.world.channel(guild)
    ada = server.world.member(guild, "Ada", w.MANAGE_GUILD | w.MANAGE_CHANNELS)
    async with whole_bot(tmp_path, server.environment):
        assert await server.complete(ada, channel, "watch", "symbol", "b") == ["BTC"]
        assert "cluster_formed" in await server.complete(ada, channel, "watch", "kinds", "form")
        assert (await server.complete(ada, channel, "quiet", "zone", "berl")) == ["Europe/Berlin"]
