"""When a request may go out, and whether Discord may have taken one whose answer never came.

discord.py retries by itself and then raises whatever came last; only its HTTP trace tells what came before.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from bot.pacing import Pace

BURST = 3


class RequestTurns:
    """Discord allows the bot 50 requests in any second, whatever they are for, and discord.py does not pace them.

    The deliverer paces messages; edits, searches and publishing come on top, so that all of them take turns here. At
    most ``per_second + BURST`` leave in a second.
    """

    def __init__(self, per_second: float) -> None:
        self._pace = Pace(per_second, BURST)
        # One after another: those who sleep side by side would leave together after a stall of the event loop.
        self._next = asyncio.Lock()

    async def take(self) -> None:
        """Wait for the next one."""
        async with self._next:
            await asyncio.sleep(self._pace.take(time.monotonic()))


@dataclass(slots=True)
class Attempt:
    """``status`` is that of the last answer. It lives in the context of the task that sends."""

    status: int | None = None
    _open: bool = False
    _lost: bool = False

    @property
    def may_have_arrived(self) -> bool:
        """Also after a 2xx: an answer that cannot be read is no refusal."""
        return self._lost or self._open or (self.status is not None and 200 <= self.status < 300)

    def sent(self) -> None:
        self._open = True

    def answered(self, status: int) -> None:
        self._open, self.status = False, status
        self._lost |= status >= 500

    def broken(self) -> None:
        self._lost |= self._open
        self._open = False


_current: ContextVar[Attempt | None] = ContextVar("discord_attempt", default=None)


@contextmanager
def attempt() -> Iterator[Attempt]:
    """Follow the requests made inside."""
    followed = Attempt()
    token = _current.set(followed)
    try:
        yield followed
    finally:
        _current.reset(token)


def trace() -> aiohttp.TraceConfig:
    """For `discord.Client(http_trace=...)`."""
    config = aiohttp.TraceConfig()

    async def on_sent(
        _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if (followed := _current.get()) is not None:
            followed.sent()

    async def on_end(_: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        if (followed := _current.get()) is not None:
            followed.answered(params.response.status)

    async def on_broken(
        _: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if (followed := _current.get()) is not None:
            followed.broken()

    config.on_request_headers_sent.append(on_sent)
    config.on_request_end.append(on_end)
    config.on_request_exception.append(on_broken)
    return config
