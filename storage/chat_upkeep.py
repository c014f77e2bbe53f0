"""Chats that come back or get another id. All functions run inside the caller's transaction."""
# ruff: noqa: S608 - only names from this file are formatted into a statement; every value is bound

from collections.abc import Sequence

from storage import sql_queues
from storage.chat_rows import find
from storage.chats import MOVED, Chat
from storage.sql import Connection, listed, parts


def park_watching(connection: Connection, chats: Sequence[Chat], reason: str) -> int:
    """Those of the chats, and of their topics (``ID/...``), that watch something; how many. A guild is left with all
    its channels at once, so the number of statements does not depend on theirs."""
    return _set_parked(
        connection,
        chats,
        "parked IS NULL AND EXISTS (SELECT 1 FROM subscriptions s WHERE s.chat = chats.id)",
        reason,
    )


def unpark(connection: Connection, chats: Sequence[Chat], *, topics: bool) -> bool:
    """Whether any of them, or with ``topics`` one of theirs, was parked."""
    return _set_parked(connection, chats, "parked IS NOT NULL", None, topics=topics) > 0


def _set_parked(
    connection: Connection, chats: Sequence[Chat], which: str, reason: str | None, *, topics: bool = True
) -> int:
    if not chats:
        return 0
    wanted = {chat.chat_id for chat in chats}
    found = connection.execute(f"SELECT id, chat_id FROM chats WHERE platform = ? AND {which}", (chats[0].platform,))
    rows = [(row,) for row, name in found if name in wanted or (topics and name.partition("/")[0] in wanted)]
    for part in parts(rows):
        marks, values = listed(part)
        connection.execute(f"UPDATE chats SET parked = ? WHERE id IN ({marks})", (reason, *values))
    return len(rows)


def migrate(connection: Connection, old: Chat, new: Chat) -> bool:
    """Give a chat its new id; False where there was nothing to move, as at a repeat.

    Where somebody was quicker and the new one has asked for something already, what it asked for stays and the rest
    is added; of an alert owed to both the new chat gets one. The longer mute holds.
    """
    row, taken = find(connection, old), find(connection, new)
    if row is None or old == new:
        return False
    if taken is None:
        connection.execute(
            "UPDATE chats SET platform = ?, chat_id = ?, parked = NULL WHERE id = ?", (new.platform, new.chat_id, row)
        )
        return True
    connection.execute(
        "UPDATE subscriptions SET chat = ? WHERE chat = ? "
        "AND market NOT IN (SELECT market FROM subscriptions WHERE chat = ?)",
        (taken, row, taken),
    )
    connection.execute("DELETE FROM subscriptions WHERE chat = ?", (row,))
    # A hold goes where its delivery goes, or nothing would ever release that.
    for table in ("holds", "deliveries"):
        connection.execute(
            f"UPDATE {table} SET chat = ? WHERE chat = ? "
            "AND event_id NOT IN (SELECT event_id FROM deliveries WHERE chat = ?)",
            (taken, row, taken),
        )
    for moved in (row, taken):
        sql_queues.renew(connection, moved)
    for table in ("chat_settings", "chat_owners"):
        known = f"SELECT 1 FROM {table} WHERE chat = ?"
        if connection.execute(known, (taken,)).fetchone() is None:
            connection.execute(f"UPDATE {table} SET chat = ? WHERE chat = ?", (taken, row))
        connection.execute(f"DELETE FROM {table} WHERE chat = ?", (row,))
    (muted,) = connection.execute("SELECT max(muted_until_ms) FROM chats WHERE id IN (?, ?)", (row, taken)).fetchone()
    connection.execute("UPDATE chats SET muted_until_ms = ? WHERE id = ?", (muted, taken))
    connection.execute("UPDATE chats SET parked = ? WHERE id = ?", (MOVED, row))
    return True
