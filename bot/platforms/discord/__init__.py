"""Discord. Inside this package ``import discord`` is the library; it is imported only where Discord is used."""

from bot.platforms.discord.platform import DiscordPlatform

__all__ = ["DiscordPlatform"]
