"""A recording played back as if it were happening: nothing is handed out before it was known."""

import asyncio
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.markets import names, pairing, symbols
from bot.markets.feed import Refusals, Source
from bot.markets.pairing import Plan
from bot.markets.recording import (
    CANDLE_COLUMNS,
    FUNDING_COLUMN,
    FUNDING_HOURS_COLUMN,
    HYPERLIQUID,
    LIQUIDATION_COLUMNS,
    OPEN_INTEREST_COLUMNS,
    SIMULATED_VENUE,
    TAKER_BUY_COLUMN,
    RecordingError,
    SeriesFile,
    Table,
    first_row,
    known_after_ms,
    list_prints,
    list_series,
    read_prints,
    read_table,
)
from bot.markets.venues import coverage_of
from detectors.market import (
    Bar,
    Funding,
    LiquidationTotal,
    Market,
    MarketSnapshot,
    OpenInterest,
    Print,
)
from storage.origin import Origin

FUNDING_HOURS = {HYPERLIQUID: 1.0}
"""Hours a funding rate is for; 8 where not listed (Binance, Bybit, OKX)."""
_DECIMALS_SAMPLE = 500
"""Bars looked at for the decimals of the prices."""


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """One market's series, each with the time its rows became known (all rising)."""

    market: Market
    interval_ms: int
    candles: Table
    open_interest: tuple[OpenInterest, ...]
    funding: tuple[Funding, ...]
    prints: tuple[Print, ...]
    liquidations: tuple[LiquidationTotal, ...]

    def snapshots(self) -> Iterator[MarketSnapshot]:
        """One snapshot a bar close, with what became known after the close before it."""
        closes_ms = self.candles.ts_ms + self.interval_ms
        # What was known when the first bar opened precedes the recording's story.
        bounds_ms = np.concatenate(([self.candles.ts_ms[0] - 1], closes_ms))
        interest = _cuts([sample.taken_at_ms for sample in self.open_interest], bounds_ms)
        funding = _cuts([rate.taken_at_ms for rate in self.funding], bounds_ms)
        prints = _cuts([seen.taken_at_ms for seen in self.prints], bounds_ms)
        totals = _cuts([total.started_at_ms + total.interval_ms for total in self.liquidations], bounds_ms)
        takers = TAKER_BUY_COLUMN in self.candles.columns
        for i, opened_at_ms in enumerate(self.candles.ts_ms):
            first, high, low, close, volume, *rest = self.candles.values[i].tolist()
            taker = rest[0] if takers and np.isfinite(rest[0]) else None
            bar = Bar(int(opened_at_ms), self.interval_ms, first, high, low, close, volume, taker)
            yield MarketSnapshot(
                market=self.market,
                taken_at_ms=bar.closed_at_ms,
                price=close,
                low=low,
                high=high,
                bar=bar,
                open_interest=self.open_interest[interest[i + 1] - 1] if interest[i + 1] > interest[i] else None,
                funding=self.funding[funding[i] : funding[i + 1]],
                prints=self.prints[prints[i] : prints[i + 1]],
                liquidations=self.liquidations[totals[i] : totals[i + 1]],
            )


def _cuts(known_at_ms: Sequence[int], bounds_ms: NDArray[np.int64]) -> list[int]:
    """For each bound, how many rows are known at it: int[len(bounds_ms)]."""
    cuts: list[int] = np.searchsorted(np.array(known_at_ms, np.int64), bounds_ms, side="right").tolist()
    return cuts


