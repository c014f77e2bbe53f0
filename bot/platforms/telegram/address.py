"""Chat ids: ``-100123`` for a chat, ``-100123/42`` for topic 42 of a forum."""

import re
from typing import NamedTuple

from storage.chats import Chat

NAME = "telegram"
ANONYMOUS_ADMIN = 1087968824
"""Who writes where an admin of a group writes anonymously."""
SENT_AS_CHANNEL = 136817688
"""Who writes where somebody writes in the name of a channel."""
CHANNEL_FORWARD = 777000
"""Who forwards a channel's posts to the group that discusses it."""
_FAR = "-100"
_LINK = re.compile(r"(?:https?://)?(?:www\.)?(?:t\.me|telegram\.me)/(?:(?P<name>[A-Za-z]\w{3,31})|c/(?P<number>\d{1,14}))"
                   r"(?:/(?P<topic>\d{1,10}))?(?:/\d{1,10})?/?(?:\?\S*)?", re.ASCII)  # fmt: skip
_NAME = re.compile(r"@[A-Za-z]\w{3,31}", re.ASCII)
_ID = re.compile(r"(?P<chat>-?\d{1,16})(?:/(?P<topic>\d{1,10}))?", re.ASCII)


class Address(NamedTuple):
    chat_id: int
    topic: int | None = None

    def __str__(self) -> str:
        return f"{self.chat_id}/{self.topic}" if self.topic else str(self.chat_id)

    @property
    def chat(self) -> Chat:
        return Chat(NAME, str(self))

    @property
    def is_private(self) -> bool:
        return self.chat_id > 0


def parse(chat_id: str) -> Address:
    """Raises ValueError for what is no chat id of ours."""
    found = _ID.fullmatch(chat_id)
    if found is None:
        raise ValueError(f"{chat_id!r} is no Telegram chat id: it looks like -100123 or -100123/42")
    return Address(int(found["chat"]), int(found["topic"]) if found["topic"] else None)


def called(name: str) -> tuple[str | int, int | None] | None:
    """What somebody calls another chat: ``@channel``, an id or a t.me link, as the Bot API takes it, with the topic.

    None for anything else.
    """
    if _NAME.fullmatch(name):
        return name, None
    if found := _ID.fullmatch(name):
        return int(found["chat"]), int(found["topic"]) if found["topic"] else None
    if found := _LINK.fullmatch(name):
        chat = f"@{found['name']}" if found["name"] else int(_FAR + found["number"])
        return chat, int(found["topic"]) if found["topic"] else None
    return None
