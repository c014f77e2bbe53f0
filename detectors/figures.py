"""Numbers as a reader sees them, the same in every message, table and chart.

Minus is the plain "-", so that a figure can be copied and pasted. What is absent or not finite is said to be
"not known", never printed as NaN or as 0.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeGuard

from detectors.event import Fact, Label, Unit
from detectors.market import HOUR_MS, MINUTE_MS

NOT_KNOWN = "not known"
ESTIMATED_SIGN = "≈"

_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_LEAST_DIGITS = 3
_LEVEL_DIGITS = 5


def price(value: float | None, decimals: int) -> str:
    """A traded price in the market's own precision: ``88,420.5``, ``0.00001234``.

    Shows more than ``decimals`` only where three significant digits would be lost otherwise.
    """
    if not _known(value):
        return NOT_KNOWN
    return f"{value:,.{max(decimals, _decimals_for(value, _LEAST_DIGITS))}f}"


def level(value: float | None, decimals: int) -> str:
    """An estimated price: five significant digits at most, since the grid behind it is no finer."""
    if not _known(value):
        return NOT_KNOWN
    return price(value, min(decimals, _decimals_for(value, _LEVEL_DIGITS)))


def usd(value: float | None) -> str:
    """Dollars to three significant digits: ``$812``, ``$950K``, ``$42.1M``, ``$1.23B``."""
    if not _known(value):
        return NOT_KNOWN
    return f"{'-' if value < 0 else ''}${_compact(abs(value))}"


def amount(value: float | None, base: str) -> str:
    """An amount of the base asset: ``12.3K BTC``."""
    if not _known(value):
        return NOT_KNOWN
    return f"{'-' if value < 0 else ''}{_compact(abs(value))} {base}".rstrip()


def percent(fraction: float | None, *, signed: bool = False) -> str:
    """A fraction as per cent: ``1.8%``, ``+1.8%`` when ``signed``; finer below 1 %."""
    if not _known(fraction):
        return NOT_KNOWN
    size = abs(fraction) * 100
    decimals = 1 if round(size, 2) >= 1 or size == 0 else 2 if round(size, 3) >= 0.01 else 4
    return _signed(fraction * 100, decimals, signed) + "%"


def funding(rate: float | None) -> str:
    """A funding rate, a fraction an interval: ``+0.0312%``. Always signed: plus means longs pay shorts."""
    return NOT_KNOWN if not _known(rate) else _signed(rate * 100, 4, True) + "%"


def counted(n: int, thing: str) -> str:
    """``1 alert``, ``2 alerts``."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def some_of(names: Sequence[str], most: int) -> str:
    """``BTC, ETH and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def duration(milliseconds: float | None) -> str:
    """Two units at most: ``40 s``, ``12 min``, ``3 h 20 min``, ``3 d 4 h``."""
    if not _known(milliseconds):
        return NOT_KNOWN
    sign = "-" if milliseconds < 0 else ""
    seconds = round(abs(milliseconds) / 1000)
    if seconds < 60:
        return f"{sign if seconds else ''}{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{sign}{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{sign}{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(round(hours + minutes / 60), 24)
    return f"{sign}{days} d" + (f" {hours} h" if hours else "")


def moment(at_ms: int) -> str:
    """A time to the minute with its zone: ``2025-10-10 21:20 UTC``."""
    return f"{_utc(at_ms):%Y-%m-%d %H:%M} UTC"


def clock(at_ms: int) -> str:
    """The time of day with its zone: ``21:20 UTC``."""
    return f"{_utc(at_ms):%H:%M} UTC"


def day(at_ms: int) -> str:
    """The day: ``10 Oct``."""
    return f"{_utc(at_ms).day} {_utc(at_ms):%b}"


def fact_value(fact: Fact, *, base: str, price_decimals: int) -> str:
    """A fact's value in its unit, with ``≈`` before it when it is estimated.

    A name that ends in ``_pct`` is in per cent already, and one that holds ``funding_rate`` keeps four decimals.
    """
    value = fact.value
    if value is None or value == "":
        return NOT_KNOWN
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return NOT_KNOWN
    sign = ESTIMATED_SIGN if fact.label is Label.ESTIMATED else ""
    return sign + _in_unit(fact, value, base, price_decimals)


def _in_unit(fact: Fact, value: float, base: str, price_decimals: int) -> str:
    signed = "change" in fact.name
    if fact.name.endswith("_pct"):
        return percent(value / 100, signed=signed)
    match fact.unit:
        case Unit.USD:
            return usd(value)
        case Unit.BASE:
            return amount(value, base)
        case Unit.PRICE:
            return (level if fact.label is Label.ESTIMATED else price)(value, price_decimals)
        case Unit.FRACTION:
            return funding(value) if "funding_rate" in fact.name else percent(value, signed=signed)
        case Unit.BPS:
            return _signed(value, 1 if 0 < abs(value) < 10 else 0, signed) + " bps"
        case Unit.HOURS:
            return duration(value * HOUR_MS)
        case Unit.MINUTES:
            return duration(value * MINUTE_MS)
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.RATIO | Unit.TEXT:
            return _signed(value, 2, signed)


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _signed(value: float, decimals: int, signed: bool) -> str:
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    # What rounds to nothing has no sign.
    return text.lstrip("+-") if not float(text.replace(",", "")) else text


def _decimals_for(value: float, digits: int) -> int:
    """Decimals at which ``value`` shows that many significant digits; never negative."""
    return 0 if not value else max(0, digits - 1 - math.floor(math.log10(abs(value))))


def _compact(size: float) -> str:
    """Three significant digits with K, M, B or T, without trailing zeros."""
    for step, letter in _STEPS:
        # 999,600 is 1M, not 1000K.
        if size >= step * 0.9995:
            return _digits(size / step) + letter
    return _digits(size)


def _digits(size: float) -> str:
    text = f"{size:,.{min(_decimals_for(float(f'{size:.2e}'), 3), 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
