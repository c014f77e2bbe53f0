"""The recording format, read and refused: ``RECORDING/VENUE/SYMBOL/SERIES.csv.gz``, times in UTC milliseconds.

Here only what cannot be parsed is refused (and counted); whether a value makes sense is judged by the detectors.
Rows are never sorted or repaired.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.markets.feed import Refusals
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Print, Side

SUFFIX = ".csv.gz"
CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
TAKER_BUY_COLUMN = "taker_buy_volume"
OPEN_INTEREST_COLUMNS = ("open_interest_base", "open_interest_usd")
LIQUIDATION_COLUMNS = ("long_usd", "short_usd")
FUNDING_COLUMN = "funding_rate"
FUNDING_HOURS_COLUMN = "interval_hours"
"""May be missing; the venue's usual interval then holds."""
PRINT_COLUMNS = ("ts_ms", "symbol", "side", "price", "amount_base", "notional_usd")

SIMULATED_VENUE = "simulated"
HYPERLIQUID = "hyperliquid"
_EARLIEST_MS = 1_230_768_000_000
"""2009, before which there was no crypto market: an earlier stamp is in seconds, or noise."""
_LATEST_MS = 4_102_444_800_000
"""2100: a later stamp is in microseconds, or noise."""
_UNITS_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_SERIES = re.compile(r"(?P<kind>ohlcv|open_interest|liquidations)_(?P<count>\d{1,3})(?P<unit>[mhd])")


