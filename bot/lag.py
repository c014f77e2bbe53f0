"""How late the event loop comes to what is due: the one number that says whether something blocks it."""

import asyncio
import time
from bisect import bisect_left
from collections import deque
from contextlib import suppress

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_KEPT = 6000


class LoopLag:
    """Naps over and over and notes how much too late it wakes. `start` and `stop` from the loop that is measured."""

    def __init__(self, nap_s: float = 0.05) -> None:
        self._nap_s = nap_s
        self._task: asyncio.Task[None] | None = None
        self._newest: deque[float] = deque(maxlen=_KEPT)
        self.counts = [0] * (len(BOUNDS_S) + 1)
        """Naps by lag: at most each of `BOUNDS_S`, the last one: more."""
        self.total_s = 0.0

    def start(self) -> None:
        self._task = asyncio.create_task(self._nap(), name="loop lag")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _nap(self) -> None:
        while True:
            due_s = time.perf_counter() + self._nap_s
            await asyncio.sleep(self._nap_s)
            self.note(max(0.0, time.perf_counter() - due_s))

    def note(self, lag_s: float) -> None:
        self._newest.append(lag_s)
        self.counts[bisect_left(BOUNDS_S, lag_s)] += 1
        self.total_s += lag_s

    def quantile_s(self, share: float) -> float:
        """Of the newest naps; 0.99 is the 99th percentile. 0 before the first."""
        ordered = sorted(self._newest)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
