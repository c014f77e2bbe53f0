"""Asks Telegram for updates, one long request after another, for as long as the bot runs.

An update is confirmed, which makes Telegram forget it, only after what it asks for is committed (or half a second
has passed): a bot that is killed in between gets the command again. That is why this is not the library's `Updater`,
which confirms before anything is handled, and whose task dies unseen.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from telegram import Update
from telegram.error import Conflict, TelegramError

from bot.errors import Fatal, Retry
from bot.platforms.telegram.client import POLL_S, QuietBot
from bot.platforms.telegram.errors import classified
from bot.platforms.telegram.receiving import ALLOWED_UPDATES

log = logging.getLogger(__name__)
ACCEPT_WITHIN_S = 0.5
_LONGEST_WAIT_S = 30.0
_AT_ONCE = 100
_CONFIRM_WITHIN_S = 0.5


class Poller:
    """``take`` gets every update, and gives a future that is done once it is committed."""

    def __init__(self, bot: QuietBot, take: Callable[[Update], asyncio.Future[None]]) -> None:
        self._bot, self._take = bot, take
        self._next = 0
        self._confirmed = True
        self.trouble = ""
        """What is wrong now; empty while Telegram answers."""
        self.since_s = time.time()
        """Since when it is as it is."""

    async def run(self) -> None:
        """Until cancelled. Raises Fatal."""
        failures, at_once = 0, _AT_ONCE
        while True:
            try:
                updates = await self._ask(at_once, POLL_S)
            except TelegramError as error:
                failures += 1
                await self._wait(error, failures)
                continue
            except Exception:
                # The library cannot read one of them. One at a time; the one that cannot be read is left out.
                log.exception("an update could not be read")
                if at_once == 1:
                    await self._pass_over()
                at_once = 1
                await asyncio.sleep(1)
                continue
            failures, at_once = 0, _AT_ONCE
            self._well()
            if updates:
                await self._accept(updates)

    async def confirm(self) -> None:
        """Let Telegram forget what was taken last, before the bot goes; at most for half a second."""
        if self._confirmed:
            return
        try:
            async with asyncio.timeout(_CONFIRM_WITHIN_S):
                await self._ask(1, 0)
        except (TelegramError, TimeoutError) as error:
            log.info("the last commands may come once more after a restart: %s", type(error).__name__)

    async def _ask(self, at_once: int, poll_s: int) -> Sequence[Update]:
        updates = await self._bot.get_updates(
            offset=self._next or None, limit=at_once, timeout=poll_s, allowed_updates=ALLOWED_UPDATES
        )
        self._confirmed = True
        return updates

    async def _pass_over(self) -> None:
        """The next update, which the library cannot read; the first one's id nobody has told yet."""
        try:
            oldest = self._next or await self._bot.oldest_update()
        except TelegramError as error:
            log.info("its number could not be asked for: %s", type(error).__name__)
        else:
            self._next = oldest + 1 if oldest else 0

    async def _accept(self, updates: Sequence[Update]) -> None:
        self._next, self._confirmed = updates[-1].update_id + 1, False
        await asyncio.wait([self._take(update) for update in updates], timeout=ACCEPT_WITHIN_S)

    async def _wait(self, error: TelegramError, failures: int) -> None:
        trouble = classified(error)
        if isinstance(trouble, Fatal):
            raise trouble from None
        if not self.trouble:
            self.since_s = time.time()
            log.warning("cannot receive: %s", trouble.reason)
        self.trouble = trouble.reason
        wait_s = trouble.after_s if isinstance(trouble, Retry) else _LONGEST_WAIT_S
        if not isinstance(error, Conflict):
            wait_s = max(
                min(wait_s, 1.0) if failures == 1 else wait_s, min(_LONGEST_WAIT_S, 2.0 ** min(failures - 2, 10))
            )
        await asyncio.sleep(wait_s)

    def _well(self) -> None:
        if self.trouble:
            log.info("receiving again")
            self.trouble, self.since_s = "", time.time()
