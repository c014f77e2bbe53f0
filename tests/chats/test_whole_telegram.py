"""A scripted conversation on Telegram with the whole bot behind it, from the first ``/start`` on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.chats import Chat
from tests.chats.telegram_server import TelegramServer
from tests.chats.telegram_state import Letter
from tests.chats.whole_bot import Bot, whole_bot


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


async def next_letter(server: TelegramServer, chat_id: int, after: int) -> Letter:
    await server.until(lambda: len(server.sent(chat_id)) > after)
    return server.sent(chat_id)[-1]


async def say(server: TelegramServer, chat_id: int, user_id: int, text: str) -> Letter:
    after = len(server.sent(chat_id))
    server.world.say(chat_id, user_id, text)
    return await next_letter(server, chat_id, after)


async def watched(bot: Bot, chat_id: int) -> list[str]:
    watches = await bot.app.store.subscriptions(Chat("telegram", str(chat_id)))
    return [watch.subscription.market for watch in watches]


async def test_from_the_first_start_to_an_alert_a_mute_from_its_button_and_a_digest(
    tmp_path: Path, server: TelegramServer
) -> None:
    world = server.world
    ada = world.person("Ada")
    async with whole_bot(tmp_path, server.environment) as bot:
        welcome = await say(server, ada, ada, "/start")
        assert "liquidation clusters" in welcome.words
        world.press(ada, ada, welcome.message_id, "Watch BTC")
        await server.until(lambda: "Watching BTC" in server.sent(ada)[-1].words)
        assert await watched(bot, ada) == ["BTC"]

        before = len(server.sent(ada))
        headline = await bot.play_until_alert()
        alert = await next_letter(server, ada, before)
        assert alert.photo
        assert headline[:30] in alert.words.splitlines()[0]
        assert "SIMULATED" in alert.words
        assert "Why this alert" in alert.labels

        before = len(server.sent(ada))
        world.press(ada, ada, alert.message_id, "Why this alert")
        assert "Why:" in (await next_letter(server, ada, before)).words
        before = len(server.sent(ada))
        world.press(ada, ada, alert.message_id, "Mute BTC 24 h")
        assert "BTC muted until" in (await next_letter(server, ada, before)).words
        await bot.play_until_alert()
        assert (await bot.app.store.counts()).silences["market_muted"] >= 1
        await say(server, ada, ada, "/unmute BTC")

        await say(server, ada, ada, "/quiet 00:00-23:59 UTC")
        before = len(server.sent(ada))
        for _ in range(2):
            await bot.play_until_alert()
        assert (await bot.app.store.counts()).deliveries["held"] >= 2
        assert len(server.sent(ada)) == before
        await say(server, ada, ada, "/quiet off")
        await bot.app.send_digests()
        await server.until(lambda: "While it was quiet" in server.sent(ada)[-1].words)
        assert sum("While it was quiet" in letter.words for letter in server.sent(ada)) == 1
        assert "held" not in (await bot.app.store.counts()).deliveries


async def test_a_channel_is_set_up_from_a_private_chat_and_gets_the_broadcast(
    tmp_path: Path, server: TelegramServer
) -> None:
    world = server.world
    ada, eve = world.started("Ada"), world.started("Eve")
    channel = world.channel("News", ada, username="clusternews", bot="administrator")
    async with whole_bot(tmp_path, server.environment) as bot:
        refused = await say(server, eve, eve, "/in @clusternews /watch BTC")
        assert "admin" in refused.words.lower()
        assert await watched(bot, channel) == []
        answer = await say(server, ada, ada, "/in @clusternews /watch BTC")
        assert "Watching BTC" in answer.words
        await say(server, ada, ada, "/in @clusternews /silent on")
        await bot.play_until_alert()
        (post, *_) = [await next_letter(server, channel, 0)]
        assert post.photo
        assert post.silent
        before = len(server.sent(eve)), len(server.sent(channel))
        press = world.press(channel, eve, post.message_id, "Unwatch")
        await server.until(lambda: world.pressed[press] is not None)
        assert await watched(bot, channel) == ["BTC"]
        assert len(server.sent(channel)) == before[1]


async def test_a_bot_that_is_kicked_is_silent_and_a_group_that_moves_keeps_what_it_had(
    tmp_path: Path, server: TelegramServer
) -> None:
    world = server.world
    ada = world.started("Ada")
    left, moving = world.group("Left", ada, bot="member"), world.group("Moving", ada, bot="member")
    async with whole_bot(tmp_path, server.environment) as bot:
        for group in (left, moving):
            await say(server, group, ada, "/watch BTC")
            assert await watched(bot, group) == ["BTC"]
        world.kick_bot(left, ada)
        moved = world.migrate(moving, quietly=True)
        before = len(server.sent(left))
        await bot.play_until_alert()
        await server.until(lambda: any(letter.photo for letter in server.sent(moved)), within_s=15)
        assert await watched(bot, moved) == ["BTC"]
        assert await watched(bot, moving) == []
        assert (await bot.app.store.counts()).parked.keys() == {Chat("telegram", str(left))}
        assert len(server.sent(left)) == before
        world.add_bot(left, ada)
        await say(server, left, ada, "/status")
        assert not (await bot.app.store.counts()).parked
