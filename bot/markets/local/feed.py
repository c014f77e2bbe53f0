"""The live feed on local venues: the whole live path, ccxt included, offline and as fast as asked for."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bot.markets.feed import Source
from bot.markets.live import LiveFeed
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from bot.markets.venues import rules_for
from detectors.market import DAY_MS, MINUTE_MS, Market
from storage.origin import Origin

BAR_S = 300.0
_PRINTS_EVERY_MS = MINUTE_MS / 2
"""Of venue time. Prints that come two minutes late are taken for old ones."""
_ANSWER_S = 2.0
"""Real time that a venue gets to answer in."""
_SILENT_S = 20.0


class VenueClock:
    """The local venues' time as the clock of what watches them."""

    def __init__(self, time: VenueTime) -> None:
        self._time, self._start_ms = time, time.now_ms

    def now_ms(self) -> int:
        return self._time.now_ms

    def steady_s(self) -> float:
        return (self._time.now_ms - self._start_ms) / 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / max(self._time.speed, 1.0))


class LocalFeed(LiveFeed):
    """``speed``: five-minute bars a second. ``copies``: as in `History`.

    Venue time begins at ``now_ms`` with ``history_days`` before it; None: at today's midnight, so that the same seed
    tells the same story at any time of day. Raises ValueError for a venue there is none of.
    """

    source = Source.LOCAL

    def __init__(
        self,
        seed: int,
        venues: Sequence[str],
        markets: Sequence[str] | None = None,
        *,
        speed: float = 1.0,
        history_days: float = 4.0,
        look_every_s: float = 10.0,
        copies: int = 0,
        now_ms: int | None = None,
        largest: int = 30,
    ) -> None:
        self.venues: LocalVenues | None = None
        self._story = SimulatedFeed(seed, markets=markets)
        self._names, self._copies = [rules_for(name).name for name in venues], copies
        self._history_days, self._speed = history_days, speed * BAR_S
        midnight_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
        self._time = VenueTime(midnight_ms if now_ms is None else now_ms)
        self._running = AsyncExitStack()
        if self._speed > 1:
            # Their handshakes take real time, of which a bar has less than a second.
            self.stream_lead_s = None
        super().__init__(
            venues,
            None if markets is None or copies else [market.base for market in self._story.load()],
            clock=VenueClock(self._time),
            rewrite=self._rewrite,
            # What answers in real time needs that much more of the venues' time.
            look_every_s=max(look_every_s, 0.5 * self._speed),
            grace_s=max(5.0, _ANSWER_S * self._speed),
            silent_s=max(45.0, _SILENT_S * self._speed),
            largest=largest,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[LocalVenues]:
        """The venues alone, for what asks them once."""
        # Time stands still until the past is simulated.
        stopped = threading.Event()
        try:
            history = await asyncio.to_thread(self._simulate, stopped.is_set)
        except asyncio.CancelledError:
            stopped.set()  # no process ends before its threads do
            raise
        async with LocalVenues(
            history,
            self._time,
            self._names,
            push_every_s=min(0.5, _PRINTS_EVERY_MS / 1000 / self._speed),
            limits_scale=max(1.0, self._speed),
        ) as self.venues:
            self._time.speed = self._speed
            yield self.venues

    def origin(self) -> Origin:
        return self._story.origin()

    async def start(self) -> tuple[Market, ...]:
        await self._running.enter_async_context(self.serving())
        try:
            return await super().start()
        except BaseException:
            await self.close()
            raise

    def _simulate(self, is_stopped: Callable[[], bool]) -> History:
        start_ms = self._time.now_ms - round(self._history_days * DAY_MS)
        history = History(self._story, (start_ms - START_MS) // DAY_MS * DAY_MS, self._copies)
        history.reach(self._time.now_ms, is_stopped)
        return history

    def _rewrite(self, exchange: Any) -> None:
        assert self.venues is not None
        self.venues.rewrite(exchange)
        # ccxt keeps its pace in real time.
        exchange.enableRateLimit = self._speed <= 1
        # It times a pong by the venues' clock and a ping by the wall's. Silence is noticed all the same, by ours.
        exchange.streaming = {**exchange.streaming, "maxPingPongMisses": 1e9}

    async def close(self) -> None:
        await super().close()
        await self._running.aclose()
