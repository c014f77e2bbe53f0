"""What people do on Telegram, by script. Everything goes by id, so that another process can ask for it too."""

import asyncio
import itertools
import time
from collections.abc import Mapping
from typing import Any

from tests.chats.telegram_state import (
    ADMINS,
    ANONYMOUS_ADMIN,
    CHANNEL_FORWARD,
    INSIDE,
    SENT_AS_CHANNEL,
    Letter,
    Person,
    Room,
    Topic,
    letter_shape,
    member_shape,
)

BOT_ID = 4242
BOT_USERNAME = "ClusterwatchBot"


class World:
    """People, chats, and the updates that the bot has not confirmed yet. ``privacy`` is the bot's privacy mode."""

    def __init__(self, *, privacy: bool = True) -> None:
        self.bot = Person(BOT_ID, "Clusterwatch", BOT_USERNAME, is_bot=True)
        self.privacy = privacy
        self.people: dict[int, Person] = {}
        self.rooms: dict[int, Room] = {}
        self.updates: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        """Set whenever there is an update to fetch."""
        self.pressed: dict[str, str | None] = {}
        """Presses not answered yet (None) or answered, and with what text."""
        self._update_ids = itertools.count(1000)
        self._ids = itertools.count(1)
        self._press_ids = itertools.count(1)

    # --- who and where there is

    def person(self, first_name: str, username: str | None = None, user_id: int | None = None) -> int:
        """Somebody with a private chat of the same id that is not started yet."""
        user_id = user_id or 100_000 + next(self._ids)
        self.people[user_id] = Person(user_id, first_name, username)
        room = Room(user_id, "private", first_name, BOT_ID, members={user_id: "member", BOT_ID: "member"})
        self.rooms[user_id] = room
        return user_id

    def started(self, first_name: str, user_id: int | None = None) -> int:
        """Somebody who has spoken with the bot before."""
        user_id = self.person(first_name, user_id=user_id)
        self.people[user_id].started = True
        return user_id

    def group(self, title: str, creator: int, *, chat_id: int | None = None, bot: str = "left") -> int:
        return self._room(chat_id or -next(self._ids) - 5000, "group", title, creator, bot)

    def supergroup(
        self, title: str, creator: int, *, chat_id: int | None = None, bot: str = "left", forum: bool = False
    ) -> int:
        room_id = self._room(chat_id or self._far_id(), "supergroup", title, creator, bot)
        self.rooms[room_id].is_forum = forum
        return room_id

    def channel(
        self, title: str, creator: int, *, username: str | None = None, chat_id: int | None = None, bot: str = "left"
    ) -> int:
        room_id = self._room(chat_id or self._far_id(), "channel", title, creator, bot)
        self.rooms[room_id].username = username
        return room_id

    def topic(self, chat_id: int, name: str) -> int:
        room = self.rooms[chat_id]
        thread_id = room.next_message_id
        room.next_message_id += 1
        room.topics[thread_id] = Topic(thread_id, name)
        return thread_id

    def delete_topic(self, chat_id: int, thread_id: int) -> None:
        del self.rooms[chat_id].topics[thread_id]

    def link(self, channel_id: int, group_id: int) -> None:
        """The group discusses the channel."""
        self.rooms[channel_id].linked_chat_id = group_id
        self.rooms[group_id].linked_chat_id = channel_id

    # --- what people write

    def say(
        self, chat_id: int, user_id: int, text: str, *, thread_id: int | None = None, reply_to: int | None = None
    ) -> int:
        person = self.people[user_id]
        if chat_id == user_id:
            person.started, person.blocked = True, False
        return self._write(chat_id, text, person.shape(), thread_id=thread_id, reply_to=reply_to)

    def say_anonymously(self, chat_id: int, text: str) -> int:
        """As an anonymous admin of the group."""
        return self._write(chat_id, text, ANONYMOUS_ADMIN, sender_chat=chat_id)

    def say_as_channel(self, chat_id: int, channel_id: int, text: str) -> int:
        """In a group, in the name of a channel that the writer owns."""
        return self._write(chat_id, text, SENT_AS_CHANNEL, sender_chat=channel_id)

    def post(self, channel_id: int, text: str) -> int:
        """In a channel; a linked group gets the post forwarded."""
        group_id = self.rooms[channel_id].linked_chat_id
        message_id = self._write(channel_id, text, None, sender_chat=channel_id, kind="channel_post")
        if group_id is not None:
            self._write(group_id, text, CHANNEL_FORWARD, sender_chat=channel_id, forwarded=True)
        return message_id

    def press(self, chat_id: int, user_id: int, message_id: int, label: str) -> str:
        """A button; the id of the press. Raises KeyError where there is none of that label."""
        room = self.rooms[chat_id]
        letter = room.letters[message_id]
        return self.press_data(chat_id, user_id, message_id, letter.data(label))

    def press_data(self, chat_id: int, user_id: int, message_id: int, data: str) -> str:
        """Whatever a changed client sends in place of a button."""
        room = self.rooms[chat_id]
        press_id = f"press-{next(self._press_ids)}"
        self.pressed[press_id] = None
        query = {
            "id": press_id,
            "from": self.people[user_id].shape(),
            "chat_instance": str(chat_id),
            "message": letter_shape(room, room.letters[message_id]),
            "data": data,
        }
        self.push("callback_query", query)
        return press_id

    # --- what people do with the bot and the chat

    def add_bot(self, chat_id: int, by: int, *, admin: bool = False) -> None:
        self._become(chat_id, by, "administrator" if admin else "member")

    def kick_bot(self, chat_id: int, by: int) -> None:
        self._become(chat_id, by, "kicked")

    def block(self, user_id: int) -> None:
        self.people[user_id].blocked = True
        self._become(user_id, user_id, "kicked")

    def unblock(self, user_id: int) -> None:
        self.people[user_id].blocked = False
        self._become(user_id, user_id, "member")

    def deactivate(self, user_id: int) -> None:
        self.people[user_id].deactivated = True

    def set_status(self, chat_id: int, user_id: int, status: str) -> None:
        """Somebody's place in a chat: creator, administrator, member, left ..."""
        self.rooms[chat_id].members[user_id] = status

    def allow_bot(self, chat_id: int, *, post: bool = True, photos: bool = True) -> None:
        self.rooms[chat_id].bot_may_post, self.rooms[chat_id].bot_may_send_photos = post, photos

    def delete_chat(self, chat_id: int) -> None:
        self.rooms[chat_id].deleted = True

    def delete_letter(self, chat_id: int, message_id: int) -> None:
        del self.rooms[chat_id].letters[message_id]

    def migrate(self, chat_id: int, *, quietly: bool = False, says_left: bool = False) -> int:
        """A group becomes a supergroup; its new id. ``quietly``: the bot learns it from its next message only."""
        old = self.rooms[chat_id]
        new_id = self._far_id()
        new = Room(new_id, "supergroup", old.title, BOT_ID, members=dict(old.members))
        self.rooms[new_id], old.migrated_to = new, new_id
        if not quietly:
            if says_left:
                self._member_update(
                    old, by=next(iter(old.members)), before=member_shape(old, self.bot.shape()), now="left"
                )
            self._service(old, {"migrate_to_chat_id": new_id})
            self._service(new, {"migrate_from_chat_id": chat_id})
        return new_id

    # --- the updates

    def push(self, kind: str, body: Mapping[str, Any]) -> None:
        self.updates.append({"update_id": next(self._update_ids), kind: dict(body)})
        self.changed.set()

    def confirm(self, offset: int) -> None:
        """Forget updates below; a negative offset keeps that many from the end."""
        if offset < 0:
            self.updates = self.updates[offset:]
        else:
            self.updates = [update for update in self.updates if update["update_id"] >= offset]

    def user(self, user_id: int) -> dict[str, Any] | None:
        if user_id == BOT_ID:
            return self.bot.shape()
        person = self.people.get(user_id)
        return person.shape() if person else None

    def _far_id(self) -> int:
        return -1_000_000_000_000 - 1_000_000 - next(self._ids)

    def _room(self, chat_id: int, type_: str, title: str, creator: int, bot: str) -> int:
        self.rooms[chat_id] = Room(chat_id, type_, title, BOT_ID, members={creator: "creator", BOT_ID: bot})
        return chat_id

    def _write(
        self,
        chat_id: int,
        text: str,
        sender: Mapping[str, Any] | None,
        *,
        sender_chat: int | None = None,
        thread_id: int | None = None,
        reply_to: int | None = None,
        forwarded: bool = False,
        kind: str = "message",
    ) -> int:
        room = self.rooms[chat_id]
        letter = Letter(
            room.next_message_id,
            chat_id,
            int(time.time()),
            text=text,
            thread_id=thread_id if room.is_forum else reply_to,  # outside forums a reply has its thread's id as well
            reply_to=reply_to,
            sender=dict(sender) if sender else None,
            sender_chat=sender_chat,
        )
        if text.startswith("/"):
            length = len(text.split()[0])
            letter.entities = [{"type": "bot_command", "offset": 0, "length": length}]
        room.next_message_id += 1
        room.letters[letter.message_id] = letter
        if self._reaches_bot(room, letter):
            shape = letter_shape(room, letter)
            if sender_chat is not None:
                shape["sender_chat"] = self.rooms[sender_chat].shape()
            if forwarded:
                shape["is_automatic_forward"] = True
            self.push(kind, shape)
        return letter.message_id

    def _reaches_bot(self, room: Room, letter: Letter) -> bool:
        """Privacy mode, as documented: admins get all, others commands meant for them and replies to them."""
        if room.bot_status not in INSIDE:
            return False
        if room.type not in ("group", "supergroup") or not self.privacy or room.bot_status in ADMINS:
            return True
        replied = room.letters.get(letter.reply_to or 0)
        if replied is not None and replied.from_bot:
            return True
        first = letter.words.split(maxsplit=1)[0] if letter.words.split() else ""
        if not first.startswith("/"):
            return False
        _, at, name = first.partition("@")
        return name.lower() == BOT_USERNAME.lower() if at else not room.other_bot_spoke

    def _service(self, room: Room, body: Mapping[str, Any]) -> None:
        message_id = room.next_message_id
        room.next_message_id += 1
        head = {"message_id": message_id, "date": int(time.time()), "chat": room.shape()}
        self.push("message", {**head, "from": dict(ANONYMOUS_ADMIN), **body})

    def _become(self, chat_id: int, by: int, status: str) -> None:
        room = self.rooms[chat_id]
        before = member_shape(room, self.bot.shape())
        room.members[BOT_ID] = status
        self._member_update(room, by=by, before=before)
        if status in INSIDE and before["status"] not in INSIDE and room.type in ("group", "supergroup"):
            self._service(room, {"new_chat_members": [self.bot.shape()]})

    def _member_update(self, room: Room, *, by: int, before: Mapping[str, Any], now: str | None = None) -> None:
        after = member_shape(room, self.bot.shape())
        if now is not None:
            after = {"user": after["user"], "status": now}
        self.push(
            "my_chat_member",
            {
                "chat": room.shape(),
                "from": self.people[by].shape(),
                "date": int(time.time()),
                "old_chat_member": dict(before),
                "new_chat_member": after,
            },
        )
