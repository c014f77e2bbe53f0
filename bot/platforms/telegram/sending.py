"""Sends and edits messages. A chart is uploaded once; every other chat gets it by its ``file_id``."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import telegram
from telegram import InputFile, LinkPreviewOptions, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter, TelegramError

from bot.errors import Retry
from bot.message import Message
from bot.platforms.telegram import client
from bot.platforms.telegram.address import Address
from bot.platforms.telegram.client import QuietBot
from bot.platforms.telegram.errors import classified, says
from bot.platforms.telegram.keyboard import keyboard
from bot.platforms.telegram.rendering import caption_of, text_of
from bot.platforms.telegram.turns import ChatTurns

log = logging.getLogger(__name__)
_FILES_KNOWN = 512
_UPLOAD_AWAITED_S = 10.0
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
_UNKNOWN_FILE = ("wrong file identifier", "wrong remote file identifier", "wrong file_id", "file reference")
_NO_PICTURE = (
    "not enough rights to send photos",
    "not enough rights to send documents",
    "chat_send_photos_forbidden",
    "chat_send_docs_forbidden",
    "chat_send_media_forbidden",
    "photo_invalid",
    "photo_save_file_invalid",
    "image_process_failed",
    "too large",
)
"""Of what Telegram says where the picture alone is at fault; it comes as 400, 403 or 413."""


class Known(NamedTuple):
    """A chart that Telegram may have already. ``key`` changes with its content."""

    key: str
    chart: Path | bytes


class Files:
    """``file_id`` by content, and one upload at a time of each."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._uploading: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def first(self, key: str) -> AsyncIterator[str | None]:
        """Inside: the id, or None, and then this caller uploads while others wait for it. Raises Retry."""
        if key in self._ids:
            self._ids.move_to_end(key)
            yield self._ids[key]
            return
        lock = self._uploading.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(_UPLOAD_AWAITED_S):
                await lock.acquire()
        except TimeoutError:
            raise Retry("its chart is still being uploaded for another chat", 1.0) from None
        if key in self._ids:
            lock.release()
            yield self._ids[key]
            return
        try:
            yield None
        finally:
            lock.release()
            if key in self._ids:
                self._uploading.pop(key, None)

    def know(self, key: str, file_id: str) -> None:
        self._ids[key] = file_id
        if len(self._ids) > _FILES_KNOWN:
            self._ids.popitem(last=False)

    def forget(self, key: str) -> None:
        self._ids.pop(key, None)