class RecordingError(Exception):
    """A recording that cannot be read or written at all. The message names the folder and the fix."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One series: ``ts_ms`` int64[n], strictly rising; ``values`` float64[n, k], one column a name in ``columns``.

    Required columns are finite; an empty cell of an optional one is NaN.
    """

    ts_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    columns: tuple[str, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        return self.values[:, self.columns.index(name)]

    def __len__(self) -> int:
        return len(self.ts_ms)


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """A file of a recording. ``kind`` is ohlcv, open_interest, liquidations or funding."""

    path: Path
    venue: str
    symbol: str
    kind: str
    interval_ms: int
    """0 for funding, whose interval is the venue's."""

    @property
    def name(self) -> str:
        return f"{self.venue}/{self.symbol}/{self.path.name.removesuffix(SUFFIX)}"


def list_series(recording: Path) -> list[SeriesFile]:
    """Every series of a recording, by venue, symbol and name. Raises `RecordingError` if it is not a folder."""
    if not recording.is_dir():
        raise RecordingError(
            f"There is no recording at {recording}: give the folder that holds VENUE/SYMBOL/SERIES{SUFFIX}."
        )
    found = []
    for path in sorted(recording.glob(f"*/*/*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        venue, symbol = path.parent.parent.name, path.parent.name
        if name == "funding":
            found.append(SeriesFile(path, venue, symbol, "funding", 0))
        elif match := _SERIES.fullmatch(name):
            interval_ms = int(match["count"]) * _UNITS_MS[match["unit"]]
            found.append(SeriesFile(path, venue, symbol, match["kind"], interval_ms))
    return found


def first_row(file: SeriesFile) -> str:
    """Its first row as it is written; empty where there is none that can be read."""
    try:
        with gzip.open(file.path, "rt", encoding="utf-8") as lines:
            next(lines)
            return next(lines).strip()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, StopIteration):
        return ""


def interval_name(interval_ms: int) -> str:
    """``5m``, ``1h`` or ``1d``, as series are named."""
    unit = next(u for u in ("d", "h", "m") if interval_ms % _UNITS_MS[u] == 0)
    return f"{interval_ms // _UNITS_MS[unit]}{unit}"


def known_after_ms(venue: str, interval_ms: int) -> int:
    """How long after its stamp a row of open interest is known: Hyperliquid's hold the whole interval that follows."""
    return interval_ms if venue == HYPERLIQUID else 0


def list_prints(recording: Path) -> list[Path]:
    """The files of observed liquidations, which hold many symbols each and lie at the venue's level."""
    return sorted(recording.glob(f"*/prints_*{SUFFIX}"))


def read_table(file: SeriesFile, refusals: Refusals) -> Table | None:
    """Parse one series; None if nothing in it can be used. What is refused is counted in ``refusals``."""
    required, optional = _columns(file.kind)
    rows = _read_cells(file.path, file.name, ("ts_ms", *required), refusals)
    if rows is None:
        return None
    header, cells = rows
    optional = tuple(name for name in optional if name in header)
    if file.kind == "open_interest" and not optional:
        refusals.add("column_missing_open_interest", file.name)
        return None
    at = header.index("ts_ms")
    wanted = [header.index(name) for name in (*required, *optional)]
    times: list[int] = []
    values: list[list[float]] = []
    for row in cells:
        try:
            numbers = [float(row[i] or "nan") for i in wanted]
            times.append(int(row[at]))
        except ValueError:
            refusals.add("row_not_a_number", file.name)
        else:
            values.append(numbers)
    table = Table(_stamps(times), np.array(values, float).reshape(len(times), len(wanted)), (*required, *optional))
    return _checked(table, len(required), file.name, refusals)


def _columns(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Required and optional columns beside ``ts_ms``."""
    match kind:
        case "ohlcv":
            return CANDLE_COLUMNS, (TAKER_BUY_COLUMN,)
        case "open_interest":
            return (), OPEN_INTEREST_COLUMNS
        case "liquidations":
            return LIQUIDATION_COLUMNS, ()
        case _:
            return (FUNDING_COLUMN,), (FUNDING_HOURS_COLUMN,)


def read_prints(path: Path, wanted: Callable[[str], bool], refusals: Refusals) -> dict[str, list[Print]]:
    """Observed liquidations by symbol, for the ``wanted`` symbols, each symbol's in time order.

    Equal rows are several liquidations: small positions closed at one moment are alike, and who recorded has dropped
    what a venue sent twice (`live_watch`).
    """
    where = f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"
    rows = _read_cells(path, where, PRINT_COLUMNS, refusals)
    prints: dict[str, list[Print]] = {}
    if rows is None:
        return prints
    header, cells = rows
    i_ts, i_symbol, i_side, i_price, i_amount, i_notional = (header.index(name) for name in PRINT_COLUMNS)
    for row in cells:
        if not wanted(row[i_symbol]):
            continue
        try:
            taken_at_ms, side = int(row[i_ts]), Side(row[i_side])
            numbers = [float(row[i]) for i in (i_price, i_amount, i_notional)]
        except ValueError:
            refusals.add("row_not_a_number", where)
            continue
        earlier = prints.setdefault(row[i_symbol], [])
        seen = Print(taken_at_ms, side, *numbers)
        if not (np.isfinite(numbers).all() and _EARLIEST_MS <= taken_at_ms <= _LATEST_MS):
            refusals.add("row_not_finite_or_not_ms", where)
        elif earlier and taken_at_ms < earlier[-1].taken_at_ms:
            refusals.add("row_out_of_order", where)
        else:
            earlier.append(seen)
    return prints


def _read_cells(
    path: Path, where: str, required: Sequence[str], refusals: Refusals
) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows as text; None if the header lacks a required column or there is nothing."""
    lines = _read_lines(path, where, refusals)
    if not lines:
        refusals.add("file_empty", where)
        return None
    header = [name.strip() for name in lines[0].split(",")]
    missing = [name for name in required if name not in header]
    for name in missing:
        refusals.add(f"column_missing_{name}", where)
    if missing:
        return None
    cells = [line.split(",") for line in lines[1:] if line]
    whole = [row for row in cells if len(row) == len(header)]
    refusals.add("row_wrong_width", where, len(cells) - len(whole))
    return header, whole


def _read_lines(path: Path, where: str, refusals: Refusals) -> list[str]:
    chunks: list[bytes] = []
    broken = True
    try:
        with gzip.open(path, "rb") as file:
            # read1 hands over what was unpacked before a truncated end raises.
            while chunk := file.read1(1 << 20):
                chunks.append(chunk)
        broken = False
    except EOFError:
        refusals.add("file_truncated", where)
    except (OSError, zlib.error):
        refusals.add("file_unreadable", where)
    text = b"".join(chunks).decode("utf-8-sig", errors="replace").replace("\r", "")
    lines = text.split("\n")
    if broken and lines[-1]:
        # The last line of a broken file may be a number cut short, which would still parse.
        lines.pop()
    return lines if any(lines) else []


def _stamps(times: list[int]) -> NDArray[np.int64]:
    # A stamp too large for 64 bits becomes 0, which is refused as not being in milliseconds.
    return np.array([t if 0 <= t <= _LATEST_MS else 0 for t in times], np.int64)


def _checked(table: Table, n_required: int, where: str, refusals: Refusals) -> Table | None:
    """Without the rows that are not finite, not in milliseconds or not in time order; None if none is left."""
    finite = np.isfinite(table.values[:, :n_required]).all(axis=1) & ~np.isinf(table.values).any(axis=1)
    finite &= (n_required > 0) | ~np.isnan(table.values).all(axis=1)
    refusals.add("row_not_finite", where, int((~finite).sum()))
    in_ms = finite & (table.ts_ms >= _EARLIEST_MS)
    refusals.add("row_time_not_ms", where, int((finite & ~in_ms).sum()))
    kept = np.flatnonzero(in_ms)
    ordered = kept[_in_time_order(table.ts_ms[kept])]
    refusals.add("row_out_of_order", where, len(kept) - len(ordered))
    if not len(ordered):
        refusals.add("file_without_rows", where)
        return None
    return Table(table.ts_ms[ordered], table.values[ordered], table.columns)


def _in_time_order(ts_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are later than all kept before them.

    One stamp far in the future would shut out everything after it, so a row from which the next steps back by more
    than a day is itself the one refused.
    """
    keep = np.ones(len(ts_ms), bool)
    if (np.diff(ts_ms) > 0).all():
        return keep
    times = ts_ms.tolist()
    last = 0
    for i, time in enumerate(times):
        following = times[i + 1] if i + 1 < len(times) else time
        keep[i] = time > last and not (time - following > DAY_MS and following > last)
        if keep[i]:
            last = time
    return keep
