"""A strict Telegram Bot API on loopback: it refuses what Telegram would refuse, and limits as Telegram limits.

In a test: ``async with TelegramServer() as server``; what people do is in ``server.world``, what the bot sent in
``server.sent``. As a process of its own, for a bot that gets killed::

    python -m tests.chats.telegram_server --port 8081 --record sent.jsonl

It prints one line of JSON with its address and token. Every accepted message or edit is one line of the record.
``POST /control/NAME`` with a JSON object calls the method NAME of `World` (``say``, ``press``, ``kick_bot`` ...), and
``/control/fault``, ``/control/sent``, ``/control/updates``, ``/control/stats`` do what `TelegramServer` does.
The bot reaches it by ``TELEGRAM_BASE_URL`` (the address) and ``TELEGRAM_TOKEN``.
"""

import argparse
import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TextIO

from aiohttp import web

from tests.chats.telegram_limits import Fault, Faults, Kind, Limits, When, flood
from tests.chats.telegram_methods import BotApi, Files, Params
from tests.chats.telegram_params import as_json
from tests.chats.telegram_state import Letter
from tests.chats.telegram_text import Refused
from tests.chats.telegram_world import BOT_ID, World

TOKEN = f"{BOT_ID}:AAstrict-local-server-token-of-a-test-0"
_LARGEST = 60 * 1024 * 1024
_TELLING = {Kind.SERVER_ERROR: (500, "Internal Server Error"), Kind.UNAUTHORIZED: (401, "Unauthorized")}


class TelegramServer:
    """``limits=None``: as documented; ``record``: a file to append every accepted message to."""

    def __init__(
        self,
        world: World | None = None,
        *,
        token: str = TOKEN,
        limits: Limits | None = None,
        record: Path | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.world = world or World()
        self.token = token
        self.limits = limits or Limits(now_s)
        self.faults = Faults()
        self.record: list[dict[str, Any]] = []
        self.api = BotApi(self.world, self.limits, self._take_note)
        self.refusals: list[str] = []
        """Descriptions of what was refused, in order."""
        self.in_flight: dict[int, int] = {}
        self.most_in_flight = 0
        """The most sends that were open at once in one chat."""
        self._path = record
        self._file: TextIO | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the bot needs to come here."""
        return {"TELEGRAM_TOKEN": self.token, "TELEGRAM_BASE_URL": self.address}

    async def start(self, port: int = 0) -> None:
        if self._path is not None:
            self._file = self._path.open("a", encoding="utf-8")
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        app.router.add_post("/control/{name}", self._control)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._file is not None:
            self._file.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- what a test asks of it

    def sent(self, chat_id: int | None = None) -> list[Letter]:
        """The bot's messages as they stand, of one chat or in order of chats."""
        rooms = [self.world.rooms[chat_id]] if chat_id is not None else list(self.world.rooms.values())
        return [letter for room in rooms for letter in room.sent]

    async def until(self, true: Callable[[], Any], within_s: float = 10.0) -> None:
        """Wait for something to hold. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110 - whatever the test looks at has no event of its own
                await asyncio.sleep(0.005)

    def fault(
        self,
        method: str,
        kind: str,
        when: str = When.BEFORE,
        *,
        times: int = 1,
        chat_id: int | None = None,
        hold_s: float = 60.0,
    ) -> None:
        self.faults.add(Fault(method, Kind(kind), When(when), times, chat_id, hold_s))

    # --- serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        token, method = request.match_info["token"], request.match_info["method"].lower()
        if token != self.token:
            return _answer(Refused(401, "Unauthorized") if ":" in token else Refused(404, "Not Found"))
        params, files = await _read(request)
        chat_id = _number(params.get("chat_id"))
        fault = self.faults.due(method, chat_id)
        if fault is not None and fault.when is When.BEFORE:
            return await self._fail(request, fault)
        answer = await self._call(method, params, files, chat_id)
        return answer if fault is None else await self._fail(request, fault)

    async def _call(self, method: str, params: Params, files: Files, chat_id: int | None) -> web.Response:
        sends = method.startswith("send")
        if sends and chat_id is not None:
            self.in_flight[chat_id] = self.in_flight.get(chat_id, 0) + 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight[chat_id])
        try:
            await asyncio.sleep(0)
            result = await self.api.call(method, params, files)
            return web.Response(text=as_json({"ok": True, "result": result}), content_type="application/json")
        except Refused as refused:
            self.refusals.append(refused.description)
            return _answer(refused)
        finally:
            if sends and chat_id is not None:
                self.in_flight[chat_id] -= 1

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind is Kind.RESET:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault.kind is Kind.TIMEOUT:
            await asyncio.sleep(fault.hold_s)
            return web.Response(status=504, text="<html>504 Gateway Time-out</html>", content_type="text/html")
        if fault.kind is Kind.BAD_GATEWAY:
            return web.Response(status=502, text="<html>502 Bad Gateway</html>", content_type="text/html")
        if fault.kind is Kind.GARBAGE:
            return web.Response(text="<html>hello", content_type="text/html")
        if fault.kind is Kind.FLOOD:
            return _answer(flood(min(fault.hold_s, 3600.0)))
        return _answer(Refused(*_TELLING[fault.kind]))

    async def _control(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        given: dict[str, Any] = json.loads(await request.text() or "{}")
        result: Any = None
        if name == "fault":
            self.fault(**given)
        elif name == "flood":
            self.limits.close(given["chat_id"], given["for_s"])
        elif name == "sent":
            result = [asdict(letter) for letter in self.sent(given.get("chat_id"))]
        elif name == "updates":
            result = self.world.updates
        elif name == "stats":
            result = {
                "calls": self.api.calls,
                "floods": self.limits.refused,
                "faults": self.faults.happened,
                "uploads": len(self.api.uploads),
                "most_in_flight": self.most_in_flight,
                "refusals": self.refusals,
            }
        else:
            method = getattr(self.world, name, None)
            if name.startswith("_") or not inspect.ismethod(method):
                return web.json_response({"error": f"no such control: {name}"}, status=404)
            try:
                result = method(**given)
            except (KeyError, TypeError) as error:
                return web.json_response({"error": repr(error)}, status=400)
        return web.json_response({"result": result})

    def _take_note(self, note: dict[str, Any]) -> None:
        self.record.append(note)
        if self._file is not None:
            self._file.write(as_json(note) + "\n")
            self._file.flush()


def _answer(refused: Refused) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": refused.code, "description": refused.description}
    if refused.parameters:
        body["parameters"] = refused.parameters
    return web.Response(status=refused.code, text=as_json(body), content_type="application/json")


async def _read(request: web.Request) -> tuple[dict[str, str], dict[str, bytes]]:
    params, files = dict(request.query), {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file as file:
                files[name] = file.read()
        elif isinstance(value, str):
            params[name] = value
    return params, files


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


async def _main(arguments: argparse.Namespace) -> None:
    server = TelegramServer(token=arguments.token, record=arguments.record)
    await server.start(arguments.port)
    print(as_json({"address": server.address, "token": server.token}), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chats.telegram_server", description="A strict local Bot API")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--record", type=Path, help="append every accepted message to this file, a line each")
    parser.add_argument("--token", default=TOKEN)
    asyncio.run(_main(parser.parse_args(argv)))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
