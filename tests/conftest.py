"""Fixtures that several folders of tests share."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import postgres_server
from tests.postgres_server import PostgresServer
from tests.settled import keep_frozen

os.environ.pop("DATABASE_URL", None)  # whoever runs the tests may have a database of his own in it
for library in ("OPENBLAS", "OMP"):  # tests run side by side: threads of one would wait for those of another
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# From compiled files a child of a test starts in a fifth less time, and so does the next run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
gc.disable()  # until all is collected: nothing that is imported goes away again
# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
WORKERS_BESIDE_CORES = 2
"""Tests wait for processes, sockets and a disk: others run meanwhile."""
LONGEST_FIRST = (
    "tests/crash/",
    "tests/chats/test_whole",
    "tests/chats/test_secrets_process",
    "tests/chats/test_fatal_process",
    "tests/test_end_to_end",
    "tests/test_benchmarks",
    "tests/bot/test_resources",
    "tests/bot/markets/test_live_end_to_end",
    "tests/detectors/test_realised",
)
"""With tests of five seconds and more: begun last, one of them would be alone at the end."""
CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_xdist_auto_num_workers() -> int | None:
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + WORKERS_BESIDE_CORES


def pytest_sessionstart(session: pytest.Session) -> None:
    """Each process imports the tests from another point on: what one has compiled, the next finds."""
    number, of = (os.environ.get(f"PYTEST_XDIST_WORKER{part}", "") for part in ("", "_COUNT"))
    if not number or session.config.args != session.config.getini("testpaths"):
        return
    files = sorted(path.relative_to(CHECKOUT) for path in (CHECKOUT / "tests").rglob("test_*.py"))
    begin = len(files) * int(number.removeprefix("gw")) // int(of)
    for file in (*files[begin:], *files[:begin]):
        with suppress(Exception):  # said when it is collected
            import_module(".".join(file.with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST_FIRST))


def pytest_collection_finish() -> None:
    """Half a million objects of modules live as long as the run: looking through them was a tenth of its time."""
    keep_frozen()
    gc.enable()


@pytest.fixture(scope="session")
def shared_markets() -> Path:
    """The recorded markets, kept in the folder ``shared`` beside the checkout and never in it."""
    folder = CHECKOUT / "../shared/markets"
    if not folder.is_dir():
        pytest.skip("no recorded markets: ../shared/markets is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for the whole run, whatever the number of test processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with postgres_server.start(shared / "postgres") as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A database of the test's own."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)
