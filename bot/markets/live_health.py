"""Freshness: one *stale* notice after two missed intervals of a series, one *recovered* when it comes again (E13)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.markets.live_types import BAR_MS, Clock, Notice, NoticeKind
from detectors.market import MINUTE_MS

MISSED = 2
_SLACK_S = 15.0
"""A bar's delay, its call and its retries."""


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


@dataclass(slots=True)
class _Series:
    interval_s: float
    seen_s: float
    seen_ms: int
    stale: bool = False


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

    def forget(self, venue: str, base: str) -> None:
        """The venue is asked for that market no longer."""
        self._seen_s.pop((base, venue), None)

    def silent(self) -> list[tuple[str, str]]:
        """Base and venue of those that have been without a price for too long."""
        oldest_s = self._clock.steady_s() - stale_after_s(self._look_every_s)
        return [key for key, seen_s in self._seen_s.items() if seen_s < oldest_s]


def stale_after_s(interval_s: float) -> float:
    """How long a series of that interval may be silent."""
    return MISSED * interval_s + _SLACK_S


def _span(ms: int) -> str:
    return f"{ms / 1000:.0f} s" if ms < 2 * MINUTE_MS else f"{ms / MINUTE_MS:.0f} min"
