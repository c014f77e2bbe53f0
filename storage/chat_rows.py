"""Which row a chat has. All functions run inside the caller's transaction."""
# ruff: noqa: S608 - only marks are formatted into a statement; every value is bound

from collections.abc import Iterable

from storage.chats import Chat
from storage.sql import Connection, listed, parts


def find(connection: Connection, chat: Chat) -> int | None:
    """The chat's row; None where it never asked for anything."""
    select = "SELECT id FROM chats WHERE platform = ? AND chat_id = ?"
    found = connection.execute(select, (chat.platform, chat.chat_id)).fetchone()
    return int(found[0]) if found else None


def find_all(connection: Connection, chats: Iterable[Chat]) -> dict[Chat, int]:
    """Rows of the chats that have one."""
    rows: dict[Chat, int] = {}
    for part in parts([(chat.platform, chat.chat_id) for chat in chats]):
        marks, values = listed(part)
        select = f"SELECT platform, chat_id, id FROM chats WHERE (platform, chat_id) IN ({marks})"
        found = connection.execute(select, values).fetchall()
        rows.update({Chat(platform, name): int(row) for platform, name, row in found})
    return rows
