"""The chance level: the same question asked of the same market's other times, at similar volatility.

An alert says "a cluster lies 2 % below". Price comes 2 % down often enough with no cluster there, and more often in a
restless market: only what is left over that is worth anything. So each alert's question (side, distance, horizon) is
put to every other time of its market whose own window does not overlap with the alert's, and of these the fifth whose
volatility was nearest counts. Nothing is drawn at random, so the level is the same in every run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.event import Question
from detectors.market import DAY_MS, Side
from detectors.series import Floats, MarketSeries, Times

VOLATILITY_MS = DAY_MS
"""Volatility is the mean range of the bars (log high over low) of this long; known at the time itself."""
NEAREST_SHARE = 0.2
LEAST_ELIGIBLE_MS = 5 * DAY_MS
"""Less than this much of other time gives no chance level: it would be one stretch of one mood."""
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Chance:
    """``share`` of ``n`` other times at which the same was true."""

    share: float
    n: int


def chances(asked: Sequence[tuple[int, Question]], series: MarketSeries) -> list[Chance | None]:
    """The chance level of each (time in ms, question); None where there is too little other time."""
    if not len(series):
        return [None] * len(asked)
    usual = volatility(series)
    pools: dict[tuple[Side, int], _Pool] = {}
    found: list[Chance | None] = []
    for at_ms, question in asked:
        pool = pools.get((question.side, question.horizon_ms))
        if pool is None:
            pool = pools[question.side, question.horizon_ms] = _Pool.of(series, usual, question)
        found.append(pool.ask(at_ms, question))
    return found


def volatility(series: MarketSeries) -> Floats:
    """At each bar's close, the mean range of the bars of the last day, float64[n]; NaN where a bar of it is missing."""
    ranges = np.concatenate([[0.0], np.cumsum(np.log(series.high / series.low))])
    first = np.searchsorted(series.opened_at_ms, series.closed_at_ms - VOLATILITY_MS)
    at = np.arange(len(series))
    breaks = series.breaks()
    whole = (breaks[first] == breaks) & (series.opened_at_ms[first] == series.closed_at_ms - VOLATILITY_MS)
    return np.where(whole, (ranges[at + 1] - ranges[first]) / (at + 1 - first), np.nan)


def excursions(series: MarketSeries, side: Side, horizon_ms: int) -> Floats:
    """How far price went down (LONG) or up (SHORT) within the horizon after each bar's close.

    A difference of log prices from that close, float64[n], negative where price never came back to it; NaN where a bar
    of the window is missing.
    """
    sign, extreme = (1.0, series.high) if side is Side.SHORT else (-1.0, series.low)
    way, close = sign * np.log(extreme), sign * np.log(series.close)
    count = len(series)
    stop = np.searchsorted(series.opened_at_ms, series.closed_at_ms + horizon_ms)
    last = np.maximum(stop - 1, 0)
    breaks = series.breaks()
    at = np.arange(count)
    whole = (stop > at + 1) & (breaks[last] == breaks) & (series.closed_at_ms[last] >= series.closed_at_ms + horizon_ms)
    farthest = _window_max(way, np.minimum(at + 1, count - 1), np.maximum(stop, np.minimum(at + 2, count)))
    return np.where(whole, farthest - close, np.nan)


def _window_max(values: Floats, start: Times, stop: Times) -> Floats:
    """The largest of ``values[start:stop]`` for each pair, none of them empty: by a table of doubling widths."""
    width = np.maximum(stop - start, 1)
    level = np.floor(np.log2(width)).astype(np.int64)
    result = np.empty(len(start))
    table, size = values, 1
    for power in range(int(level.max(initial=0)) + 1):
        rows = np.flatnonzero(level == power)
        result[rows] = np.maximum(table[start[rows]], table[np.maximum(stop[rows] - size, 0)])
        if len(table) <= size:
            break
        table, size = np.maximum(table[:-size], table[size:]), size * 2
    return result


@dataclass(frozen=True, slots=True)
class _Pool:
    """Every time that can be asked a question of one side and horizon, in order of volatility."""

    at_ms: Times
    usual: Floats
    farthest: Floats
    closed_at_ms: Times
    """Of all bars, with ``volatility`` at each."""
    volatility: Floats
    least: int

    @classmethod
    def of(cls, series: MarketSeries, usual: Floats, question: Question) -> "_Pool":
        farthest = excursions(series, question.side, question.horizon_ms)
        rows = np.flatnonzero(np.isfinite(farthest) & np.isfinite(usual))
        rows = rows[np.argsort(usual[rows], kind="stable")]
        length = int(np.median(series.closed_at_ms - series.opened_at_ms))
        least = LEAST_ELIGIBLE_MS // length
        return cls(series.closed_at_ms[rows], usual[rows], farthest[rows], series.closed_at_ms, usual, least)

    def ask(self, at_ms: int, question: Question) -> Chance | None:
        now = int(np.searchsorted(self.closed_at_ms, at_ms, side="right")) - 1
        if now < 0 or not np.isfinite(self.volatility[now]):
            return None
        # The alert's own time, and every time whose window shares bars with its own, would answer with its own outcome.
        other = np.flatnonzero(np.abs(self.at_ms - at_ms) >= question.horizon_ms)
        if len(other) < self.least:
            return None
        count = round(len(other) * NEAREST_SHARE)
        start = _nearest(self.usual[other], float(self.volatility[now]), count)
        came = self.farthest[other[start : start + count]] >= question.needed - _TOLERANCE
        share = float(np.mean(came if question.wanted else ~came))
        return Chance(round(share, 6), count)


def _nearest(ordered: Floats, value: float, count: int) -> int:
    """Where the ``count`` neighbours nearest to ``value`` begin in ``ordered`` (float64[n], rising)."""
    middle = int(np.searchsorted(ordered, value))
    low, high = max(0, middle - count), min(middle, len(ordered) - count)
    # Too far left as long as the one beyond the window is nearer than its first.
    starts = np.arange(low, high + 1)
    beyond = np.append(ordered, np.inf)[starts + count] - value
    return int(starts[np.argmax(beyond >= value - ordered[starts])]) if len(starts) > 1 else low
