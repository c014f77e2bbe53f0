"""What a venue hands over, already checked and in base units, and the seam between venues and the live feed."""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bot.markets.venues import AmountUnit, VenueRules
from detectors.leverage import MarginTier
from detectors.market import MINUTE_MS, Bar, Funding, LiquidationTotal, Print, VenueSample
from storage.chats import Chat

BAR_MS = 5 * MINUTE_MS
_LONGEST_NAP_S = 1.0
"""A wait looks at the clock this often, so that a clock that was set is noticed."""
_FOLLOWED_MS = 5_000
"""What time servers correct; a clock that is further off from one look to the next was set."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_s() -> float:
    """It goes on while the machine sleeps, where there is such a clock: what was missed meanwhile is missed."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock(Protocol):
    def now_ms(self) -> int:
        """UTC."""

    def steady_s(self) -> float:
        """Seconds that never step back, whatever somebody does to the clock."""

    async def sleep(self, seconds: float) -> None:
        """Of this clock's seconds."""


class WallClock:
    """UTC as it was at first, and as much later as time has passed: whoever sets the machine's clock an hour back does
    not make the market stand still for an hour, nor all alerts late (P13). Small corrections are followed."""

    def __init__(self, wall_ms: Callable[[], int] = _wall_ms, steady_s: Callable[[], float] = _steady_s) -> None:
        self._wall_ms, self._steady_s = wall_ms, steady_s
        self._apart_ms = wall_ms() - round(steady_s() * 1000)

    def now_ms(self) -> int:
        steady_ms = round(self._steady_s() * 1000)
        apart_ms = self._wall_ms() - steady_ms
        if abs(apart_ms - self._apart_ms) <= _FOLLOWED_MS:
            self._apart_ms = apart_ms
        return steady_ms + self._apart_ms

    def steady_s(self) -> float:
        return self._steady_s()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def until_next(
    clock: Clock, every_ms: int, offset_ms: int, last_ms: int = 0, now_ms: Callable[[], int] | None = None
) -> int:
    """Wait for ``offset_ms`` after the next multiple of ``every_ms``, by ``now_ms`` (None: the clock's own time).

    Returns that multiple.

    At once where one has passed since ``last_ms``. A clock set back or forward while waiting does not make it wait
    for longer than one interval (P13).
    """
    now_ms = now_ms or clock.now_ms

    def latest_ms() -> int:
        return (now_ms() - offset_ms) // every_ms * every_ms

    begun_ms = latest_ms()
    if last_ms < begun_ms and last_ms:
        return begun_ms
    while (multiple_ms := latest_ms()) <= begun_ms:
        begun_ms = multiple_ms
        left_ms = multiple_ms + every_ms + offset_ms - now_ms()
        await clock.sleep(min(max(left_ms, 1) / 1000, _LONGEST_NAP_S))
    return multiple_ms


@dataclass(frozen=True, slots=True)
class Listing:
    """A market as one venue lists it. ``multiplier``: how many of the base asset one listed unit is.

    ``listed_at_ms``: since when, where the venue says so."""

    venue: str
    base: str
    symbol: str
    contract_size: float = 1.0
    multiplier: float = 1.0
    price_decimals: int = 2
    listed_at_ms: int | None = None

    def price(self, listed: float) -> float:
        if self.multiplier == 1:
            return listed
        # 0.009198 / 1000 is 9.197999999999999e-06; averages have a few digits more than the tick.
        return round(listed / self.multiplier, self.price_decimals + 4)

    def amount_base(self, listed: float, unit: AmountUnit) -> float:
        return listed * self.multiplier * (self.contract_size if unit is AmountUnit.CONTRACTS else 1.0)


@dataclass(frozen=True, slots=True)
class VenueSeries:
    """What a venue said of one market over some time."""

    bars: Sequence[Bar] = ()
    interest_base: Mapping[int, float] = field(default_factory=dict)
    """Open interest by the bar close it was taken at, in UTC milliseconds."""
    funding: Sequence[Funding] = ()
    totals: Sequence[LiquidationTotal] = ()
    sample: VenueSample | None = None
    long_short_ratio: float | None = None
    taker_buy_ratio: float | None = None
    """The newest that came with open interest."""


def settled_at_ms(rate: Funding) -> int:
    """Its moment, by which venues' rates are laid together: some stamp theirs a few milliseconds late."""
    return round(rate.taken_at_ms / MINUTE_MS) * MINUTE_MS


def known_at_ms(total: LiquidationTotal) -> int:
    """The bar close by which a venue's sum can be had: it is made final two to three minutes after its end."""
    return total.started_at_ms + total.interval_ms + BAR_MS


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """One venue's book: float64[n, 2], price and amount in base units, best first; ``complete``: all there is."""

    bids: NDArray[np.float64]
    asks: NDArray[np.float64]
    bids_complete: bool
    asks_complete: bool


