"""Long work in small pieces, so that whatever else is going on gets its turn in time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar
from weakref import WeakKeyDictionary

_T = TypeVar("_T")
_WORK_S = 0.004
REST_S = 0.004
"""As long as the work: half of the time is left to others."""
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def my_turn() -> None:
    """Wait for the piece of work before to be done, and for the loop to have gone round since.

    Many that become ready at once would each be short, and together hold up everything else.
    """
    async with _lines.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        await asyncio.sleep(0)


class Turns:
    """Call `take` after each piece of work. ``rest_s``: how long others get at least, and then the next piece waits for
    its turn among all such work; 0: what waits already."""

    def __init__(self, rest_s: float = 0.0) -> None:
        self._rest_s = rest_s
        self._begun_s = time.perf_counter()

    async def take(self) -> None:
        if time.perf_counter() - self._begun_s > _WORK_S:
            await asyncio.sleep(self._rest_s)
            if self._rest_s:
                await my_turn()
            self._begun_s = time.perf_counter()


async def in_turns(items: Iterable[_T]) -> AsyncIterator[_T]:
    """The items as they are made, with a rest after every few milliseconds of making and handling them."""
    turns = Turns(REST_S)
    for item in items:
        yield item
        await turns.take()
