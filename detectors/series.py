"""A market's series as arrays: what alerts are judged on. Pure data; the store and tests make it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.market import Bar, LiquidationTotal, MarketSnapshot, Print, Side

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


def _floats() -> Floats:
    return np.zeros(0)


def _times() -> Times:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class MarketSeries:
    """Bars in order of time, each once, and observed liquidations of the same stretch.

    ``opened_at_ms``, ``closed_at_ms`` int64[n]; ``high``, ``low``, ``close`` float64[n], in the quote currency.
    ``prints``: int64[m] times, and for each the side of the position (0 long, 1 short), fill price and USD.
    """

    opened_at_ms: Times
    closed_at_ms: Times
    high: Floats
    low: Floats
    close: Floats
    print_at_ms: Times = field(default_factory=_times)
    print_side: Times = field(default_factory=_times)
    print_price: Floats = field(default_factory=_floats)
    print_usd: Floats = field(default_factory=_floats)
    totals: tuple[LiquidationTotal, ...] = ()
    """Observed liquidations that are known by the interval only."""

    def __len__(self) -> int:
        return len(self.opened_at_ms)

    @property
    def known_until_ms(self) -> int:
        """Close of the newest bar; 0 without any."""
        return int(self.closed_at_ms[-1]) if len(self) else 0

    def breaks(self) -> Times:
        """int64[n]: how many holes lie between the bars up to and including each; equal means none between two."""
        broken = np.concatenate([[False], self.opened_at_ms[1:] != self.closed_at_ms[:-1]]) if len(self) else _times()
        return np.cumsum(broken, dtype=np.int64)

    def then(self, later: Self) -> Self:
        """These bars and the later ones that follow; what was seen liquidated is that of the later ones alone."""
        fresh = later.opened_at_ms > (self.opened_at_ms[-1] if len(self) else -1)
        return replace(
            later,
            opened_at_ms=np.concatenate([self.opened_at_ms, later.opened_at_ms[fresh]]),
            closed_at_ms=np.concatenate([self.closed_at_ms, later.closed_at_ms[fresh]]),
            high=np.concatenate([self.high, later.high[fresh]]),
            low=np.concatenate([self.low, later.low[fresh]]),
            close=np.concatenate([self.close, later.close[fresh]]),
        )

    @classmethod
    def of(cls, bars: Iterable[Bar], prints: Sequence[Print] = (), totals: Sequence[LiquidationTotal] = ()) -> Self:
        """From bars in any order; of two with the same open time the first one counts, as in the store."""
        first = {bar.opened_at_ms: bar for bar in reversed(list(bars))}
        rows = [
            (bar.opened_at_ms, bar.closed_at_ms, bar.high, bar.low, bar.close)
            for bar in sorted(first.values(), key=lambda bar: bar.opened_at_ms)
        ]
        return cls.of_rows(rows, prints, totals)

    @classmethod
    def of_rows(
        cls,
        rows: Sequence[tuple[int, int, float, float, float]],
        prints: Sequence[Print] = (),
        totals: Sequence[LiquidationTotal] = (),
    ) -> Self:
        """From (opened, closed, high, low, close) in order of time, each bar once."""
        bars = np.array(rows, np.float64).reshape(len(rows), 5)  # milliseconds are exact up to 2**53
        ordered = sorted(prints, key=lambda one: one.taken_at_ms)
        return cls(
            opened_at_ms=bars[:, 0].astype(np.int64),
            closed_at_ms=bars[:, 1].astype(np.int64),
            high=bars[:, 2].copy(),
            low=bars[:, 3].copy(),
            close=bars[:, 4].copy(),
            print_at_ms=np.array([one.taken_at_ms for one in ordered], np.int64),
            print_side=np.array([one.side is Side.SHORT for one in ordered], np.int64),
            print_price=np.array([one.price for one in ordered], np.float64),
            print_usd=np.array([one.notional_usd for one in ordered], np.float64),
            totals=tuple(totals),
        )

    @classmethod
    def of_snapshots(cls, snapshots: Sequence[MarketSnapshot]) -> Self:
        return cls.of(
            [snapshot.bar for snapshot in snapshots if snapshot.bar is not None],
            [one for snapshot in snapshots for one in snapshot.prints],
            [total for snapshot in snapshots for total in snapshot.liquidations],
        )
