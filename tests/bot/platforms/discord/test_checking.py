"""``python -m bot check``: what is right and wrong with the token, the application and the servers, and the fix."""

import pytest

from bot.platforms.discord import DiscordPlatform, checking, rights
from bot.platforms.seam import CheckRow, ChecksChats
from tests.bot.platforms.discord.rig import Rig
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel


def failed(rows: list[CheckRow]) -> list[CheckRow]:
    return [row for row in rows if not row.ok]


async def test_with_everything_in_order_every_row_says_so(rest: Rig, channel: Channel) -> None:
    rows = list(await rest.platform.check())
    assert failed(rows) == []
    assert [row.what for row in rows] == [
        "Discord token",
        "Discord application",
        "Discord gateway",
        "Discord server Traders",
    ]


async def test_what_the_bot_lacks_in_a_server_is_named_with_the_fix(rest: Rig) -> None:
    rest.server.world.guild("Poor", bot_permissions=0).everyone.permissions = w.VIEW_CHANNEL
    (row,) = failed(list(await rest.platform.check()))
    assert row.what == "Discord server Poor"
    assert "send messages" in row.says
    assert "view channel" not in row.says
    assert rights.invite(rest.server.world.application_id) in row.fix


async def test_without_a_server_the_fix_is_the_invite(rest: Rig) -> None:
    rest.server.world.guilds.clear()
    row = list(await rest.platform.check())[-1]
    assert (row.says, row.ok) == ("none yet", True)
    assert "oauth2/authorize" in row.fix


async def test_a_channel_that_the_bot_does_not_see_has_a_row_of_its_own(rest: Rig, channel: Channel) -> None:
    assert isinstance(rest.platform, ChecksChats)
    asked = [str(channel.id), "123456789012345678"]
    all_of_them, gone = await rest.platform.check_chats(asked)
    assert (all_of_them.ok, all_of_them.says) == (True, "the bot sees 1 of 2 that are told something")
    assert (gone.ok, gone.what) == (False, "Discord channel 123456789012345678")
    assert "View Channel" in gone.fix
    assert not await rest.platform.check_chats([])


async def test_a_refused_token_is_one_row_that_does_not_show_it(rest: Rig) -> None:
    rows = await DiscordPlatform("a-wrong-token").check()
    (row,) = rows
    assert not row.ok
    assert "Reset Token" in row.fix
    assert "a-wrong-token" not in repr(rows)


async def test_discord_that_is_down_or_silent_is_said_and_never_raised(
    rest: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest.server.down = True
    (row,) = await rest.platform.check()
    assert not row.ok
    assert "trouble" in row.says
    rest.server.down = False
    rest.server.delay_s = 5
    monkeypatch.setattr(checking, "WITHIN_S", 0.1)
    (row,) = await rest.platform.check()
    assert "not answer in time" in row.says


def test_the_invite_asks_for_what_is_needed_and_no_more() -> None:
    assert rights.NEEDED.value == w.USUAL & ~w.USE_APPLICATION_COMMANDS
    link = rights.invite(42)
    assert link.startswith("https://discord.com/oauth2/authorize?client_id=42&")
    assert "scope=bot+applications.commands" in link
    assert f"permissions={rights.NEEDED.value}" in link
