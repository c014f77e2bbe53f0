"""Which files of a recording make up one market: its candles, and the series of other venues paired with them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from bot.markets import symbols
from bot.markets.feed import Refusals
from bot.markets.recording import CANDLE_COLUMNS, SeriesFile, Table, read_table
from detectors.market import MINUTE_MS, Market

BAR_MS = 5 * MINUTE_MS
_CANDLE_PREFERENCE = (BAR_MS, MINUTE_MS, 15 * MINUTE_MS)
"""Five minutes as they are, or made from one minute; fifteen at worst."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All series of one base asset."""

    base: str
    series: list[SeriesFile] = field(default_factory=list)

    def files(self, kind: str) -> list[SeriesFile]:
        return [file for file in self.series if file.kind == kind]

    def candle_files(self) -> list[SeriesFile]:
        """Usable candles, the best first: finest bars, then a venue that has open interest, then by name."""
        with_interest = {file.venue for file in self.files("open_interest")}
        usable = [file for file in self.files("ohlcv") if file.interval_ms in _CANDLE_PREFERENCE]
        return sorted(
            usable,
            key=lambda file: (
                max(file.interval_ms, BAR_MS),
                file.venue not in with_interest,
                _CANDLE_PREFERENCE.index(file.interval_ms),
                file.venue,
                not file.symbol.endswith(symbols.QUOTES[0]),
                file.symbol,
            ),
        )

    def near(self, candles: SeriesFile, kind: str) -> list[SeriesFile]:
        """Series to pair with the candles: same folder, then same venue, then others, each finest first."""
        return sorted(
            self.files(kind),
            key=lambda file: (
                file.venue != candles.venue,
                file.symbol != candles.symbol,
                abs(file.interval_ms - BAR_MS),
                file.name,
            ),
        )

    def symbol_of(self, file: SeriesFile) -> str:
        return symbols.parse(file.symbol)[1]

    @property
    def stand_in(self) -> Market:
        """The market before anything is read, for finding it by name."""
        best = self.candle_files()[0]
        return Market(self.base, self.symbol_of(best), (best.venue,), ())


def plans(series: Iterable[SeriesFile], refusals: Refusals) -> dict[str, Plan]:
    """One plan for every base that has usable candles, by base in alphabetical order; the rest is counted."""
    by_base: dict[str, Plan] = {}
    for file in series:
        base = symbols.parse(file.symbol)[0]
        by_base.setdefault(base, Plan(base)).series.append(file)
    for base, plan in by_base.items():
        if not plan.candle_files():
            refusals.add("market_with_coarse_candles" if plan.files("ohlcv") else "market_without_candles", base)
    return {base: by_base[base] for base in sorted(by_base) if by_base[base].candle_files()}


def candles(plan: Plan, refusals: Refusals) -> tuple[SeriesFile, int, Table] | None:
    """The best candles that can be read, with their bar length; None if there are none."""
    for file in plan.candle_files():
        table = read_table(file, refusals)
        if table is not None and file.interval_ms < BAR_MS:
            table = _in_five_minutes(table, file, refusals)
        if table is not None:
            return file, max(file.interval_ms, BAR_MS), table
    return None


def _in_five_minutes(table: Table, file: SeriesFile, refusals: Refusals) -> Table | None:
    """Five-minute bars of the complete fives of one-minute bars."""
    starts_ms, first, counts = np.unique(table.ts_ms // BAR_MS * BAR_MS, return_index=True, return_counts=True)
    whole = counts == BAR_MS // file.interval_ms
    refusals.add("bar_incomplete", file.name, int((~whole).sum()))
    if not whole.any():
        return None
    last = first + counts - 1
    values = np.empty((len(starts_ms), table.values.shape[1]))
    i_open, i_high, i_low, i_close, i_volume = (table.columns.index(name) for name in CANDLE_COLUMNS)
    values[:, i_open] = table.values[first, i_open]
    values[:, i_high] = np.maximum.reduceat(table.values[:, i_high], first)
    values[:, i_low] = np.minimum.reduceat(table.values[:, i_low], first)
    values[:, i_close] = table.values[last, i_close]
    # Volume, and what takers bought of it where that is told.
    values[:, i_volume:] = np.add.reduceat(table.values[:, i_volume:], first, axis=0)
    return Table(starts_ms[whole], values[whole], table.columns)
