"""Freshness: one *stale* notice after two missed intervals of a series, one *recovered* when it comes again (E13).

And what is no trouble yet, but to be seen: bars that come late, candles that a stream did not tell."""

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.markets.live_types import BAR_MS, BarBatch, Clock, Notice, NoticeKind
from bot.markets.merge import Merger
from detectors import figures
from detectors.market import MINUTE_MS

MISSED = 2
_SLACK_S = 15.0
"""A bar's delay, its call and its retries."""
_CLOSES_KEPT = 12
"""An hour's."""
_LATE_S = 2.0
"""What is promised beyond the venue's delay."""
_NAMED = 5
"""Markets named in one remark."""


@dataclass(frozen=True, slots=True)
class VenueStatus:
    """A venue as ``/status`` shows it."""

    venue: str
    markets: int
    stopped: str
    """Why nothing is asked of it; empty when it is."""
    stale: tuple[str, ...]
    """Series without news for two intervals."""
    seen_ms: Mapping[str, int]
    """When each series was last received."""
    prints: str
    """sampled, full or totals; "not told" where they would not be trusted."""
    prints_received: int
    refuses: tuple[str, ...]
    """What is refused of a venue whose conventions are not known."""
    prints_replayed: int = 0
    """Liquidations from before a connection that came with it again, and were dropped as they should be."""
    lateness: "Lateness | None" = None
    stream: "StreamTally | None" = None
    """None: its bars do not come from a stream."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of the last market's bar at each of the last closes, an hour of them."""

    last_s: float
    """After the newest was due, by which the venue can tell it."""
    most_s: float
    late_closes: int
    """Closes at which it was later than the two seconds that are promised."""
    closes: int
    is_usual: bool
    """Most of them were late."""


@dataclass(frozen=True, slots=True)
class StreamTally:
    """What a stream of closing candles told since the start. All that it did not tell in time was asked for."""

    closes: int = 0
    silent: int = 0
    """Closes of which it told no candle at all."""
    late: int = 0
    """Candles that came after they were due."""
    missing: int = 0
    """Candles that never came."""

    def plus(self, *, told: int, late: int, missing: int) -> "StreamTally":
        """With one close more; ``told`` are all candles that came, ``late`` those of them that were."""
        return StreamTally(self.closes + 1, self.silent + (not told), self.late + late, self.missing + missing)


class BarTimes:
    """When a venue's bars come, by its own clock."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ms = delay_ms
        self._closes: deque[tuple[int, float]] = deque(maxlen=_CLOSES_KEPT)
        """Each close and how long after it was due its last bar came, in seconds."""

    def note(self, batch: BarBatch, now_ms: int) -> None:
        """Bars missed long ago are late anyhow: only those of the batch's own close count."""
        closed_at_ms = batch.closed_at_ms
        if not any(one.bars and one.bars[-1].closed_at_ms == closed_at_ms for one in batch.markets.values()):
            return
        late_s = max(0.0, (now_ms - closed_at_ms - self._delay_ms) / 1000)
        if not self._closes or closed_at_ms > self._closes[-1][0]:
            self._closes.append((closed_at_ms, late_s))
        elif closed_at_ms == self._closes[-1][0]:
            self._closes[-1] = (closed_at_ms, max(late_s, self._closes[-1][1]))

    @property
    def lateness(self) -> Lateness | None:
        """None before the first close."""
        if not self._closes:
            return None
        each_s = [late_s for _, late_s in self._closes]
        late = sum(late_s > _LATE_S for late_s in each_s)
        return Lateness(each_s[-1], max(each_s), late, len(each_s), statistics.median_low(each_s) > _LATE_S)


@dataclass(slots=True)
class _Series:
    interval_s: float
    seen_s: float
    seen_ms: int
    stale: bool = False
    held: bool = False
    """What comes is no news."""


