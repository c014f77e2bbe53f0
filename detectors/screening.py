"""The gate: what of a snapshot is believed. Refused values are named and counted, and never reach the estimate.

A value that is merely surprising (price or open interest that jumps five-fold) is refused once and believed when what
follows agrees with it, so that a real move is late by one look and a wrong unit never gets in.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from detectors.market import HOUR_MS, Bar, Funding, LiquidationTotal, MarketSnapshot, OpenInterest, Print

SPIKE = 5.0
AGREES = 1.5
LARGEST_FUNDING_RATE = 0.1
PRINT_REACH = 1.25
OLDEST_PRINT_MS = HOUR_MS
"""Venues replay old liquidations on connect."""


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _ratio(one: float, other: float) -> float:
    return max(one / other, other / one)


@dataclass
class Screen:
    """Keeps what it needs of the past: the last values believed, and those suspected."""

    last_bar_opened_at_ms: int | None = None
    last_price: float | None = None
    last_open_interest: float | None = None
    last_funding_at_ms: int = 0
    suspect_price: float | None = None
    suspect_open_interest: float | None = None
    refused: Counter[str] = field(default_factory=Counter)

    def pass_through(self, snapshot: MarketSnapshot) -> MarketSnapshot | None:
        """The snapshot without what is refused; None where its price or bar cannot be believed."""
        bar = snapshot.bar
        if bar is not None and (reason := self._bar_fault(bar)):
            self.refused[reason] += 1
            bar = None
        if not _finite(snapshot.price, snapshot.low, snapshot.high) or not 0 < snapshot.low <= snapshot.high:
            if bar is None:
                self.refused["price_not_a_number"] += snapshot.bar is None
                return None
        elif bar is None and self._is_spike(snapshot.low, snapshot.high, snapshot.price):
            self.refused["price_spike"] += snapshot.bar is None
            return None
        if bar is None and snapshot.bar is not None:
            return None
        if bar is not None:
            self.last_bar_opened_at_ms, self.last_price = bar.opened_at_ms, bar.close
            snapshot = replace(snapshot, price=bar.close, low=bar.low, high=bar.high)
        else:
            self.last_price = snapshot.price
        return replace(
            snapshot,
            open_interest=self._open_interest(snapshot.open_interest),
            funding=tuple(one for one in snapshot.funding if self._funding(one)),
            prints=self._prints(snapshot.prints, snapshot.taken_at_ms),
            liquidations=tuple(one for one in snapshot.liquidations if self._total(one)),
        )

    def _bar_fault(self, bar: Bar) -> str | None:
        prices = (bar.open, bar.high, bar.low, bar.close)
        if not _finite(*prices, bar.volume_base):
            return "bar_not_a_number"
        if min(prices) <= 0 or bar.volume_base < 0:
            return "bar_not_positive"
        if bar.high < max(prices) or bar.low > min(prices):
            return "bar_inconsistent"
        if self.last_bar_opened_at_ms is not None:
            if bar.opened_at_ms == self.last_bar_opened_at_ms:
                return "bar_repeated"
            if bar.opened_at_ms < self.last_bar_opened_at_ms:
                return "bar_out_of_order"
        return "price_spike" if self._is_spike(bar.low, bar.high, bar.close) else None

    def _is_spike(self, low: float, high: float, close: float) -> bool:
        if self.last_price is None or max(_ratio(low, self.last_price), _ratio(high, self.last_price)) <= SPIKE:
            self.suspect_price = None
            return False
        suspect, self.suspect_price = self.suspect_price, close
        if suspect is not None and max(_ratio(low, suspect), _ratio(high, suspect)) <= AGREES:
            self.suspect_price = None
            return False
        return True

    def _open_interest(self, sample: OpenInterest | None) -> OpenInterest | None:
        if sample is None:
            return None
        if not _finite(sample.base):
            self._refuse("open_interest_not_a_number")
            return None
        if sample.base <= 0:
            self._refuse("open_interest_not_positive")
            return None
        if self.last_open_interest is not None and _ratio(sample.base, self.last_open_interest) > SPIKE:
            suspect, self.suspect_open_interest = self.suspect_open_interest, sample.base
            if suspect is None or _ratio(sample.base, suspect) > AGREES:
                self._refuse("open_interest_spike")
                return None
        self.suspect_open_interest = None
        self.last_open_interest = sample.base
        return sample

    def _refuse(self, reason: str) -> None:
        self.refused[reason] += 1

    def _funding(self, one: Funding) -> bool:
        if not _finite(one.rate, one.interval_hours) or one.interval_hours <= 0:
            self._refuse("funding_not_a_number")
        elif abs(one.rate) > LARGEST_FUNDING_RATE:
            self._refuse("funding_implausible")
        elif one.taken_at_ms <= self.last_funding_at_ms:
            self._refuse("funding_repeated")
        else:
            self.last_funding_at_ms = one.taken_at_ms
            return True
        return False

    def _prints(self, prints: Sequence[Print], at_ms: int) -> tuple[Print, ...]:
        believed = []
        for one in prints:
            if not _finite(one.price, one.amount_base, one.notional_usd) or min(one.price, one.amount_base) <= 0:
                self._refuse("print_not_a_number")
            elif self.last_price is not None and _ratio(one.price, self.last_price) > PRINT_REACH:
                self._refuse("print_far_from_price")
            elif one.taken_at_ms < at_ms - OLDEST_PRINT_MS:
                self._refuse("print_old")
            else:
                believed.append(one)
        return tuple(believed)

    def _total(self, one: LiquidationTotal) -> bool:
        if _finite(one.long_usd, one.short_usd) and min(one.long_usd, one.short_usd) >= 0:
            return True
        self._refuse("liquidations_not_a_number")
        return False
