"""Alerts for many chats at once: each statement is a round trip where the database is elsewhere.

Inside the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage import sql_queues
from storage.chat_rows import find_all
from storage.chats import Chat
from storage.holds import hold_new
from storage.sql import Connection, Cursor, insert
from storage.store import NewDelivery

EVENT_ID = "(SELECT id FROM events WHERE key = ?)"
_ONCE = "ON CONFLICT (event_id, chat) DO NOTHING"


@dataclass(frozen=True, slots=True)
class Owed:
    """One stored event, and whom it is owed to."""

    key: str
    taken_at_ms: int
    deliveries: Sequence[NewDelivery]


def add_deliveries(connection: Connection, owed: Sequence[Owed], chats: Mapping[Chat, int]) -> list[Cursor]:
    """Those that count how many are new; one that is there already stays as it is. ``chats``: the rows of all.

    Events go by their keys, so that nobody waits to hear which number each has got.
    """
    due = [(one, each) for one in owed for each in one.deliveries if each.hold_until_ms is None]
    held = [(one, each) for one in owed for each in one.deliveries if each.hold_until_ms is not None]
    added = insert(
        connection,
        "deliveries (event_id, chat, taken_at_ms, reason, expires_at_ms)",
        [(one.key, chats[each.chat], one.taken_at_ms, each.reason, each.expires_at_ms) for one, each in due],
        _ONCE,
        first=EVENT_ID,
    )
    if due:
        sql_queues.add_new(connection, [one.key for one in owed])
    added += insert(
        connection,
        "deliveries (event_id, chat, taken_at_ms, reason, state)",
        [(one.key, chats[each.chat], one.taken_at_ms, each.reason, "held") for one, each in held],
        _ONCE,
        first=EVENT_ID,
    )
    if held:
        hold_new(connection, [(each.reason, each.hold_until_ms, one.key, chats[each.chat]) for one, each in held])
    return added


def know_chats(connection: Connection, chats: Sequence[Chat], rows: dict[Chat, int]) -> None:
    """Put every chat's row into ``rows``, made on first sight."""
    unknown = [chat for chat in dict.fromkeys(chats) if chat not in rows]
    rows.update(find_all(connection, unknown))
    if new := [chat for chat in unknown if chat not in rows]:
        names = [(chat.platform, chat.chat_id) for chat in new]
        insert(connection, "chats (platform, chat_id)", names, "ON CONFLICT DO NOTHING")
        rows.update(find_all(connection, new))
