"""One row for each chat that is owed something, so that looking for work costs the same however much is owed.

``head`` is the chat's oldest open delivery, ``busy`` whether one is being sent or edited, ``due_at_ms`` how long the
chat was told to wait. All of it follows from the deliveries; a start makes it anew. All functions run inside the
caller's transaction.
"""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections.abc import Sequence

from storage.sql import Connection

OPEN = "state IN ('pending', 'sending', 'editing')"  # as in the partial indexes, or they are not used
CLAIMED = "state IN ('sending', 'editing')"
_PAGE = 64


_FROM_DELIVERIES = (
    "INSERT INTO queues (chat, head, busy) "
    "SELECT chat, min(id), max(CASE WHEN state = 'pending' THEN 0 ELSE 1 END) FROM deliveries "
)


def rebuild(connection: Connection) -> None:
    connection.execute("DELETE FROM queues")
    connection.execute(f"{_FROM_DELIVERIES} WHERE {OPEN} GROUP BY chat")


def renew(connection: Connection, chat_row: int) -> None:
    """After deliveries older than those it knew came to the chat, or went from it."""
    connection.execute(
        f"DELETE FROM queues WHERE chat = ? AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.chat = ? AND d.{OPEN})",
        (chat_row, chat_row),
    )
    connection.execute(
        f"{_FROM_DELIVERIES} WHERE chat = ? AND {OPEN} GROUP BY chat "
        "ON CONFLICT (chat) DO UPDATE SET head = excluded.head, busy = excluded.busy",
        (chat_row,),
    )


def add_all(connection: Connection, heads: Sequence[tuple[int, int]]) -> None:
    """``heads``: (chat, delivery). A new delivery stands behind the chat's others."""
    if heads:
        marks = ", ".join(["(?, ?)"] * len(heads))
        connection.execute(
            f"INSERT INTO queues (chat, head) VALUES {marks} ON CONFLICT (chat) DO NOTHING",
            [value for pair in heads for value in pair],
        )


def idle(connection: Connection, now_ms: int, after: int, platform: str | None) -> list[tuple[int, int]]:
    """(head, chat) of the next chats that can be sent something, oldest first, behind ``after``."""
    where, values = of_platform("chat", platform)
    return connection.execute(
        f"SELECT head, chat FROM queues WHERE busy = 0 AND due_at_ms <= ? AND head > ? {where}ORDER BY head LIMIT ?",
        (now_ms, after, *values, _PAGE),
    ).fetchall()


def of_platform(column: str, platform: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition that the chat in ``column`` is one of the platform's, and its values; None: any."""
    if platform is None:
        return "", ()
    return f"AND EXISTS (SELECT 1 FROM chats p WHERE p.id = {column} AND p.platform = ?) ", (platform,)


def occupy(connection: Connection, heads: Sequence[tuple[int, int]]) -> None:
    """``heads``: (chat, delivery) of what is being sent or edited now."""
    marks = ", ".join(["(?, ?, 1)"] * len(heads))
    connection.execute(
        f"INSERT INTO queues (chat, head, busy) VALUES {marks} ON CONFLICT (chat) DO UPDATE SET busy = 1",
        [value for pair in heads for value in pair],
    )


def refresh(connection: Connection, chat_row: int, due_at_ms: int = 0) -> None:
    """After deliveries of the chat were settled; ``due_at_ms``: not before."""
    found = connection.execute(
        f"SELECT id FROM deliveries WHERE chat = ? AND {OPEN} ORDER BY id LIMIT 1", (chat_row,)
    ).fetchone()
    if found is None:
        connection.execute("DELETE FROM queues WHERE chat = ?", (chat_row,))
        return
    connection.execute(
        "UPDATE queues SET head = ?, due_at_ms = CASE WHEN due_at_ms < ? THEN ? ELSE due_at_ms END, "
        f"busy = CASE WHEN EXISTS (SELECT 1 FROM deliveries d WHERE d.chat = ? AND d.{CLAIMED}) THEN 1 ELSE 0 END "
        "WHERE chat = ?",
        (found[0], due_at_ms, due_at_ms, chat_row, chat_row),
    )


def bury_parked(connection: Connection) -> None:
    """What parked chats are owed is dead, with the reason."""
    parked = connection.execute(
        "SELECT q.chat, c.parked FROM chats c JOIN queues q ON q.chat = c.id WHERE c.parked IS NOT NULL"
    ).fetchall()
    for chat_row, reason in parked:
        connection.execute(
            f"UPDATE deliveries SET state = 'dead', note = ? WHERE chat = ? AND {OPEN} AND state = 'pending'",
            (reason, chat_row),
        )
        refresh(connection, chat_row)
