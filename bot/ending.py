"""How the process is told to end, and how what still runs in it is ended."""

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGAIN_S = 0.25
GIVE_UP_S = 3.0
"""A task that has not ended by then is left behind: the host gives ten seconds for everything."""


@contextmanager
def ends_when_told() -> Iterator[None]:
    """SIGTERM and SIGINT end the process with exit code 0, wherever it is: for before `stop_signals` and after it."""
    before = {sign: signal.signal(sign, _end) for sign in _SIGNALS}
    try:
        yield
    finally:
        _restore(before)


def _end(_: int, __: FrameType | None) -> NoReturn:
    raise SystemExit(0)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set by SIGTERM and SIGINT."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {sign: signal.getsignal(sign) for sign in _SIGNALS}
    for sign in _SIGNALS:
        loop.add_signal_handler(sign, stopping.set)
    try:
        yield stopping
    finally:
        for sign in _SIGNALS:
            loop.remove_signal_handler(sign)
        _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for sign, handler in handlers.items():
        signal.signal(sign, handler)


async def cancelled(tasks: Sequence[asyncio.Task[Any]], *, give_up_s: float = GIVE_UP_S) -> None:
    """End what still runs, in a bounded time. Raises what one of them raised.

    A library can swallow a cancellation (``wait_for`` that has just got its answer, a clean-up that catches too much),
    so it is repeated; what does not end all the same is said and left behind.
    """
    loop = asyncio.get_running_loop()
    until_s, running = loop.time() + give_up_s, {task for task in tasks if not task.done()}
    while running and loop.time() < until_s:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)
    for task in running:
        where = task.get_stack(limit=1)
        log.warning("%s does not end, and is left behind (%s)", task.get_name(), where[-1] if where else "nowhere")
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
