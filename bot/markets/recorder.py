"""Writes snapshots as a recording that `RecordedFeed` plays back to the same snapshots."""

import gzip
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from bot.markets import symbols
from bot.markets.recording import (
    CANDLE_COLUMNS,
    FUNDING_COLUMN,
    FUNDING_HOURS_COLUMN,
    LIQUIDATION_COLUMNS,
    OPEN_INTEREST_COLUMNS,
    PRINT_COLUMNS,
    SUFFIX,
    TAKER_BUY_COLUMN,
    RecordingError,
    interval_name,
    known_after_ms,
)
from detectors.market import MarketSnapshot

Cell = str | float | None


class Recorder:
    """A new recording in ``folder``. Use as a context manager; the files are whole once it is left.

    Raises `RecordingError` if the folder has something in it: two recordings mixed would be neither.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open_files = ExitStack()
        self._files: dict[Path, TextIO] = {}
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RecordingError(f"{folder} already holds something: name a new folder, or remove it first.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"{folder} cannot be made ({error.strerror}): name a folder you may write to."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_files.close()
        if not self._files:  # nothing came
            with suppress(OSError):
                self.folder.rmdir()

    def add(self, snapshot: MarketSnapshot) -> None:
        """Append what became known in one snapshot. Snapshots of a market come in time order."""
        market = snapshot.market
        venue, symbol = market.venues[0], symbols.folder(market.symbol)
        decimals = market.price_decimals
        if (bar := snapshot.bar) is not None:
            prices = (_price(price, decimals) for price in (bar.open, bar.high, bar.low, bar.close))
            self.append(
                f"{venue}/{symbol}/ohlcv_{interval_name(bar.interval_ms)}",
                ("ts_ms", *CANDLE_COLUMNS, TAKER_BUY_COLUMN),
                (bar.opened_at_ms, *prices, bar.volume_base, bar.taker_buy_volume_base),
            )
        if (interest := snapshot.open_interest) is not None:
            source = (market.open_interest_venues or market.venues)[0]
            self.append(
                f"{source}/{symbol}/open_interest_{interval_name(interest.interval_ms)}",
                ("ts_ms", *OPEN_INTEREST_COLUMNS),
                (
                    interest.taken_at_ms - known_after_ms(source, interest.interval_ms),
                    interest.base,
                    interest.base * snapshot.price,
                ),
            )
        for rate in snapshot.funding:
            self.append(
                f"{venue}/{symbol}/funding",
                ("ts_ms", FUNDING_COLUMN, FUNDING_HOURS_COLUMN),
                (rate.taken_at_ms, rate.rate, rate.interval_hours),
            )
        for total in snapshot.liquidations:
            self.append(
                f"{total.venue}/{symbol}/liquidations_{interval_name(total.interval_ms)}",
                ("ts_ms", *LIQUIDATION_COLUMNS),
                (total.started_at_ms, total.long_usd, total.short_usd),
            )
        for seen in snapshot.prints:
            day = datetime.fromtimestamp(seen.taken_at_ms / 1000, UTC)
            price = _price(seen.price, decimals)
            self.append(
                f"{venue}/prints_{day:%Y%m%d}",
                PRINT_COLUMNS,
                (seen.taken_at_ms, symbol, seen.side.value, price, seen.amount_base, seen.notional_usd),
            )

    def append(self, series: str, columns: Iterable[str], row: Iterable[Cell]) -> None:
        """Add a row to ``series`` (such as ``simulated/BTCUSDT/truth``), under ``columns`` if it is the first."""
        path = self.folder / f"{series}{SUFFIX}"
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # No name and no time in the archive, so that equal data makes equal files.
            raw = self._open_files.enter_context(path.open("wb"))
            packed = self._open_files.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
            file = self._open_files.enter_context(TextIOWrapper(packed, "utf-8", newline="\n"))
            self._files[path] = file
            file.write(",".join(columns) + "\n")
        file.write(",".join(_text(cell) for cell in row) + "\n")


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else repr(cell)


def _price(price: float, decimals: int) -> str:
    """``0.00001230`` rather than ``1.23e-05``, unless that would lose something."""
    text = f"{price:.{decimals}f}"
    return text if float(text) == price else repr(price)
