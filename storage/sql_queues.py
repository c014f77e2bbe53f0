"""One row for each chat that is owed something, so that looking for work costs the same however much is owed.

``head`` is the chat's oldest open delivery, ``busy`` whether one is being sent or edited, ``due_at_ms`` how long the
chat was told to wait. All of it follows from the deliveries; a start makes it anew. All functions run inside the
caller's transaction.
"""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections import Counter
from collections.abc import Mapping, Sequence

from storage import totals
from storage.sql import Connection, Cursor, insert, listed, parts

OPEN = "state IN ('pending', 'sending', 'editing')"  # as in the partial indexes, or they are not used
CLAIMED = "state IN ('sending', 'editing')"


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


def add_new(connection: Connection, keys: Sequence[str]) -> None:
    """After deliveries of the events with these keys were added: a new delivery stands behind the chat's others, or
    begins its queue."""
    for part in parts(keys):
        marks, values = listed([(key,) for key in part])
        connection.execute(
            "INSERT INTO queues (chat, head) SELECT d.chat, min(d.id) FROM deliveries d "
            f"WHERE d.event_id IN (SELECT e.id FROM events e WHERE e.key IN ({marks})) AND d.state = 'pending' "
            "GROUP BY d.chat ON CONFLICT (chat) DO NOTHING",
            values,
        )


def idle(platform: str | None) -> tuple[str, tuple[str, ...]]:
    """A query for (chat, head) of chats that can be sent something, oldest first, and the last of its values: it takes
    the time, the head behind which they are, these, and the number of chats."""
    where, values = of_platform("chat", platform)
    return (
        f"SELECT chat, head FROM queues WHERE busy = 0 AND due_at_ms <= ? AND head > ? {where}ORDER BY head LIMIT ?",
        values,
    )


def of_platform(column: str, platform: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition that the chat in ``column`` is one of the platform's, and its values; None: any."""
    if platform is None:
        return "", ()
    return f"AND EXISTS (SELECT 1 FROM chats p WHERE p.id = {column} AND p.platform = ?) ", (platform,)


def occupy(connection: Connection, heads: Sequence[tuple[int, int]]) -> None:
    """``heads``: (chat, delivery) of what is being sent or edited now."""
    rows = [(chat_row, head, 1) for chat_row, head in heads]
    insert(connection, "queues (chat, head, busy)", rows, "ON CONFLICT (chat) DO UPDATE SET busy = 1")


def refresh(connection: Connection, chats: Mapping[int, int]) -> None:
    """After deliveries of these chats were settled; each with the time before which it is sent nothing."""
    connection.executemany(
        "DELETE FROM queues WHERE chat = ? "
        f"AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.chat = queues.chat AND d.{OPEN})",
        [(chat_row,) for chat_row in chats],
    )
    connection.executemany(
        f"UPDATE queues SET head = (SELECT min(d.id) FROM deliveries d WHERE d.chat = queues.chat AND d.{OPEN}), "
        "due_at_ms = CASE WHEN due_at_ms < ? THEN ? ELSE due_at_ms END, busy = CASE WHEN EXISTS "
        f"(SELECT 1 FROM deliveries d WHERE d.chat = queues.chat AND d.{CLAIMED}) THEN 1 ELSE 0 END WHERE chat = ?",
        [(due_at_ms, due_at_ms, chat_row) for chat_row, due_at_ms in chats.items()],
    )


def parked(connection: Connection) -> Cursor:
    """(chat, reason, platform) of parked chats that are still owed something; see `bury`."""
    return connection.execute(
        "SELECT q.chat, c.parked, c.platform FROM chats c JOIN queues q ON q.chat = c.id WHERE c.parked IS NOT NULL"
    )


def bury(connection: Connection, found: Sequence[tuple[int, str, str]]) -> None:
    """What parked chats are owed is dead, with the reason."""
    update = f"UPDATE deliveries SET state = 'dead', note = ? WHERE chat = ? AND {OPEN} AND state = 'pending'"
    buried = [(platform, connection.execute(update, (reason, chat_row))) for chat_row, reason, platform in found]
    refresh(connection, {chat_row: 0 for chat_row, _, _ in found})
    dead: Counter[tuple[str, str]] = Counter()
    for platform, answer in buried:
        dead[platform, "dead"] += answer.rowcount
    totals.add(connection, totals.DELIVERIES, dead)
