"""The server as a process of its own, for tests that kill the bot and not its Discord.

Prints one line of JSON once it serves: its addresses and the ids in it. Ends on SIGTERM or with its parent.
"""

import argparse
import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.chats.discord_server.control import Control
from tests.chats.discord_server.server import DiscordServer
from tests.chats.discord_server.world import ANNOUNCEMENT, MANAGE_GUILD, World


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--token", default="local-bot-token")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--identify-every", type=float, default=0.0, help="seconds between two IDENTIFY; Discord's: 5")
    args = parser.parse_args()
    world = World(args.token)
    guild = world.guild()
    channels = [world.channel(guild, f"alerts-{number}") for number in range(args.channels)]
    news = world.channel(guild, "news", ANNOUNCEMENT)
    manager = world.member(guild, "manager", MANAGE_GUILD)
    member = world.member(guild, "member")
    server = DiscordServer(world, port=args.port, record=args.record, identify_every_s=args.identify_every)
    await server.start(Control(server).add_to)
    said = {
        "environment": server.environment,
        "control": server.control_url,
        "guild": str(guild.id),
        "channels": [str(channel.id) for channel in channels],
        "announcement": str(news.id),
        "manager": str(manager.id),
        "member": str(member.id),
    }
    print(json.dumps(said), flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    parent = os.getppid()
    while not ended.is_set() and os.getppid() == parent:
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.5)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