@dataclass(frozen=True, slots=True)
class LookBatch:
    """Prices of all markets of a venue at one moment."""

    venue: str
    looks: Mapping[str, VenueSample]


@dataclass(frozen=True, slots=True)
class BarBatch:
    """What became known at a bar's close, and what was missed before it."""

    venue: str
    closed_at_ms: int
    markets: Mapping[str, VenueSeries]


class NoticeKind(StrEnum):
    STALE = "stale"
    RECOVERED = "recovered"
    GAP = "gap"
    VENUE = "venue"
    """A venue was stopped, left out, dropped from the count or counted again."""
    MARKET = "market"
    """A market is followed from now on, or no more."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about the data that admins are told and ``/status`` shows."""

    kind: NoticeKind
    at_ms: int
    venue: str
    series: str
    text: str
    since_ms: int | None = None
    stopped: bool = False
    """A venue is out as a whole."""
    told: frozenset[Chat] = frozenset()
    """Chats that have it in words of their own."""


class VenueClient(Protocol):
    """One venue. Every method but `close` raises `ccxt_errors.VenueError`; values are checked, in base units.

    Mappings are by base asset and lack what was refused (which is counted).
    """

    @property
    def rules(self) -> VenueRules: ...

    async def load(self) -> Mapping[str, Listing]:
        """Its linear perpetuals, one a base asset."""

    def now_ms(self) -> int:
        """By the venue's clock, as far as it is known; setting ours does not move it."""

    async def ask_time(self) -> None:
        """Learn what its clock says."""

    async def volumes_usd(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        """Turnover of the last 24 hours."""

    async def looks(self, listings: Sequence[Listing]) -> Mapping[str, VenueSample]:
        """Last and mark prices now."""

    async def rates(self, listings: Sequence[Listing]) -> Mapping[str, VenueSample]:
        """Mark prices and funding that is not settled yet."""

    async def bars(self, listing: Listing, since_ms: int, until_ms: int) -> Sequence[Bar]:
        """The bars that opened at or after ``since_ms`` and closed by ``until_ms``."""

    async def interest_now(self, listings: Sequence[Listing]) -> Mapping[str, float]: ...

    async def interest(self, listing: Listing, since_ms: int, until_ms: int) -> VenueSeries:
        """Open interest (and liquidation totals) at the bar closes from ``since_ms`` to ``until_ms``, both included."""

    async def funding(self, listing: Listing, since_ms: int, *, wait: bool = True, to_ms: int = 0) -> Sequence[Funding]:
        """Rates settled at or after then (and before ``to_ms``, if given), at most a page. Where the venue's limit on
        these is used up it waits for minutes, or raises `VenueRetry` at once."""

    async def settled(self, listings: Sequence[Listing], since_ms: int) -> Mapping[str, Sequence[Funding]]:
        """Rates settled at or after ``since_ms``, in one call for all or a few; those that are missing have to be
        asked for one by one, and none means that there is none yet."""

    async def ratios(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        """Long/short ratio of accounts."""

    async def tiers(self, listings: Sequence[Listing]) -> Mapping[str, tuple[MarginTier, ...]]:
        """Leverage tiers, floors in USD; empty where they are not public."""

    async def book(self, listing: Listing) -> Book | None:
        """The deepest order book; None where there is none that could be read."""

    async def watch_prints(self, listings: Collection[Listing], sink: "PrintSink") -> None:
        """Stream liquidations for ever; returns only by raising. What is added to ``listings`` is heard too."""

    async def watch_candles(self, listings: Sequence[Listing], sink: "CandleSink", begin: asyncio.Future[None]) -> None:
        """Connect now, and stream candles for ever from when ``begin`` is over; returns only by raising."""

    async def close(self) -> None: ...


class CandleSink(Protocol):
    """Takes the candles that a stream says are final."""

    def closed(self, base: str, bar: Bar) -> None: ...


class PrintSink(Protocol):
    """Takes what a stream brings. Nothing in it waits, so that no print is lost."""

    def seen(self, frame: Sequence[tuple[str, Print]]) -> None:
        """What one message told, by base asset."""

    def beat(self) -> None:
        """Something, whatever it is, came over the connection."""

    def refuse(self, reason: str) -> None: ...


def number(value: Any, *, signed: bool = False) -> float | None:
    """``value`` as a finite float, above 0 unless ``signed``; None for anything else, text such as "1e309" included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and (signed or found > 0) else None


def whole_ms(value: Any) -> int | None:
    """A time in UTC milliseconds between 2009 and 2100; None for anything else."""
    found = number(value)
    return round(found) if found is not None and 1_230_768_000_000 <= found <= 4_102_444_800_000 else None
