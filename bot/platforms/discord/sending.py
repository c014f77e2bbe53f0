"""Alerts to channels over REST, whether the gateway is up or not; and the search that spares a channel a repeat."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import discord

from bot.errors import PlatformError, Reject, Retry
from bot.message import POSSIBLE_REPEAT, Message, handle_of
from bot.platforms.discord import rights
from bot.platforms.discord.errors import NO_HISTORY_FOR_REPLY, SOON_S, translate, translate_edit
from bot.platforms.discord.publishing import Publisher
from bot.platforms.discord.rendering import Rendered, render, view_of
from bot.platforms.discord.wire import RequestTurns, attempt

log = logging.getLogger(__name__)
SEND_WITHIN_S = 20.0
"""Less than the deliverer's own patience, so that what went over the wire is still known."""
NONCE_LIMIT = 25
NONCE_SURE_S = 120.0
"""Discord drops a repeat of a nonce for some minutes; two of them are relied on."""
SEARCHED = 200
REMEMBERED = 2000


class Sender:
    """``client``: None until it is logged in. ``gateway_up``: whether what it has cached of channels is current."""

    def __init__(
        self,
        client: Callable[[], discord.Client | None],
        gateway_up: Callable[[], bool],
        publisher: Publisher,
        turns: RequestTurns,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._gateway_up, self._publisher, self._turns = client, gateway_up, publisher, turns
        self._now_s = now_s
        self._attempts: OrderedDict[str, float] = OrderedDict()
        """Since when a nonce was tried without a look whether the message is there. It counts from the attempt that
        arrived, and that may be the first of them."""

    async def send(self, chat_id: str, message: Message, nonce: str) -> str:
        """The id of the message that is there now. Raises Retry, Reject, Fatal."""
        client, channel = self._channel(chat_id)
        held = self.held(channel.id)
        message, found = await self._without_repeat(channel, message, nonce, held)
        if found is None:
            rendered = await render(
                message,
                lead=True,
                may_embed=held is None or held.embed_links,
                may_attach=held is None or held.attach_files,
            )
            await self._turns.take()
            self._remember(nonce)
            with translated():
                async with asyncio.timeout(SEND_WITHIN_S):
                    found = await self._post(channel, message, rendered, nonce[:NONCE_LIMIT], held)
        if getattr(client.get_channel(channel.id), "type", None) is discord.ChannelType.news:
            self._publisher.publish(channel.get_partial_message(found))
        return str(found)

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None:
        """Raises Retry, Reject, Fatal."""
        _, channel = self._channel(chat_id)
        held = self.held(channel.id)
        # Whether it is a repeat was settled when it was sent.
        rendered = await render(
            _without_warning(message),
            lead=True,
            may_embed=held is None or held.embed_links,
            may_attach=held is None or held.attach_files,
        )
        self._publisher.before_edit(int(message_id))
        file = rendered.file()
        await self._turns.take()
        with translated(edit=True):
            async with asyncio.timeout(SEND_WITHIN_S):
                await channel.get_partial_message(int(message_id)).edit(
                    content=rendered.content,
                    embed=rendered.embed,
                    attachments=[file] if file else [],
                    view=view_of(message),
                    allowed_mentions=discord.AllowedMentions.none(),
                )

    def held(self, channel_id: int) -> discord.Permissions | None:
        """What the bot may do in a channel of a server; None where that is not known for certain.

        Raises Reject where it may not post: asking all the same would only count towards a ban of the address.
        """
        client = self._client()
        channel = client.get_channel(channel_id) if client is not None and self._gateway_up() else None
        if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
            return None
        me: discord.Member | None = channel.guild.me
        if me is None:
            return None
        try:
            held = channel.permissions_for(me)
        except discord.ClientException:  # a thread whose channel is not known
            return None
        in_thread = isinstance(channel, discord.Thread)
        if not rights.can_post(held, in_thread=in_thread):
            lacking = rights.missing(held, in_thread=in_thread)
            raise Reject(rights.explained(lacking) + " Then /watch again.", chat_gone=True)
        return held

    def _channel(self, chat_id: str) -> tuple[discord.Client, discord.PartialMessageable]:
        client = self._client()
        if client is None:
            raise Retry("not logged in to Discord yet", SOON_S)
        if not (chat_id.isascii() and chat_id.isdecimal()):
            raise Reject(f"{chat_id!r} is no channel of Discord", chat_gone=True)
        return client, client.get_partial_messageable(int(chat_id))

    async def _post(
        self,
        channel: discord.PartialMessageable,
        message: Message,
        rendered: Rendered,
        nonce: str,
        held: discord.Permissions | None,
    ) -> int:
        reply = None
        if message.reply_to is not None and message.reply_to.isdecimal() and (not held or held.read_message_history):
            reply = discord.MessageReference(
                message_id=int(message.reply_to), channel_id=channel.id, fail_if_not_exists=False
            )
        try:
            return await self._create(channel, message, rendered, nonce, reply)
        except discord.HTTPException as error:
            if reply is None or error.code != NO_HISTORY_FOR_REPLY:
                raise
        return await self._create(channel, message, rendered, nonce, None)

    async def _create(
        self,
        channel: discord.PartialMessageable,
        message: Message,
        rendered: Rendered,
        nonce: str,
        reply: discord.MessageReference | None,
    ) -> int:
        given: dict[str, Any] = {
            "content": rendered.content,
            "embed": rendered.embed,
            "file": rendered.file(),
            "view": view_of(message),
            "reference": reply,
        }
        sent = await channel.send(
            **{name: value for name, value in given.items() if value is not None},
            nonce=nonce,
            silent=message.silent,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        return int(sent.id)

    async def _without_repeat(
        self, channel: discord.PartialMessageable, message: Message, nonce: str, held: discord.Permissions | None
    ) -> tuple[Message, int | None]:
        """The message as it should go out, or the id of the one that an earlier attempt has brought there."""
        if POSSIBLE_REPEAT not in message.footer:
            self._attempts.pop(nonce, None)  # none of them arrived
            return message, None
        first_s = self._attempts.get(nonce)
        if first_s is not None and self._now_s() - first_s < NONCE_SURE_S:
            return message, None  # the nonce sees to it
        without = _without_warning(message)
        sure, found = await self._search(channel, without, held)
        self._attempts.pop(nonce, None)
        return (without if sure else message), found

    async def _search(
        self, channel: discord.PartialMessageable, message: Message, held: discord.Permissions | None
    ) -> tuple[bool, int | None]:
        """Whether all that matters was seen, and the id of the message if it is there."""
        looked_for = await render(replace(message, chart=None), lead=True)
        handle = handle_of(message.alert_id) if message.alert_id else None
        seen = 0
        await self._turns.take()
        with translated():
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    async for each in channel.history(limit=SEARCHED):
                        seen += 1
                        if _is(each, self._client(), message, looked_for, handle):
                            return True, each.id
            except discord.Forbidden:
                return False, None
        # Without the right to read it the history looks empty.
        return 0 < seen < SEARCHED or (seen == 0 and held is not None and held.read_message_history), None

    def _remember(self, nonce: str) -> None:
        self._attempts.setdefault(nonce, self._now_s())
        while len(self._attempts) > REMEMBERED:
            self._attempts.popitem(last=False)


def _without_warning(message: Message) -> Message:
    return replace(message, footer=tuple(line for line in message.footer if line != POSSIBLE_REPEAT))


def _is(
    there: discord.Message, client: discord.Client | None, message: Message, looked_for: Rendered, handle: str | None
) -> bool:
    """Whether a message of the channel is the one that was to be sent: by its alert's handle, or word by word."""
    if client is None or client.user is None or there.author.id != client.user.id:
        return False
    embed = there.embeds[0] if there.embeds else None
    if handle is not None and message.alert_id is not None:
        ids = [getattr(part, "custom_id", None) or "" for row in there.components for part in _parts(row)]
        footer = (embed.footer.text if embed else None) or ""
        # Other messages of ours name the alert as well, such as the answer to /why; none begins with its first line.
        begins = (looked_for.content or "") in there.content
        return begins and (any(handle in custom_id for custom_id in ids) or handle in footer)
    wanted = looked_for.embed.description if looked_for.embed else None
    return there.content == (looked_for.content or "") and (embed.description if embed else None) == wanted


def _parts(row: object) -> list[object]:
    return list(getattr(row, "children", ()))


@contextmanager
def translated(*, edit: bool = False) -> Iterator[None]:
    """Errors of the library leave as those of `bot.errors`; faults of ours as they are. ``edit``: of an edit."""
    with attempt() as followed:
        try:
            yield
        except PlatformError:
            raise
        except Exception as error:
            meaning = (translate_edit if edit else translate)(error, followed)
            if meaning is None:
                raise
            log.debug("Discord: %s means %s: %s", type(error).__name__, type(meaning).__name__, meaning)
            raise meaning from None
