"""The table of REST routes that the bot uses, each with what it asks and what it answers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.chats.discord_server import payloads
from tests.chats.discord_server.commands import check_commands
from tests.chats.discord_server.interactions import Interactions
from tests.chats.discord_server.messages import Messages
from tests.chats.discord_server.refusals import Refusal, missing_access, unknown
from tests.chats.discord_server.world import Json, World, snowflake


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the parts of its path, its query, JSON body and uploads by name."""

    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    files: Mapping[str, bytes]
    listed: list[Json]
    """The body where it is a list."""

    def number(self, name: str) -> int:
        return int(self.ids[name])


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    """As the limits know it."""
    method: str
    path: re.Pattern[str]
    answer: Callable[[Asked], object]
    major: str = ""
    """Which part of the path has a bucket of its own."""
    by_token: bool = True
    """It wants the bot's token and counts towards its global limit; interactions do neither."""


def _path(text: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text) + "$")


class Rest:
    def __init__(self, world: World, messages: Messages, interactions: Interactions) -> None:
        self.world, self.messages, self.interactions = world, messages, interactions
        app, hook = "/applications/{app}/commands", "/webhooks/{app}/{token}"
        of_channel = "/channels/{channel}"
        self.routes = [
            Route("GET me", "GET", _path("/users/@me"), lambda _: payloads.user(world.bot)),
            Route("GET application", "GET", _path("/applications/@me"), lambda _: payloads.application(world)),
            Route("GET application", "GET", _path("/oauth2/applications/@me"), lambda _: payloads.application(world)),
            Route("GET gateway", "GET", _path("/gateway/bot"), self._gateway),
            Route("GET guilds", "GET", _path("/users/@me/guilds"), self._guilds),
            Route("GET guild", "GET", _path("/guilds/{guild}"), self._guild),
            Route("GET member", "GET", _path("/guilds/{guild}/members/{user}"), self._member, "guild"),
            Route("GET channel", "GET", _path(of_channel), self._channel, "channel"),
            Route("POST direct", "POST", _path("/users/@me/channels"), self._direct),
            Route("POST messages", "POST", _path(f"{of_channel}/messages"), self._post, "channel"),
            Route("GET messages", "GET", _path(f"{of_channel}/messages"), self._read, "channel"),
            Route("GET message", "GET", _path(of_channel + "/messages/{message}"), self._one, "channel"),
            Route("PATCH message", "PATCH", _path(of_channel + "/messages/{message}"), self._patch, "channel"),
            Route(
                "POST crosspost", "POST", _path(of_channel + "/messages/{message}/crosspost"), self._publish, "channel"
            ),
            Route("GET commands", "GET", _path(app), self._commands, "app"),
            Route("PUT commands", "PUT", _path(app), self._write_commands, "app"),
            Route(
                "POST callback",
                "POST",
                _path("/interactions/{interaction}/{token}/callback"),
                lambda a: interactions.take_callback(a.number("interaction"), a.ids["token"], a.body, a.files),
                by_token=False,
            ),
            Route(
                "POST webhook",
                "POST",
                _path(hook),
                lambda a: payloads.message(interactions.post(a.ids["token"], a.body, a.files)),
                by_token=False,
            ),
            Route(
                "PATCH webhook",
                "PATCH",
                _path(hook + "/messages/{message}"),
                lambda a: payloads.message(
                    interactions.patch(a.ids["token"], a.ids["message"], a.body, a.files),
                ),
                by_token=False,
            ),
            Route(
                "DELETE webhook",
                "DELETE",
                _path(hook + "/messages/{message}"),
                lambda a: interactions.delete(a.ids["token"], a.ids["message"]),
                by_token=False,
            ),
            Route(
                "GET webhook",
                "GET",
                _path(hook + "/messages/{message}"),
                lambda a: payloads.message(interactions.message(a.ids["token"], a.ids["message"])),
                by_token=False,
            ),
        ]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Raises Refusal where there is no such route here."""
        for route in self.routes:
            match = route.path.match(path)
            if match and route.method == method:
                return route, match.groupdict()
        raise Refusal(404, 0, "404: Not Found")

    def _gateway(self, _: Asked) -> object:
        start = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
        return {"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit": start}

    def _guilds(self, _: Asked) -> object:
        mine = [guild for guild in self.world.guilds.values() if self.world.bot.id in guild.members]
        return [
            {
                "id": str(guild.id),
                "name": guild.name,
                "icon": None,
                "owner": False,
                "permissions": str(guild.permissions(self.world.bot)),
                "features": [],
            }
            for guild in mine
        ]

    def _guild(self, asked: Asked) -> object:
        guild = self.world.guilds.get(asked.number("guild"))
        if guild is None or self.world.bot.id not in guild.members:
            raise unknown("Guild")
        return payloads.guild(guild, self.world.bot)

    def _member(self, asked: Asked) -> object:
        guild = self.world.guilds.get(asked.number("guild"))
        if guild is None or self.world.bot.id not in guild.members:
            raise unknown("Guild")
        member = guild.members.get(asked.number("user"))
        if member is None:
            raise unknown("Member")
        return payloads.member(member)

    def _channel(self, asked: Asked) -> object:
        channel = self.messages.channel(asked.number("channel"))
        if channel.guild is not None and self.world.bot.id not in channel.guild.members:
            raise missing_access()
        return payloads.channel(self.messages.visible(channel.id))

    def _direct(self, asked: Asked) -> object:
        user = self.world.users.get(int(asked.body.get("recipient_id", 0)))
        if user is None:
            raise unknown("User")
        return payloads.channel(self.world.direct(user))

    def _post(self, asked: Asked) -> object:
        return payloads.message(self.messages.post(asked.number("channel"), asked.body, asked.files))

    def _read(self, asked: Asked) -> object:
        return [payloads.message(each) for each in self.messages.read(asked.number("channel"), asked.query)]

    def _one(self, asked: Asked) -> object:
        channel = self.messages.visible(asked.number("channel"))
        return payloads.message(self.messages.find(channel, asked.number("message")))

    def _patch(self, asked: Asked) -> object:
        channel, message = asked.number("channel"), asked.number("message")
        return payloads.message(self.messages.patch(channel, message, asked.body, asked.files))

    def _publish(self, asked: Asked) -> object:
        return payloads.message(self.messages.publish(asked.number("channel"), asked.number("message")))

    def _commands(self, asked: Asked) -> object:
        self._own(asked)
        return self.world.commands

    def _write_commands(self, asked: Asked) -> object:
        self._own(asked)
        check_commands(asked.listed)
        known = {command["name"]: command["id"] for command in self.world.commands}
        self.world.command_writes += 1
        self.world.commands = [
            {
                "type": 1,
                "default_member_permissions": None,
                "dm_permission": True,
                "nsfw": False,
                "contexts": None,
                "integration_types": [0],
                "options": [],
                **command,
                "id": known.get(command["name"]) or str(snowflake()),
                "application_id": str(self.world.application_id),
                "version": str(snowflake()),
            }
            for command in asked.listed
        ]
        return self.world.commands

    def _own(self, asked: Asked) -> None:
        if asked.number("app") != self.world.application_id:
            raise Refusal(403, 20012, "You are not authorized to perform this action on this application")
