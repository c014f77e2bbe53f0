"""The embedded market: simulated exchanges as a feed, with their truth, and written out as a recording."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.markets import names, symbols
from bot.markets.feed import Refusals, Source
from bot.markets.recorder import Recorder
from bot.markets.recording import SIMULATED_VENUE
from bot.markets.simulated_book import Column
from bot.markets.simulated_exchange import LISTINGS, Exchange, SimulatedListing
from bot.markets.simulated_weather import BARS_A_DAY
from detectors.market import Market, MarketSnapshot, Side
from storage.origin import Origin

TRUTH_COLUMNS = ("price", "side", "notional_usd")


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Every open position's liquidation, in rising order of price.

    ``price`` float64[n], ``side`` str[n] (``long`` or ``short``), ``notional_usd`` float64[n]: amount x that price.
    """

    price: NDArray[np.float64]
    side: NDArray[np.str_]
    notional_usd: NDArray[np.float64]


class SimulatedFeed:
    """Simulated markets from one seed: BTC, ETH, DOGE and PEPE, or those named, for ``days`` or without end.

    A market is the same whatever others are simulated beside it. Raises ValueError for a negative seed or less than
    one bar, `UnknownMarket` for a market there is none of.
    """

    source = Source.SIMULATED

    def __init__(self, seed: int, days: float | None = None, markets: Sequence[str] | None = None) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, not {seed}.")
        if days is not None and days * BARS_A_DAY < 1:
            raise ValueError(f"days must be at least one bar ({1 / BARS_A_DAY:.4f}), not {days}.")
        self._bars = None if days is None else int(days * BARS_A_DAY + 1e-6)
        self._refusals = Refusals()
        listings = {_market(listing): listing for listing in LISTINGS}
        offered = tuple(listings)
        wanted = offered if markets is None else dict.fromkeys(names.resolve(word, offered) for word in markets)
        self._exchanges = {market: Exchange(listings[market], seed) for market in wanted}
        self._seed = seed

    @property
    def refusals(self) -> Mapping[str, int]:
        return self._refusals

    def origin(self) -> Origin:
        return Origin(f"the simulation of seed {self._seed}", {"seed": str(self._seed)})

    def load(self) -> tuple[Market, ...]:
        return tuple(self._exchanges)

    def steps(self) -> Iterator[tuple[MarketSnapshot, ...]]:
        """Trade on, bar by bar, from where the feed is."""
        while self._bars is None or self._bars > 0:
            if self._bars is not None:
                self._bars -= 1
            yield tuple(_snapshot(market, exchange) for market, exchange in self._exchanges.items())

    async def start(self) -> tuple[Market, ...]:
        return self.load()

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        return next(self.steps(), None)

    async def close(self) -> None:
        self._bars = 0

    def truth(self, market: Market) -> Truth:
        """Where the positions open at this moment would be liquidated."""
        exchange = self._exchanges[market]
        prices, sides, notional = [], [], []
        for book, side in ((exchange.longs, Side.LONG), (exchange.shorts, Side.SHORT)):
            # A long without leverage has no liquidation.
            at_risk = book.sign * book[Column.LIQUIDATION] > 0
            price = np.abs(book[Column.LIQUIDATION][at_risk])
            amount = book[Column.LOTS][at_risk] * 10.0**-exchange.listing.lot_decimals
            prices.append(price)
            sides.append(np.full(len(price), side.value))
            notional.append(price * amount)
        price = np.concatenate(prices)
        order = np.argsort(price, kind="stable")
        return Truth(price[order], np.concatenate(sides)[order], np.concatenate(notional)[order])

    def leverage(self, market: Market) -> NDArray[np.float64]:
        """What the crowd of this market prefers, longs and shorts together: float64[n], each of equal weight in what
        is opened (the class of trader and the mood of the day aside)."""
        return self._exchanges[market].leverage


def write_simulation(seed: int, days: float, out: Path, markets: Sequence[str] | None = None) -> tuple[Market, ...]:
    """Simulate into a new recording, with ``simulated/SYMBOL/truth.csv.gz`` as it is at the end.

    Raises `RecordingError` if ``out`` is not empty, and what `SimulatedFeed` raises.
    """
    feed = SimulatedFeed(seed, days, markets)
    with Recorder(out) as recorder:
        for moment in feed.steps():
            for snapshot in moment:
                recorder.add(snapshot)
        for market in feed.load():
            truth = feed.truth(market)
            rows = zip(truth.price.tolist(), truth.side.tolist(), truth.notional_usd.tolist(), strict=True)
            for row in rows:
                recorder.append(f"{SIMULATED_VENUE}/{symbols.folder(market.symbol)}/truth", TRUTH_COLUMNS, row)
    return feed.load()


def _market(listing: SimulatedListing) -> Market:
    return Market(
        base=listing.base,
        symbol=symbols.unified(listing.base, symbols.QUOTES[0]),
        venues=(SIMULATED_VENUE,),
        open_interest_venues=(SIMULATED_VENUE,),
        price_decimals=listing.price_decimals,
        simulated=True,
        streams_liquidations=True,
    )


def _snapshot(market: Market, exchange: Exchange) -> MarketSnapshot:
    closed = exchange.step()
    bar = closed.bar
    return MarketSnapshot(
        market=market,
        taken_at_ms=bar.closed_at_ms,
        price=bar.close,
        low=bar.low,
        high=bar.high,
        bar=bar,
        open_interest=closed.open_interest,
        funding=closed.funding,
        prints=closed.prints,
    )
