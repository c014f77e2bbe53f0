"""P3: two whole bots on one database. One works, the other waits and takes over within 5 s, however the first ended.

Both are the real command line with the real client libraries, against the strict Telegram and Discord.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import postgres_server
from tests.crash.child import kept
from tests.crash.copy import ASKED
from tests.crash.pair import Copy, Pair, pair, until_true
from tests.crash.rig import Servers, Stores, Trial
from tests.crash.story import Story
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system"),
    pytest.mark.xdist_group("two copies"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TAKEOVER_S = 5.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def story(story_file: Path) -> Story:
    return kept(story_file)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PostgresServer]:
    with postgres_server.start(folder / "postgres") as made:
        yield made


@pytest.fixture(scope="module")
def all_stores(folder: Path, story: Story, server: PostgresServer) -> dict[str, Stores]:
    return {"SQLite": Stores(folder / "sqlite", story), "PostgreSQL": Stores(folder / "template", story, server)}


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def two(
    request: pytest.FixtureRequest, folder: Path, story_file: Path, servers: Servers, all_stores: dict[str, Stores]
) -> Iterator[Pair]:
    with pair(folder / request.node.name, story_file, servers, all_stores[request.param]) as made:
        yield made


async def both_live(two: Pair) -> tuple[Copy, Copy]:
    """One that leads and tells what comes, and one that stands by, which asks nobody for anything."""
    first, second, *_ = two.story.told_at()
    two.let_come(first)
    leads = two.start()
    await leads.until("catching up", "running")
    waits = two.start()
    await waits.until("standing by")
    before = two.messages()
    two.let_come(second + 1)
    await until_true(lambda: two.bars() == second + 1 and two.messages() > before)
    assert await waits.state() == "standing by"
    assert ASKED in leads.said.read_text()
    assert ASKED not in waits.said.read_text(), "a copy that waits follows venues"
    assert not [text for text in two.servers.telegram.refusals if "Conflict" in text], "both poll Telegram"
    assert two.servers.telegram.api.calls["getme"] == 1
    assert two.servers.discord.gateway.handshakes == 1, "both hold Discord's gateway"
    assert two.servers.discord.requests["GET me"] == 1
    two.let_come(len(two.story.live))
    return leads, waits


async def takes_over(two: Pair, waits: Copy, since_s: float) -> None:
    """By the clock, from the end of the other until this one follows the market."""
    await until_true(lambda: ASKED in waits.said.read_text())
    assert time.monotonic() - since_s < TAKEOVER_S
    await waits.until("catching up", "running")
    assert time.monotonic() - since_s < TAKEOVER_S
    await two.all_told()


def nothing_lost(trial: Trial, repeats_a_telegram_chat: int) -> None:
    assert sum(trial.lost.values()) == trial.undue == trial.unsaid == 0, trial
    assert trial.on("discord", trial.repeated) == 0, trial
    assert all(n <= repeats_a_telegram_chat for n in trial.repeated.values()), trial


async def test_the_leader_is_killed_and_the_other_copy_takes_over_with_nothing_lost(two: Pair) -> None:
    leads, waits = await both_live(two)
    leads.process.kill()
    await takes_over(two, waits, time.monotonic())
    nothing_lost(two.judged(1), repeats_a_telegram_chat=1)


async def test_the_leader_is_told_to_stop_and_the_other_copy_takes_over_with_nothing_repeated(two: Pair) -> None:
    leads, waits = await both_live(two)
    leads.process.send_signal(signal.SIGTERM)
    assert await leads.ended(within_s=10) == 0
    await takes_over(two, waits, time.monotonic())
    nothing_lost(two.judged(0), repeats_a_telegram_chat=0)


async def test_while_both_live_nothing_is_lost_and_nothing_repeated(two: Pair) -> None:
    _, waits = await both_live(two)
    await two.all_told()
    if urlsplit(two.store).scheme:
        await loses_its_connection(waits, two.store)
    assert await waits.state() == "standing by"
    nothing_lost(two.judged(0), repeats_a_telegram_chat=0)


async def loses_its_connection(waits: Copy, url: str) -> None:
    """The copy that waits, as if its server had been restarted."""
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'clusterwatch' "
            "AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
        ).fetchall()
    assert ended == [(True,)]
    await until_true(lambda: "goes on trying" in waits.said.read_text())
    assert waits.process.poll() is None


@pytest.mark.parametrize("two", ["PostgreSQL"], indirect=True)
async def test_a_leader_that_froze_and_was_overtaken_ends_at_once_and_not_well(
    two: Pair, server: PostgresServer
) -> None:
    leads, waits = await both_live(two)
    leads.process.send_signal(signal.SIGSTOP)
    with psycopg.connect(server.url, autocommit=True) as connection:  # as a router that forgot the connection
        holder = (
            "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND granted"
        )
        name = urlsplit(two.store).path.removeprefix("/")
        (held,) = connection.execute(f"{holder} AND datname = %s".encode(), (name,)).fetchall()
        connection.execute("SELECT pg_terminate_backend(%s)", held)
    await takes_over(two, waits, time.monotonic())
    leads.process.send_signal(signal.SIGCONT)
    assert await leads.ended(within_s=5) == 1
    assert "Another copy of Clusterwatch took PostgreSQL" in leads.said.read_text()
    assert await waits.state() in {"catching up", "running"}
    nothing_lost(two.judged(1), repeats_a_telegram_chat=1)
