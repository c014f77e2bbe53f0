"""What all tests of this folder share."""

import os
from pathlib import Path

import pytest

from tests.crash.child import kept


@pytest.fixture(scope="session")
def story_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story, made once for the whole run: it takes some seconds. `make promises` has it made once for all runs."""
    base = tmp_path_factory.getbasetemp()
    made = os.environ.get("CLUSTERWATCH_TEST_STORY")
    file = Path(made) if made else (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "story"
    kept(file)
    return file
