"""A market's past as arrays, with what was seen liquidated in it: what a fit and the truth stick are made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.estimate import crowding_from
from detectors.map_history import BarHistory
from detectors.market import HOUR_MS, Funding, MarketSnapshot, Side

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
        return replace(self, bars=cut, open=self.open[:bars], printed_base=printed, totals_usd=totals)


def observed_history(snapshots: Sequence[MarketSnapshot], crowding_funding_8h: float) -> ObservedHistory:
    """From snapshots in order of time. Prints between bars count to the next one, as they do for a map."""
    rows: list[tuple[float, ...]] = []
    printed: dict[Side, list[float]] = {side: [] for side in Side}
    waiting = dict.fromkeys(Side, 0.0)
    totals: dict[int, dict[Side, float]] = {}
    funding: Funding | None = None
    bar_interval_ms = interest_interval_ms = 0
    interest = float("nan")
    for snapshot in snapshots:
        funding = snapshot.funding[-1] if snapshot.funding else funding
        for one in snapshot.prints:
            waiting[one.side] += one.amount_base
        for total in snapshot.liquidations:
            if total.interval_ms == HOUR_MS:
                totals[total.started_at_ms // HOUR_MS] = {Side.LONG: total.long_usd, Side.SHORT: total.short_usd}
        bar = snapshot.bar
        if bar is None:
            continue
        bar_interval_ms = bar.interval_ms
        interest = float("nan")
        if snapshot.open_interest is not None:
            interest, interest_interval_ms = snapshot.open_interest.base, snapshot.open_interest.interval_ms
        crowding = 0.0 if funding is None else crowding_from(funding, crowding_funding_8h)
        rows.append((bar.opened_at_ms, bar.open, bar.high, bar.low, bar.close, bar.volume_base, interest, crowding))
        for side in Side:
            printed[side].append(waiting[side])
            waiting[side] = 0.0
    table = np.array(rows, np.float64).reshape(len(rows), 8)
    opened_at_ms = table[:, 0].astype(np.int64)  # milliseconds are exact up to 2**53
    _, opening, high, low, close, volume, interests, crowdings = (column.copy() for column in table.T)
    bars = BarHistory(
        bar_interval_ms, opened_at_ms, high, low, close, volume, interests, interest_interval_ms, crowdings
    )
    return ObservedHistory(bars, opening, {side: np.array(printed[side]) for side in Side}, totals)
