"""What each venue of a merged market said, packed beside its snapshot and read back to the last bit.

A byte for the format, then a sample after the other: the number of its symbol, a mask of what it tells, its times as
distances from the snapshot's, and eight bytes for each number that it tells: 40 bytes for a bar of the past, 80 where
the venue says all that there is.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from detectors.market import VenueSample

_FORMAT = 1
_HEAD = struct.Struct("<IH")
_NEXT_FUNDING = 1 << 8
_WIDE = 1 << 15
"""Times are further from the snapshot's than 32 bits hold."""
_NARROW = 2**31


def pack(samples: Sequence[VenueSample], at_ms: int, number_of: Callable[[str, str], int]) -> bytes | None:
    """None for no samples. ``number_of`` gives a venue's symbol its number. Raises ValueError for NaN and infinity."""
    if not samples:
        return None
    parts = [bytes((_FORMAT,))]
    for one in samples:
        values = (
            one.price,
            one.mark_price,
            one.volume_base,
            one.open_interest_base,
            one.funding_rate,
            one.funding_interval_hours,
            one.long_short_ratio,
            one.taker_buy_ratio,
        )
        told = [value for value in values if value is not None]
        if not all(map(math.isfinite, told)):
            raise ValueError(f"{one.venue} at {at_ms}: a number is not finite; screen it first")
        mask = sum(1 << bit for bit, value in enumerate(values) if value is not None)
        times = [one.happened_at_ms - at_ms, one.seen_at_ms - at_ms]
        if one.next_funding_at_ms is not None:
            mask |= _NEXT_FUNDING
            times.append(one.next_funding_at_ms - at_ms)
        if not all(-_NARROW <= apart < _NARROW for apart in times):
            mask |= _WIDE
        parts += (_HEAD.pack(number_of(one.venue, one.symbol), mask), _body(mask).pack(*times, *told))
    return b"".join(parts)


def unpack(packed: bytes, at_ms: int, symbols: Mapping[int, tuple[str, str]]) -> tuple[VenueSample, ...]:
    """The samples as they were; ``symbols``: venue and symbol by number. Raises ValueError for another format."""
    if packed[0] != _FORMAT:
        raise ValueError(f"venues' samples of format {packed[0]}: this version reads format {_FORMAT}")
    samples, at = [], 1
    while at < len(packed):
        number, mask = _HEAD.unpack_from(packed, at)
        body = _body(mask)
        happened, seen, *rest = body.unpack_from(packed, at + _HEAD.size)
        at += _HEAD.size + body.size
        next_ms = at_ms + rest.pop(0) if mask & _NEXT_FUNDING else None
        told = iter(rest)
        price, mark, volume, interest, rate, hours, long_short, taker = (
            next(told) if mask & 1 << bit else None for bit in range(8)
        )
        venue, symbol = symbols[number]
        samples.append(
            VenueSample(
                venue,
                symbol,
                at_ms + happened,
                at_ms + seen,
                price,
                mark,
                volume,
                interest,
                rate,
                hours,
                next_ms,
                long_short,
                taker,
            )
        )
    return tuple(samples)


@cache
def _body(mask: int) -> struct.Struct:
    times = 3 if mask & _NEXT_FUNDING else 2
    return struct.Struct("<" + ("q" if mask & _WIDE else "i") * times + "d" * (mask & 0xFF).bit_count())
