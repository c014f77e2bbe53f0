"""Channels of Discord with the whole bot behind them: announcements, threads, rights, what is gone, who may not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from storage.chats import Chat
from tests.chats.discord_server import DiscordServer
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel, Guild, User
from tests.chats.whole_bot import Bot, whole_bot


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def guild(server: DiscordServer) -> Guild:
    return server.world.guild()


@pytest.fixture
def ada(server: DiscordServer, guild: Guild) -> User:
    """May manage everything."""
    return server.world.member(guild, "Ada", w.MANAGE_GUILD | w.MANAGE_CHANNELS)


@pytest.fixture
async def bot(tmp_path: Path, server: DiscordServer, guild: Guild, ada: User) -> AsyncIterator[Bot]:
    """Added to one guild so far: what a test adds to it, it tells by ``server.invite``."""
    async with whole_bot(tmp_path, server.environment) as running:
        yield running


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.01)


async def got(channel: Channel, count: int) -> None:
    async def enough() -> bool:
        return len(channel.seen) >= count

    await until(enough)


async def watched(bot: Bot, channel: Channel) -> list[str]:
    chat = Chat("discord", str(channel.id))
    return [one.subscription.market for one in await bot.app.store.subscriptions(chat)]


async def told(
    server: DiscordServer, guild: Guild, name: str, kind: int = w.TEXT, of: Channel | None = None
) -> Channel:
    """A new channel that the bot has heard of."""
    channel = server.world.channel(guild, name, kind, of)
    await server.invite(guild)
    return channel


async def test_an_announcement_channel_gets_its_alert_with_a_chart_and_its_followers_get_it_too(
    server: DiscordServer, guild: Guild, ada: User, bot: Bot
) -> None:
    news = await told(server, guild, "news", w.ANNOUNCEMENT)
    await server.slash(ada, news, "watch", symbol="BTC")
    before = len(news.seen)
    await bot.play_until_alert()
    await got(news, before + 1)
    alert = news.seen[before]
    assert alert.files

    async def published() -> bool:
        return alert.crossposted

    await until(published)
    assert not server.limits.refused


async def test_a_thread_and_a_post_of_a_forum_are_chats_of_their_own(
    server: DiscordServer, guild: Guild, ada: User, bot: Bot
) -> None:
    parent = server.world.channel(guild, "talk")
    thread = server.world.channel(guild, "btc", w.PUBLIC_THREAD, parent)
    forum = server.world.channel(guild, "forum", w.FORUM)
    post = await told(server, guild, "post", w.PUBLIC_THREAD, forum)
    for place in (thread, post):
        answer = (await server.slash(ada, place, "watch", symbol="BTC")).answer
        assert "Watching BTC" in answer.text
    counts = len(thread.seen), len(post.seen)
    await bot.play_until_alert()
    await got(thread, counts[0] + 1)
    await got(post, counts[1] + 1)
    assert await watched(bot, parent) == []
    assert not parent.seen


async def test_a_missing_right_is_explained_where_alerts_are_asked_for_and_its_return_brings_them_back(
    server: DiscordServer, guild: Guild, ada: User, bot: Bot
) -> None:
    channel = await told(server, guild, "alerts")
    await server.overwrite(channel, server.world.bot, deny=w.SEND_MESSAGES)
    answer = (await server.slash(ada, channel, "watch", symbol="BTC")).answer
    assert "Watching BTC" in answer.text
    assert "I lack Send Messages in this channel" in answer.text
    assert "Edit Channel" in answer.text
    before = len(channel.seen)
    await bot.play_until_alert()
    chat = Chat("discord", str(channel.id))

    async def parked() -> bool:
        return chat in (await bot.app.store.counts()).parked

    await until(parked)
    assert "Send Messages" in (await bot.app.store.counts()).parked[chat]
    assert len(channel.seen) == before
    assert server.statuses[403] == 0, "what is known to be forbidden was asked for"

    async def served() -> bool:
        return not await parked()

    await server.overwrite(channel, server.world.bot)
    await until(served)
    await bot.play_until_alert()
    await got(channel, before + 1)


async def test_a_deleted_channel_is_parked_and_the_others_go_on(
    server: DiscordServer, guild: Guild, ada: User, bot: Bot
) -> None:
    kept = server.world.channel(guild, "kept")
    deleted = await told(server, guild, "deleted")
    for channel in (kept, deleted):
        await server.slash(ada, channel, "watch", symbol="BTC")
    before = len(kept.seen)
    deleted.deleted = True  # and no event of the gateway has told
    await bot.play_until_alert()
    await got(kept, before + 1)

    async def parked() -> bool:
        return (await bot.app.store.counts()).parked.keys() == {Chat("discord", str(deleted.id))}

    await until(parked)
    for _ in range(3):
        await bot.play_until_alert()
    await got(kept, before + 2)
    assert server.statuses[404] == 1, "asked again after the first 404"


async def test_a_channel_is_set_up_from_a_direct_message_by_its_managers_alone(
    server: DiscordServer, guild: Guild, ada: User, bot: Bot
) -> None:
    channel = await told(server, guild, "readers")
    eve = server.world.member(guild, "Eve")
    await server.overwrite(channel, server.world.bot, deny=w.ATTACH_FILES)
    place, line = f"<#{channel.id}>", "/watch BTC min $1k"
    refused = (await server.slash(eve, server.world.direct(eve), "in", chat=place, command=line)).answer
    assert "admins of that chat" in refused.text
    assert await watched(bot, channel) == []
    answer = (await server.slash(ada, server.world.direct(ada), "in", chat=place, command=line)).answer
    assert "Watching BTC" in answer.text
    assert "I lack Attach Files in #readers" in answer.text
    assert await watched(bot, channel) == ["BTC"]
    assert not channel.seen


async def test_while_the_gateway_is_down_alerts_go_on_and_status_says_so(
    server: DiscordServer, guild: Guild, ada: User, bot: Bot
) -> None:
    channel = await told(server, guild, "alerts")
    await server.slash(ada, channel, "watch", symbol="BTC")
    before = len(channel.seen)
    server.gateway.refuses_with = 503
    await server.gateway.close_all(1001)

    async def down() -> bool:
        return "hears no commands" in bot.app.chats.conditions()[0]

    await until(down)
    await bot.play_until_alert()
    await got(channel, before + 1)
