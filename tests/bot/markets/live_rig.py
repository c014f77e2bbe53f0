"""A live feed on local venues whose time stands still until the test moves it: the real ccxt, no real host."""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bot.markets.live import LiveFeed
from bot.markets.live_history import Stretch
from bot.markets.live_settled import AFTER_CLOSE_MS as SETTLED_ASKED_MS
from bot.markets.live_types import BAR_MS
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from detectors.market import DAY_MS, HOUR_MS, Market, MarketSnapshot

TURN_S, QUIET_TURNS, MOST_TURNS = 0.01, 15, 500
"""Everything under way is taken to be finished, and venue time moves on, once so many turns in a row were quiet."""
QUIET_S = 0.002
"""Processor time of a turn in which nothing was asked or answered. A busy machine makes turns longer, not dearer."""
AFTER_CLOSE_MS = 2_500
GIVE_UP_MS = 40_000


async def until(met: Callable[[], bool], seconds: float = 4.0) -> None:
    """Of real time."""
    for _ in range(round(seconds / 0.02)):
        if met():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


class SteppedClock:
    """Venue time as the feed's clock: who sleeps wakes when the test has moved time that far.

    ``wrong_by_ms``: somebody has set this machine's clock to another time than the venues'."""

    def __init__(self, time: VenueTime) -> None:
        self.wrong_by_ms = 0
        self._time, self._start_ms = time, time.now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now_ms(self) -> int:
        return self._time.now_ms + self.wrong_by_ms

    @property
    def venues_ms(self) -> int:
        return self._time.now_ms

    def steady_s(self) -> float:
        return (self._time.now_ms - self._start_ms) / 1000

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.venues_ms + round(seconds * 1000), next(self._count), woken))
        await woken

    def wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.venues_ms:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


class Rig:
    def __init__(self, make_feed: Callable[[], LiveFeed], venues: LocalVenues, clock: SteppedClock) -> None:
        self._make_feed = make_feed
        self.feed, self.venues, self.clock = make_feed(), venues, clock
        self.snapshots: list[MarketSnapshot] = []
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.feed.start()
        self._pump = asyncio.create_task(self._poll())

    async def restart(self, after_ms: int) -> None:
        """End the feed, let time pass, and start another, which has forgotten everything."""
        await self.stop()
        await self.advance(after_ms)
        self.feed, self.snapshots = self._make_feed(), []
        await self.start()

    async def _poll(self) -> None:
        while (moment := await self.feed.poll()) is not None:
            self.snapshots += moment

    @property
    def bars(self) -> list[MarketSnapshot]:
        return [snapshot for snapshot in self.snapshots if snapshot.bar is not None]

    async def past(self, days: float, markets: Sequence[Market] | None = None) -> list[MarketSnapshot]:
        """What the venues tell of the last ``days``, market by market; of the feed's or of others."""
        until_ms = self.clock.venues_ms
        stretches = [Stretch.of_days(market, days, until_ms) for market in markets or self.feed.markets]
        return [snapshot async for told in self.feed.past(stretches) for snapshot in told.snapshots]

    async def advance(self, by_ms: int) -> None:
        await self.venues.advance(by_ms)
        self.clock.wake()
        await asyncio.sleep(0)

    async def finished(self, met: Callable[[], bool] = lambda: False, quiet_turns: int = QUIET_TURNS) -> bool:
        """Wait until nothing is under way any more, or until ``met``; whether it was."""
        quiet = 0
        for _ in range(MOST_TURNS):
            if met():
                return True
            if quiet == quiet_turns:
                break
            if self._pump is not None and self._pump.done():
                self._pump.result()
            before_s = time.process_time()
            await asyncio.sleep(TURN_S)
            quiet = quiet + 1 if time.process_time() - before_s < QUIET_S else 0
        return met()

    async def next_bar(self, give_up_ms: int = GIVE_UP_MS) -> bool:
        """On to the next bar close, until all markets have it; False if some had not, that long after it."""
        now_ms = self.clock.venues_ms
        closed_at_ms = now_ms // BAR_MS * BAR_MS + BAR_MS
        return await self.next_bar_due(closed_at_ms, give_up_ms)

    async def next_bar_due(self, closed_at_ms: int, give_up_ms: int = GIVE_UP_MS) -> bool:
        """On to when this close is due, as `next_bar`."""
        if (before_ms := closed_at_ms - BAR_MS) % HOUR_MS == 0:
            # Rates settled on the hour are asked for long before the bar that they go with.
            await self.advance(max(before_ms + SETTLED_ASKED_MS + 1_000 - self.clock.venues_ms, 0))
            await self.finished()
        await self.advance(closed_at_ms + AFTER_CLOSE_MS - self.clock.venues_ms)
        while self.clock.venues_ms < closed_at_ms + give_up_ms:
            if await self.finished(lambda: self._had(closed_at_ms)):
                return True
            await self.advance(2_000)
        return self._had(closed_at_ms)

    def _had(self, closed_at_ms: int) -> bool:
        had = {
            s.market.base
            for s in self.bars[-2 * len(self.feed.markets) :]
            if s.bar and s.bar.closed_at_ms == closed_at_ms
        }
        return had == {market.base for market in self.feed.markets}

    async def stop(self) -> None:
        await self.feed.close()
        if self._pump is not None:
            await asyncio.gather(self._pump, return_exceptions=True)


@asynccontextmanager
async def rig(
    names: Sequence[str],
    markets: Sequence[str],
    *,
    days: float,
    seed: int = 1,
    before: Callable[[LocalVenues], object] = lambda _: None,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """Local venues with ``days`` of history and a started live feed on them; ``before`` sets faults for its start."""
    history = History(SimulatedFeed(seed, markets=markets))
    now_ms = START_MS + round(days * DAY_MS) + 17_000
    history.reach(now_ms)
    venue_time = VenueTime(now_ms)
    clock = SteppedClock(venue_time)
    async with LocalVenues(history, venue_time, names, limits_scale=100.0) as venues:
        # Time moves in steps of minutes, so looks are as far apart and silence is counted accordingly.
        usual: dict[str, Any] = {"look_every_s": 600.0, "silent_s": 10_000.0}

        def rewrite(exchange: Any) -> None:
            venues.rewrite(exchange)
            # ccxt keeps its pace in real time, of which five venue minutes take some milliseconds here.
            exchange.enableRateLimit = False

        before(venues)
        running = Rig(
            lambda: LiveFeed(names, None, clock=clock, rewrite=rewrite, **{**usual, **settings}), venues, clock
        )
        try:
            await running.start()
            yield running
        finally:
            await running.stop()
