"""Each promise has its row, and each row names tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = dict(re.findall(r"^\| (P\d+) \|(.*)$", (ROOT / "docs/RELIABILITY.md").read_text(encoding="utf-8"), re.MULTILINE))


def missing(row: str) -> list[str]:
    """Tests that the row names and nobody wrote; the row itself where it names none."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
    gone = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or not re.search(rf"def {name}\(", (ROOT / file).read_text(encoding="utf-8"))
    ]
    return gone if named else [row]


def test_there_is_a_row_for_every_promise() -> None:
    assert list(ROWS) == [f"P{n}" for n in range(1, 22)]


@pytest.mark.parametrize("promise", ROWS)
def test_the_tests_of_a_promise_are_there(promise: str) -> None:
    assert missing(ROWS[promise]) == []


def test_a_row_without_a_test_or_with_one_that_is_gone_is_found() -> None:
    assert missing("when | promise | trust us |")
    assert missing("when | promise | `tests/test_docs.py::test_that_was_never_written` |")