class Sender:
    """Raises the errors of `bot.errors` only."""

    def __init__(self, bot: QuietBot, turns: ChatTurns) -> None:
        self._bot, self._turns = bot, turns
        self._files = Files()

    async def send(
        self, address: Address, message: Message, *, answer: bool = False, reply_to: int | None = None
    ) -> str:
        """The message's id in its chat. ``answer``: to a command; ``reply_to`` in place of the message's own."""
        with _translated(address, self._turns):
            if message.chart is None:
                return await self._send_text(address, message, answer=answer, reply_to=reply_to)
            return await self._send_chart(address, message, message.chart, answer=answer, reply_to=reply_to)

    async def edit(self, address: Address, message_id: str, message: Message, *, answer: bool = False) -> None:
        """Text or caption, whichever the message has. What stands there already is a success."""
        with _translated(address, self._turns):
            try:
                async with self._turns.turn(address, answer=answer):
                    await self._edit(address, int(message_id), message, caption=message.chart is not None)
            except BadRequest as error:
                if says(error, "not modified"):
                    return
                caption = says(error, "no text in the message")
                if not caption and not says(error, "no caption in the message"):
                    raise
                await self._edit_other(address, int(message_id), message, caption=caption)

    async def _edit_other(self, address: Address, message_id: int, message: Message, *, caption: bool) -> None:
        try:
            await self._edit(address, message_id, message, caption=caption)
        except BadRequest as error:
            if not says(error, "not modified"):
                raise

    async def _edit(self, address: Address, message_id: int, message: Message, *, caption: bool) -> None:
        markup = keyboard(message)
        if caption:
            await self._bot.edit_message_caption(
                address.chat_id, message_id, caption=caption_of(message), parse_mode=ParseMode.HTML, reply_markup=markup
            )
        else:
            await self._bot.edit_message_text(
                text_of(message),
                address.chat_id,
                message_id,
                parse_mode=ParseMode.HTML,
                reply_markup=markup,
                link_preview_options=_NO_PREVIEW,
            )

    async def _send_text(self, address: Address, message: Message, *, answer: bool, reply_to: int | None) -> str:
        async with self._turns.turn(address, answer=answer):
            sent = await self._bot.send_message(
                address.chat_id,
                text_of(message),
                parse_mode=ParseMode.HTML,
                message_thread_id=address.topic,
                disable_notification=message.silent or None,
                reply_parameters=_reply(message, reply_to),
                reply_markup=keyboard(message),
                link_preview_options=_NO_PREVIEW,
            )
        return str(sent.message_id)

    async def _send_chart(
        self, address: Address, message: Message, chart: Path | bytes, *, answer: bool, reply_to: int | None
    ) -> str:
        try:
            known = await asyncio.to_thread(_known, chart, as_file=message.chart_as_file)
        except OSError as error:
            log.warning("a chart cannot be read, the message goes out without: %s", error.strerror)
            return await self._send_text(address, message, answer=answer, reply_to=reply_to)
        async with self._files.first(known.key) as file_id:
            # The turn comes after the wait for the upload, or all that waited would go out at once.
            if file_id is None:
                return await self._upload(address, message, known, answer=answer, reply_to=reply_to)
        try:
            async with self._turns.turn(address, answer=answer):
                sent = await self._send_file(address, message, file_id, reply_to)
        except (NetworkError, Forbidden) as error:
            if not any(says(error, words) for words in _UNKNOWN_FILE):
                return await self._without_chart(error, address, message, answer=answer, reply_to=reply_to)
            self._files.forget(known.key)
            return await self._upload(address, message, known, answer=answer, reply_to=reply_to)
        return str(sent.message_id)

    async def _upload(
        self, address: Address, message: Message, known: Known, *, answer: bool, reply_to: int | None
    ) -> str:
        data = known.chart if isinstance(known.chart, bytes) else await asyncio.to_thread(known.chart.read_bytes)
        try:
            async with self._turns.turn(address, answer=answer):
                sent = await self._send_file(address, message, InputFile(data, "chart.png"), reply_to)
        except (NetworkError, Forbidden) as error:
            return await self._without_chart(error, address, message, answer=answer, reply_to=reply_to)
        # An album-wide choice of sizes: the last is the largest.
        given = sent.document.file_id if sent.document else sent.photo[-1].file_id if sent.photo else None
        if given is not None:
            self._files.know(known.key, given)
        return str(sent.message_id)

    async def _send_file(
        self, address: Address, message: Message, file: InputFile | str, reply_to: int | None
    ) -> telegram.Message:
        caption, markup, reply = caption_of(message), keyboard(message), _reply(message, reply_to)
        timeout_s = client.READ_TIMEOUT_S if isinstance(file, str) else client.UPLOAD_TIMEOUT_S
        if message.chart_as_file:
            return await self._bot.send_document(
                address.chat_id,
                file,
                caption=caption,
                parse_mode=ParseMode.HTML,
                message_thread_id=address.topic,
                disable_notification=message.silent or None,
                reply_parameters=reply,
                reply_markup=markup,
                disable_content_type_detection=True,
                read_timeout=timeout_s,
            )
        return await self._bot.send_photo(
            address.chat_id,
            file,
            caption=caption,
            parse_mode=ParseMode.HTML,
            message_thread_id=address.topic,
            disable_notification=message.silent or None,
            reply_parameters=reply,
            reply_markup=markup,
            read_timeout=timeout_s,
        )

    async def _without_chart(
        self, error: TelegramError, address: Address, message: Message, *, answer: bool, reply_to: int | None
    ) -> str:
        """What is wrong with the picture alone must not cost the alert. Raises the error if it is something else."""
        said = str(error).lower()
        if not any(words in said for words in _NO_PICTURE):
            raise error
        log.warning("a chart was refused in %s, the message goes out without: %s", address, classified(error).reason)
        return await self._send_text(address, message, answer=answer, reply_to=reply_to)


@contextmanager
def _translated(address: Address, turns: ChatTurns) -> Iterator[None]:
    """The library's errors as ours, with nothing of theirs in the traceback: it may carry the token."""
    try:
        yield
    except TelegramError as error:
        ours = classified(error)
        if isinstance(error, RetryAfter) and isinstance(ours, Retry):
            turns.close(address, ours.after_s)
        raise ours from None


def _reply(message: Message, reply_to: int | None) -> ReplyParameters | None:
    wanted = str(reply_to) if reply_to is not None else message.reply_to
    if wanted is None or not wanted.isdecimal():
        return None
    return ReplyParameters(int(wanted), allow_sending_without_reply=True)


def _known(chart: Path | bytes, *, as_file: bool) -> Known:
    kind = "file" if as_file else "photo"
    if isinstance(chart, bytes):
        return Known(f"{kind}:{hashlib.sha256(chart).hexdigest()}", chart)
    status = chart.stat()
    return Known(f"{kind}:{chart}:{status.st_mtime_ns}:{status.st_size}", chart)
