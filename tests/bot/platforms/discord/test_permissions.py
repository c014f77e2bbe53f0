"""Who may change what a chat of Discord gets (P15): the whole matrix, by command and by button, on simcord.

simcord runs the real discord.py over a Discord in memory, with its roles, overwrites and command permissions.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import discord
import pytest
import simcord

from bot.commands import SPECS, Commands
from bot.message import Button, Message
from bot.platforms.discord import DiscordPlatform
from bot.platforms.discord.client import Client
from bot.platforms.seam import Request
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.sqlite import SqliteStore
from tests.bot.asking_by import FEED
from tests.bot.platforms.discord.rig import Behind
from tests.bot.played import market, watcher

Permissions = discord.Permissions


@dataclass
class Stage:
    env: simcord.Env
    store: SqliteStore
    commands: Commands
    client: Client

    async def watched(self, channel: simcord.ChannelHandle) -> list[str]:
        return [one.subscription.market for one in await self.store.subscriptions(Chat("discord", str(channel.id)))]

    def allow_everybody(self, guild: simcord.GuildHandle) -> None:
        """What an admin does in Server Settings > Integrations: Discord then hides no command from anybody."""
        for command in self.env.backend.commands[None].values():
            guild.set_command_permissions(int(command["id"]), {guild.default_role: True})


@asynccontextmanager
async def staged(manager_role: str = "") -> AsyncIterator[Stage]:
    """The real commands over a real store. No fixture: simcord wants one context from beginning to end."""
    store = SqliteStore(None, "live")
    await store.open()
    watching = watcher(store)
    await watching.start([market()])
    commands = Commands(store, FEED, watching, find_kinds(), defaults=Subscription(EVERY_MARKET, within_pct=2.0))

    async def handle(asked: Request) -> Message:
        answer = await commands.handle(asked)
        button = Button("Watch BTC", "/watch BTC")
        return Message(answer.title, answer.lines, answer.footer, private=answer.private, buttons=((button,),))

    platform = DiscordPlatform("unused", manager_role=manager_role)
    client = platform.prepare(handle, SPECS, commands.suggest, Behind())
    async with simcord.run(client) as env:
        yield Stage(env, store, commands, client)
    await platform.stop()
    await store.close()


async def act(stage: Stage, actor: simcord.MemberActor, channel: simcord.ChannelHandle, how: str) -> str:
    """Ask for alerts on BTC by command or by a button under an answer; what the answer says."""
    if how == "command":
        result = await actor.slash(channel, "watch", symbol="BTC")
    else:
        shown = await actor.slash(channel, "status")
        assert shown.response is not None
        result = await actor.click(shown.response, label="Watch BTC")
    assert result.response is not None
    return str(result.response.embeds[0].title)


WHO: Mapping[str, tuple[Permissions, bool]] = {
    "member": (Permissions.none(), False),
    "moderator": (Permissions(manage_messages=True, kick_members=True, manage_roles=True), False),
    "manager of the server": (Permissions(manage_guild=True), True),
    "manager of channels": (Permissions(manage_channels=True), True),
    "admin": (Permissions(administrator=True), True),
}


@pytest.mark.parametrize("how", ["command", "button"])
@pytest.mark.parametrize("who", WHO)
async def test_only_managers_change_what_a_channel_gets(who: str, how: str) -> None:
    async with staged() as stage:
        permissions, allowed = WHO[who]
        guild = stage.env.create_guild()
        stage.allow_everybody(guild)
        channel = guild.create_text_channel("alerts")
        actor = guild.add_member(stage.env.create_user("a"), roles=[guild.create_role("r", permissions=permissions)])
        said = await act(stage, actor, channel, how)
        assert await stage.watched(channel) == (["BTC"] if allowed else [])
        assert said.startswith("Watching BTC" if allowed else "Not changed")


async def test_the_owner_of_a_server_needs_no_role() -> None:
    async with staged() as stage:
        owner = stage.env.create_user("owner")
        guild = stage.env.create_guild(owner=owner)
        channel = guild.create_text_channel("alerts")
        await act(stage, guild.add_member(owner), channel, "command")
        assert await stage.watched(channel) == ["BTC"]


async def test_in_a_direct_message_everybody_decides_for_themselves() -> None:
    async with staged() as stage:
        user = stage.env.create_user("reader")
        result = await user.slash("watch", symbol="BTC")
        assert not result.ephemeral
        assert await stage.watched(user.dm_channel) == ["BTC"]


@pytest.mark.parametrize("how", ["command", "button"])
async def test_a_right_to_manage_one_channel_counts_there_alone(how: str) -> None:
    async with staged() as stage:
        guild = stage.env.create_guild()
        stage.allow_everybody(guild)
        actor = guild.add_member(stage.env.create_user("a"))
        mine = guild.create_text_channel("mine", overwrites={actor: discord.PermissionOverwrite(manage_channels=True)})
        other = guild.create_text_channel("other")
        await act(stage, actor, mine, how)
        await act(stage, actor, other, how)
        assert await stage.watched(mine) == ["BTC"]
        assert await stage.watched(other) == []


async def test_a_right_that_was_taken_away_counts_no_more_at_the_next_press() -> None:
    async with staged() as stage:
        guild = stage.env.create_guild()
        stage.allow_everybody(guild)
        channel = guild.create_text_channel("alerts")
        role = guild.create_role("managers", permissions=Permissions(manage_guild=True))
        actor = guild.add_member(stage.env.create_user("a"), roles=[role])
        shown = await actor.slash(channel, "status")
        assert shown.response is not None
        stage.env.backend.edit_role(guild.id, role.id, {"permissions": 0})
        result = await actor.click(shown.response, label="Watch BTC")
        assert result.response is not None
        assert result.response.embeds[0].title == "Not changed: only admins may do that here."
        assert await stage.watched(channel) == []


async def test_a_button_that_a_manager_was_shown_does_not_work_for_a_member() -> None:
    async with staged() as stage:
        guild = stage.env.create_guild()
        channel = guild.create_text_channel("alerts")
        managers = guild.create_role("managers", permissions=Permissions(administrator=True))
        manager = guild.add_member(stage.env.create_user("m"), roles=[managers])
        member = guild.add_member(stage.env.create_user("a"))
        shown = await manager.slash(channel, "status")
        assert shown.response is not None
        result = await member.click(shown.response, label="Watch BTC")
        assert await stage.watched(channel) == []
        assert result.ephemeral


async def test_a_role_named_in_the_config_may_change_things_too() -> None:
    async with staged("Traders") as stage:
        guild = stage.env.create_guild()
        channel = guild.create_text_channel("alerts")
        traders = guild.create_role("traders")
        other = guild.add_member(stage.env.create_user("b"), roles=[guild.create_role("others")])
        await act(stage, other, channel, "command")
        assert await stage.watched(channel) == []
        await act(stage, guild.add_member(stage.env.create_user("a"), roles=[traders]), channel, "command")
        assert await stage.watched(channel) == ["BTC"]


async def test_discord_itself_offers_members_only_what_changes_nothing() -> None:
    async with staged() as stage:
        guild = stage.env.create_guild()
        channel = guild.create_text_channel("alerts")
        member = guild.add_member(stage.env.create_user("a"))
        offered = set(member.available_commands(channel))
        assert offered == {spec.name for spec in SPECS if not spec.changes}


async def test_a_planted_fault_that_lets_everybody_in_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged() as stage:
        from bot.platforms.discord import rights
        from bot.platforms.seam import ALLOWED

        monkeypatch.setattr(rights, "may_change", lambda *_: ALLOWED)
        guild = stage.env.create_guild()
        stage.allow_everybody(guild)
        channel = guild.create_text_channel("alerts")
        await act(stage, guild.add_member(stage.env.create_user("a")), channel, "command")
        assert await stage.watched(channel) == ["BTC"]
