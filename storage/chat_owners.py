"""Who had something watched where, so that one user cannot fill the store through many chats."""

from collections.abc import Callable

from storage.chat_rows import find
from storage.chats import Chat
from storage.errors import QuotaExceeded
from storage.sql import Connection


def note(connection: Connection, chat: Chat, user_id: str, most_chats: int, row_of: Callable[[], int]) -> None:
    """Inside the caller's transaction; ``row_of`` makes the chat's row. The first owner stays. Raises QuotaExceeded."""
    owner = f"{chat.platform}:{user_id}"
    row = find(connection, chat)
    if row is not None and connection.execute("SELECT 1 FROM chat_owners WHERE chat = ?", (row,)).fetchone():
        return
    (n,) = connection.execute(
        "SELECT count(*) FROM chat_owners WHERE owner = ? AND chat IN (SELECT chat FROM subscriptions)", (owner,)
    ).fetchone()
    if n >= most_chats:
        raise QuotaExceeded(most_chats, "One user can have {limit} chats watch something: /unwatch all in one first.")
    connection.execute("INSERT INTO chat_owners (chat, owner) VALUES (?, ?)", (row or row_of(), owner))
