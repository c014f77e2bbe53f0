"""What came of events, from the bars after them. Shared by the kinds' ``judge`` functions; many events at once.

Everything is measured along the way price had to go: a difference of log prices from the price of the alert, positive
towards the level (down for longs, up for shorts), so that both sides are one case.

Nothing is decided before the whole horizon and the hour after it are known, even what came at once: deciding the quick
ones first would make the record look better than it is for as long as the slow ones are waited for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.event import Event, Fact, Label, Outcome, OutcomeClass, Question, Unit
from detectors.market import HOUR_MS, Side
from detectors.series import Floats, MarketSeries, Times

CONSUMED_AT = "consumed_at"
"""Fact of an alert: the price behind which 80 % of the band's exposure lay, as estimated when it was told."""
CONSUMED_DEPTH = 0.8
"""Of the band's height, for alerts without that fact."""
AFTER_MS = HOUR_MS
"""What follows a touch is looked at for this long."""
LATE_MS = 6 * HOUR_MS
"""How long missing bars are waited for, in market time, before an alert stays unjudged."""
_TOLERANCE = 1e-12
_AT_ONCE = 512
"""Events in one pass: a working set of some megabytes."""

Bools = NDArray[np.bool_]


def judge_bands(
    events: Sequence[Event], series: MarketSeries, horizon_hours: float, *, wanted: bool = True
) -> list[Outcome]:
    """Was each event's level consumed within the horizon: did price trade through 80 % of its exposure, as it was when
    the alert was told? Of its height, where the alert does not carry `CONSUMED_AT`.

    With ``wanted`` False the alert was right, and its outcome is reached, when it was not. The rest of the bar in
    which a live alert falls does not count: what it did before the alert cannot be told from what it did after.
    Raises ValueError for an event without side and level.
    """
    if any(event.level is None or event.side is None for event in events):
        raise ValueError("judge_bands asks about levels: every event needs a side and a level")
    side = np.array([1.0 if event.side is Side.SHORT else -1.0 for event in events])
    low, high = (np.array([getattr(event.level, edge) for event in events], np.float64) for edge in ("low", "high"))
    origin = side * np.log(np.array([event.price for event in events], np.float64))
    near = side * np.log(np.where(side > 0, low, high)) - origin
    far = side * np.log(np.where(side > 0, high, low)) - origin
    known = np.array([event.number(CONSUMED_AT) or np.nan for event in events], np.float64)
    exact = np.clip(side * np.log(known) - origin, near, far)
    needed = np.where(np.isnan(exact), near + CONSUMED_DEPTH * (far - near), exact)
    return _judge(events, series, _Task(horizon_hours, side, origin, near, needed, far, low, high, wanted))


def judge_moves(
    events: Sequence[Event], series: MarketSeries, horizon_hours: float, fraction: float, sides: Sequence[Side]
) -> list[Outcome]:
    """Did price move by ``fraction`` against each of ``sides`` within the horizon (down when against longs)?"""
    side = np.array([1.0 if one is Side.SHORT else -1.0 for one in sides])
    origin = side * np.log(np.array([event.price for event in events], np.float64))
    needed = np.abs(np.log1p(side * fraction))
    nothing = np.full(len(events), np.nan)
    return _judge(events, series, _Task(horizon_hours, side, origin, needed, needed, needed, nothing, nothing))


@dataclass(frozen=True, slots=True)
class _Task:
    """One question an event, arrays float64[events].

    ``side`` is -1 down, +1 up; ``origin`` the price of the alert along the way; ``near`` touched, ``needed`` answered
    with yes, ``far`` the far edge, all from the origin; ``low``, ``high`` the band in prices.
    """

    horizon_hours: float
    side: Floats
    origin: Floats
    near: Floats
    needed: Floats
    far: Floats
    low: Floats
    high: Floats
    wanted: bool = True

    @property
    def horizon_ms(self) -> int:
        return round(self.horizon_hours * HOUR_MS)


