"""What the Telegram server knows: people, chats and messages, in the shapes of the Bot API."""

from dataclasses import dataclass, field
from typing import Any

ANONYMOUS_ADMIN = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
SENT_AS_CHANNEL = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
CHANNEL_FORWARD = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
ADMINS = frozenset({"creator", "administrator"})
INSIDE = frozenset({"creator", "administrator", "member", "restricted"})
_ADMIN_RIGHTS = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)
_MEMBER_RIGHTS = (
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_send_messages",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_manage_topics",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_edit_tag",
    "can_react_to_messages",
)


@dataclass(slots=True)
class Person:
    user_id: int
    first_name: str
    username: str | None = None
    is_bot: bool = False
    blocked: bool = False
    """Has blocked the bot."""
    deactivated: bool = False
    started: bool = False
    """Has written to the bot, without which the bot may not write."""

    def shape(self) -> dict[str, Any]:
        name = {"username": self.username} if self.username else {}
        return {"id": self.user_id, "is_bot": self.is_bot, "first_name": self.first_name, **name}


@dataclass(slots=True)
class Topic:
    thread_id: int
    name: str
    closed: bool = False


@dataclass(slots=True)
class Letter:
    """A message as it stands now. Everything is what a reader sees, entities taken out of the text."""

    message_id: int
    chat_id: int
    date: int
    text: str | None = None
    caption: str | None = None
    entities: list[dict[str, Any]] = field(default_factory=list)
    markup: dict[str, Any] | None = None
    photo: str | None = None
    """``file_id``."""
    document: str | None = None
    thread_id: int | None = None
    reply_to: int | None = None
    silent: bool = False
    sender: dict[str, Any] | None = None
    sender_chat: int | None = None
    from_bot: bool = False
    edits: int = 0

    @property
    def words(self) -> str:
        return (self.text if self.text is not None else self.caption) or ""

    @property
    def labels(self) -> list[str]:
        """What stands on its buttons."""
        rows = self.markup["inline_keyboard"] if self.markup else []
        return [button["text"] for row in rows for button in row]

    def data(self, label: str) -> str:
        """What a button sends. Raises KeyError where no button has that label."""
        rows = self.markup["inline_keyboard"] if self.markup else []
        for button in (button for row in rows for button in row):
            if button["text"] == label:
                return str(button["callback_data"])
        raise KeyError(f"no button {label!r} among {self.labels}")


@dataclass(slots=True)
class Room:
    """One chat. ``members`` is user id to status; the bot is one of them."""

    chat_id: int
    type: str
    title: str
    bot_id: int
    username: str | None = None
    is_forum: bool = False
    linked_chat_id: int | None = None
    migrated_to: int | None = None
    deleted: bool = False
    members: dict[int, str] = field(default_factory=dict)
    topics: dict[int, Topic] = field(default_factory=dict)
    letters: dict[int, Letter] = field(default_factory=dict)
    bot_may_post: bool = True
    bot_may_send_photos: bool = True
    other_bot_spoke: bool = False
    """Another bot wrote last: with privacy mode, commands without a name go to that one."""
    next_message_id: int = 1

    @property
    def bot_status(self) -> str:
        return self.members.get(self.bot_id, "left")

    @property
    def sent(self) -> list[Letter]:
        """What the bot wrote here, in order."""
        return [letter for letter in self.letters.values() if letter.from_bot]

    def shape(self) -> dict[str, Any]:
        if self.type == "private":
            return {"id": self.chat_id, "type": "private", "first_name": self.title}
        extra: dict[str, Any] = {"username": self.username} if self.username else {}
        if self.is_forum:
            extra["is_forum"] = True
        return {"id": self.chat_id, "type": self.type, "title": self.title, **extra}

    def full_shape(self) -> dict[str, Any]:
        linked = {"linked_chat_id": self.linked_chat_id} if self.linked_chat_id else {}
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
        return {
            **self.shape(),
            **linked,
            "accent_color_id": 1,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys(gifts, False),
        }


def member_shape(room: Room, user: dict[str, Any]) -> dict[str, Any]:
    """A ChatMember."""
    status = room.members.get(user["id"], "left")
    shape: dict[str, Any] = {"user": user, "status": status}
    is_bot = user["id"] == room.bot_id
    if status == "creator":
        shape["is_anonymous"] = False
    elif status == "administrator":
        shape |= {"can_be_edited": False, "is_anonymous": False, **dict.fromkeys(_ADMIN_RIGHTS, True)}
        if room.type == "channel":
            shape |= {"can_post_messages": room.bot_may_post if is_bot else True, "can_edit_messages": True}
    elif status == "restricted":
        shape |= {"is_member": True, "until_date": 0, **dict.fromkeys(_MEMBER_RIGHTS, True)}
        if is_bot:
            shape |= {"can_send_messages": room.bot_may_post, "can_send_photos": room.bot_may_send_photos}
    elif status == "kicked":
        shape["until_date"] = 0
    return shape


def letter_shape(room: Room, letter: Letter, *, nested: bool = False) -> dict[str, Any]:
    """A Message."""
    shape: dict[str, Any] = {"message_id": letter.message_id, "date": letter.date, "chat": room.shape()}
    if letter.sender is not None:
        shape["from"] = letter.sender
    if letter.thread_id is not None:
        shape["message_thread_id"] = letter.thread_id
        if room.is_forum:
            shape["is_topic_message"] = True
    if letter.text is not None:
        shape["text"] = letter.text
        if letter.entities:
            shape["entities"] = letter.entities
    if letter.caption:
        shape["caption"] = letter.caption
        if letter.entities:
            shape["caption_entities"] = letter.entities
    if letter.markup is not None:
        shape["reply_markup"] = letter.markup
    replied = room.letters.get(letter.reply_to) if letter.reply_to and not nested else None
    if replied is not None:
        shape["reply_to_message"] = letter_shape(room, replied, nested=True)
    return shape