class RecordedFeed:
    """Plays a recording (the format of ``recording``) for the markets named, or for all it has.

    Each market comes from the venue with the finest candles (5 minutes wanted, 15 at most); where that venue has no
    open interest, another venue's of the same base is paired with it and named in `Market.open_interest_venues`.
    """

    source = Source.RECORDED

    def __init__(self, path: Path, markets: Sequence[str] | None = None) -> None:
        self.path = path
        self._words = markets
        self._refusals = Refusals()
        self._tracks: list[_Track] = []
        self._steps: Iterator[tuple[MarketSnapshot, ...]] = iter(())

    @property
    def refusals(self) -> Mapping[str, int]:
        return self._refusals

    def origin(self) -> Origin:
        """Known by how its candles begin, which stays as it is while a recording grows, moves or is played in part."""
        begins = {file.name: first_row(file) for file in list_series(self.path) if file.kind == "ohlcv"}
        first_ms = min((int(track.candles.ts_ms[0]) for track in self._tracks), default=None)
        return Origin(f"the recording {self.path.resolve()}", begins, first_ms)

    def load(self) -> tuple[Market, ...]:
        """Read the recording. Raises `RecordingError` without a folder or candles, `UnknownMarket` for a bad name."""
        self._refusals.clear()
        plans = pairing.plans(list_series(self.path), self._refusals)
        if self._words is not None:
            offered = [plan.stand_in for plan in plans.values()]
            wanted = dict.fromkeys(names.resolve(word, offered).base for word in self._words)
            plans = {base: plans[base] for base in wanted}
        self._tracks = [track for plan in plans.values() if (track := self._track(plan)) is not None]
        if not self._tracks:
            why = "; ".join(f"{reason} ({count})" for reason, count in self._refusals.most_common(3))
            raise RecordingError(
                f"No usable candles in {self.path}{': ' + why if why else ''}. A market needs "
                "VENUE/SYMBOL/ohlcv_5m.csv.gz (or 1m, 15m) with ts_ms, open, high, low, close, volume."
            )
        self._read_prints()
        self._steps = self.steps()
        return tuple(track.market for track in self._tracks)

    def steps(self) -> Iterator[tuple[MarketSnapshot, ...]]:
        """All moments from the first, as fast as they are taken; each holds every market that has a bar closing."""
        merged = heapq.merge(*(track.snapshots() for track in self._tracks), key=_taken_at_ms)
        for _, moment in groupby(merged, key=_taken_at_ms):
            yield tuple(moment)

    async def start(self) -> tuple[Market, ...]:
        return await asyncio.to_thread(self.load)

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        return next(self._steps, None)

    async def close(self) -> None:
        self._tracks = []
        self._steps = iter(())

    def _track(self, plan: Plan) -> _Track | None:
        found = pairing.candles(plan, self._refusals)
        if found is None:
            return None
        file, interval_ms, table = found
        interest_venue, interest = self._open_interest(plan, file, table, interval_ms)
        totals = self._liquidations(plan)
        told = {venue for total in totals for venue in total.venue.split("+")} or {file.venue}
        market = Market(
            base=plan.base,
            symbol=plan.symbol_of(file),
            venues=(file.venue,),
            open_interest_venues=(interest_venue,) if interest else (),
            price_decimals=_price_decimals(table),
            simulated=file.venue == SIMULATED_VENUE,
            coverage=coverage_of(told),
            streams_liquidations=file.venue == SIMULATED_VENUE,
        )
        funding = self._funding(plan, file)
        return _Track(market, interval_ms, table, interest, funding, (), totals)

    def _open_interest(
        self, plan: Plan, candles: SeriesFile, table: Table, interval_ms: int
    ) -> tuple[str, tuple[OpenInterest, ...]]:
        for file in plan.near(candles, "open_interest"):
            rows = read_table(file, self._refusals)
            if rows is None:
                continue
            known_at_ms = rows.ts_ms + known_after_ms(file.venue, file.interval_ms)
            base = self._in_base(rows, known_at_ms, table, interval_ms, file.name)
            samples = zip(known_at_ms.tolist(), base.tolist(), strict=True)
            # A NaN is dropped here, counted there.
            kept = tuple(OpenInterest(at, value, file.interval_ms) for at, value in samples if value == value)
            if kept:
                return file.venue, kept
        return "", ()

    def _in_base(
        self, rows: Table, known_at_ms: NDArray[np.int64], candles: Table, interval_ms: int, where: str
    ) -> NDArray[np.float64]:
        """Open interest in base units, float64[n]; from dollars at the close of the bar in which it becomes known."""
        blank = np.full(len(rows), np.nan)
        base, usd = (rows.column(name) if name in rows.columns else blank for name in OPEN_INTEREST_COLUMNS)
        bar = np.searchsorted(candles.ts_ms + interval_ms, known_at_ms)
        priced = bar < len(candles)
        price = np.where(priced, candles.column("close")[np.minimum(bar, len(candles) - 1)], np.nan)
        with np.errstate(all="ignore"):
            base = np.where(np.isnan(base), usd / np.where(price > 0, price, np.nan), base)
        base[~np.isfinite(base)] = np.nan
        self._refusals.add("open_interest_without_price", where, int((np.isnan(base) & priced).sum()))
        return base

    def _funding(self, plan: Plan, candles: SeriesFile) -> tuple[Funding, ...]:
        for file in plan.near(candles, "funding"):
            rows = read_table(file, self._refusals)
            if rows is not None:
                hours = np.full(len(rows.ts_ms), FUNDING_HOURS.get(file.venue, 8.0))
                if FUNDING_HOURS_COLUMN in rows.columns:
                    told = rows.column(FUNDING_HOURS_COLUMN)
                    hours = np.where(np.isfinite(told), told, hours)
                rates = zip(rows.ts_ms.tolist(), rows.column(FUNDING_COLUMN).tolist(), hours.tolist(), strict=True)
                return tuple(Funding(*one) for one in rates)
        return ()

    def _liquidations(self, plan: Plan) -> tuple[LiquidationTotal, ...]:
        totals = []
        for file in plan.files("liquidations"):
            rows = read_table(file, self._refusals)
            if rows is not None:
                sums = (rows.column(name).tolist() for name in LIQUIDATION_COLUMNS)
                for started_at_ms, long_usd, short_usd in zip(rows.ts_ms.tolist(), *sums, strict=True):
                    totals.append(LiquidationTotal(started_at_ms, file.interval_ms, long_usd, short_usd, file.venue))
        return tuple(sorted(totals, key=lambda total: total.started_at_ms + total.interval_ms))

    def _read_prints(self) -> None:
        """Add each market's observed liquidations; a file of prints holds many symbols, so it is read once."""
        bases = {track.market.base for track in self._tracks}
        by_base: dict[str, list[Print]] = {base: [] for base in bases}
        for path in list_prints(self.path):
            for symbol, seen in read_prints(
                path, lambda symbol: symbols.parse(symbol)[0] in bases, self._refusals
            ).items():
                by_base[symbols.parse(symbol)[0]].extend(seen)
        self._tracks = [
            replace(track, prints=tuple(sorted(by_base[track.market.base], key=lambda seen: seen.taken_at_ms)))
            for track in self._tracks
        ]


def _price_decimals(candles: Table) -> int:
    """The most decimals in the prices, leaving out the odd one in a hundred that is an artefact of arithmetic."""
    prices = candles.values[:_DECIMALS_SAMPLE, : len(CANDLE_COLUMNS) - 1].ravel()
    exponents = (Decimal(repr(price)).normalize().as_tuple().exponent for price in prices.tolist())
    decimals = [max(0, -exponent) for exponent in exponents if isinstance(exponent, int)]
    return int(np.quantile(decimals, 0.99, method="lower"))


def _taken_at_ms(snapshot: MarketSnapshot) -> int:
    return snapshot.taken_at_ms
