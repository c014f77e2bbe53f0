"""Interactions: what a person runs, presses or types half of, and what the bot answers to it in time."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from tests.chats.discord_server import payloads
from tests.chats.discord_server.bodies import EPHEMERAL, check_message
from tests.chats.discord_server.commands import SUB_COMMAND, SUB_COMMAND_GROUP, check_choices
from tests.chats.discord_server.messages import Messages
from tests.chats.discord_server.refusals import Refusal, invalid, unknown
from tests.chats.discord_server.world import Channel, Json, Message, User, World, snowflake

ANSWER_WITHIN_S = 3.0
TOKEN_LIVES_S = 15 * 60.0


class Kind(IntEnum):
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4


class Callback(IntEnum):
    MESSAGE = 4
    DEFERRED = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    CHOICES = 8


_ALLOWED = {
    Kind.COMMAND: {Callback.MESSAGE, Callback.DEFERRED},
    Kind.COMPONENT: {Callback.MESSAGE, Callback.DEFERRED, Callback.DEFERRED_UPDATE, Callback.UPDATE},
    Kind.AUTOCOMPLETE: {Callback.CHOICES},
}


@dataclass(slots=True)
class Interaction:
    id: int
    token: str
    kind: Kind
    user: User
    channel: Channel
    data: Json
    message: Message | None = None
    """That the pressed component belongs to."""
    asked_at: float = field(default_factory=time.monotonic)
    callback: Callback | None = None
    answered_after_s: float | None = None
    loading: bool = False
    """Discord says that the bot is thinking."""
    original: Message | None = None
    shown: list[Message] = field(default_factory=list)
    """What the bot showed for it, in the order it came; the last is what counts."""
    choices: list[Json] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> bool:
        return self.callback is Callback.CHOICES or bool(self.shown)

    @property
    def answer(self) -> Message:
        assert self.shown, "the bot has shown nothing"
        return self.shown[-1]


class Interactions:
    def __init__(self, world: World, messages: Messages) -> None:
        self.world, self._messages = world, messages
        self.by_token: dict[str, Interaction] = {}

    # --- what people do

    def command(self, user: User, channel: Channel, line: str, options: Mapping[str, str], typing: str = "") -> Json:
        """The data of a slash command as its client builds it; ``typing`` is the option that still is typed.

        Raises AssertionError where a person could not have run it: not registered, no such option, one missing.
        """
        words = line.split()
        found = next((each for each in self.world.commands if each["name"] == words[0]), None)
        assert found is not None, f"no command /{words[0]}: {[each['name'] for each in self.world.commands]}"
        level, data = found, {"id": found["id"], "name": found["name"], "type": 1, "options": []}
        inner = data
        for word in words[1:]:
            level = next(each for each in level.get("options", []) if each["name"] == word)
            assert level["type"] in (SUB_COMMAND, SUB_COMMAND_GROUP), f"{word} is no sub-command"
            deeper: Json = {"name": word, "type": level["type"], "options": []}
            inner["options"].append(deeper)
            inner = deeper
        known = {each["name"]: each for each in level.get("options", [])}
        missing = [name for name, each in known.items() if each.get("required") and name not in options]
        assert typing or not missing, f"/{line} needs {missing}"
        for name, value in options.items():
            assert name in known, f"/{line} has no option {name}: {list(known)}"
            given: Json = {"name": name, "type": known[name]["type"], "value": value}
            if name == typing:
                assert known[name].get("autocomplete"), f"{name} is not completed"
                given["focused"] = True
            inner["options"].append(given)
        return data

    def hidden_from(self, user: User, channel: Channel, name: str) -> bool:
        """Whether Discord hides the command: its default permissions say so."""
        command = next(each for each in self.world.commands if each["name"] == name)
        needed = command.get("default_member_permissions")
        if channel.guild is None or needed is None:
            return False
        return self.world.permissions(user, channel) & int(needed) != int(needed)

    def component(self, message: Message, custom_id: str, values: list[str] | None) -> Json:
        part = next((each for each in message.components if each.get("custom_id") == custom_id), None)
        assert part is not None, f"no component {custom_id!r}: {[each.get('custom_id') for each in message.components]}"
        assert not part.get("disabled"), f"{custom_id} is disabled"
        data: Json = {"custom_id": custom_id, "component_type": part["type"]}
        if values is not None:
            assert set(values) <= {option["value"] for option in part["options"]}
            data["values"] = values
        return data

    def open(self, kind: Kind, user: User, channel: Channel, data: Json, message: Message | None) -> Interaction:
        interaction = Interaction(snowflake(), secrets.token_urlsafe(24), kind, user, channel, data, message)
        self.by_token[interaction.token] = interaction
        return interaction

    def event(self, one: Interaction) -> Json:
        """Of INTERACTION_CREATE."""
        guild = one.channel.guild
        document: Json = {
            "id": str(one.id),
            "application_id": str(self.world.application_id),
            "type": int(one.kind),
            "data": one.data,
            "channel_id": str(one.channel.id),
            "channel": payloads.channel(one.channel),
            "token": one.token,
            "version": 1,
            "locale": "en-US",
            "app_permissions": str(self.world.permissions(self.world.bot, one.channel)),
            "attachment_size_limit": 10 * 1024 * 1024,
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(guild.id) if guild else "0"},
            "context": 0 if guild else 1,
        }
        if one.message is not None:
            document["message"] = payloads.message(one.message)
        if guild is None:
            return document | {"user": payloads.user(one.user)}
        held = str(self.world.permissions(one.user, one.channel))
        return document | {
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
            "guild_locale": "en-US",
            "member": payloads.member(guild.members[one.user.id]) | {"permissions": held},
        }

    # --- what the bot does

    def take_callback(self, interaction_id: int, token: str, body: Json, files: Mapping[str, bytes]) -> Json:
        one = self.by_token.get(token)
        late = one is not None and time.monotonic() - one.asked_at > ANSWER_WITHIN_S
        if one is None or one.id != interaction_id or (late and one.callback is None):
            raise unknown("interaction")
        if one.callback is not None:
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        kind, data = body.get("type"), body.get("data") or {}
        if kind not in _ALLOWED[one.kind]:
            raise invalid("type", "BASE_TYPE_CHOICES", f"{kind} does not answer an interaction of type {one.kind}")
        callback = Callback(kind)
        if callback is Callback.CHOICES:
            check_choices(data.get("choices", []), "data")
            one.choices = data["choices"]
        elif callback is Callback.MESSAGE:
            self._show(one, data, files)
        elif callback is Callback.UPDATE:
            self._update(one, data, files)
        elif callback is Callback.DEFERRED:
            one.loading = True
            one.original = Message(snowflake(), one.channel.id, self.world.bot, {}, {}, time.time())
            one.original.ephemeral = bool(data.get("flags", 0) & EPHEMERAL)
        else:
            one.original = one.message
        one.callback, one.answered_after_s = callback, time.monotonic() - one.asked_at
        one.changed.set()
        resource: Json = {"interaction": {"id": str(one.id), "type": int(one.kind)}}
        if one.original is not None:
            resource["interaction"] |= {
                "response_message_id": str(one.original.id),
                "response_message_loading": one.loading,
                "response_message_ephemeral": one.original.ephemeral,
            }
            resource["resource"] = {"type": int(callback), "message": payloads.message(one.original)}
        return resource

    def follow(self, token: str) -> Interaction:
        """The interaction that a webhook of the bot belongs to."""
        one = self.by_token.get(token)
        if one is None or one.callback is None or time.monotonic() - one.asked_at > TOKEN_LIVES_S:
            raise unknown("Webhook")
        return one

    def post(self, token: str, body: Json, files: Mapping[str, bytes]) -> Message:
        one = self.follow(token)
        if one.loading:  # the first one takes the place of "is thinking"
            return self.patch(token, "@original", {k: v for k, v in body.items() if k != "flags"}, files)
        check_message(body, files, interaction=True)
        message = self._messages.make(one.channel, body, files, ephemeral=bool(body.get("flags", 0) & EPHEMERAL))
        self._shown(one, message)
        return message

    def patch(self, token: str, message_id: str, body: Json, files: Mapping[str, bytes]) -> Message:
        one = self.follow(token)
        if message_id == "@original" and one.loading:
            check_message(body, files, interaction=True)
            assert one.original is not None
            one.loading = False
            one.original.taken, one.original.files = dict(body), dict(files)
            one.channel.messages.append(one.original)
            self._messages.note("message", one.channel, one.original)
            self._shown(one, one.original)
            return one.original
        message = self.message(token, message_id)
        self._messages.change(one.channel, message, body, files)
        self._shown(one, message)
        return message

    def delete(self, token: str, message_id: str) -> None:
        one = self.follow(token)
        if message_id == "@original" and one.loading:
            one.loading, one.original = False, None
            return
        self.message(token, message_id).deleted = True

    def message(self, token: str, message_id: str) -> Message:
        one = self.follow(token)
        if message_id == "@original":
            if one.original is None:
                raise unknown("Message")
            return one.original
        return self._messages.find(one.channel, int(message_id))

    def _show(self, one: Interaction, data: Json, files: Mapping[str, bytes]) -> None:
        check_message(data, files, interaction=True)
        ephemeral = bool(data.get("flags", 0) & EPHEMERAL)
        one.original = self._messages.make(one.channel, data, files, ephemeral=ephemeral)
        self._shown(one, one.original)

    def _update(self, one: Interaction, data: Json, files: Mapping[str, bytes]) -> None:
        assert one.message is not None
        one.original = self._messages.change(one.channel, one.message, data, files)
        self._shown(one, one.original)

    def _shown(self, one: Interaction, message: Message) -> None:
        one.shown.append(message)
        one.changed.set()
