"""Keeps one venue's stream of liquidations going, and writes down when it was not."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from bot.markets.ccxt_errors import VenueError
from bot.markets.feed import Refusals
from bot.markets.live_budget import is_for_good
from bot.markets.live_types import Clock, Listing, Notice, NoticeKind, VenueClient
from detectors.market import MINUTE_MS, Print, PrintGap

OLDEST_MS = 2 * MINUTE_MS
"""Venues replay old liquidations on connect."""
SILENT_S = 45.0
"""A heartbeat comes every second or three, so this long without one is a dead socket (promised: within 60 s)."""
_LOOK_EVERY_S = 0.25
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_REMEMBERED = 20_000
_GAPS_KEPT = 1_000
Gap = PrintGap


class PrintWatch:
    """The `PrintSink` of one venue. `take` hands over what has come since the last time.

    ``missing_from_ms``: when the feed began, which is when the first gap does; None: now. Ages and gaps are by the
    venue's clock, as bars are: ours may be minutes off.
    """

    def __init__(
        self,
        client: VenueClient,
        listings: Collection[Listing],
        clock: Clock,
        refusals: Refusals,
        tell: Callable[[Notice], None],
        *,
        silent_s: float = SILENT_S,
        missing_from_ms: int | None = None,
    ) -> None:
        self.gaps: deque[Gap] = deque(maxlen=_GAPS_KEPT)
        self.received = 0
        self.replayed = 0
        """From before the connection over which they came: venues send the last ones to whoever subscribes."""
        self._client, self._listings, self._clock = client, listings, clock
        self._refusals, self._tell, self._silent_s = refusals, tell, silent_s
        self.venue = client.rules.name
        self._waiting: dict[str, list[Print]] = {}
        self._known: set[tuple[str, Print]] = set()
        self._order: deque[tuple[str, Print]] = deque()
        self._beat_ms = client.now_ms()
        self._beat_s = clock.steady_s()
        self._connected_ms = self._beat_ms
        self._before: set[tuple[str, Print]] = set()
        """What of the last minutes was known when the connection was made."""
        self._connected = self._was_connected = False
        self.gaps.append(Gap(self.venue, min(self._beat_ms, missing_from_ms or self._beat_ms)))

    @property
    def connected(self) -> bool:
        return self._connected

    def take(self) -> dict[str, list[Print]]:
        """The prints since the last call, by base asset."""
        taken, self._waiting = self._waiting, {}
        return taken

    def know(self, base: str, prints: Iterable[Print]) -> None:
        """An earlier run has stored these: venues send the last ones again to whoever subscribes."""
        known = {(base, one) for one in prints}
        self._known |= known
        self._order.extend(known)
        self._before |= known
        came = self._waiting.pop(base, [])
        if new := [one for one in came if (base, one) not in known]:
            self._waiting[base] = new
        self.received -= len(came) - len(new)
        self.replayed += len(came) - len(new)

    # --- PrintSink

    def seen(self, frame: Sequence[tuple[str, Print]]) -> None:
        self.beat()
        now_ms = self._client.now_ms()
        new = []
        for key in frame:
            is_old = now_ms - key[1].taken_at_ms > OLDEST_MS
            if key in self._before or (is_old and key[1].taken_at_ms < self._connected_ms):
                self.replayed += 1
            elif is_old:
                self.refuse("print_old")
            elif key in self._known:
                self.refuse("print_repeated")
            else:
                new.append(key)
        # Equal ones in one message are several; in two messages they are one that was sent again.
        for base, one in new:
            self._waiting.setdefault(base, []).append(one)
            self._order.append((base, one))
        self._known.update(new)
        self.received += len(new)
        self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        """What is too old to be taken at all cannot be taken twice, so a cascade's 20 MB need not stay. A minute
        more, as clocks are corrected."""
        oldest_ms = now_ms - OLDEST_MS - MINUTE_MS
        while self._order and (len(self._order) > _REMEMBERED or self._order[0][1].taken_at_ms < oldest_ms):
            self._known.discard(self._order.popleft())
        if not self._order:
            self._known.clear()  # a set that was emptied one by one keeps its size

    def beat(self) -> None:
        now_ms = self._client.now_ms()
        self._forget(now_ms)
        if not self._connected:
            self._connected, self._connected_ms = True, now_ms
            self._before = {key for key in self._known if now_ms - key[1].taken_at_ms <= OLDEST_MS}
            self._end_gap(now_ms)
        self._beat_ms, self._beat_s = now_ms, self._clock.steady_s()

    def refuse(self, reason: str) -> None:
        self._refusals.add(reason, f"{self.venue}/prints")

    # --- running

    async def run(self) -> None:
        """Watch for ever, over a new connection whenever one breaks or falls silent."""
        wait_s = _FIRST_WAIT_S
        while True:
            started_s = self._clock.steady_s()
            error = await self._watch_once()
            self._begin_gap(error.reason)
            if self._clock.steady_s() - started_s > _LONGEST_WAIT_S:
                wait_s = _FIRST_WAIT_S
            if is_for_good(error):
                return
            await self._clock.sleep(error.wait_s or wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _watch_once(self) -> VenueError:
        self._beat_s = self._clock.steady_s()
        task = asyncio.ensure_future(self._client.watch_prints(self._listings, self))
        try:
            while not task.done():
                if self._clock.steady_s() - self._beat_s > self._silent_s:
                    return VenueError(f"silent for {self._silent_s:.0f} s")
                await asyncio.wait([task], timeout=min(_LOOK_EVERY_S, self._silent_s / 4))
            error = task.exception()
            return error if isinstance(error, VenueError) else VenueError(f"broke off ({error!r})")
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, VenueError):
                await task

    def _begin_gap(self, why: str) -> None:
        self._connected = False
        if self.gaps and self.gaps[-1].until_ms is None:
            return
        self.gaps.append(Gap(self.venue, self._beat_ms))
        text = f"{self.venue}: liquidations are missing ({why})"
        self._tell(Notice(NoticeKind.GAP, self._clock.now_ms(), self.venue, "prints", text, self._beat_ms))

    def _end_gap(self, now_ms: int) -> None:
        gap = self.gaps.pop()
        if now_ms > gap.since_ms:
            self.gaps.append(Gap(gap.venue, gap.since_ms, now_ms))
        if self._was_connected:
            text = f"{self.venue}: liquidations again, after {(now_ms - gap.since_ms) / 1000:.0f} s without"
            self._tell(Notice(NoticeKind.RECOVERED, now_ms, self.venue, "prints", text, gap.since_ms))
        self._was_connected = True
