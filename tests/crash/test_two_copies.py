"""P3: two copies on one database. One works, the other waits, and takes over within 5 s however the first ended."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres_server

ROOT = Path(__file__).resolve().parents[2]
COPY = """
import asyncio, sys
from tests.crash.child import make_store
from tests.crash.points import Points

async def main():
    store = make_store(sys.argv[1], Points(), "")
    print("starting", flush=True)
    await store.open()
    await store.heartbeat(1)
    print("leading", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "SQLite":
        yield str(tmp_path / "bot.db")
        return
    with postgres_server.start(tmp_path / "postgres") as server:
        yield server.create_database()


def copy(database: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COPY, database]
    return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)


async def said(process: "subprocess.Popen[str]", within_s: float = 20.0) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_a_second_copy_waits_and_takes_over_within_five_seconds_of_a_kill(database: str) -> None:
    first = copy(database)
    second = None
    try:
        assert [await said(first), await said(first)] == ["starting", "leading"]
        second = copy(database)
        assert await said(second) == "starting"
        waiting = asyncio.create_task(said(second))
        await asyncio.sleep(0.7)
        assert not waiting.done(), "two copies lead at once"
        first.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        assert await waiting == "leading"
        assert time.monotonic() - killed_s < 5
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()
