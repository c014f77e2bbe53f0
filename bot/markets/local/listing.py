"""A market as one venue lists it: its name there, contract size, ticks, and the venue's part of what is traded."""

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bot.markets.local.history import LocalMarket
from bot.markets.simulated_crowd import MAJOR_TIERS, MINOR_TIERS, Tiers
from detectors.market import DAY_MS, Bar, Print, Side

_BANKRUPTCY = 0.0045
"""How far the bankruptcy price lies beyond the fill: 35 to 60 bps on Binance (markets/README.md, Traps)."""
_MAJORS = frozenset({"BTC", "ETH"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What makes a venue differ from the market behind all of them."""

    share: float
    """Its part of volume and open interest, and of the liquidations (each happens on one venue)."""
    price_offset_bps: float = 0.0
    thousands: bool = False
    """Lists very cheap coins by the thousand: ``1000PEPE``."""
    contract_usd: float | None = None
    """A contract is the power of ten of the base that is worth at most this much; None: amounts are in base."""


DEFAULT_TERMS: Mapping[str, Terms] = {
    "binance": Terms(0.5, thousands=True),
    "bybit": Terms(0.3, price_offset_bps=1.5, thousands=True),
    "okx": Terms(0.2, price_offset_bps=-1.0, contract_usd=950.0),
    "gate": Terms(0.1, price_offset_bps=2.5, contract_usd=25.0),
}
"""Binance has the market's own prices. Gate's part comes on top of the three others'."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalListing:
    """One market on one venue. Methods turn the base market's numbers into the venue's."""

    key: str
    """The base's name behind the venues."""
    market: LocalMarket
    terms: Terms
    base: str
    """The venue's name of the asset, such as ``1000PEPE``."""
    multiplier: int
    """How many of the market's base units the venue's unit holds."""
    contract_base: float
    """How many of the venue's units a contract holds."""
    price_decimals: int
    lot_decimals: int
    """Of amounts in the venue's units."""

    @property
    def tiers(self) -> Tiers:
        return MAJOR_TIERS if self.base in _MAJORS else MINOR_TIERS

    @property
    def lot_text(self) -> str:
        """The smallest amount in the venue's units."""
        return f"{10.0**-self.lot_decimals:.{self.lot_decimals}f}"

    @property
    def tick_size_text(self) -> str:
        return self.tick_text(10.0**-self.price_decimals)

    def price(self, price: float) -> float:
        factor = 1 + self.terms.price_offset_bps / 1e4
        return round(price * self.multiplier * factor, self.price_decimals)

    def units(self, amount_base: float) -> float:
        """An amount of the market's base in the venue's units, such as 1000PEPE."""
        return amount_base / self.multiplier

    def contracts(self, amount_base: float) -> float:
        return self.units(amount_base) / self.contract_base

    def price_text(self, price: float) -> str:
        return f"{self.price(price):.{self.price_decimals}f}"

    def tick_text(self, price: float) -> str:
        """As `price_text`, of a price that is the venue's already."""
        return f"{price:.{self.price_decimals}f}"

    def units_text(self, amount_base: float) -> str:
        return f"{self.units(amount_base):.{self.lot_decimals}f}"

    def contracts_text(self, amount_base: float, decimals: int) -> str:
        return f"{self.contracts(amount_base):.{decimals}f}"

    def print_units_text(self, seen: Print) -> str:
        """A liquidation's amount, at least one lot."""
        return f"{max(self.units(seen.amount_base), 10.0**-self.lot_decimals):.{self.lot_decimals}f}"

    def print_contracts_text(self, seen: Print, decimals: int) -> str:
        return f"{max(self.contracts(seen.amount_base), 10.0**-decimals):.{decimals}f}"

    def bankruptcy_text(self, seen: Print) -> str:
        beyond = -_BANKRUPTCY if seen.side is Side.LONG else _BANKRUPTCY
        return self.price_text(seen.price * (1 + beyond))

    def candle(self, start_ms: int, interval_ms: int, now_ms: int) -> Bar | None:
        """As `LocalMarket.candle`: the venue's prices, its part of the volume in the market's base units."""
        bar = self.market.candle(start_ms, interval_ms, now_ms)
        return None if bar is None else self._here(bar)

    def _here(self, bar: Bar) -> Bar:
        bought = bar.taker_buy_volume_base
        return replace(
            bar,
            open=self.price(bar.open),
            high=self.price(bar.high),
            low=self.price(bar.low),
            close=self.price(bar.close),
            volume_base=bar.volume_base * self.terms.share,
            taker_buy_volume_base=(0.5 * bar.volume_base if bought is None else bought) * self.terms.share,
        )

    def open_interest(self, at_ms: int) -> float | None:
        """The venue's part, in the market's base units, as last sampled; None where the market has none."""
        sample = self.market.open_interest_at(at_ms)
        return None if sample is None else sample.base * self.terms.share

    def last_day(self, now_ms: int) -> Bar:
        """The 24 hours up to now as one bar."""
        bar = self.market.last_day(now_ms)
        if bar is None:
            price = self.market.price(now_ms)
            bar = Bar(now_ms - DAY_MS, DAY_MS, price, price, price, price, 0.0, 0.0)
        return self._here(bar)

    def book(self, now_ms: int, levels: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Made up: bids and asks as (price, amount in the venue's units), best first, thicker further out."""
        middle = self.price(self.market.price(now_ms))
        tick = 10.0**-self.price_decimals
        step = max(tick, round(middle * 1e-4 / tick) * tick)
        held = self.units(self.open_interest(now_ms) or 1e6 / middle)
        # Uneven, so that a thin place can be found, and the same whenever the price is.
        sizes = [held * 2e-4 * (1 + 0.05 * i) * (1 + 0.5 * math.sin(i + middle / step)) for i in range(levels)]
        bids = [(middle - tick - i * step, size) for i, size in enumerate(sizes) if middle - tick - i * step > 0]
        return bids, [(middle + i * step, size) for i, size in enumerate(sizes)]

    def long_short_ratio(self, at_ms: int) -> float:
        """Made up: accounts follow the day's move. The simulated market does not count accounts."""
        before, now = self.market.price(at_ms - DAY_MS), self.market.price(at_ms)
        return round(1.2 * math.exp(0.6 * math.tanh(15 * math.log(now / before))), 4)

    def funding_rate(self, now_ms: int) -> float:
        """The rate last settled stands in for the one being accrued, which nobody knows yet."""
        past = self.market.funding_between(0, now_ms)
        return past[-1].rate if past else 0.0001

    def next_funding_ms(self, now_ms: int) -> int:
        interval_ms = round(self.market.funding_hours * 3_600_000)
        return (now_ms // interval_ms + 1) * interval_ms


def listings(markets: Mapping[str, LocalMarket], terms: Terms) -> dict[str, LocalListing]:
    """Every market as a venue with these terms lists it, by the base's name behind the venues."""
    return {base: _listing(base, market, terms) for base, market in markets.items()}


def _listing(base: str, market: LocalMarket, terms: Terms) -> LocalListing:
    price = market.bars[0].open
    multiplier = 1000 if terms.thousands and price < 1e-3 else 1
    price *= multiplier
    return LocalListing(
        key=base,
        market=market,
        terms=terms,
        base=base if multiplier == 1 else f"{multiplier}{base}",
        multiplier=multiplier,
        contract_base=1.0 if terms.contract_usd is None else 10.0 ** math.floor(math.log10(terms.contract_usd / price)),
        price_decimals=max(market.market.price_decimals - round(math.log10(multiplier)), 0),
        lot_decimals=max(0, math.ceil(math.log10(price)) - 2),
    )


def prints_of(venue: str, base: str, prints: Iterable[Print], parts: Mapping[str, float]) -> list[Print]:
    """Those of the liquidations that happen on this venue: each on one, by ``parts`` of all, and always the same."""
    names = list(parts)
    total = sum(parts.values())
    mine = []
    for seen in prints:
        key = f"{base}{seen.taken_at_ms}{seen.side}{seen.price!r}{seen.amount_base!r}"
        drawn = zlib.crc32(key.encode()) / 2**32 * total
        for name in names:
            drawn -= parts[name]
            if drawn < 0 or name == names[-1]:
                break
        if name == venue:
            mine.append(seen)
    return mine
