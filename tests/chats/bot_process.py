"""The bot as its users run it, ``python -m bot``, in a process of its own, at strict chat servers in the test's."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import CHECKOUT

STARTED_WITHIN_S = 60.0
LOCAL = {"kind": "local", "seed": 6, "venues": ["binance"], "markets": ["BTC"], "speed": 2.0, "history_days": 1.0}
"""A simulated market at a local venue, of which chats may be told."""


@dataclass
class BotProcess:
    process: asyncio.subprocess.Process
    folder: Path
    port: int
    asked: list[str] = field(default_factory=list)
    """What ``/healthz`` and ``/metrics`` have answered."""

    @property
    def said(self) -> str:
        """On standard output and standard error so far."""
        return "".join((self.folder / name).read_text("utf-8") for name in ("stdout.txt", "stderr.txt"))

    async def ask(self, path: str) -> str:
        """An endpoint's answer; empty while nobody answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                self.asked.append(await answer.text())
        except (aiohttp.ClientError, OSError):
            return ""
        return self.asked[-1]

    async def running(self) -> None:
        """Wait until the bot says that it is up. Raises AssertionError with what it said where it ends before."""
        async with asyncio.timeout(STARTED_WITHIN_S):
            while '"running"' not in await self.ask("/healthz"):
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.05)

    async def ended(self, within_s: float) -> int:
        """Its exit code. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()


@asynccontextmanager
async def bot_process(
    folder: Path, environ: Mapping[str, str], **sections: Mapping[str, Any]
) -> AsyncIterator[BotProcess]:
    """Killed at the end, if it has not ended by then. ``sections`` of its config; the rest is quick and local."""
    port = free_port()
    given: dict[str, Mapping[str, Any]] = {
        "source": LOCAL,
        "store": {"path": str(folder / "bot.db")},
        "charts": {"draw": False, "folder": str(folder / "charts")},
        "console": {"watch": []},
        **sections,
    }
    write_config(folder / "config.toml", given)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "--config", str(folder / "config.toml"),
            cwd=CHECKOUT,
            env={**kept, "PYTHONUNBUFFERED": "1", "PORT": str(port), **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )  # fmt: skip
    try:
        yield BotProcess(process, folder, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def write_config(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Strings, numbers, truths and lists are the same in TOML and JSON."""
    tables = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in sections.items()
    ]
    path.write_text("\n".join(tables), encoding="utf-8")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