def _judge(events: Sequence[Event], series: MarketSeries, task: _Task) -> list[Outcome]:
    taken_at = np.array([event.taken_at_ms for event in events], np.int64)
    windows = _windows(series, taken_at, task.horizon_ms)
    ways = _Ways.of(series)
    measured: dict[int, Outcome] = {}
    for start in range(0, len(events), _AT_ONCE):
        rows = start + np.flatnonzero(windows.whole[start : start + _AT_ONCE])
        measured.update(zip(rows.tolist(), _measure(ways, task, taken_at, rows, windows), strict=True))
    given_up = series.known_until_ms >= taken_at + task.horizon_ms + AFTER_MS + LATE_MS
    return [measured.get(row) or _without(task, row, series, bool(given_up[row])) for row in range(len(events))]


def _without(task: _Task, row: int, series: MarketSeries, given_up: bool) -> Outcome:
    what = OutcomeClass.UNJUDGED if given_up else OutcomeClass.UNDECIDED
    return Outcome(what, series.known_until_ms, (), _question(task, row))


def _question(task: _Task, row: int) -> Question:
    side = Side.SHORT if task.side[row] > 0 else Side.LONG
    return Question(side, float(task.needed[row]), task.horizon_ms, task.wanted)


@dataclass(frozen=True, slots=True)
class _Windows:
    """For each event: its first bar, one past the horizon's last, one past the hour after; whether none is missing."""

    first: Times
    stop: Times
    last: Times
    whole: Bools


def _windows(series: MarketSeries, taken_at: Times, horizon_ms: int) -> _Windows:
    end = taken_at + horizon_ms
    first, stop, last = (np.searchsorted(series.opened_at_ms, at) for at in (taken_at, end, end + AFTER_MS))
    if not len(series):
        return _Windows(first, stop, last, np.zeros(len(taken_at), np.bool_))
    a, b = np.minimum(first, len(series) - 1), np.maximum(last - 1, 0)
    breaks, length = series.breaks(), series.closed_at_ms - series.opened_at_ms
    begins = series.opened_at_ms[a] - taken_at < length[a]
    ends = series.closed_at_ms[b] >= end + AFTER_MS
    return _Windows(first, stop, last, begins & ends & (breaks[a] == breaks[b]) & (last > stop) & (stop > first))


@dataclass(frozen=True, slots=True)
class _Ways:
    """Log prices along both ways, float64[2, bars + 1]: row 0 down, row 1 up; the last column stands for no bar.

    ``towards`` is each bar's extreme on the way, ``back`` its other extreme, ``closes`` its close.
    """

    series: MarketSeries
    towards: Floats
    back: Floats
    closes: Floats

    @classmethod
    def of(cls, series: MarketSeries) -> "_Ways":
        low, high, close = np.log(series.low), np.log(series.high), np.log(series.close)
        nothing = np.full((2, 1), -np.inf)
        return cls(
            series,
            np.hstack([np.stack([-low, high]), nothing]),
            np.hstack([np.stack([-high, low]), -nothing]),
            np.hstack([np.stack([-close, close]), nothing]),
        )


def _measure(ways: _Ways, task: _Task, taken_at: Times, rows: Times, windows: _Windows) -> Iterator[Outcome]:
    """The outcomes of these rows, whose windows are whole."""
    if not len(rows):
        return
    series, nowhere = ways.series, len(ways.series)
    first, stop, last = windows.first[rows], windows.stop[rows], windows.last[rows]
    up, origin = (task.side[rows] > 0).astype(np.int64), task.origin[rows]
    bars = first[:, None] + np.arange(int((stop - first).max()))
    way = ways.towards[up[:, None], np.where(bars < stop[:, None], bars, nowhere)] - origin[:, None]
    nearest = way.max(axis=1)
    touched = nearest >= task.near[rows] - _TOLERANCE
    reached = nearest >= task.needed[rows] - _TOLERANCE
    at = first + (way >= (task.near[rows] - _TOLERANCE)[:, None]).argmax(axis=1)
    deepest = first + way.argmax(axis=1)
    hours = (series.closed_at_ms[np.minimum(at, nowhere - 1)] - taken_at[rows]) / HOUR_MS
    after = _after(ways, up, at, last)
    stalls = iter(_stalls(ways, task, rows, up, at, last, touched))
    for n, row in enumerate(rows.tolist()):
        near, far = float(task.near[row]), float(task.far[row])
        facts: tuple[Fact, ...]
        if touched[n]:
            prints = _observed(series, task, row, taken_at[row]) if far > near else ()
            back = float(ways.back[up[n], deepest[n] : last[n]].min()) - origin[n]
            facts = (
                _hours("hours_to_touch", float(hours[n])),
                *((_share("depth", (nearest[n] - near) / (far - near)),) if far > near else ()),
                _percent("overshoot_1h_pct", float(after[0][n]) - origin[n] - near),
                _percent("move_1h_pct", float(after[1][n]) - origin[n] - near),
                *((_hours("stalled_hours", next(stalls)),) if far > near else ()),
                _percent("bounce_pct", float(nearest[n]) - back),
                *prints,
            )
        else:
            facts = (_percent("short_of_pct", near - float(nearest[n])),)
        what = OutcomeClass.REACHED if bool(reached[n]) is task.wanted else OutcomeClass.MISSED
        end_ms = int(taken_at[row]) + task.horizon_ms + AFTER_MS
        yield Outcome(what, end_ms, facts, _question(task, row))


