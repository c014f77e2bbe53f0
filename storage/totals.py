"""Counts of what only ever grows, kept beside it: ``/metrics`` asks several times a minute, and to count a year of
deliveries each time would hold up commits. What is owed is counted as it is. Inside the caller's transaction.
"""

from collections import Counter
from collections.abc import Mapping

from storage.sql import Connection, insert

DELIVERIES = "delivery"
"""By platform and how it ended; one that is being edited was sent."""
SILENCES = "silence"
"""By reason."""


def add(connection: Connection, topic: str, counted: Mapping[tuple[str, str], int]) -> None:
    """``counted`` is by name and detail."""
    rows = [(topic, name, detail, n) for (name, detail), n in sorted(counted.items()) if n]
    insert(
        connection,
        "totals (topic, name, detail, n)",
        rows,
        "ON CONFLICT (topic, name, detail) DO UPDATE SET n = totals.n + excluded.n",
    )


def silences(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT name, n FROM totals WHERE topic = ?", (SILENCES,)).fetchall()
    return {reason: int(n) for reason, n in rows}


def deliveries(connection: Connection) -> dict[str, dict[str, int]]:
    """By platform and state, those that are owed included."""
    ended = connection.execute("SELECT name, detail, n FROM totals WHERE topic = ?", (DELIVERIES,)).fetchall()
    counted: Counter[tuple[str, str]] = Counter({(platform, state): n for platform, state, n in ended})
    owed = connection.execute(
        "SELECT c.platform, d.state, count(*) FROM deliveries d JOIN chats c ON c.id = d.chat "
        "WHERE d.state IN ('pending', 'sending', 'editing') GROUP BY c.platform, d.state"  # as in the index
    ).fetchall()
    held = connection.execute(
        "SELECT c.platform, 'held', count(*) FROM holds h JOIN chats c ON c.id = h.chat GROUP BY c.platform"
    ).fetchall()
    for platform, state, n in (*owed, *held):
        counted[platform, state] += n
        if state == "editing":
            counted[platform, "sent"] -= n
    found: dict[str, dict[str, int]] = {}
    for (platform, state), n in counted.items():
        if n:
            found.setdefault(platform, {})[state] = n
    return found
