"""Long work in small pieces, so that whatever else is going on gets its turn in time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_WORK_S = 0.004
_REST_S = 0.004
"""As long as the work: half of the time is left to others."""


async def in_turns(items: Iterable[_T]) -> AsyncIterator[_T]:
    """The items as they are made, with a rest after every few milliseconds of making and handling them."""
    begun_s = time.perf_counter()
    for item in items:
        yield item
        if time.perf_counter() - begun_s > _WORK_S:
            await asyncio.sleep(_REST_S)
            begun_s = time.perf_counter()