def _after(ways: _Ways, up: Times, at: Times, last: Times) -> tuple[Floats, Floats]:
    """From the bar that touched until an hour later: the farthest on the way, and the last close."""
    series, nowhere = ways.series, len(ways.series)
    at = np.minimum(at, nowhere - 1)
    stop = np.minimum(np.searchsorted(series.opened_at_ms, series.closed_at_ms[at] + AFTER_MS), last)
    bars = at[:, None] + np.arange(int((stop - at).max()))
    farthest = ways.towards[up[:, None], np.where(bars < stop[:, None], bars, nowhere)].max(axis=1)
    return farthest, ways.closes[up, stop - 1]


def _stalls(
    ways: _Ways, task: _Task, rows: Times, up: Times, at: Times, last: Times, touched: Bools
) -> Iterator[float]:
    """For each touched band, the longest that price closed inside it bar after bar, in hours."""
    for n in np.flatnonzero(touched & (task.far[rows] > task.near[rows])).tolist():
        row, bars = int(rows[n]), slice(int(at[n]), int(last[n]))
        close = ways.closes[up[n], bars] - task.origin[row]
        outside = np.flatnonzero((close < task.near[row]) | (close > task.far[row]))
        ends = np.concatenate([[-1], outside, [len(close)]])
        widest = int((ends[1:] - ends[:-1]).argmax())
        start, stop = bars.start + int(ends[widest]) + 1, bars.start + int(ends[widest + 1]) - 1
        inside = stop >= start
        yield float(ways.series.closed_at_ms[stop] - ways.series.opened_at_ms[start]) / HOUR_MS if inside else 0.0


def _observed(series: MarketSeries, task: _Task, row: int, taken_at_ms: int) -> tuple[Fact, ...]:
    """What was seen liquidated of that side in the band within the horizon; nothing where prints are not known."""
    if not len(series.print_at_ms):
        return ()
    start, stop = np.searchsorted(series.print_at_ms, [taken_at_ms, taken_at_ms + task.horizon_ms])
    price, short = series.print_price[start:stop], task.side[row] > 0
    inside = (price >= task.low[row]) & (price <= task.high[row]) & (series.print_side[start:stop] == short)
    usd = float(series.print_usd[start:stop][inside].sum())
    return (Fact("observed_in_band_usd", round(usd, 2), Unit.USD, Label.OBSERVED, "liquidated in the band"),)


def _hours(name: str, hours: float) -> Fact:
    return Fact(name, round(hours, 2), Unit.HOURS, Label.OBSERVED)


def _share(name: str, share: float) -> Fact:
    return Fact(name, round(min(1.0, max(0.0, float(share))), 4), Unit.FRACTION, Label.OBSERVED)


def _percent(name: str, difference: float) -> Fact:
    """A difference of log prices as per cent of price."""
    return Fact(name, round(float(np.expm1(difference)) * 100, 3), Unit.RATIO, Label.OBSERVED)