class Freshness:
    """One venue's series. Time is measured by the steady clock: one that is set neither hides nor makes staleness."""

    def __init__(self, venue: str, clock: Clock, look_every_s: float) -> None:
        self._venue, self._clock = venue, clock
        intervals = {"prices": look_every_s, "bars": BAR_MS / 1000, "open interest": BAR_MS / 1000}
        now_s, now_ms = clock.steady_s(), clock.now_ms()
        self._series = {name: _Series(seconds, now_s, now_ms) for name, seconds in intervals.items()}

    def seen(self, series: str) -> Notice | None:
        """Something of that series has come; the *recovered* notice if it was stale."""
        one, now_ms = self._series[series], self._clock.now_ms()
        if one.held:
            return None
        before_ms, was_stale = one.seen_ms, one.stale
        one.seen_s, one.seen_ms, one.stale = self._clock.steady_s(), now_ms, False
        if not was_stale:
            return None
        text = f"{self._venue}: {series} again, after {_span(now_ms - before_ms)} without"
        return Notice(NoticeKind.RECOVERED, now_ms, self._venue, series, text, before_ms)

    def check(self) -> list[Notice]:
        """A *stale* notice for each series that has just gone stale."""
        now_s, now_ms, told = self._clock.steady_s(), self._clock.now_ms(), []
        for name, one in self._series.items():
            if not one.stale and now_s - one.seen_s > stale_after_s(one.interval_s):
                one.stale = True
                text = f"{self._venue}: no {name} for {_span(now_ms - one.seen_ms)}"
                told.append(Notice(NoticeKind.STALE, now_ms, self._venue, name, text, one.seen_ms))
        return told

    def hold(self, series: str, since_ms: int, why: str) -> list[Notice]:
        """Take what comes of it for no news until `release`; a *stale* notice the first time."""
        one, now_ms = self._series[series], self._clock.now_ms()
        was_stale, one.stale, one.held = one.stale, True, True
        if was_stale:
            return []
        one.seen_ms = since_ms
        text = f"{self._venue}: no new {series} for {_span(now_ms - since_ms)}: it {why}"
        return [Notice(NoticeKind.STALE, now_ms, self._venue, series, text, since_ms)]

    def release(self, series: str) -> None:
        self._series[series].held = False

    def is_held(self, series: str) -> bool:
        return self._series[series].held

    @property
    def stale(self) -> tuple[str, ...]:
        return tuple(name for name, one in self._series.items() if one.stale)

    @property
    def seen_ms(self) -> dict[str, int]:
        """When something of each series was last received."""
        return {name: one.seen_ms for name, one in self._series.items()}


class LookTimes:
    """When each market was last priced by each venue, by the steady clock."""

    def __init__(self, clock: Clock, look_every_s: float) -> None:
        self._clock, self._look_every_s = clock, look_every_s
        self._seen_s: dict[tuple[str, str], float] = {}

    def seen(self, venue: str, bases: Iterable[str]) -> None:
        self._seen_s.update(dict.fromkeys(((base, venue) for base in bases), self._clock.steady_s()))

    def lose(self, venue: str) -> None:
        """What it said last is worth nothing."""
        self._seen_s.update({key: -math.inf for key in self._seen_s if key[1] == venue})

    def forget(self, venue: str, base: str) -> None:
        """The venue is asked for that market no longer."""
        self._seen_s.pop((base, venue), None)

    def silent(self) -> list[tuple[str, str]]:
        """Base and venue of those that have been without a price for too long."""
        oldest_s = self._clock.steady_s() - stale_after_s(self._look_every_s)
        return [key for key, seen_s in self._seen_s.items() if seen_s < oldest_s]


class Remarks:
    """What views say of their venues: a venue that goes out changes hundreds of them at once, which is one remark."""

    def __init__(self) -> None:
        self._bases: dict[tuple[str, str], list[str]] = {}

    def hear(self, merger: Merger) -> None:
        for remark in merger.take_notes():
            self._bases.setdefault(remark, []).append(merger.market.base)

    def take(self) -> list[tuple[str, str]]:
        """(venue, sentence) of each since the last call."""
        heard, self._bases = self._bases, {}
        return [(venue, f"{figures.some_of(bases, _NAMED)}: {text}") for (venue, text), bases in heard.items()]


def stale_after_s(interval_s: float) -> float:
    """How long a series of that interval may be silent."""
    return MISSED * interval_s + _SLACK_S


def _span(ms: int) -> str:
    return f"{ms / 1000:.0f} s" if ms < 2 * MINUTE_MS else f"{ms / MINUTE_MS:.0f} min"
