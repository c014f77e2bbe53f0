"""Telegram as a `bot.platforms.seam.ChatPlatform`: its life, and what it says of itself."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from telegram.error import InvalidToken, TelegramError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from bot.errors import Fatal, Retry
from bot.message import Message
from bot.pacing import Limits
from bot.platforms.seam import CheckRow, CommandSpec, Handle, Suggest, Upkeep
from bot.platforms.telegram import address, checking, menu, turns
from bot.platforms.telegram.answering import Answerer
from bot.platforms.telegram.client import API, QuietBot, make_bot
from bot.platforms.telegram.errors import classified
from bot.platforms.telegram.permissions import Permissions
from bot.platforms.telegram.polling import Poller
from bot.platforms.telegram.receiving import Receiver
from bot.platforms.telegram.sending import Sender

log = logging.getLogger(__name__)
TOKEN = "TELEGRAM_TOKEN"  # noqa: S105 - the name of the variable
BASE_URL = "TELEGRAM_BASE_URL"
_FINISH_WITHIN_S = 1.5
_CLOSE_WITHIN_S = 0.5
_LONGEST_WAIT_S = 30.0


class Settings(Protocol):
    @property
    def per_second(self) -> float: ...


class TelegramPlatform:
    """``base_url``: a Bot API server. Raises Fatal for a token that cannot be one."""

    name = address.NAME

    def __init__(self, token: str, *, base_url: str = API, per_second: float = turns.PER_SECOND) -> None:
        self.per_second = per_second
        try:
            self._bot: QuietBot = make_bot(token, base_url)
        except InvalidToken as error:
            raise classified(error) from None
        self._sender = Sender(self._bot, turns.ChatTurns(per_second))
        self._receiver: Receiver | None = None
        self._poller: Poller | None = None
        self._specs: Sequence[CommandSpec] = ()
        self._fatal: asyncio.Future[None] | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._connecting = "not started"
        self._stopped = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], settings: Settings) -> Self:
        """The token and, where it is not Telegram's own, the server's address come from the environment."""
        base_url = environ.get(BASE_URL, "").strip() or API
        return cls(environ[TOKEN].strip(), base_url=base_url, per_second=settings.per_second)

    # --- life

    async def start(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest, upkeep: Upkeep) -> None:  # noqa: ARG002 - nothing is completed while one types on Telegram
        self._fatal = asyncio.get_running_loop().create_future()
        answerer = Answerer(self._bot, self._sender, upkeep, self._ends)
        permissions = Permissions(self._bot)
        self._receiver = Receiver(self._bot, permissions, answerer, handle, specs, upkeep)
        self._poller = Poller(self._bot, self._receiver.take)
        self._specs = specs
        self._connecting = "connecting"

    async def run(self) -> None:
        assert self._poller is not None, "start comes first"
        assert self._fatal is not None
        receiving = self._receiving = asyncio.create_task(self._receive(self._poller), name="telegram poll")
        try:
            await asyncio.wait([receiving, self._fatal], return_when=asyncio.FIRST_COMPLETED)
            if self._fatal.done():
                self._fatal.result()
            if not self._stopped:
                receiving.result()
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._receiving is not None:
            self._receiving.cancel()
        if self._receiver is not None:
            await self._receiver.lanes.finish(_FINISH_WITHIN_S)
        if self._poller is not None:
            await self._poller.confirm()
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._bot.close_connections()
        except TimeoutError:
            log.warning("connections to Telegram could not be closed in time")
        if self._fatal is not None and self._fatal.done():
            self._fatal.exception()

    async def _receive(self, poller: Poller) -> None:
        await self._connect()
        await menu.offer(self._bot, self._specs)
        await poller.run()

    async def _connect(self) -> None:
        """Until Telegram says who the bot is; the library tries once. Raises Fatal."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Retry),
            wait=wait_exponential(multiplier=0.5, max=_LONGEST_WAIT_S),
            before_sleep=self._note_trouble,
        )
        async for attempt in retrying:
            with attempt:
                try:
                    await self._bot.initialize()
                    # A webhook that somebody set would keep every update from us.
                    await self._bot.delete_webhook()
                except TelegramError as error:
                    trouble = classified(error)
                    raise trouble if isinstance(trouble, Fatal | Retry) else Retry(trouble.reason, 1) from None
        self._connecting = ""
        log.info("connected to Telegram as @%s", self._bot.username)

    def _note_trouble(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._connecting = f"cannot connect: {error}; trying again"
        log.warning("cannot connect to Telegram: %s", error)

    def _ends(self, error: Fatal) -> None:
        if self._fatal is not None and not self._fatal.done():
            self._fatal.set_exception(error)

    # --- sending

    def limits(self, chat_id: str) -> Limits:
        return turns.limits(address.parse(chat_id))

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:  # noqa: ARG002 - Telegram knows none
        return await self._sender.send(address.parse(chat_id), message)

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None:
        await self._sender.edit(address.parse(chat_id), message_id, message)

    # --- what it says of itself

    @property
    def condition(self) -> str:
        if self._stopped:
            return "stopped"
        if self._connecting or self._poller is None:
            return self._connecting
        since = time.strftime("%H:%M UTC", time.gmtime(self._poller.since_s))
        dropped = self._receiver.lanes.dropped if self._receiver else 0
        more = f"; {dropped} commands dropped, too many at once" if dropped else ""
        if self._poller.trouble:
            return f"cannot receive since {since}: {self._poller.trouble}{more}"
        return f"connected as @{self._bot.username} since {since}{more}"

    @property
    def invite(self) -> str | None:
        """For a group; a channel takes the same with ``startchannel`` (docs/telegram.md)."""
        if self._connecting:
            return None
        link = f"https://t.me/{self._bot.username}"
        return f"{link}?startgroup=true (to a channel: {link}?startchannel&admin=post_messages+edit_messages)"

    async def check(self) -> Sequence[CheckRow]:
        return await checking.check(self._bot)

    async def check_chats(self, chat_ids: Sequence[str]) -> Sequence[CheckRow]:
        return await checking.check_chats(self._bot, chat_ids)
