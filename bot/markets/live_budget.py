"""Keeps a venue's calls inside its limits: slows down before a limit, pauses after a 429 and goes on at half the pace,
stops after a ban or a geo-block; windows that ccxt does not model; an even pace for what is asked of every market."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from multidict import CIMultiDictProxy

from bot.markets.ccxt_errors import VenueError, VenueFatal, VenueRetry
from bot.markets.venues import Budget

_LONGEST_PAUSE_S = 600.0
_WEIGHT_HEADER = "x-mbx-used-weight-1m"
_WEIGHT_LIMIT = 2_400
"""Binance's, a minute and address."""
_WEIGHT_ENOUGH = 2_000
"""The rest is for whoever else shares the address."""
_LEFT_HEADERS = (
    ("x-bapi-limit-status", "x-bapi-limit"),
    ("x-gate-ratelimit-requests-remain", "x-gate-ratelimit-limit"),
)
"""What Bybit and Gate say is left, and of how much. OKX tells nothing."""
_EASY_LOAD = 0.5
"""Up to this part of a limit calls go as they come."""
_LOAD_HOLDS_S = 10.0
"""A load without a newer one counts that long: Bybit's and Gate's windows are no longer."""
_SLOWEST = 1 / 16
_RECOVERS_S = 300.0
"""A pace that was halved is twice as high again after this long without a 429."""
_TRY_STOPPED_AGAIN_S = 300.0
_FOR_GOOD = ("geo-block", "ccxt has no venue")


def is_for_good(error: VenueError) -> bool:
    """Whether nothing but the user can end it: asking again is of no use."""
    return isinstance(error, VenueFatal) and error.wait_s is None and error.reason.startswith(_FOR_GOOD)


def load_of(headers: Mapping[str, str]) -> float | None:
    """Which part of the venue's limit is used, 0..1 and above; None where its reply does not say."""
    return _load({name.lower(): value for name, value in headers.items()})


def _load(told: Mapping[str, str]) -> float | None:
    if (used := told.get(_WEIGHT_HEADER, "")).isdecimal():
        return int(used) / _WEIGHT_LIMIT
    for left_name, limit_name in _LEFT_HEADERS:
        left, limit = told.get(left_name, ""), told.get(limit_name, "")
        if left.isdecimal() and limit.isdecimal() and int(limit):
            return 1 - int(left) / int(limit)
    return None


class CallGate:
    """One venue's permission to call. ``monotonic_s`` never steps back, so a clock that is set cannot lift a ban.

    ``calls_a_second`` is the usual pace, which ccxt keeps; here it is only what a slower one is a part of.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic, calls_a_second: float = 10.0) -> None:
        self._now_s = monotonic_s
        self._usual = calls_a_second
        self._slowed = 1.0
        """The pace after the last 429, as a part of the usual one."""
        self._slowed_at_s = 0.0
        self._load = 0.0
        self._load_at_s = 0.0
        self._turn_s = -math.inf
        """When the last call went or will go."""
        self._pause_until_s = 0.0
        self._pauses = 0
        self.has_answered = False
        """The venue serves this address, or did."""
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

    @property
    def pace(self) -> float:
        """Part of the usual pace: 1 when all is well, less near a limit and for a while after a 429."""
        now_s, recovered = self._now_s(), 1.0
        if self._slowed < 1:
            doublings = min((now_s - self._slowed_at_s) / _RECOVERS_S, -math.log2(self._slowed))
            recovered = self._slowed * 2**doublings
        if self._load <= _EASY_LOAD or now_s - self._load_at_s >= _LOAD_HOLDS_S:
            return recovered
        # With nothing left, one call when what is known no longer counts.
        least = 1 / (self._usual * _LOAD_HOLDS_S)
        return min(recovered, max(least, (1 - self._load) / (1 - _EASY_LOAD)))

    async def enter(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Wait for this call's turn. Raises `VenueFatal` while the venue is stopped."""
        if self.stopped is None and (pace := self.pace) < 1:
            begins_s = max(self._now_s(), self._pause_until_s)
            self._turn_s = max(begins_s, self._turn_s + 1 / (self._usual * pace))
            if (left_s := self._turn_s - self._now_s()) > 0:
                await sleep(left_s)
        else:
            self._turn_s = self._now_s()
        while (left_s := self.pause_s) > 0 and self.stopped is None:
            await sleep(left_s)
        if (stopped := self.stopped) is not None:
            raise stopped

    def failed(self, error: VenueError) -> None:
        """Learn from an error: a fatal one stops the venue; a 429 pauses it, twice as long each time in a row, and
        halves the pace. What stops it without saying for how long is tried again, unless it is for good."""
        if isinstance(error, VenueFatal):
            self._stopped = error
            wait_s = error.wait_s or _TRY_STOPPED_AGAIN_S
            self._stopped_until_s = None if is_for_good(error) else self._now_s() + wait_s
        elif isinstance(error, VenueRetry) and error.wait_s is not None and not self.pause_s:
            self._slowed, self._slowed_at_s = max(_SLOWEST, self.pace / 2), self._now_s()
            self._pause(min(error.wait_s * 2**self._pauses, max(_LONGEST_PAUSE_S, error.wait_s)))
            self._pauses += 1

    def succeeded(self, headers: Mapping[str, str] | None) -> None:
        """Learn from a reply how much is used; before Binance's weight is used up, wait for the next minute."""
        self.has_answered = True
        if not self.pause_s:
            self._pauses = 0
        # Of a reply as it came, any case is found; to make all names lower takes as long as the rest of this.
        told = headers or {}
        if not isinstance(told, CIMultiDictProxy):
            told = {name.lower(): value for name, value in told.items()}
        load = _load(told)
        if load is None:
            return
        self._load, self._load_at_s = load, self._now_s()
        if _WEIGHT_HEADER in told and load >= _WEIGHT_ENOUGH / _WEIGHT_LIMIT:
            self._pause(60.0 - time.time() % 60.0)

    def _pause(self, seconds: float) -> None:
        self._pause_until_s = max(self._pause_until_s, self._now_s() + seconds)


