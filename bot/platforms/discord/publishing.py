"""Announcement channels: publishing to the servers that follow, within what Discord allows and never in the way."""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable

import discord

from bot.ending import cancelled
from bot.errors import Retry
from bot.platforms.discord.errors import in_words
from bot.platforms.discord.wire import RequestTurns

log = logging.getLogger(__name__)
PER_HOUR = 10
EDITS_PER_HOUR = 3
HOUR_S = 3600.0
WITHIN_S = 60.0
REMEMBERED = 500
"""Published posts whose edits are counted."""


class Publisher:
    """What goes over the hourly limit stays unpublished: its channel has it all the same."""

    def __init__(self, turns: RequestTurns, now_s: Callable[[], float] = time.monotonic) -> None:
        self._turns, self._now_s = turns, now_s
        self._published: dict[int, deque[float]] = {}
        """By channel, when."""
        self._edits: OrderedDict[int, deque[float]] = OrderedDict()
        """By published message, when."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.held_back = 0

    def publish(self, message: discord.PartialMessage) -> None:
        """Soon, in the background."""
        if self._left(self._published.setdefault(message.channel.id, deque()), PER_HOUR) > 0:
            self.held_back += 1
            return
        self._published[message.channel.id].append(self._now_s())
        task = asyncio.create_task(self._publish(message), name=f"publish {message.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def before_edit(self, message_id: int) -> None:
        """Raises Retry where a published post has been edited as often as Discord allows in an hour."""
        edits = self._edits.get(message_id)
        if edits is None:
            return
        if (wait_s := self._left(edits, EDITS_PER_HOUR)) > 0:
            raise Retry("a published post may be edited three times an hour", wait_s)
        edits.append(self._now_s())

    async def stop(self) -> None:
        await cancelled(list(self._tasks))

    async def idle(self) -> None:
        """Until all that is being published is."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _publish(self, message: discord.PartialMessage) -> None:
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._turns.take()
                await message.publish()
        except Exception as error:  # noqa: BLE001 - the alert has arrived; publishing it is an extra
            log.info("a post could not be published: %s", in_words(error))
            return
        self._edits[message.id] = deque()
        while len(self._edits) > REMEMBERED:
            self._edits.popitem(last=False)

    def _left(self, times: deque[float], most: int) -> float:
        """How long until there may be another, in seconds; 0 for now."""
        now_s = self._now_s()
        while times and times[0] <= now_s - HOUR_S:
            times.popleft()
        return 0.0 if len(times) < most else times[0] + HOUR_S - now_s
