"""The methods of the Bot API that bots use, with Telegram's own refusals."""

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.chats import telegram_text as texts
from tests.chats.telegram_limits import Limits
from tests.chats.telegram_params import keyboard, reply_to_of, scope_of
from tests.chats.telegram_state import ADMINS, INSIDE, Letter, Room, letter_shape, member_shape
from tests.chats.telegram_text import Parsed, Refused, bad_request
from tests.chats.telegram_world import World

Params = Mapping[str, str]
Files = Mapping[str, bytes]
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_MOST_COMMANDS = 100
_ANSWER_LIMIT = 200
_UPDATES_AT_ONCE = 100
_SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


@dataclass(frozen=True, slots=True)
class Upload:
    kind: str
    data: bytes
    width: int = 0
    height: int = 0


class Content(NamedTuple):
    """What a message shows."""

    words: Parsed
    markup: dict[str, Any] | None


class BotApi:
    """``record`` is called with every message or edit that was accepted."""

    def __init__(self, world: World, limits: Limits, record: Callable[[dict[str, Any]], None]) -> None:
        self.world, self.limits, self._record = world, limits, record
        self.uploads: dict[str, Upload] = {}
        self.commands: dict[str, list[dict[str, str]]] = {}
        """By the scope's type, as set by setMyCommands."""
        self.calls: Counter[str] = Counter()
        self.webhook = ""
        self._polls = 0
        self._poll_changed = asyncio.Event()
        self._methods: dict[str, Callable[[Params, Files], Any]] = {
            "getme": self._get_me,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": lambda _p, _f: {
                "url": self.webhook,
                "has_custom_certificate": False,
                "pending_update_count": 0,
            },
            "sendmessage": self._send_message,
            "sendphoto": self._send_photo,
            "senddocument": self._send_document,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagereplymarkup": self._edit_markup,
            "answercallbackquery": self._answer_press,
            "getchat": self._get_chat,
            "getchatmember": self._get_chat_member,
            "getchatadministrators": self._get_administrators,
            "setmycommands": self._set_commands,
            "getmycommands": lambda params, _f: self.commands.get(scope_of(params), []),
            "deletemycommands": self._delete_commands,
            "leavechat": self._leave,
        }

    async def call(self, method: str, params: Params, files: Files) -> Any:
        """The result. Raises Refused. ``method`` in lower case."""
        self.calls[method] += 1
        if method == "getupdates":
            return await self._get_updates(params)
        if method not in self._methods:
            raise Refused(404, "Not Found: method not found")
        return self._methods[method](params, files)

    # --- the bot itself

    def _get_me(self, _params: Params, _files: Files) -> dict[str, Any]:
        reads_all = {"can_join_groups": True, "can_read_all_group_messages": not self.world.privacy}
        return {**self.world.bot.shape(), **reads_all, "supports_inline_queries": False}

    def _delete_webhook(self, _params: Params, _files: Files) -> bool:
        self.webhook = ""
        return True

    async def _get_updates(self, params: Params) -> list[dict[str, Any]]:
        if self.webhook:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first")
        self._polls += 1
        mine = self._polls
        self._poll_changed.set()
        self._poll_changed = poll_changed = asyncio.Event()
        world = self.world
        if "offset" in params and int(params["offset"]) != 0:
            world.confirm(int(params["offset"]))
        allowed = texts.decoded(params.get("allowed_updates"), "allowed_updates")
        ends_at = time.monotonic() + min(50, int(params.get("timeout", "0")))
        while True:
            if allowed:
                world.updates = [update for update in world.updates if set(update) & set(allowed)]
            found = world.updates[: min(_UPDATES_AT_ONCE, int(params.get("limit", "100")))]
            left = ends_at - time.monotonic()
            if found or left <= 0:
                return found
            world.changed.clear()
            waits = [asyncio.ensure_future(event.wait()) for event in (world.changed, poll_changed)]
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if mine != self._polls:
                raise Refused(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                )

    def _set_commands(self, params: Params, _files: Files) -> bool:
        commands = texts.decoded(params.get("commands"), "commands") or []
        if len(commands) > _MOST_COMMANDS:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not _COMMAND.fullmatch(command.get("command", "")):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command.get("description", "")) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[scope_of(params)] = commands
        return True

    def _delete_commands(self, params: Params, _files: Files) -> bool:
        self.commands.pop(scope_of(params), None)
        return True

    # --- chats

    def room(self, params: Params) -> Room:
        """The chat that is meant, a migrated one as it was. Raises Refused where there is none."""
        wanted = params.get("chat_id", "")
        if not wanted:
            raise bad_request("chat_id is empty")
        rooms = self.world.rooms
        if wanted.startswith("@"):
            found = next((room for room in rooms.values() if (room.username or "").lower() == wanted[1:].lower()), None)
        else:
            found = rooms.get(int(wanted)) if re.fullmatch(r"-?\d{1,16}", wanted) else None
        if found is None:
            raise bad_request("chat not found")
        return found

    def _inside(self, room: Room) -> None:
        """Raises Refused where the bot is not in the chat."""
        if room.migrated_to is not None:
            raise Refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": room.migrated_to},
            )
        if room.type == "private":
            person = self.world.people[room.chat_id]
            if person.deactivated:
                raise Refused(403, "Forbidden: user is deactivated")
            if person.blocked:
                raise Refused(403, "Forbidden: bot was blocked by the user")
            return
        if room.deleted:
            raise Refused(403, f"Forbidden: the {room.type} chat was deleted")
        if room.bot_status == "kicked":
            raise Refused(403, f"Forbidden: bot was kicked from the {room.type} chat")
        if room.bot_status not in INSIDE:
            raise Refused(403, f"Forbidden: bot is not a member of the {room.type} chat")

    def _get_chat(self, params: Params, _files: Files) -> dict[str, Any]:
        room = self.room(params)
        if room.username is None or room.bot_status == "kicked":
            self._inside(room)
        return room.full_shape()

    def _get_chat_member(self, params: Params, _files: Files) -> dict[str, Any]:
        room = self.room(params)
        user = self.world.user(int(params.get("user_id", "0")))
        if user is None:
            raise bad_request("invalid user_id specified")
        if user["id"] == room.bot_id:
            return member_shape(room, user)
        self._inside(room)
        if room.type == "channel" and room.bot_status not in ADMINS:
            raise bad_request("member list is inaccessible")
        return member_shape(room, user)

    def _get_administrators(self, params: Params, _files: Files) -> list[dict[str, Any]]:
        room = self.room(params)
        self._inside(room)
        users = (self.world.user(user_id) for user_id, status in room.members.items() if status in ADMINS)
        return [member_shape(room, user) for user in users if user]

    def _leave(self, params: Params, _files: Files) -> bool:
        room = self.room(params)
        self._inside(room)
        room.members[room.bot_id] = "left"
        return True

    # --- sending

    def _send_message(self, params: Params, _files: Files) -> dict[str, Any]:
        words = texts.parse_message(params.get("text", ""), params.get("parse_mode"))
        return self._accept("sendMessage", params, words, "text")

    def _send_photo(self, params: Params, files: Files) -> dict[str, Any]:
        words = texts.parse_caption(params.get("caption", ""), params.get("parse_mode"))
        return self._accept("sendPhoto", params, words, "photo", self._file("photo", params, files))

    def _send_document(self, params: Params, files: Files) -> dict[str, Any]:
        words = texts.parse_caption(params.get("caption", ""), params.get("parse_mode"))
        return self._accept("sendDocument", params, words, "document", self._file("document", params, files))

    def _file(self, kind: str, params: Params, files: Files) -> tuple[str, Upload]:
        """A file and its id. Raises Refused for an id that is not known or of another kind of file."""
        if kind in files:
            data = files[kind]
            if kind == "photo":
                upload = Upload(kind, data, *texts.check_photo(data))
            elif not 0 < len(data) <= texts.DOCUMENT_BYTES:
                raise bad_request("file must be non-empty") if not data else Refused(413, "Request Entity Too Large")
            else:
                upload = Upload(kind, data)
            file_id = f"AgAC{kind[:3]}{hashlib.sha256(data).hexdigest()[:20]}{len(self.uploads)}"
            return file_id, upload
        file_id = params.get(kind, "")
        if not file_id:
            raise bad_request(f"there is no {kind} in the request")
        known = self.uploads.get(file_id)
        if known is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        if known.kind != kind:
            raise bad_request(f"can't use file of type {known.kind.title()} as {kind.title()}")
        return file_id, known

    def _accept(
        self, method: str, params: Params, words: Parsed, what: str, file: tuple[str, Upload] | None = None
    ) -> dict[str, Any]:
        room = self.room(params)
        self._may_send(room, what)
        thread_id = self._thread(room, params)
        markup = keyboard(params)
        reply_to = reply_to_of(room, params)
        self.limits.take(room.chat_id)
        letter = Letter(room.next_message_id, room.chat_id, int(time.time()), from_bot=True, thread_id=thread_id)
        letter.entities, letter.markup, letter.reply_to = list(words.entities), markup, reply_to
        letter.silent = params.get("disable_notification") == "true"
        letter.sender = None if room.type == "channel" else self.world.bot.shape()
        if file is None:
            letter.text = words.text
        else:
            letter.caption = words.text
            setattr(letter, what, file[0])
        uploaded = file is not None and file[0] not in self.uploads
        if file is not None:
            self.uploads[file[0]] = file[1]
        room.next_message_id += 1
        room.letters[letter.message_id] = letter
        room.other_bot_spoke = False
        self._note(method, letter, uploaded=uploaded)
        return self._shape(room, letter)

    def _may_send(self, room: Room, what: str) -> None:
        if room.type == "private" and not self.world.people[room.chat_id].started:
            raise Refused(403, "Forbidden: bot can't initiate conversation with a user")
        self._inside(room)
        if room.type == "channel" and (room.bot_status not in ADMINS or not room.bot_may_post):
            raise bad_request("need administrator rights in the channel chat")
        if room.type != "private" and room.bot_status not in ADMINS:
            if not room.bot_may_post:
                raise bad_request("not enough rights to send text messages to the chat")
            if what == "photo" and not room.bot_may_send_photos:
                raise bad_request("not enough rights to send photos to the chat")

    def _thread(self, room: Room, params: Params) -> int | None:
        if "message_thread_id" not in params:
            return None
        topic = room.topics.get(int(params["message_thread_id"]))
        if topic is None:
            raise bad_request("message thread not found")
        if topic.closed and room.bot_status not in ADMINS:
            raise bad_request("TOPIC_CLOSED")
        return topic.thread_id

    # --- editing

    def _edit_text(self, params: Params, _files: Files) -> dict[str, Any]:
        words = texts.parse_message(params.get("text", ""), params.get("parse_mode"))
        return self._edit("editMessageText", params, Content(words, keyboard(params)), "text")

    def _edit_caption(self, params: Params, _files: Files) -> dict[str, Any]:
        words = texts.parse_caption(params.get("caption", ""), params.get("parse_mode"))
        return self._edit("editMessageCaption", params, Content(words, keyboard(params)), "caption")

    def _edit_markup(self, params: Params, _files: Files) -> dict[str, Any]:
        room, letter = self._own(params)
        words = Parsed(letter.words, tuple(letter.entities))
        what = "caption" if letter.text is None else "text"
        return self._change("editMessageReplyMarkup", room, letter, Content(words, keyboard(params)), what)

    def _edit(self, method: str, params: Params, content: Content, what: str) -> dict[str, Any]:
        room, letter = self._own(params)
        if getattr(letter, what) is None:
            raise bad_request(f"there is no {what} in the message to edit")
        return self._change(method, room, letter, content, what)

    def _own(self, params: Params) -> tuple[Room, Letter]:
        room = self.room(params)
        self._inside(room)
        letter = room.letters.get(int(params.get("message_id", "0")))
        if letter is None:
            raise bad_request("message to edit not found")
        if not letter.from_bot:
            raise bad_request("message can't be edited")
        return room, letter

    def _change(self, method: str, room: Room, letter: Letter, content: Content, what: str) -> dict[str, Any]:
        # An edit without a keyboard takes the keyboard away.
        now = (letter.words, letter.entities, letter.markup)
        if now == (content.words.text, list(content.words.entities), content.markup):
            raise bad_request(_SAME)
        self.limits.take(room.chat_id)
        setattr(letter, what, content.words.text)
        letter.entities, letter.markup = list(content.words.entities), content.markup
        letter.edits += 1
        self._note(method, letter)
        return self._shape(room, letter)

    def _answer_press(self, params: Params, _files: Files) -> bool:
        press_id = params.get("callback_query_id", "")
        if self.world.pressed.get(press_id, "") is not None:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        text = params.get("text", "")
        if len(text) > _ANSWER_LIMIT:
            raise bad_request("MESSAGE_TOO_LONG")
        url = params.get("url", "")
        if url and not url.startswith(f"https://t.me/{self.world.bot.username}?start="):
            raise bad_request("URL_INVALID")
        self.world.pressed[press_id] = url or text
        return True

    # --- what is given back

    def _shape(self, room: Room, letter: Letter) -> dict[str, Any]:
        shape = letter_shape(room, letter)
        if room.type == "channel":
            shape["sender_chat"] = room.shape()
        for file_id, upload in ((letter.photo, self.uploads.get(letter.photo or "")),):
            if file_id and upload:
                size = {
                    "file_id": file_id,
                    "file_unique_id": file_id[-16:],
                    "width": upload.width,
                    "height": upload.height,
                }
                small = {
                    **size,
                    "file_id": f"{file_id}-small",
                    "width": 90,
                    "height": 90 * upload.height // upload.width,
                }
                shape["photo"] = [small, {**size, "file_size": len(upload.data)}]
        if letter.document:
            shape["document"] = {"file_id": letter.document, "file_unique_id": letter.document[-16:]}
        return shape

    def _note(self, method: str, letter: Letter, *, uploaded: bool = False) -> None:
        self._record(
            {
                "at_s": round(time.time(), 3),
                "method": method,
                "chat_id": letter.chat_id,
                "thread_id": letter.thread_id,
                "message_id": letter.message_id,
                "text": letter.words,
                "file_id": letter.photo or letter.document,
                "uploaded": uploaded,
                "buttons": letter.labels,
                "silent": letter.silent,
                "reply_to": letter.reply_to,
            }
        )
