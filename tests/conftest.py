"""Fixtures that several folders of tests share."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import postgres_server
from tests.postgres_server import PostgresServer

os.environ.pop("DATABASE_URL", None)  # whoever runs the tests may have a database of his own in it
for library in ("OPENBLAS", "OMP"):  # tests run side by side: threads of one would wait for those of another
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Half a million objects of modules live as long as the run: looking through them was a tenth of its time."""
    gc.collect()
    gc.freeze()


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
