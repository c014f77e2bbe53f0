"""Alerts held back for a digest: recorded in the outbox as ``held``, each with the time at which it falls due.

All functions run inside the caller's transaction.
"""

from collections.abc import Mapping, Sequence

from storage import sql_queues
from storage.chat_upkeep import find
from storage.chats import Chat
from storage.sql import Connection


def hold_new(connection: Connection, rows: Sequence[tuple[str, int | None, str, int]]) -> None:
    """Note until when deliveries are held that were just added as such, or were before: (reason, until, the event's
    key, chat).
    One that was released meanwhile is not held again."""
    connection.executemany(
        "INSERT INTO holds (reason, until_ms, event_id, chat) SELECT ?, ?, event_id, chat FROM deliveries "
        "WHERE event_id = (SELECT id FROM events WHERE key = ?) AND chat = ? AND state = 'held' ON CONFLICT DO NOTHING",
        rows,
    )


def release(connection: Connection, market_ms: int) -> list[int]:
    """Owe what is due by ``market_ms``, as one digest for each chat and reason; the chats' rows.

    What is held for the same reason comes with it even if it falls due later (the hours were changed meanwhile), or a
    chat would get two digests.
    """
    due = connection.execute(
        "SELECT DISTINCT chat, reason FROM holds WHERE until_ms <= ? ORDER BY chat, reason", (market_ms,)
    ).fetchall()
    for chat_row, reason in due:
        connection.execute(
            "UPDATE deliveries SET state = 'pending', due_at_ms = 0 WHERE chat = ? AND state = 'held' "
            "AND event_id IN (SELECT event_id FROM holds WHERE chat = ? AND reason = ?)",
            (chat_row, chat_row, reason),
        )
        connection.execute("DELETE FROM holds WHERE chat = ? AND reason = ?", (chat_row, reason))
        sql_queues.renew(connection, chat_row)
    return sorted({chat_row for chat_row, _ in due})


def put_off(connection: Connection, chat: Chat, reason: str, until_ms: int) -> int:
    """What is held for ``reason`` falls due then; how many there are."""
    update = "UPDATE holds SET until_ms = ? WHERE chat = ? AND reason = ?"
    return int(connection.execute(update, (until_ms, find(connection, chat), reason)).rowcount)


def told_since(connection: Connection, chat: Chat, since_ms: int) -> Mapping[tuple[str, str], int]:
    """Alerts decided for the chat since then and not held back, by (market, subject)."""
    rows = connection.execute(
        "SELECT e.market, e.subject, count(*) FROM deliveries d JOIN events e ON e.id = d.event_id "
        "WHERE d.chat = ? AND d.taken_at_ms >= ? AND d.reason NOT IN ('quiet', 'capped') GROUP BY e.market, e.subject",
        (find(connection, chat), since_ms),
    ).fetchall()
    return {(market, subject): int(n) for market, subject, n in rows}
