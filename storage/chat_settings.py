"""How a chat wants to be told: mutes of markets, quiet hours, sound, a daily cap. One JSON document a chat.

All functions that take a connection run inside the caller's transaction.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from storage.chats import Chat
from storage.sql import Connection, listed, parts


class Sound(StrEnum):
    """Which alerts arrive with a sound."""

    ALL = "all"
    SEVERE = "severe"
    """Warnings and worse."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which nothing is sent, in minutes after local midnight; over midnight where it ends before it begins."""

    from_minute: int
    to_minute: int


@dataclass(frozen=True, slots=True)
class ChatSettings:
    time_zone: str = "UTC"
    """By its IANA name: of the quiet hours and of the day of the cap."""
    quiet: Quiet | None = None
    sound: Sound = Sound.ALL
    daily_cap: int | None = None
    """Alerts a day; None: no limit."""
    muted_markets: Mapping[str, int] = field(default_factory=dict)
    """By base asset: until when, market time in ms."""
    notices: bool = False
    """Whether it is told what is wrong with the data."""


USUAL = ChatSettings()


def pack(settings: ChatSettings) -> str:
    return json.dumps(asdict(settings), separators=(",", ":"), sort_keys=True)


def unpack(text: str) -> ChatSettings:
    document: dict[str, Any] = json.loads(text)
    document["quiet"] = Quiet(**document["quiet"]) if document["quiet"] else None
    document["sound"] = Sound(document["sound"])
    return ChatSettings(**document)


def save(connection: Connection, row: int, settings: ChatSettings) -> None:
    connection.execute(
        "INSERT INTO chat_settings (chat, document) VALUES (?, ?) "
        "ON CONFLICT (chat) DO UPDATE SET document = excluded.document",
        (row, pack(settings)),
    )


def load(connection: Connection, chats: Collection[Chat] | None) -> dict[Chat, ChatSettings]:
    """Those that differ from `USUAL`; None: of every chat."""
    query = "SELECT platform, chat_id, document FROM chat_settings s JOIN chats c ON c.id = s.chat"
    if chats is None:
        rows = connection.execute(query).fetchall()
    else:
        rows = []
        for part in parts([(chat.platform, chat.chat_id) for chat in chats]):
            marks, values = listed(part)
            rows += connection.execute(f"{query} WHERE (platform, chat_id) IN ({marks})", values).fetchall()
    every = {Chat(platform, name): unpack(document) for platform, name, document in rows}
    return {chat: settings for chat, settings in every.items() if settings != USUAL}
