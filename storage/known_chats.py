"""Chats that a database knows, read beside whoever writes it: for checks from outside, not for the bot itself."""

import sqlite3
from contextlib import closing
from pathlib import Path

_SELECT = (
    "SELECT chat_id FROM chats WHERE platform = ? AND parked IS NULL "
    "AND EXISTS (SELECT 1 FROM subscriptions WHERE subscriptions.chat = chats.id) ORDER BY id DESC LIMIT ?"
)


def subscribed(place: Path | str, platform: str, most: int) -> list[str]:
    """Ids of a platform's chats that watch something and are not parked, the latest first; empty where none are known.

    ``place`` is a file or a URL of PostgreSQL. It is read only, and a running bot is not disturbed. Raises nothing for
    one that is missing, cannot be reached, or is no database of ours: whoever checks says that already.
    """
    if isinstance(place, str):
        from storage import postgres_look  # whoever uses SQLite need not load libpq

        return [str(row[0]) for row in postgres_look.read(place, _SELECT, (platform, most))]
    if not place.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{place.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return [str(row[0]) for row in connection.execute(_SELECT, (platform, most))]
    except sqlite3.Error:
        return []
