"""Gaps in observed liquidations. All functions run inside the caller's transaction."""

from collections.abc import Iterable

from detectors.market import PrintGap
from storage.sql import Connection

_NOTE = (
    "INSERT INTO gaps VALUES (?, ?, ?) "
    "ON CONFLICT (venue, since_ms) DO UPDATE SET until_ms = excluded.until_ms WHERE gaps.until_ms IS NULL"
)
_END_EARLIER = "UPDATE gaps SET until_ms = ? WHERE venue = ? AND since_ms < ? AND until_ms IS NULL"


def note(connection: Connection, gaps: Iterable[PrintGap]) -> None:
    for gap in sorted(gaps, key=lambda one: one.since_ms):
        unheard = _unheard(gap)
        connection.execute(_NOTE, (unheard, gap.since_ms, gap.until_ms))
        connection.execute(_END_EARLIER, (gap.since_ms, unheard, gap.since_ms))


def since(connection: Connection, since_ms: int) -> list[PrintGap]:
    rows = connection.execute(
        "SELECT venue, since_ms, until_ms FROM gaps WHERE until_ms IS NULL OR until_ms > ?",
        (since_ms,),
    )
    gaps = (_gap(*row) for row in rows)
    return sorted(gaps, key=lambda gap: (gap.since_ms, gap.venue, gap.market))


def _unheard(gap: PrintGap) -> str:
    """What was not heard, as the column ``venue`` has it: ``okx``, or ``okx/BTC`` for one market alone."""
    return f"{gap.venue}/{gap.market}" if gap.market else gap.venue


def _gap(unheard: str, since_ms: int, until_ms: int | None) -> PrintGap:
    venue, _, market = unheard.partition("/")
    return PrintGap(venue, since_ms, until_ms, market)
