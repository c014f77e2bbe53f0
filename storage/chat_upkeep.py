"""Chats that come back or get another id. All functions run inside the caller's transaction."""

from storage import sql_queues
from storage.chats import Chat
from storage.sql import Connection


def find(connection: Connection, chat: Chat) -> int | None:
    """The chat's row; None where it never asked for anything."""
    select = "SELECT id FROM chats WHERE platform = ? AND chat_id = ?"
    found = connection.execute(select, (chat.platform, chat.chat_id)).fetchone()
    return int(found[0]) if found else None


def unpark(connection: Connection, chat: Chat) -> bool:
    """Whether it, or a topic of it (``ID/...``), was parked."""
    update = (
        "UPDATE chats SET parked = NULL WHERE platform = ? AND (chat_id = ? OR chat_id LIKE ?) AND parked IS NOT NULL"
    )
    done = connection.execute(update, (chat.platform, chat.chat_id, f"{chat.chat_id}/%"))
    return bool(done.rowcount > 0)


def migrate(connection: Connection, old: Chat, new: Chat) -> bool:
    """Give a chat its new id; False where there was nothing to move, as at a repeat.

    Where somebody was quicker and the new one has asked for something already, what it asked for stays and the rest
    is added; of an alert owed to both the new chat gets one.
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
    connection.execute(
        "UPDATE deliveries SET chat = ? WHERE chat = ? "
        "AND event_id NOT IN (SELECT event_id FROM deliveries WHERE chat = ?)",
        (taken, row, taken),
    )
    connection.execute(
        "UPDATE holds SET chat = ? WHERE chat = ? AND event_id NOT IN (SELECT event_id FROM holds WHERE chat = ?)",
        (taken, row, taken),
    )
    for moved in (row, taken):
        sql_queues.renew(connection, moved)
    known = connection.execute("SELECT 1 FROM chat_settings WHERE chat = ?", (taken,)).fetchone()
    if not known:
        connection.execute("UPDATE chat_settings SET chat = ? WHERE chat = ?", (taken, row))
    connection.execute("UPDATE chats SET parked = ? WHERE id = ?", (f"moved to {new}", row))
    return True
