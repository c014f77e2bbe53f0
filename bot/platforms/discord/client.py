"""The one `discord.Client`, made to hold little, and what it hears."""

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

import discord
import yarl

from bot.platforms.discord import rights
from bot.platforms.discord.wire import trace

log = logging.getLogger(__name__)
BASE_URL, GATEWAY_URL = "DISCORD_BASE_URL", "DISCORD_GATEWAY_URL"
LONGEST_LIMIT_S = 30.0
"""discord.py waits for a rate limit by itself up to this long, the least that it allows; longer ones come to us."""
GUILDS_WITHIN_S = 0.5
"""How long a pause in what Discord tells of servers at the start means that it has told of all."""


class Listener(Protocol):
    async def on_logged_in(self) -> None: ...

    def on_up(self) -> None: ...

    def on_down(self) -> None: ...

    async def on_asked(self, interaction: discord.Interaction) -> None: ...

    async def on_gone(self, channel_ids: Iterable[int], reason: str) -> None: ...

    async def on_back(self, channel_ids: Iterable[int]) -> None: ...


def aim(environ: Mapping[str, str]) -> None:
    """Point the library to the addresses of the environment, where it names some."""
    if base := environ.get(BASE_URL, "").strip():
        discord.http.Route.BASE = base
    if gateway := environ.get(GATEWAY_URL, "").strip():
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)


class Client(discord.Client):
    """No messages and no members are kept; servers and their channels are, for the bot's own rights there."""

    def __init__(self, listener: Listener | None = None) -> None:
        # Nothing is spoken, so nobody needs to be warned that nothing can be.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            intents=discord.Intents(guilds=True),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=LONGEST_LIMIT_S,
            guild_ready_timeout=GUILDS_WITHIN_S,
            http_trace=trace(),
        )
        self._listener = listener

    async def setup_hook(self) -> None:
        if self._listener is not None:
            await self._listener.on_logged_in()

    async def on_ready(self) -> None:
        if self._listener is not None:
            self._listener.on_up()

    async def on_resumed(self) -> None:
        if self._listener is not None:
            self._listener.on_up()

    async def on_disconnect(self) -> None:
        if self._listener is not None:
            self._listener.on_down()

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        if self._listener is not None:
            await self._listener.on_asked(interaction)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        if self._listener is not None:
            await self._listener.on_back(_postable(guild))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        if self._listener is not None:
            places = [channel.id for channel in (*guild.channels, *guild.threads)]
            reason = "the bot was removed from the server: add it again, and its channels are served again"
            await self._listener.on_gone(places, reason)

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        if self._listener is not None:
            threads = [thread.id for thread in channel.guild.threads if thread.parent_id == channel.id]
            await self._listener.on_gone([channel.id, *threads], "the channel was deleted")

    async def on_raw_thread_delete(self, deleted: discord.RawThreadDeleteEvent) -> None:
        if self._listener is not None:
            await self._listener.on_gone([deleted.thread_id], "the thread was deleted")

    async def on_guild_channel_update(self, before: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        if self._listener is not None and _can_post(after) and not _can_post(before):
            threads = [thread.id for thread in after.guild.threads if thread.parent_id == after.id]
            await self._listener.on_back([after.id, *threads])

    async def on_guild_role_update(self, before: discord.Role, after: discord.Role) -> None:
        me: discord.Member | None = after.guild.me
        mine = me is not None and after in me.roles
        if self._listener is not None and mine and after.permissions.value & ~before.permissions.value:
            await self._listener.on_back(_postable(after.guild))


def _postable(guild: discord.Guild) -> list[int]:
    return [channel.id for channel in (*guild.channels, *guild.threads) if _can_post(channel)]


def _can_post(channel: discord.abc.GuildChannel | discord.Thread) -> bool:
    me: discord.Member | None = channel.guild.me
    if me is None:
        return False
    try:
        held = channel.permissions_for(me)
    except discord.ClientException:
        return False
    return rights.can_post(held, in_thread=isinstance(channel, discord.Thread))
