"""P7 with the whole bot: Discord's gateway is away for a while. Alerts go on over REST, commands come back with it."""

import asyncio
from pathlib import Path

from storage.chats import Chat, Subscription
from tests.chats.discord_server import DiscordServer
from tests.chats.discord_server import world as w
from tests.chats.whole_bot import whole_bot


async def test_alerts_go_on_while_the_gateway_is_away_and_commands_when_it_is_back(tmp_path: Path) -> None:
    async with DiscordServer() as server:
        guild = server.world.guild()
        channel = server.world.channel(guild)
        ada = server.world.member(guild, "Ada", w.MANAGE_GUILD)
        async with whole_bot(tmp_path, server.environment) as bot:
            await bot.app.store.watch(Chat("discord", str(channel.id)), Subscription("BTC"))
            server.gateway.refuses_with = 503
            await server.gateway.close_all(1001)
            async with asyncio.timeout(10):
                while "alerts go on" not in bot.app.chats.conditions()[0]:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            for n in (1, 2):
                headline = await bot.play_until_alert()
                async with asyncio.timeout(10):
                    while len(channel.seen) < n:
                        server.changed.clear()
                        await server.changed.wait()
                assert headline[:30] in channel.seen[-1].title
                assert channel.seen[-1].files
            assert not server.gateway.connected
            async with asyncio.timeout(10):
                while (await bot.app.store.counts()).deliveries != {"sent": len(channel.seen)}:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            server.gateway.refuses_with = None
            async with asyncio.timeout(15):
                while ": connected" not in bot.app.chats.conditions()[0]:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            assert "BTC" in str((await server.slash(ada, channel, "watching")).answer.text)
