"""A strict local Discord: REST and gateway on one loopback port. What the platform would refuse is refused.

server = DiscordServer(); await server.start()
guild = server.world.guild(); channel = server.world.channel(guild)
... the bot runs with server.environment ...
answer = await server.slash(user, channel, "watch", symbol="BTC")
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from aiohttp import BodyPartReader, web

from tests.chats.discord_server import payloads
from tests.chats.discord_server.faults import Fault, Faults, Trouble
from tests.chats.discord_server.gateway import Gateway
from tests.chats.discord_server.interactions import Interaction, Interactions, Kind
from tests.chats.discord_server.limits import Limits, Verdict
from tests.chats.discord_server.messages import Messages, RateLimited
from tests.chats.discord_server.refusals import Refusal, unauthorized
from tests.chats.discord_server.rest import Asked, Rest, Route
from tests.chats.discord_server.world import THREADS, Channel, Guild, Json, Message, Role, User, World

API = "/api/v10"
GATEWAY = "/gateway/"
LARGEST_REQUEST = 26 * 1024 * 1024


class DiscordServer:
    """``record``: a file that gets a line of JSON for everything that a channel received."""

    def __init__(
        self,
        world: World | None = None,
        *,
        port: int = 0,
        record: Path | None = None,
        identify_every_s: float = 0.0,
    ) -> None:
        self.world = world or World()
        self.limits, self.faults = Limits(), Faults()
        self.messages = Messages(self.world, self.limits, self._note)
        self.interactions = Interactions(self.world, self.messages)
        self.rest = Rest(self.world, self.messages, self.interactions)
        self.gateway = Gateway(self.world, lambda: self.gateway_url, identify_every_s=identify_every_s)
        self.requests: Counter[str] = Counter()
        """By route, refused ones too."""
        self.statuses: Counter[int] = Counter()
        self.refusals: list[str] = []
        """Everything that was refused, in words."""
        self.received: list[Json] = []
        """What channels received, in order; as in the record."""
        self.delay_s = 0.0
        """How long every answer takes."""
        self.down = False
        """REST answers 503 to everything."""
        self.changed = asyncio.Event()
        """Set whenever a channel receives something; clear it yourself."""
        self._port, self._record = port, record
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, add_to: Callable[[web.Application], None] | None = None) -> None:
        """``add_to`` adds routes of its own, such as those of `control`."""
        app = web.Application(client_max_size=LARGEST_REQUEST)
        if add_to is not None:
            add_to(app)
        app.router.add_get(GATEWAY, self.gateway.serve)
        app.router.add_route("*", API + "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.gateway.close_all(1001)
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{API}"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}{GATEWAY}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/control"

    @property
    def environment(self) -> dict[str, str]:
        """What the bot's environment must hold to come here."""
        return {
            "DISCORD_TOKEN": self.world.token,
            "DISCORD_BASE_URL": self.base_url,
            "DISCORD_GATEWAY_URL": self.gateway_url,
        }

    # --- people

    async def slash(
        self, user: User, channel: Channel, line: str, *, within_s: float = 10.0, hidden: bool = False, **options: str
    ) -> Interaction:
        """Run a slash command and wait for its answer. ``hidden``: as one who sees it although Discord hides it."""
        data = self.interactions.command(user, channel, line, options)
        assert hidden or not self.interactions.hidden_from(user, channel, data["name"]), f"/{line} is hidden from them"
        return await self._ask(Kind.COMMAND, user, channel, data, None, within_s)

    async def complete(self, user: User, channel: Channel, line: str, option: str, typed: str) -> list[str]:
        """What the bot offers for an option that is being typed."""
        data = self.interactions.command(user, channel, line, {option: typed}, typing=option)
        asked = await self._ask(Kind.AUTOCOMPLETE, user, channel, data, None, 3.0)
        return [str(choice["value"]) for choice in asked.choices]

    async def press(
        self,
        user: User,
        channel: Channel,
        message: Message,
        label: str,
        values: list[str] | None = None,
        *,
        within_s: float = 10.0,
    ) -> Interaction:
        """Press a button by its label or custom_id, or choose ``values`` in the menu with that placeholder."""
        named = (part for part in message.components if label in (part.get("label"), part.get("placeholder")))
        custom_id = next((part["custom_id"] for part in named), label)
        data = self.interactions.component(message, custom_id, values)
        return await self._ask(Kind.COMPONENT, user, channel, data, message, within_s)

    async def _ask(
        self, kind: Kind, user: User, channel: Channel, data: Json, message: Message | None, within_s: float
    ) -> Interaction:
        asked = self.interactions.open(kind, user, channel, data, message)
        await self.gateway.dispatch("INTERACTION_CREATE", self.interactions.event(asked))
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not asked.done:
                    asked.changed.clear()
                    await asked.changed.wait()
        return asked

    # --- what happens to guilds and channels

    async def invite(self, guild: Guild) -> None:
        """Tell the bot of a guild that it has been added to."""
        told = payloads.guild(guild, self.world.bot)
        del told["unavailable"]  # so Discord tells a guild that is new from one that is back
        await self.gateway.dispatch("GUILD_CREATE", told)

    async def kick(self, guild: Guild) -> None:
        """Remove the bot from a guild."""
        del guild.members[self.world.bot.id]
        await self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)})

    async def outage(self, guild: Guild) -> None:
        """The guild is unavailable for a while; the bot is still in it."""
        await self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id), "unavailable": True})

    async def delete(self, channel: Channel) -> None:
        channel.deleted = True
        assert channel.guild is not None
        event = "THREAD_DELETE" if channel.kind in THREADS else "CHANNEL_DELETE"
        await self.gateway.dispatch(event, payloads.channel(channel))

    async def overwrite(self, channel: Channel, whose: Role | User, *, allow: int = 0, deny: int = 0) -> None:
        channel.overwrite(whose, allow=allow, deny=deny)
        await self.gateway.dispatch("CHANNEL_UPDATE", payloads.channel(channel))

    # --- serving

    def _note(self, what: str, channel: Channel, message: Message) -> None:
        reference = message.taken.get("message_reference") or {}
        line: Json = {
            "what": what,
            "at": time.time(),
            "channel": str(channel.id),
            "message": str(message.id),
            "title": message.title,
            "text": message.text,
            "nonce": message.taken.get("nonce"),
            "silent": message.silent,
            "ephemeral": message.ephemeral,
            "reply_to": reference.get("message_id"),
            "files": {name: len(content) for name, content in message.files.items()},
            "buttons": {part["label"]: part["custom_id"] for part in message.components if part.get("label")},
        }
        self.received.append(line)
        self.changed.set()
        if self._record is not None:
            with self._record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        if self.limits.banned:
            return web.Response(status=429, text="<html>banned by Cloudflare</html>", content_type="text/html")
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        verdict = Verdict({})
        if self.down:
            return self._refused(request, Refusal(503, 0, "503: Service Unavailable"), verdict)
        try:
            route, ids = self.rest.find(request.method, path)
            self.requests[route.name] += 1
            major = ids.get(route.major, "")
            if route.by_token:
                self._authorize(request)
                verdict = self.limits.take(route.name, major)
            if verdict.scope:
                return self._limited(verdict)
            if (fault := self.faults.meet(route.name, major, taken=False)) is not None:
                response = await self._trouble(request, fault)
                if response is not None:
                    return response
            document = route.answer(await _read(request, ids))
            if (fault := self.faults.meet(route.name, major, taken=True)) is not None:
                response = await self._trouble(request, fault)
                if response is not None:
                    return response
        except Refusal as refusal:
            return self._refused(request, refusal, verdict)
        except RateLimited as limited:
            return self._limited(self.limits.take_of("PATCH published", ids["channel"], limited.rule))
        return self._answer(route, document, verdict)

    def _authorize(self, request: web.Request) -> None:
        if not request.headers.get("User-Agent", "").startswith("DiscordBot (http"):
            raise Refusal(403, 40333, "internal network error")  # what Cloudflare says to other agents
        if request.headers.get("Authorization") != f"Bot {self.world.token}":
            raise unauthorized()

    async def _trouble(self, request: web.Request, fault: Fault) -> web.Response | None:
        """The answer in place of the right one; None: it was only slow."""
        if fault.trouble is Trouble.STALL:
            await asyncio.sleep(fault.seconds)
            return None
        if fault.trouble is Trouble.GARBAGE:
            return web.Response(text=fault.text, content_type="text/html")
        if fault.trouble is Trouble.RESET:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        if fault.status == 429:
            told = {"Via": "1.1 google", "Retry-After": str(int(fault.seconds) + 1), "X-RateLimit-Scope": "shared"}
            return self._limited(Verdict(told, str(fault.body.get("scope", "shared")), fault.seconds))
        self.statuses[fault.status] += 1
        if fault.status in (401, 403):
            self.limits.count_invalid()
        body = fault.body or {"message": f"{fault.status}: trouble", "code": 0}
        return _json(body, fault.status, {})

    def _limited(self, verdict: Verdict) -> web.Response:
        self.statuses[429] += 1
        if verdict.scope != "shared":
            self.limits.count_invalid()
        body = {
            "message": "You are being rate limited.",
            "retry_after": verdict.retry_after_s,
            "global": verdict.scope == "global",
        }
        return _json(body, 429, verdict.headers)

    def _refused(self, request: web.Request, refusal: Refusal, verdict: Verdict) -> web.Response:
        self.statuses[refusal.status] += 1
        self.refusals.append(f"{request.method} {request.path.removeprefix(API)}: {refusal}")
        if refusal.status in (401, 403):
            self.limits.count_invalid()
        return _json(refusal.body, refusal.status, verdict.headers)

    def _answer(self, route: Route, document: object, verdict: Verdict) -> web.Response:
        status = 204 if document is None else 200
        self.statuses[status] += 1
        if document is None:
            return web.Response(status=204, headers=verdict.headers)
        return _json(document, status, verdict.headers)


