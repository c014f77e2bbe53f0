"""Interactions answered: within three seconds at first, fully once the command has committed."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import discord

from bot.message import Message
from bot.platforms.discord import rights
from bot.platforms.discord.asking import LACKING, NAME, Asker
from bot.platforms.discord.errors import in_words
from bot.platforms.discord.rendering import render, view_of
from bot.platforms.discord.slash import completed, focused, to_complete
from bot.platforms.seam import Handle, Request, Suggest
from storage.chats import Chat

log = logging.getLogger(__name__)
DEFER_AFTER_S = 1.5
"""Discord gives an interaction three seconds; a chart takes longer on a busy machine."""
SUGGEST_WITHIN_S = 2.0
ANSWER_WITHIN_S = 14 * 60.0
"""An interaction can be answered for fifteen minutes."""
EXPIRED, ACKNOWLEDGED = 10062, 40060
FAILED = Message(
    "That went wrong here.", ("Try again in a minute: a command can be repeated without harm.",), private=True
)


class Answerer:
    def __init__(self, asker: Asker, handle: Handle, suggest: Suggest) -> None:
        self._asker, self._handle, self._suggest = asker, handle, suggest
        self._running: set[asyncio.Task[None]] = set()

    def take(self, interaction: discord.Interaction) -> asyncio.Task[None]:
        """Answer in a task of its own, which `finish` waits for."""
        task = asyncio.create_task(self._serve(interaction), name=f"answer {interaction.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, within_s: float) -> None:
        """Let what is being answered finish; what does not is given up, and nothing of it is lost but the reply."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, interaction: discord.Interaction) -> None:
        try:
            if interaction.type is discord.InteractionType.autocomplete:
                await interaction.response.autocomplete(
                    [discord.app_commands.Choice(name=value, value=value) for value in await self._offered(interaction)]
                )
            elif (request := self._asker.request(interaction)) is not None:
                await self._answer(interaction, request)
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            if isinstance(error, discord.NotFound) and error.code == EXPIRED:
                log.info("an interaction came too late to be answered")
            else:
                log.warning("an interaction could not be answered: %s", in_words(error))
        except Exception:  # the others are answered all the same
            log.exception("an interaction could not be answered")

    async def _offered(self, interaction: discord.Interaction) -> Sequence[str]:
        found = focused(dict(interaction.data or {}), self._asker.specs)
        if found is None or interaction.channel_id is None:
            return []
        option, typed = found
        assert option.choices is not None
        chat = Chat(NAME, str(interaction.channel_id))
        try:
            async with asyncio.timeout(SUGGEST_WITHIN_S):
                words = await self._suggest(chat, option.choices, to_complete(option, typed))
        except TimeoutError:
            return []
        return completed(option, typed, words)

    async def _answer(self, interaction: discord.Interaction, request: Request) -> None:
        handling = asyncio.create_task(self._handled(request))
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await asyncio.wait({handling}, timeout=DEFER_AFTER_S)
            changes = self._asker.changes(request.text)
            if not handling.done():
                await interaction.response.defer(ephemeral=changes and interaction.guild_id is not None)
            message = await handling
            if text := self._lacking(interaction, changes=changes):
                message = replace(message, lines=(*message.lines, text))
            await self._show(interaction, message, guessed=changes)

    def _lacking(self, interaction: discord.Interaction, *, changes: bool) -> str:
        """What the bot lacks where the alerts are to go, and who can grant it how; empty for nothing."""
        if LACKING in interaction.extras:
            return str(interaction.extras[LACKING])
        if not changes or interaction.guild_id is None:
            return ""
        in_thread = isinstance(interaction.channel, discord.Thread)
        return rights.explained(rights.missing(interaction.app_permissions, in_thread=in_thread))

    async def _handled(self, request: Request) -> Message:
        try:
            return await self._handle(request)
        except Exception:  # the person is told, whatever it is
            log.exception("a command failed: %s", request.text.partition(" ")[0])
            return FAILED

    async def _show(self, interaction: discord.Interaction, message: Message, *, guessed: bool) -> None:
        """``guessed``: what a deferral has said of who sees it."""
        private = message.private and interaction.guild_id is not None
        in_place = message.in_place and interaction.type is discord.InteractionType.component
        rendered = await render(message, lead=False)
        file, view = rendered.file(), view_of(message)
        whole: dict[str, Any] = {
            "content": rendered.content,
            "embed": rendered.embed,
            "attachments": [file] if file else [],
            "view": view,
            "allowed_mentions": discord.AllowedMentions.none(),
        }
        fresh = {key: value for key, value in whole.items() if key != "attachments" and value is not None}
        if file is not None:
            fresh["file"] = file
        deferred = interaction.response.is_done()
        if not deferred and in_place:
            del whole["allowed_mentions"]
            await interaction.response.edit_message(**whole)
        elif not deferred:
            await interaction.response.send_message(**fresh, ephemeral=private, silent=message.silent)
        elif in_place:
            await interaction.edit_original_response(**whole)
        elif interaction.type is discord.InteractionType.component:
            await interaction.followup.send(**fresh, ephemeral=private)
        elif private == (guessed and interaction.guild_id is not None):
            await interaction.edit_original_response(**whole)
        else:  # a follow-up would inherit from the deferral who sees it
            await interaction.delete_original_response()
            await interaction.followup.send(**fresh, ephemeral=private)