class Window:
    """At most so many calls within a window; the rest wait in line."""

    def __init__(self, budget: Budget, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._budget, self._now_s = budget, monotonic_s
        self._taken: deque[float] = deque()
        self._line = asyncio.Lock()

    def try_enter(self) -> bool:
        """Take a place if there is one, past those that wait."""
        is_free = self._left_s() <= 0
        if is_free:
            self._taken.append(self._now_s())
        return is_free

    async def enter(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, *, spare: int = 0) -> None:
        """Wait for a place. So many are left to others (``spare``)."""
        async with self._line:
            while (left_s := self._left_s(spare)) > 0:
                await sleep(left_s)
            self._taken.append(self._now_s())

    def _left_s(self, spare: int = 0) -> float:
        """Until there is a place besides so many; 0: there is one."""
        window_s, now_s = self._budget.window_ms / 1000, self._now_s()
        while self._taken and self._taken[0] + window_s - now_s <= 0:
            self._taken.popleft()
        return 0.0 if len(self._taken) < self._budget.calls - spare else self._taken[0] + window_s - now_s


class Weights:
    """ccxt's rolling window for what is asked of a venue: so much of its cost within ``window_ms``, in the order of the
    questions. ccxt's own adds up the whole window anew for each of them."""

    def __init__(
        self,
        rate_limit_ms: float,
        window_ms: int,
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.most = window_ms / rate_limit_ms
        self._window_s, self._now_s, self._sleep = window_ms / 1000, monotonic_s, sleep
        self._taken: deque[tuple[float, float]] = deque()
        """When, and how much."""
        self._sum = 0.0
        self._line = asyncio.Lock()

    async def enter(self, cost: float | None = None) -> None:
        """Wait for a place. What costs more than there is at all waits for an empty window."""
        cost = 1.0 if cost is None else cost
        if not self._line.locked() and self._left_s(cost) <= 0:
            self._take(cost)
            return
        async with self._line:
            while (left_s := self._left_s(cost)) > 0:
                await self._sleep(left_s)
            self._take(cost)

    def _take(self, cost: float) -> None:
        self._taken.append((self._now_s(), cost))
        self._sum += cost

    def _left_s(self, cost: float) -> float:
        """Until the window has room, or has lost the oldest of what it holds; 0: it has room."""
        taken, gone_s = self._taken, self._now_s() - self._window_s
        while taken and taken[0][0] <= gone_s:
            self._sum -= taken.popleft()[1]
        if not taken:
            self._sum = 0.0  # what adding and taking away fractions has left over
            return 0.0
        return 0.0 if self._sum + cost <= self.most else taken[0][0] - gone_s


class EvenPace:
    """One call after the other, evenly. A burst that is as large as a venue's window allows goes over its limit as soon
    as the one before arrived late; an even pace of four fifths of it has as many to spare as come in half a second."""

    def __init__(self, calls_a_second: float, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._apart_s, self._now_s = 1 / calls_a_second, monotonic_s
        self._gone_s = -math.inf
        self._line = asyncio.Lock()

    async def enter(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, part: float = 1.0) -> None:
        """Wait for this call's turn; ``part`` of the pace where the venue has to be spared."""
        # One sleeps at a time: turns given out before would all come at once after the loop was held up.
        async with self._line:
            if (left_s := self._gone_s + self._apart_s / part - self._now_s()) > 0:
                await sleep(left_s)
            self._gone_s = self._now_s()