async def _read(request: web.Request, ids: Mapping[str, str]) -> Asked:
    """The JSON of a request, as a body or as ``payload_json`` beside uploads named ``files[0]``, ``files[1]``."""
    files: dict[str, bytes] = {}
    document: object = {}
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            named = part.name if isinstance(part, BodyPartReader) else None
            if isinstance(part, BodyPartReader) and named == "payload_json":
                document = json.loads(await part.read())
            elif isinstance(part, BodyPartReader) and named == f"files[{len(files)}]" and part.filename:
                files[part.filename] = bytes(await part.read())
            else:
                raise Refusal(400, 50109, "The request body contains invalid multipart form-data.")
    elif request.can_read_body:
        if request.content_type != "application/json":
            raise Refusal(400, 50109, "The request body contains invalid JSON.")
        try:
            document = json.loads(await request.read() or b"{}")
        except ValueError:
            raise Refusal(400, 50109, "The request body contains invalid JSON.") from None
    listed = document if isinstance(document, list) else []
    return Asked(ids, request.query, document if isinstance(document, dict) else {}, files, listed)


def _json(document: object, status: int, headers: Mapping[str, str]) -> web.Response:
    # Exactly this content type: discord.py takes anything else for text.
    return web.Response(
        body=json.dumps(document).encode(), status=status, headers=dict(headers), content_type="application/json"
    )
