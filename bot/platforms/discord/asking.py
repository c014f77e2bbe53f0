"""From an interaction to the request it stands for: which chat, which line of text, and who may change things."""

import re
from collections.abc import Sequence
from typing import Any

import discord

from bot.errors import Reject
from bot.platforms.discord import rights
from bot.platforms.discord.rendering import command_of
from bot.platforms.discord.sending import translated
from bot.platforms.discord.slash import line_of
from bot.platforms.seam import ALLOWED, CommandSpec, Place, Request, Verdict
from storage.chats import Chat

NAME = "discord"
LACKING = "lacking"
"""Where an interaction keeps what the bot lacks in another channel that was asked for."""
_IDS = re.compile(r"(?:<#(?P<mention>\d{1,20})>|/channels/\d+/(?P<link>\d{1,20})|^(?P<id>\d{15,20})$)")


class Asker:
    """``manager_role``: a role of servers, by name or id, that may change things beside those with the permission."""

    def __init__(self, specs: Sequence[CommandSpec], manager_role: str = "") -> None:
        self.specs = {spec.name: spec for spec in specs}
        self._manager_role = manager_role

    def request(self, interaction: discord.Interaction) -> Request | None:
        """None for what is not ours."""
        data: dict[str, Any] = dict(interaction.data or {})
        pressed = interaction.type is discord.InteractionType.component
        if pressed:
            text = command_of(str(data.get("custom_id", "")), [str(value) for value in data.get("values") or ()])
        else:
            text = line_of(data, self.specs)
        channel_id = interaction.channel_id
        if text is None or channel_id is None:
            return None

        async def may_change() -> Verdict:
            # Discord says with every interaction what its user may do in its channel at that moment.
            if interaction.guild_id is None:
                return ALLOWED
            return self._verdict(interaction.permissions, interaction.user)

        async def elsewhere(name: str) -> Request | None:
            return await self._elsewhere(interaction, text, name)

        return Request(
            Chat(NAME, str(channel_id)),
            text,
            Place.PRIVATE if interaction.guild_id is None else rights.place_of(interaction.channel),
            may_change,
            str(interaction.user.id),
            pressed,
            elsewhere,
        )

    def changes(self, text: str) -> bool:
        """Whether the line is of a command that changes something."""
        spec = self.specs.get(text.lstrip("/").partition(" ")[0])
        return spec is not None and spec.changes

    def _verdict(self, permissions: discord.Permissions, user: discord.User | discord.Member) -> Verdict:
        held = [(role.name, str(role.id)) for role in user.roles] if isinstance(user, discord.Member) else []
        return rights.may_change(permissions, [word for pair in held for word in pair], self._manager_role)

    async def _elsewhere(self, interaction: discord.Interaction, text: str, name: str) -> Request | None:
        channel = _find(interaction, name)
        if channel is None:
            return None
        member = await _member(interaction, channel.guild)
        # A channel that they cannot see does not exist for them.
        if member is None or not channel.permissions_for(member).view_channel:
            return None

        async def may_change() -> Verdict:
            now = await _member(interaction, channel.guild)
            if now is None:
                return Verdict(allowed=False, why="You are not a member of that server any more.")
            return self._verdict(channel.permissions_for(now), now)

        me: discord.Member | None = channel.guild.me
        if me is not None:
            in_thread = isinstance(channel, discord.Thread)
            lacking = rights.missing(channel.permissions_for(me), in_thread=in_thread)
            interaction.extras[LACKING] = rights.explained(lacking, f"#{channel.name}")
        chat = Chat(NAME, str(channel.id))
        return Request(chat, text, rights.place_of(channel), may_change, str(interaction.user.id))


def _find(interaction: discord.Interaction, name: str) -> discord.abc.GuildChannel | discord.Thread | None:
    """A channel by its mention, link or id, or by its name in the server that was asked from."""
    client, match = interaction.client, _IDS.search(name.strip())
    if match is not None:
        found = client.get_channel(int(match["mention"] or match["link"] or match["id"]))
        return found if isinstance(found, discord.abc.GuildChannel | discord.Thread) else None
    guild = interaction.guild
    wanted = name.strip().lstrip("#").casefold()
    places = (*guild.channels, *guild.threads) if guild is not None else ()
    return next((channel for channel in places if wanted and channel.name.casefold() == wanted), None)


async def _member(interaction: discord.Interaction, guild: discord.Guild) -> discord.Member | None:
    """Who asked, as a member of a server; asked of Discord, for no members are kept. Raises PlatformError."""
    if guild.id == interaction.guild_id and isinstance(interaction.user, discord.Member):
        return interaction.user
    try:
        with translated():
            return await guild.fetch_member(interaction.user.id)
    except Reject:
        return None
