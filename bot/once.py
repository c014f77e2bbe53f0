"""Work that many ask for at the same time and that is done once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """Remembers what the last ``kept`` keys gave. What raised or was cancelled is asked for anew."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._tasks: OrderedDict[K, asyncio.Task[V]] = OrderedDict()

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """What ``make`` gave for ``key``; it is called where nobody has asked yet. Raises what it raised."""
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks[key] = asyncio.ensure_future(_awaited(make))
            while len(self._tasks) > self._kept:
                self._tasks.popitem(last=False)
        self._tasks.move_to_end(key)
        # Shielded: one that stops waiting takes it from nobody else.
        return await asyncio.shield(task)

    def clear(self) -> None:
        """Forget what is done; what is under way goes on."""
        for key in [key for key, task in self._tasks.items() if task.done()]:
            del self._tasks[key]

    def forget(self, key: K) -> None:
        self._tasks.pop(key, None)


async def _awaited(make: Callable[[], Awaitable[V]]) -> V:
    return await make()
