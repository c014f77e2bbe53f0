"""``python -m bot check`` for Discord: the token, the application, the servers and the bot's rights in them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import discord

from bot.platforms.discord import rights
from bot.platforms.discord.client import Client
from bot.platforms.discord.errors import FATAL_CODES, PORTAL, fatal, in_words
from bot.platforms.seam import CheckRow

WITHIN_S = 20.0
SHOWN = 25
"""Servers with a row of their own."""


async def rows(token: str) -> list[CheckRow]:
    """Asks over REST alone, so a bot that runs elsewhere is not disturbed. Never raises."""
    return await _asked(lambda client: _rows(client, token))


async def chat_rows(token: str, channel_ids: Sequence[str]) -> list[CheckRow]:
    """One row for all channels that the bot sees, and one for each that it does not. Never raises."""
    return await _asked(lambda client: _chat_rows(client, token, channel_ids)) if channel_ids else []


async def _asked(ask: Callable[[Client], Awaitable[list[CheckRow]]]) -> list[CheckRow]:
    client = Client()
    try:
        async with asyncio.timeout(WITHIN_S):
            return await ask(client)
    except Exception as error:  # noqa: BLE001 - a check says what is wrong, whatever it is
        if fatal(error) is not None:
            return [CheckRow("Discord token", ok=False, says="refused", fix=FATAL_CODES[4004])]
        fix = "try again; if it stays, look at https://discordstatus.com"
        return [CheckRow("Discord", ok=False, says=in_words(error), fix=fix)]
    finally:
        await client.close()


async def _rows(client: Client, token: str) -> list[CheckRow]:
    await client.login(token)
    assert client.user is not None
    application = await client.application_info()
    found = [
        CheckRow("Discord token", ok=True, says=f"accepted, the bot is {client.user.name}"),
        _application(application),
        await _starts(client),
    ]
    guilds = await client.http.get_guilds(200, None, None, with_counts=False)
    if not guilds:
        fix = f"open {rights.invite(application.id)}"
        return [*found, CheckRow("Discord servers", ok=True, says="none yet", fix=fix)]
    found += [_guild(guild["name"], int(guild["permissions"]), application.id) for guild in guilds[:SHOWN]]
    if len(guilds) > SHOWN:
        found.append(CheckRow("Discord servers", ok=True, says=f"and {len(guilds) - SHOWN} more"))
    return found


async def _chat_rows(client: Client, token: str, channel_ids: Sequence[str]) -> list[CheckRow]:
    await client.login(token)
    wrong = []
    for channel_id in channel_ids:
        try:
            await client.http.get_channel(int(channel_id))
        except (discord.Forbidden, discord.NotFound) as error:
            fix = "add the bot to its server, with View Channel there, or take it out of what is watched or notified"
            wrong.append(CheckRow(f"Discord channel {channel_id}", ok=False, says=in_words(error), fix=fix))
    said = f"the bot sees {len(channel_ids) - len(wrong)} of {len(channel_ids)} that are told something"
    return [CheckRow("Discord channels", ok=True, says=said), *wrong]


def _application(application: discord.AppInfo) -> CheckRow:
    if application.interactions_endpoint_url:
        fix = f"{PORTAL} > {application.name} > General Information > empty Interactions Endpoint URL"
        says = "its interactions go to a URL, so the bot hears no command"
        return CheckRow("Discord application", ok=False, says=says, fix=fix)
    who = "anybody may add it" if application.bot_public else "only its owner may add it"
    return CheckRow("Discord application", ok=True, says=f"{application.name}: {who}")


async def _starts(client: Client) -> CheckRow:
    """Discord allows 1000 IDENTIFY a day, and resets the token of who needs more."""
    _, _, limit = await client.http.get_bot_gateway()
    left = limit["remaining"]
    fix = "" if left > 20 else "stop whatever restarts the bot again and again"
    return CheckRow("Discord gateway", ok=left > 20, says=f"{left} of {limit['total']} starts left today", fix=fix)


def _guild(name: str, held: int, application_id: int) -> CheckRow:
    """The bot's rights in the server at large; a channel may give and take others."""
    lacking = rights.missing(discord.Permissions(held), in_thread=False)
    if discord.Permissions(held).administrator or not lacking:
        return CheckRow(f"Discord server {name}", ok=True, says="all rights there at large")
    wanted = ", ".join(one.replace("_", " ") for one in lacking)
    fix = f"allow it in the channels of the alerts, or add the bot again with {rights.invite(application_id)}"
    return CheckRow(f"Discord server {name}", ok=False, says=f"lacks {wanted}", fix=fix)
