"""Discord's gateway: hello, identify or resume, heartbeats, events, and its ways to close."""

import asyncio
import json
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.chats.discord_server import payloads
from tests.chats.discord_server.world import Json, World

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = (
    0,
    1,
    2,
    3,
    6,
    7,
    8,
    9,
    10,
    11,
)
PRIVILEGED = 1 << 1 | 1 << 8 | 1 << 15
LARGEST_COMMAND = 4096
MOST_COMMANDS, COMMANDS_WINDOW_S = 120, 60.0


class Line:
    """One connection; compressed as its client asked."""

    def __init__(self, socket: web.WebSocketResponse, *, compressed: bool) -> None:
        self.socket = socket
        self._compressor = zlib.compressobj() if compressed else None
        self.session: Session | None = None
        self.commands_at: list[float] = []

    async def send(self, op: int, data: object, seq: int | None = None, event: str | None = None) -> None:
        text = json.dumps({"op": op, "d": data, "s": seq, "t": event})
        if self.socket.closed:
            return
        try:
            if self._compressor is None:
                await self.socket.send_str(text)
            else:
                packed = self._compressor.compress(text.encode()) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
                await self.socket.send_bytes(packed)
        except ConnectionError:
            return


@dataclass(slots=True)
class Session:
    id: str
    line: Line | None
    seq: int = 0
    events: list[tuple[int, str, Json]] = field(default_factory=list)


class Gateway:
    """``address`` gives its own address once it is known. The switches say what goes wrong from now on."""

    def __init__(self, world: World, address: Callable[[], str], *, identify_every_s: float = 5.0) -> None:
        self.world, self._address = world, address
        self.identify_every_s = identify_every_s
        self.heartbeat_ms = 41_250
        self.sessions: dict[str, Session] = {}
        self.lines: list[Line] = []
        self.identifies: list[Json] = []
        self.resumes = self.heartbeats = self.handshakes = 0
        self.refuses_with: int | None = None
        """Answers every handshake with this HTTP status."""
        self.closes_at_once_with: int | None = None
        """Takes the handshake and closes before it says hello."""
        self.closes_identify_with: int | None = None
        self.acknowledges = True
        self._identified_at = -1e18
        self.ready = asyncio.Event()
        """Set while somebody is identified."""

    # --- on demand

    async def dispatch(self, event: str, data: Json) -> None:
        """To every session, connected or not: a resume brings what was missed."""
        for session in list(self.sessions.values()):
            session.seq += 1
            session.events.append((session.seq, event, data))
            if session.line is not None:
                await session.line.send(DISPATCH, data, session.seq, event)

    async def close_all(self, code: int) -> None:
        for line in list(self.lines):
            await line.socket.close(code=code)

    async def ask_to_reconnect(self) -> None:
        for line in list(self.lines):
            await line.send(RECONNECT, None)

    async def invalidate(self, *, resumable: bool = False) -> None:
        if not resumable:
            self.sessions.clear()
        for line in list(self.lines):
            await line.send(INVALID, resumable)

    @property
    def connected(self) -> bool:
        return any(session.line is not None for session in self.sessions.values())

    # --- serving

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.handshakes += 1
        if self.refuses_with is not None:
            return web.Response(status=self.refuses_with)
        socket = web.WebSocketResponse(heartbeat=None)
        await socket.prepare(request)
        query = request.query
        if query.get("v") != "10" or query.get("encoding") != "json":
            await socket.close(code=4012)
            return socket
        if self.closes_at_once_with is not None:
            await socket.close(code=self.closes_at_once_with)
            return socket
        line = Line(socket, compressed=query.get("compress") == "zlib-stream")
        self.lines.append(line)
        try:
            await line.send(HELLO, {"heartbeat_interval": self.heartbeat_ms, "_trace": []})
            async for message in socket:
                code = await self._take(line, message.data) if message.type is WSMsgType.TEXT else 4002
                if code:
                    await socket.close(code=code)
        finally:
            self.lines.remove(line)
            if line.session is not None and line.session.line is line:
                line.session.line = None
            if not self.connected:
                self.ready.clear()
        return socket

    async def _take(self, line: Line, text: str) -> int:
        """The code to close with, 0 for none."""
        now = time.monotonic()
        line.commands_at = [at for at in line.commands_at if at > now - COMMANDS_WINDOW_S] + [now]
        if len(line.commands_at) > MOST_COMMANDS:
            return 4008
        if len(text) > LARGEST_COMMAND:
            return 4002
        try:
            frame = json.loads(text)
            op, data = frame["op"], frame.get("d")
        except (ValueError, KeyError, TypeError):
            return 4002
        if op == HEARTBEAT:
            self.heartbeats += 1
            if self.acknowledges:
                await line.send(ACK, None)
            return 0
        if op == IDENTIFY:
            return await self._identify(line, data)
        if op == RESUME:
            return await self._resume(line, data)
        if line.session is None:
            return 4003
        return 0 if op in (PRESENCE, MEMBERS) else 4001

    async def _identify(self, line: Line, data: Json) -> int:
        if line.session is not None:
            return 4005
        if data.get("token") != self.world.token:
            return 4004
        if self.closes_identify_with is not None:
            return self.closes_identify_with
        intents = data.get("intents")
        if not isinstance(intents, int):
            return 4013
        if intents & PRIVILEGED:
            return 4014
        if {"os", "browser", "device"} - data.get("properties", {}).keys():
            return 4002
        now = time.monotonic()
        if now - self._identified_at < self.identify_every_s:
            await line.send(INVALID, False)  # one IDENTIFY in five seconds
            return 0
        self._identified_at = now
        self.identifies.append(data)
        session = Session(secrets.token_hex(16), line)
        line.session = session
        self.sessions[session.id] = session
        shard = data.get("shard") or [0, 1]
        guilds = [guild for guild in self.world.guilds.values() if self.world.bot.id in guild.members]
        await self._say(
            session,
            "READY",
            {
                "v": 10,
                "user": payloads.user(self.world.bot),
                "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
                "session_id": session.id,
                "resume_gateway_url": self._address(),
                "shard": shard,
                "application": {"id": str(self.world.application_id), "flags": 0},
                "private_channels": [],
                "relationships": [],
            },
        )
        for guild in guilds:
            await self._say(session, "GUILD_CREATE", payloads.guild(guild, self.world.bot))
        self.ready.set()
        return 0

    async def _resume(self, line: Line, data: Json) -> int:
        if data.get("token") != self.world.token:
            return 4004
        session = self.sessions.get(str(data.get("session_id")))
        if session is None:
            await line.send(INVALID, False)
            return 0
        if not isinstance(data.get("seq"), int) or data["seq"] > session.seq:
            return 4007
        self.resumes += 1
        session.line, line.session = line, session
        for seq, event, missed in session.events:
            if seq > data["seq"]:
                await line.send(DISPATCH, missed, seq, event)
        await self._say(session, "RESUMED", {"_trace": []})
        self.ready.set()
        return 0

    async def _say(self, session: Session, event: str, data: Json) -> None:
        session.seq += 1
        session.events.append((session.seq, event, data))
        if session.line is not None:
            await session.line.send(DISPATCH, data, session.seq, event)
