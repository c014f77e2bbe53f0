"""Drives a server that runs in a process of its own: JSON over HTTP under ``/control/``.

GET  /control/state                                    what channels received, counts, whether the gateway is up
POST /control/slash    {user, channel, line, options}  run a slash command; the answers it got
POST /control/press    {user, channel, message, label, values}
POST /control/fault    the fields of `faults.Fault`
POST /control/gateway  {close: 4004} | {refuse: 503} | {refuse: null} | {identify: 4014}
POST /control/switch   {down: true, delay_s: 0.2}
POST /control/kick     {guild}      POST /control/delete {channel}
"""

from collections.abc import Awaitable, Callable
from dataclasses import fields

from aiohttp import web

from tests.chats.discord_server.faults import Fault, Trouble
from tests.chats.discord_server.interactions import Interaction
from tests.chats.discord_server.server import DiscordServer
from tests.chats.discord_server.world import Channel, Json, User

Handler = Callable[[Json], Awaitable[Json]]


class Control:
    def __init__(self, server: DiscordServer) -> None:
        self.server = server

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/control/state", self._state)
        for name in ("slash", "press", "fault", "gateway", "switch", "kick", "delete"):
            app.router.add_post(f"/control/{name}", self._handler(getattr(self, name)))

    def _handler(self, handle: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                return web.json_response(await handle(await request.json()))
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

        return answer

    async def _state(self, _: web.Request) -> web.Response:
        server = self.server
        state: Json = {
            "received": server.received,
            "requests": dict(server.requests),
            "statuses": {str(status): count for status, count in server.statuses.items()},
            "refusals": server.refusals,
            "limited": dict(server.limits.refused),
            "repeats_refused": server.messages.repeats_refused,
            "connected": server.gateway.connected,
            "commands": [command["name"] for command in server.world.commands],
            "command_writes": server.world.command_writes,
        }
        return web.json_response(state)

    async def slash(self, body: Json) -> Json:
        user, channel = self._who(body)
        hidden = bool(body.get("hidden"))
        within_s = float(body.get("within_s", 10.0))
        options = {str(name): str(value) for name, value in (body.get("options") or {}).items()}
        return _told(await self.server.slash(user, channel, body["line"], hidden=hidden, within_s=within_s, **options))

    async def press(self, body: Json) -> Json:
        user, channel = self._who(body)
        message = self.server.messages.find(channel, int(body["message"]))
        return _told(await self.server.press(user, channel, message, body["label"], body.get("values")))

    async def fault(self, body: Json) -> Json:
        known = {each.name for each in fields(Fault)}
        self.server.faults.add(
            Fault(Trouble(body["trouble"]), **{k: body[k] for k in known & body.keys() - {"trouble"}})
        )
        return {}

    async def gateway(self, body: Json) -> Json:
        gateway = self.server.gateway
        if "refuse" in body:
            gateway.refuses_with = body["refuse"]
        if "identify" in body:
            gateway.closes_identify_with = body["identify"]
        if "close" in body:
            await gateway.close_all(int(body["close"]))
        return {}

    async def switch(self, body: Json) -> Json:
        self.server.down = bool(body.get("down", self.server.down))
        self.server.delay_s = float(body.get("delay_s", self.server.delay_s))
        return {}

    async def kick(self, body: Json) -> Json:
        await self.server.kick(self.server.world.guilds[int(body["guild"])])
        return {}

    async def delete(self, body: Json) -> Json:
        await self.server.delete(self.server.world.channels[int(body["channel"])])
        return {}

    def _who(self, body: Json) -> tuple[User, Channel]:
        world = self.server.world
        return world.users[int(body["user"])], world.channels[int(body["channel"])]


def _told(asked: Interaction) -> Json:
    return {
        "answered": asked.done,
        "after_s": asked.answered_after_s,
        "messages": [
            {"title": each.title, "text": each.text, "ephemeral": each.ephemeral, "message": str(each.id)}
            for each in asked.shown
        ],
    }
