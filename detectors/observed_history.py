"""A market's past as arrays, with what was seen liquidated in it: what a fit and the truth stick are made from."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.estimate import crowding_from
from detectors.map_history import BarHistory
from detectors.market import HOUR_MS, Bar, Funding, MarketSnapshot, PrintGap, Side

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ObservedHistory:
    """``bars`` and, for each of them, float64[bars] by side: base units printed by the time it closed.

    ``totals_usd`` are observed sums of whole hours, by hour since the epoch, where a source tells those.
    """

    bars: BarHistory
    open: Floats
    printed_base: dict[Side, Floats]
    totals_usd: dict[int, dict[Side, float]]
    print_count: int = 0
    """Single liquidations that were seen."""
    unheard: NDArray[np.bool_] | None = None
    """Bars in which some may have been missed, bool[bars]; None: in none."""

    @property
    def prints(self) -> bool:
        """Whether single liquidations were seen."""
        return any(bool(amounts.any()) for amounts in self.printed_base.values())

    def until(self, bars: int) -> Self:
        """The history before its bar of that number, and the totals known by then."""
        cut = replace(
            self.bars,
            opened_at_ms=self.bars.opened_at_ms[:bars],
            high=self.bars.high[:bars],
            low=self.bars.low[:bars],
            close=self.bars.close[:bars],
            volume_base=self.bars.volume_base[:bars],
            open_interest_base=self.bars.open_interest_base[:bars],
            crowding=self.bars.crowding[:bars],
        )
        ended_ms = int(cut.opened_at_ms[-1]) + cut.interval_ms if bars else 0
        totals = {hour: sums for hour, sums in self.totals_usd.items() if (hour + 1) * HOUR_MS <= ended_ms}
        printed = {side: amounts[:bars] for side, amounts in self.printed_base.items()}
        unheard = None if self.unheard is None else self.unheard[:bars]
        return replace(self, bars=cut, open=self.open[:bars], printed_base=printed, totals_usd=totals, unheard=unheard)

    def with_gaps(self, gaps: Iterable[PrintGap]) -> Self:
        """The same, and where liquidations may have been missed."""
        opened = self.bars.opened_at_ms
        unheard = np.zeros(len(opened), np.bool_)
        for gap in gaps:
            lasts = np.ones(len(opened), np.bool_) if gap.until_ms is None else opened < gap.until_ms
            unheard |= lasts & (opened + self.bars.interval_ms > gap.since_ms)
        return replace(self, unheard=unheard)


def observed_history(snapshots: Iterable[MarketSnapshot], crowding_funding_8h: float) -> ObservedHistory:
    """From snapshots in order of time. Prints between bars count to the next one, as they do for a map."""
    writer = HistoryWriter(crowding_funding_8h)
    writer.add(snapshots)
    return writer.history()


class HistoryWriter:
    """Takes snapshots in parts, so that a long series need not be in memory as such."""

    def __init__(self, crowding_funding_8h: float) -> None:
        self._crowding_funding_8h = crowding_funding_8h
        self._rows: list[tuple[float, ...]] = []
        self._printed: dict[Side, list[float]] = {side: [] for side in Side}
        self._waiting = dict.fromkeys(Side, 0.0)
        self._totals: dict[int, dict[str, dict[Side, float]]] = {}
        """By hour and venue."""
        self._venues: tuple[str, ...] = ()
        self._last_interest, self._scale = 0.0, 1.0
        self._funding: Funding | None = None
        self._bar_interval_ms = self._interest_interval_ms = 0
        self._prints = 0

    def add(self, snapshots: Iterable[MarketSnapshot]) -> None:
        for snapshot in snapshots:
            self._funding = snapshot.funding[-1] if snapshot.funding else self._funding
            self._prints += len(snapshot.prints)
            for one in snapshot.prints:
                self._waiting[one.side] += one.amount_base
            for total in snapshot.liquidations:
                if total.interval_ms == HOUR_MS:
                    hour = total.started_at_ms // HOUR_MS
                    sums = {Side.LONG: total.long_usd, Side.SHORT: total.short_usd}
                    self._totals.setdefault(hour, {})[total.venue] = sums
            if snapshot.bar is not None:
                self._bar(snapshot, snapshot.bar)

    def _bar(self, snapshot: MarketSnapshot, bar: Bar) -> None:
        self._bar_interval_ms = bar.interval_ms
        interest = float("nan")
        if snapshot.open_interest is not None:
            interest, self._interest_interval_ms = snapshot.open_interest.base, snapshot.open_interest.interval_ms
            venues = snapshot.market.open_interest_venues
            if self._venues and venues != self._venues and interest > 0:
                # a venue that joins or leaves the sum is nobody's position: the series goes on where it was
                self._scale = self._last_interest / interest
            self._venues = venues
            interest *= self._scale
            self._last_interest = interest
        crowding = 0.0 if self._funding is None else crowding_from(self._funding, self._crowding_funding_8h)
        prices = (bar.open, bar.high, bar.low, bar.close)
        self._rows.append((bar.opened_at_ms, *prices, bar.volume_base, interest, crowding))
        for side in Side:
            self._printed[side].append(self._waiting[side])
            self._waiting[side] = 0.0

    def history(self) -> ObservedHistory:
        """Of all that was added."""
        table = np.array(self._rows, np.float64).reshape(len(self._rows), 8)
        opened_at_ms = table[:, 0].astype(np.int64)  # milliseconds are exact up to 2**53
        _, opening, high, low, close, volume, interests, crowdings = (column.copy() for column in table.T)
        interval_ms, interest_interval_ms = self._bar_interval_ms, self._interest_interval_ms
        bars = BarHistory(
            interval_ms, opened_at_ms, high, low, close, volume, interests, interest_interval_ms, crowdings
        )
        printed = {side: np.array(self._printed[side]) for side in Side}
        totals = {
            hour: {side: sum(sums[side] for sums in by_venue.values()) for side in Side}
            for hour, by_venue in self._totals.items()
        }
        return ObservedHistory(bars, opening, printed, totals, self._prints)
