"""Gaps in observed liquidations in SQLite. All functions run inside the caller's transaction."""

import sqlite3
from collections.abc import Iterable

from detectors.market import PrintGap

_NOTE = (
    "INSERT INTO gaps VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms WHERE gaps.until_ms IS NULL"
)
_END_EARLIER = "UPDATE gaps SET until_ms = ?2 WHERE venue = ?1 AND since_ms < ?2 AND until_ms IS NULL"


def note(connection: sqlite3.Connection, gaps: Iterable[PrintGap]) -> None:
    for gap in sorted(gaps, key=lambda one: one.since_ms):
        connection.execute(_NOTE, (gap.venue, gap.since_ms, gap.until_ms))
        connection.execute(_END_EARLIER, (gap.venue, gap.since_ms))


def since(connection: sqlite3.Connection, since_ms: int) -> list[PrintGap]:
    rows = connection.execute(
        "SELECT venue, since_ms, until_ms FROM gaps WHERE until_ms IS NULL OR until_ms > ? ORDER BY since_ms, venue",
        (since_ms,),
    )
    return [PrintGap(*row) for row in rows]
