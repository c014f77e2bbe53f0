"""Work of one chat is done one after another, in order; chats do not wait for each other."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
MOST_WAITING = 20
"""Commands of one chat that were taken and are not answered yet. More are dropped: no answer means not accepted."""
Work = Callable[[], Awaitable[None]]


class Lanes:
    """Two lanes a chat: commands are handled in one, answered, which waits for its turn, in the other."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._waiting: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0

    def enter(self, chat_id: int) -> bool:
        """Whether one more of this chat can be taken; then `leave` has to follow, after its answer."""
        if self._waiting[chat_id] >= MOST_WAITING:
            self.dropped += 1
            return False
        self.stay(chat_id)
        return True

    def stay(self, chat_id: int) -> None:
        """What was taken has one more thing to do, for which `leave` has to follow too."""
        self._waiting[chat_id] += 1

    def leave(self, chat_id: int) -> None:
        self._waiting[chat_id] -= 1
        if self._waiting[chat_id] <= 0:
            del self._waiting[chat_id]

    def put(self, lane: str, chat_id: int, work: Work) -> None:
        """What ``work`` raises is logged, and the next work is done all the same."""
        place = lane, chat_id
        task = asyncio.create_task(self._run(place, self._last.get(place), work), name=f"telegram {lane} {chat_id}")
        self._last[place] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, within_s: float) -> None:
        """Let what is under way end; what does not is cancelled."""
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + within_s
        while self._tasks and (left_s := ends_at_s - loop.time()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left_s)
        unfinished = set(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _run(self, place: tuple[str, int], before: asyncio.Task[None] | None, work: Work) -> None:
        try:
            if before is not None and not before.done():
                await asyncio.wait([before])
            await work()
        except Exception:
            log.exception("a command in %d failed", place[1])
        finally:
            if self._last.get(place) is asyncio.current_task():
                del self._last[place]
