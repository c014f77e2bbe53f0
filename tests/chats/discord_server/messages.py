"""Messages of the bot: taken, edited, read, published, or refused."""

import time
from collections.abc import Callable, Mapping

from tests.chats.discord_server import world as w
from tests.chats.discord_server.bodies import check_message
from tests.chats.discord_server.limits import EDITS_OF_PUBLISHED, Limits, Rule
from tests.chats.discord_server.refusals import (
    Refusal,
    invalid,
    missing_access,
    missing_permissions,
    unknown,
)
from tests.chats.discord_server.world import Channel, Json, Message, World, snowflake

NONCE_WINDOW_S = 300.0


class RateLimited(Exception):  # noqa: N818 - an answer, not a fault of the server
    """A limit that no header announces (a sub-limit)."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(str(rule))
        self.rule = rule


class Messages:
    """``record`` is told of everything that a channel received."""

    def __init__(self, world: World, limits: Limits, record: Callable[[str, Channel, Message], None]) -> None:
        self.world, self.limits, self.note = world, limits, record
        self.nonces: dict[str, tuple[float, Message]] = {}
        """Of the one author there is, the bot."""
        self.repeats_refused = 0
        """How often a nonce came again within its window and nothing new was made."""

    # --- what the bot may

    def channel(self, channel_id: int) -> Channel:
        channel = self.world.channels.get(channel_id)
        if channel is None or channel.deleted:
            raise unknown("Channel")
        return channel

    def visible(self, channel_id: int) -> Channel:
        channel = self.channel(channel_id)
        if channel.guild is not None and not self._held(channel) & w.VIEW_CHANNEL:
            raise missing_access()
        return channel

    def _held(self, channel: Channel) -> int:
        return self.world.permissions(self.world.bot, channel)

    def _may_send(self, channel: Channel, body: Json, files: Mapping[str, bytes]) -> None:
        if channel.recipient is not None:
            if not channel.recipient.takes_direct_messages:
                raise Refusal(403, 50007, "Cannot send messages to this user")
            return
        if channel.kind == w.FORUM:
            raise Refusal(400, 50008, "Cannot send messages in a non-text channel")
        held = self._held(channel)
        needed = w.SEND_MESSAGES_IN_THREADS if channel.is_thread else w.SEND_MESSAGES
        if body.get("embeds"):
            needed |= w.EMBED_LINKS
        if files:
            needed |= w.ATTACH_FILES
        if held & needed != needed:
            raise missing_permissions()
        if channel.is_thread and channel.locked:
            raise Refusal(400, 50083, "Thread is archived")
        if body.get("message_reference") and not held & w.READ_MESSAGE_HISTORY:
            raise Refusal(400, 160002, "Cannot reply without permission to read message history")

    # --- what it does

    def post(self, channel_id: int, body: Json, files: Mapping[str, bytes]) -> Message:
        """A new message; with a nonce of the last minutes the one it made then."""
        channel = self.visible(channel_id)
        self._may_send(channel, body, files)
        check_message(body, files)
        self._check_reference(channel, body)
        nonce = str(body["nonce"]) if body.get("nonce") is not None and body.get("enforce_nonce") else None
        if nonce is not None and (known := self.nonces.get(nonce)) and known[0] > time.monotonic() - NONCE_WINDOW_S:
            self.repeats_refused += 1
            return known[1]
        message = self.make(channel, body, files)
        if nonce is not None:
            self.nonces[nonce] = (time.monotonic(), message)
        return message

    def make(self, channel: Channel, body: Json, files: Mapping[str, bytes], *, ephemeral: bool = False) -> Message:
        channel.archived = False
        message = Message(
            snowflake(), channel.id, self.world.bot, dict(body), dict(files), time.time(), ephemeral=ephemeral
        )
        channel.messages.append(message)
        self.note("message", channel, message)
        return message

    def _check_reference(self, channel: Channel, body: Json) -> None:
        reference = body.get("message_reference")
        if not reference:
            return
        if "message_id" not in reference:
            raise invalid("message_reference.message_id", "BASE_TYPE_REQUIRED", "This field is required")
        if any(message.id == int(reference["message_id"]) for message in channel.seen):
            return
        if reference.get("fail_if_not_exists", True):
            raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        del body["message_reference"]  # Discord then sends it as no reply

    def patch(self, channel_id: int, message_id: int, body: Json, files: Mapping[str, bytes]) -> Message:
        channel = self.visible(channel_id)
        message = self.find(channel, message_id)
        if message.author is not self.world.bot:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        if channel.is_thread and (channel.archived or channel.locked):
            raise Refusal(400, 50083, "Thread is archived")  # an edit opens nothing again
        if message.crossposted:
            verdict = self.limits.take_of("PATCH published", str(channel_id), EDITS_OF_PUBLISHED)
            if verdict.scope:
                raise RateLimited(EDITS_OF_PUBLISHED)
        return self.change(channel, message, body, files)

    def change(self, channel: Channel, message: Message, body: Json, files: Mapping[str, bytes]) -> Message:
        kept = dict(message.files)
        if "attachments" in body:
            ids = {str(each.get("id")) for each in body["attachments"] if "filename" not in each}
            numbered = {str(message.id + 1 + index): name for index, name in enumerate(message.files)}
            kept = {name: message.files[name] for one, name in numbered.items() if one in ids}
        elif files:
            raise invalid("attachments", "BASE_TYPE_REQUIRED", "Uploads of an edit are named in attachments")
        merged = kept | dict(files)
        check_message(body, merged, edit=True)
        message.edits.append(message.taken)
        message.edited_at.append(time.time())
        message.taken = message.taken | body
        message.files = merged
        self.note("edit", channel, message)
        return message

    def find(self, channel: Channel, message_id: int) -> Message:
        for message in channel.messages:
            if message.id == message_id and not message.deleted:
                return message
        raise unknown("Message")

    def read(self, channel_id: int, query: Mapping[str, str]) -> list[Message]:
        """The newest first. Without the right to read the history nothing, as Discord does."""
        channel = self.visible(channel_id)
        if not self._held(channel) & w.READ_MESSAGE_HISTORY:
            return []
        limit = int(query.get("limit", "50"))
        if not 1 <= limit <= 100:
            raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        after, before = int(query.get("after", 0)), int(query.get("before", 1 << 63))
        found = [message for message in channel.seen if after < message.id < before]
        # With ``after`` Discord gives the oldest of those that follow it.
        return list(reversed(found[:limit] if "after" in query else found[-limit:]))

    def publish(self, channel_id: int, message_id: int) -> Message:
        channel = self.visible(channel_id)
        if channel.kind != w.ANNOUNCEMENT:
            raise Refusal(400, 50024, "Cannot execute action on this channel type")
        if not self._held(channel) & w.SEND_MESSAGES:
            raise missing_permissions()
        message = self.find(channel, message_id)
        if message.crossposted:
            raise Refusal(400, 40033, "This message has already been crossposted")
        message.crossposted = True
        channel.crossposts_at.append(time.time())
        self.note("crosspost", channel, message)
        return message
