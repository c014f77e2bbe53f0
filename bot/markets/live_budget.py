"""Keeps a venue's calls inside its limits: pauses after a 429, stops after a 418 or a geo-block, extra windows."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from bot.markets.ccxt_errors import VenueError, VenueFatal, VenueRetry
from bot.markets.venues import Budget

_LONGEST_PAUSE_S = 600.0
_WEIGHT_HEADER = "x-mbx-used-weight-1m"
_WEIGHT_ENOUGH = 2_000
"""Of Binance's 2,400 a minute and address; the rest is for whoever else shares the address."""


class CallGate:
    """One venue's permission to call. ``monotonic_s`` never steps back, so a clock that is set cannot lift a ban."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._pause_until_s = 0.0
        self._pauses = 0
        self._stopped: VenueFatal | None = None
        self._stopped_until_s: float | None = None

    @property
    def stopped(self) -> VenueFatal | None:
        """Why nothing may be asked now; None when it may."""
        if self._stopped is not None and self._stopped_until_s is not None and self._now_s() >= self._stopped_until_s:
            self._stopped = None
        return self._stopped

    @property
    def pause_s(self) -> float:
        """How much longer calls wait after a 429."""
        return max(0.0, self._pause_until_s - self._now_s())

    async def enter(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Wait out a pause. Raises `VenueFatal` while the venue is stopped."""
        while (left_s := self.pause_s) > 0 and self.stopped is None:
            await sleep(left_s)
        if (stopped := self.stopped) is not None:
            raise stopped

    def failed(self, error: VenueError) -> None:
        """Learn from an error: a fatal one stops the venue, a 429 pauses it, twice as long each time in a row."""
        if isinstance(error, VenueFatal):
            self._stopped = error
            self._stopped_until_s = None if error.wait_s is None else self._now_s() + error.wait_s
        elif isinstance(error, VenueRetry) and error.wait_s is not None and not self.pause_s:
            self._pause(min(error.wait_s * 2**self._pauses, max(_LONGEST_PAUSE_S, error.wait_s)))
            self._pauses += 1

    def succeeded(self, headers: Mapping[str, str] | None) -> None:
        """Learn from a reply: before Binance's weight is used up, wait for the next minute."""
        if not self.pause_s:
            self._pauses = 0
        for name, value in (headers or {}).items():
            if name.lower() == _WEIGHT_HEADER and value.isdecimal() and int(value) >= _WEIGHT_ENOUGH:
                self._pause(60.0 - time.time() % 60.0)

    def _pause(self, seconds: float) -> None:
        self._pause_until_s = max(self._pause_until_s, self._now_s() + seconds)


class Window:
    """At most so many calls within a window; the rest wait in line."""

    def __init__(self, budget: Budget, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._budget, self._now_s = budget, monotonic_s
        self._taken: deque[float] = deque()
        self._line = asyncio.Lock()

    async def enter(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        async with self._line:
            while len(self._taken) >= self._budget.calls:
                left_s = self._taken[0] + self._budget.window_ms / 1000 - self._now_s()
                if left_s > 0:
                    await sleep(left_s)
                else:
                    self._taken.popleft()
            self._taken.append(self._now_s())
