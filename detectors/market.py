"""What a market tells: bars, open interest, funding, prints, and the snapshot that carries them.

Absent data is ``None``, never 0. Times are UTC milliseconds. Prices are in the quote currency,
``*_base`` amounts in the base asset, ``*_usd`` amounts in US dollars (a stablecoin counts as one).
"""

from dataclasses import dataclass
from enum import StrEnum

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Side(StrEnum):
    """Side of the position that would be liquidated: LONG below price, SHORT above."""

    LONG = "long"
    SHORT = "short"

    @property
    def other(self) -> "Side":
        return Side.SHORT if self is Side.LONG else Side.LONG


@dataclass(frozen=True, slots=True)
class Market:
    """What detectors watch: one base asset and the venues that feed it.

    ``base`` identifies the market in every key, so that identities survive when venues join.
    """

    base: str
    symbol: str
    """The venue's market in ccxt's unified form, such as ``BTC/USDT:USDT``."""
    venues: tuple[str, ...]
    open_interest_venues: tuple[str, ...]
    """Where open interest comes from; empty when there is none. May differ from ``venues``."""
    price_decimals: int = 2
    simulated: bool = False
    coverage: str = ""
    """How much of what is liquidated its sources tell: ``full``, ``sampled``, ``partly sampled``; empty: not known."""
    streams_liquidations: bool = False
    """Whether its prints are heard as they come, so that silence outside a `PrintGap` means that nothing happened."""

    @property
    def venue(self) -> str:
        return "+".join(self.venues)

    @property
    def asset(self) -> str:
        """The base asset; the base of a view of one venue alone is written ``BTC@okx``."""
        return self.base.partition("@")[0]

    @property
    def is_alone(self) -> bool:
        """Whether it is the view of one venue, of a market that others are merged into too."""
        return "@" in self.base


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle; ``opened_at_ms`` is its open time. Known only at ``closed_at_ms``."""

    opened_at_ms: int
    interval_ms: int
    open: float
    high: float
    low: float
    close: float
    volume_base: float
    taker_buy_volume_base: float | None = None

    @property
    def closed_at_ms(self) -> int:
        return self.opened_at_ms + self.interval_ms


@dataclass(frozen=True, slots=True)
class OpenInterest:
    """One sample of open interest. ``base`` is in base units (contracts are converted by the feed)."""

    taken_at_ms: int
    base: float
    interval_ms: int
    """How far apart the samples of this series are; the removal rule depends on it."""


@dataclass(frozen=True, slots=True)
class Funding:
    """One settled funding rate, a fraction per ``interval_hours``; positive: longs pay shorts."""

    taken_at_ms: int
    rate: float
    interval_hours: float

    @property
    def next_at_ms(self) -> int:
        return self.taken_at_ms + round(self.interval_hours * HOUR_MS)


@dataclass(frozen=True, slots=True)
class Print:
    """One observed liquidation. ``side`` is the position's side, ``price`` the fill."""

    taken_at_ms: int
    side: Side
    price: float
    amount_base: float
    notional_usd: float


@dataclass(frozen=True, slots=True)
class LiquidationTotal:
    """Observed liquidations summed over an interval that starts at ``started_at_ms``; known at its end."""

    started_at_ms: int
    interval_ms: int
    long_usd: float
    short_usd: float
    venue: str


@dataclass(frozen=True, slots=True)
class PrintGap:
    """A time in which liquidations of a venue may have been missed; ``until_ms`` None: it lasts.

    ``market``: base of the only one that was not heard; empty: none was.
    """

    venue: str
    since_ms: int
    until_ms: int | None = None
    market: str = ""

    def concerns(self, market: Market) -> bool:
        return self.venue in market.venues and self.market in {"", market.base}

    def missed_ms(self, since_ms: int, until_ms: int) -> int:
        """How much of that time it takes up."""
        ended_ms = until_ms if self.until_ms is None else min(self.until_ms, until_ms)
        return max(0, ended_ms - max(self.since_ms, since_ms))


@dataclass(frozen=True, slots=True)
class VenueSample:
    """One venue's part in a merged snapshot. None: not told, refused or no longer fresh."""

    venue: str
    symbol: str
    happened_at_ms: int
    """When the price was made; ``seen_at_ms`` is when it was received."""
    seen_at_ms: int
    price: float | None = None
    mark_price: float | None = None
    volume_base: float | None = None
    open_interest_base: float | None = None
    funding_rate: float | None = None
    """The venue's current rate, which it has not settled yet."""
    funding_interval_hours: float | None = None
    next_funding_at_ms: int | None = None
    long_short_ratio: float | None = None
    """Accounts that are long for each that is short."""
    taker_buy_ratio: float | None = None
    """What takers bought in the last bar for each unit they sold."""


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """One market at one moment: only what became known since the snapshot before it.

    ``low`` and ``high`` span every price seen since the last snapshot. ``bar`` is set on the snapshot
    taken when that bar has closed; live feeds send others between bars.
    """

    market: Market
    taken_at_ms: int
    price: float
    low: float
    high: float
    bar: Bar | None = None
    open_interest: OpenInterest | None = None
    funding: tuple[Funding, ...] = ()
    prints: tuple[Print, ...] = ()
    liquidations: tuple[LiquidationTotal, ...] = ()
    by_venue: tuple[VenueSample, ...] = ()
    """What each venue of a merged view said; empty where there is only one source."""

    @property
    def divergence_bps(self) -> float | None:
        """How far apart the venues' prices are; None with fewer than two."""
        prices = [sample.price for sample in self.by_venue if sample.price is not None]
        return (max(prices) - min(prices)) / self.price * 10_000 if len(prices) > 1 else None
