"""Answers to commands and presses, sent beside the alerts, paced like them, each after its commit."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from telegram import CallbackQuery
from telegram.error import TelegramError

from bot.errors import Fatal, Moved, PlatformError, Reject, Retry
from bot.message import Message
from bot.platforms.seam import Place, Upkeep
from bot.platforms.telegram.address import Address, parse
from bot.platforms.telegram.client import QuietBot
from bot.platforms.telegram.errors import classified
from bot.platforms.telegram.sending import Sender
from storage.errors import StoreUnavailable

log = logging.getLogger(__name__)
POPUP_LIMIT = 200
FROM_CHANNEL = "channel"
"""What ``/start`` is told where a reader was led to the private chat."""
_TRIES = 3
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Where:
    """Where an answer goes. ``message_id``: what it answers, or whose button was pressed."""

    address: Address
    place: Place
    message_id: int | None = None
    query: CallbackQuery | None = None
    """A press."""
    page: bool = False
    """The pressed message has a text, so it can be turned into another page."""


class Answerer:
    """``fatal`` is told what ends the process."""

    def __init__(self, bot: QuietBot, sender: Sender, upkeep: Upkeep, fatal: Callable[[Fatal], None]) -> None:
        self._bot, self._sender, self._upkeep, self._fatal = bot, sender, upkeep, fatal

    async def answer(self, where: Where, message: Message) -> None:
        """Never raises for what a platform refuses: the commit is done, and the user can ask again."""
        if where.query is not None and await self._popped_up(where, where.query, message):
            return
        if where.place is Place.CHANNEL:
            message = replace(message, silent=True)
        turn_page = where.query is not None and message.in_place and where.page and message.chart is None
        await self._persist(where, message, turn_page=turn_page)

    async def tell(self, address: Address, message: Message) -> None:
        """Something that nobody asked for, and that nobody misses where it cannot be told."""
        try:
            await self._sender.send(address, message, answer=True)
        except Fatal as error:
            self._fatal(error)
        except PlatformError as error:
            log.info("%s could not be told: %s", address, error.reason)

    async def pop_up(self, query: CallbackQuery, text: str = "", url: str | None = None) -> None:
        """End the waiting sign of a pressed button, with words in a window if there are any."""
        try:
            await self._bot.answer_callback_query(query.id, text[:POPUP_LIMIT] or None, show_alert=bool(text), url=url)
        except TelegramError as error:
            log.info("a press could not be answered: %s", classified(error).reason)

    async def _popped_up(self, where: Where, query: CallbackQuery, message: Message) -> bool:
        """Whether the press is fully answered by what only who pressed it sees."""
        turns_page = message.in_place and where.page and message.chart is None
        short = None if turns_page else _popup(message)
        if short is not None and (where.place is Place.CHANNEL or (message.private and not message.buttons)):
            await self.pop_up(query, short)
            return True
        if where.place is Place.CHANNEL and not turns_page:
            await self._in_private(query, message)
            return True
        await self.pop_up(query)
        return False

    async def _in_private(self, query: CallbackQuery, message: Message) -> None:
        """Every reader of a channel can press: the answer must not become a post for all of them."""
        # Its buttons would mean the private chat, not the channel.
        plain = replace(message, buttons=(), menus=(), in_place=False)
        try:
            await self._sender.send(Address(query.from_user.id), plain, answer=True)
        except Fatal as error:
            self._fatal(error)
        except PlatformError as error:
            log.info("a reader was led to the private chat: %s", error.reason)
            await self.pop_up(query, url=f"https://t.me/{self._bot.username}?start={FROM_CHANNEL}")
        else:
            await self.pop_up(query, "I have sent it to you in our private chat.")

    async def _persist(self, where: Where, message: Message, *, turn_page: bool) -> None:
        address, reply_to = where.address, where.message_id
        if where.place is Place.PRIVATE and where.query is None:
            reply_to = None
        for attempt in range(1, _TRIES + 1):
            try:
                if turn_page and where.message_id is not None:
                    await self._sender.edit(address, str(where.message_id), message, answer=True)
                else:
                    await self._sender.send(address, message, answer=True, reply_to=reply_to)
            except Retry as error:
                if attempt == _TRIES or error.after_s > _LONGEST_WAIT_S:
                    log.warning("a command in %s stays without its answer: %s", address, error.reason)
                    return
                await asyncio.sleep(error.after_s)
            except Moved as error:
                moved = parse(error.chat_id)
                await self._kept(self._upkeep.moved(address.chat, moved.chat))
                address, reply_to, turn_page = moved, None, False
            except Reject as error:
                if turn_page:  # the page is gone or too old: its next one comes as a new message
                    turn_page = False
                    continue
                log.info("a command in %s stays without its answer: %s", address, error.reason)
                if error.chat_gone:
                    await self._kept(self._upkeep.gone([address.chat], error.reason))
                return
            except Fatal as error:
                self._fatal(error)
                return
            else:
                return

    async def _kept(self, written: Awaitable[None]) -> None:
        try:
            await written
        except StoreUnavailable as error:
            # The next message that goes there finds out again.
            log.warning("not kept: %s", error)


def _popup(message: Message) -> str | None:
    """The message as the words of a small window; None where it does not fit."""
    if message.chart is not None or message.table is not None:
        return None
    text = "\n".join([message.title, *message.lines])
    return text if len(text) <= POPUP_LIMIT else None
