"""Chats that a database file knows, read beside whoever writes it: for checks from outside, not for the bot itself."""

import sqlite3
from contextlib import closing
from pathlib import Path


def subscribed(path: Path, platform: str, most: int) -> list[str]:
    """Ids of a platform's chats that watch something and are not parked, the latest first; empty where none are known.

    The file is opened for reading only, and a running bot is not disturbed. Raises nothing for a file that is missing
    or is no database of ours: whoever checks says that already.
    """
    select = (
        "SELECT chat_id FROM chats WHERE platform = ? AND parked IS NULL "
        "AND EXISTS (SELECT 1 FROM subscriptions WHERE subscriptions.chat = chats.id) ORDER BY id DESC LIMIT ?"
    )
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return [str(row[0]) for row in connection.execute(select, (platform, most))]
    except sqlite3.Error:
        return []
