"""The gate: what of a snapshot is believed. Refused values are named and counted, and never reach the estimate.

A value that is merely surprising (price or open interest that jumps five-fold) is refused once and believed when what
follows agrees with it, so that a real move is late by one look and a wrong unit never gets in.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from detectors.market import (
    HOUR_MS,
    MINUTE_MS,
    Bar,
    Funding,
    LiquidationTotal,
    MarketSnapshot,
    OpenInterest,
    Print,
    VenueSample,
)

SPIKE = 5.0
AGREES = 1.5
LONGEST_WICK = 20.0
"""Beyond open and close: flash crashes take a price to a sixth and back; a wrong unit is a hundred or a thousand."""
LARGEST_FUNDING_RATE = 0.1
LONGEST_FUNDING_HOURS = 48.0
PRINT_REACH = 1.25
OLDEST_PRINT_MS = HOUR_MS
"""Venues replay old liquidations on connect."""
LARGEST_USD = 1e12
"""More than all markets hold; a few such values would overflow a sum."""
CLOCK_SKEW_MS = 5 * MINUTE_MS
"""A time later than now by more is a wrong unit; believed, it would make all that follows look out of order."""


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
        reason = self._look_fault(snapshot) if bar is None else self._bar_fault(bar, snapshot.taken_at_ms)
        if reason is not None:
            self._refuse(reason)
            return None
        if bar is not None:
            self.last_bar_opened_at_ms = bar.opened_at_ms
        price, low, high = (bar.close, bar.low, bar.high) if bar else (snapshot.price, snapshot.low, snapshot.high)
        before, self.last_price = self.last_price or price, price
        traded = min(low, before), max(high, before)
        return replace(
            snapshot,
            price=price,
            low=low,
            high=high,
            open_interest=self._open_interest(snapshot.open_interest),
            funding=tuple(one for one in snapshot.funding if self._funding(one, snapshot.taken_at_ms)),
            prints=self._prints(snapshot.prints, snapshot.taken_at_ms, *traded) if snapshot.prints else (),
            liquidations=tuple(one for one in snapshot.liquidations if self._total(one)),
            by_venue=tuple(one for one in snapshot.by_venue if self._sample(one, price)),
        )

    def _look_fault(self, look: MarketSnapshot) -> str | None:
        if not _finite(look.price, look.low, look.high) or not 0 < look.low <= look.price <= look.high:
            return "price_not_a_number"
        return "price_spike" if self._is_spike(look.low, look.high, look.price) else None

    def _bar_fault(self, bar: Bar, taken_at_ms: int) -> str | None:
        prices = (bar.open, bar.high, bar.low, bar.close)
        if not _finite(*prices, bar.volume_base):
            return "bar_not_a_number"
        if min(prices) <= 0 or bar.volume_base < 0:
            return "bar_not_positive"
        if bar.high < max(prices) or bar.low > min(prices):
            return "bar_inconsistent"
        if bar.closed_at_ms > taken_at_ms + CLOCK_SKEW_MS:
            return "bar_from_the_future"
        if self.last_bar_opened_at_ms is not None:
            if bar.opened_at_ms == self.last_bar_opened_at_ms:
                return "bar_repeated"
            if bar.opened_at_ms < self.last_bar_opened_at_ms:
                return "bar_out_of_order"
        low, high = min(bar.open, bar.close), max(bar.open, bar.close)
        # A wick is over when its bar closes: nothing that follows could confirm it.
        if max(low / bar.low, bar.high / high) > LONGEST_WICK:
            return "price_spike"
        return "price_spike" if self._is_spike(low, high, bar.close) else None

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
        if min(sample.base, sample.interval_ms) <= 0:
            self._refuse("open_interest_not_positive")
            return None
        if self.last_price is not None and sample.base * self.last_price > LARGEST_USD:
            # dollars where base units belong, or a price in another unit
            self._refuse("open_interest_implausible")
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

    def _funding(self, one: Funding, at_ms: int) -> bool:
        if not _finite(one.rate, one.interval_hours) or one.interval_hours <= 0:
            self._refuse("funding_not_a_number")
        elif abs(one.rate) > LARGEST_FUNDING_RATE or not 0.1 <= one.interval_hours <= LONGEST_FUNDING_HOURS:
            self._refuse("funding_implausible")
        elif one.taken_at_ms > at_ms + CLOCK_SKEW_MS:
            self._refuse("funding_from_the_future")
        elif one.taken_at_ms <= self.last_funding_at_ms:
            self._refuse("funding_repeated")
        else:
            self.last_funding_at_ms = one.taken_at_ms
            return True
        return False

    def _prints(self, prints: Sequence[Print], at_ms: int, low: float, high: float) -> tuple[Print, ...]:
        """Those near what was traded: in a cascade most fill far from where the bar then closes."""
        believed = []
        for one in prints:
            values = (one.price, one.amount_base, one.notional_usd)
            if not _finite(*values) or min(values) <= 0:
                self._refuse("print_not_a_number")
            elif one.notional_usd > LARGEST_USD:
                self._refuse("print_implausible")
            elif not low / PRINT_REACH <= one.price <= high * PRINT_REACH:
                self._refuse("print_far_from_price")
            elif one.taken_at_ms < at_ms - OLDEST_PRINT_MS:
                self._refuse("print_old")
            else:
                believed.append(one)
        return tuple(believed)

    def _total(self, one: LiquidationTotal) -> bool:
        if not _finite(one.long_usd, one.short_usd) or min(one.long_usd, one.short_usd) < 0:
            self._refuse("liquidations_not_a_number")
        elif max(one.long_usd, one.short_usd) > LARGEST_USD:
            self._refuse("liquidations_implausible")
        else:
            return True
        return False

    def _sample(self, one: VenueSample, price: float) -> bool:
        """One venue's part. Its price may differ by a lot, but not by a unit."""
        amounts = (one.price, one.mark_price, one.volume_base, one.open_interest_base)
        told = [value for value in amounts if value is not None]
        rest = (one.funding_rate, one.funding_interval_hours, one.long_short_ratio, one.taker_buy_ratio)
        if not _finite(*told, *(value for value in rest if value is not None)):
            self._refuse("venue_not_a_number")
        elif told and min(told) < 0:
            self._refuse("venue_not_positive")
        elif one.price is not None and (one.price == 0 or _ratio(one.price, price) > SPIKE):
            self._refuse("venue_price_implausible")
        else:
            return True
        return False
