"""P17: what the bot takes with both platforms connected, three markets and charts."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.chats.discord_server import DiscordServer
from tests.chats.telegram_server import TelegramServer
from tests.conftest import CHECKOUT

PEAK_MB = 260.0
"""Of the 340 that 100 live markets may take."""
HELD_MS = 50.0
"""Of CPU, so that it does not depend on what else this machine does; longer is allowed five times, not for each of the
twenty charts that would take more than that if they were drawn in the loop."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say what a process holds")
async def test_with_both_platforms_and_charts_it_stays_small_and_the_loop_is_never_held_up(tmp_path: Path) -> None:
    async with TelegramServer() as telegram, DiscordServer() as discord:
        channel = discord.world.channel(discord.world.guild())
        chats = {"telegram": str(telegram.world.started("Ann")), "discord": str(channel.id)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bot.resources_child", str(tmp_path), json.dumps(chats),
            cwd=CHECKOUT,
            env={**os.environ, **telegram.environment, **discord.environment},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0
        found = json.loads(said)
        assert channel.seen
    assert found["charts"] >= 20
    assert found["sent"] >= 2
    assert found["for_nothing"] == []
    assert found["peak_mb"] < PEAK_MB, found
    assert found["longest_held_ms"][0] < HELD_MS, found
