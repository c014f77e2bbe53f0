"""Commands of one chat are answered one after another, in order; chats do not wait for each other."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
MOST_WAITING = 20
"""More in one chat are dropped: no answer means not accepted."""


class Lanes:
    def __init__(self) -> None:
        self._last: dict[int, asyncio.Task[None]] = {}
        self._waiting: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0

    def put(self, chat_id: int, work: Callable[[], Awaitable[None]]) -> bool:
        """False where too many wait already. ``work`` must not raise what anybody should see."""
        if self._waiting[chat_id] >= MOST_WAITING:
            self.dropped += 1
            return False
        self._waiting[chat_id] += 1
        task = asyncio.create_task(self._run(chat_id, self._last.get(chat_id), work), name=f"telegram {chat_id}")
        self._last[chat_id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def finish(self, within_s: float) -> None:
        """Let what is being answered end; what does not is cancelled."""
        if self._tasks:
            _, unfinished = await asyncio.wait(set(self._tasks), timeout=within_s)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _run(self, chat_id: int, before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
        try:
            if before is not None and not before.done():
                await asyncio.wait([before])
            await work()
        except Exception:  # one command that fails must not end the others
            log.exception("a command in %d failed", chat_id)
        finally:
            self._waiting[chat_id] -= 1
            if self._last.get(chat_id) is asyncio.current_task():
                del self._last[chat_id]
                del self._waiting[chat_id]
