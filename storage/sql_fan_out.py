"""One alert for many chats: three statements for some hundred chats, since each is a round trip where the database is
elsewhere. Inside the caller's transaction.
"""
# ruff: noqa: S608 - only marks are formatted into a statement; every value is bound

from collections.abc import Iterator, Sequence

from storage import sql_queues
from storage.chats import Chat
from storage.holds import hold
from storage.sql import Connection
from storage.sql_chats import chat_row
from storage.store import NewDelivery

_AT_ONCE = 400
"""Chats in one statement, which may have so many parameters."""


def add_deliveries(connection: Connection, event_id: int, taken_at_ms: int, deliveries: Sequence[NewDelivery]) -> int:
    """How many are new; one that is there already stays as it is."""
    return sum(_add(connection, event_id, taken_at_ms, part) for part in _parts(deliveries))


def _add(connection: Connection, event_id: int, taken_at_ms: int, deliveries: Sequence[NewDelivery]) -> int:
    rows = _chat_rows(connection, [delivery.chat for delivery in deliveries])
    by_row = {rows[delivery.chat]: delivery for delivery in deliveries}
    added = connection.execute(
        "INSERT INTO deliveries (event_id, chat, taken_at_ms, reason, expires_at_ms) VALUES "
        f"{_marks('(?, ?, ?, ?, ?)', len(by_row))} ON CONFLICT (event_id, chat) DO NOTHING RETURNING id, chat",
        [
            value
            for row, delivery in by_row.items()
            for value in (event_id, row, taken_at_ms, delivery.reason, delivery.expires_at_ms)
        ],
    ).fetchall()
    sql_queues.add_all(connection, [(row, key) for key, row in sorted(added) if by_row[row].hold_until_ms is None])
    for _, row in added:
        if (until_ms := by_row[row].hold_until_ms) is not None:
            hold(connection, event_id, row, by_row[row].reason, until_ms)
    return len(added)


def _chat_rows(connection: Connection, chats: Sequence[Chat]) -> dict[Chat, int]:
    """Every chat's row, made on first sight."""
    found = connection.execute(
        f"SELECT platform, chat_id, id FROM chats WHERE (platform, chat_id) IN (VALUES {_marks('(?, ?)', len(chats))})",
        [value for chat in chats for value in (chat.platform, chat.chat_id)],
    ).fetchall()
    known = {Chat(platform, name): int(row) for platform, name, row in found}
    return {chat: known.get(chat) or chat_row(connection, chat) for chat in chats}


def _marks(one: str, number: int) -> str:
    return ", ".join([one] * number)


def _parts(deliveries: Sequence[NewDelivery]) -> Iterator[Sequence[NewDelivery]]:
    return (deliveries[start : start + _AT_ONCE] for start in range(0, len(deliveries), _AT_ONCE))
