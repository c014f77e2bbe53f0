"""Kinds are found by themselves, and a broken one stops the start with its name and its fault."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectors import kinds as kinds_package
from detectors.registry import BrokenKindError, find_kinds, load_kinds

GOOD = """
from dataclasses import dataclass
from detectors.event import Outcome, OutcomeClass
from detectors.registry import EventKind

@dataclass(frozen=True)
class Settings:
    size: float = 1.0
    judged_after_hours: float = 24.0

KIND = EventKind("NAME", "title", "summary", Settings(), lambda v, s, m: ((), m), lambda e, l, s: (), "it came")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(folder: Path, name: str, source: str) -> str:
    (folder / f"{name}.py").write_text(source)
    return name


def test_every_file_of_the_kinds_folder_is_found_in_the_order_of_names() -> None:
    files = sorted(file.stem for file in Path(kinds_package.__path__[0]).glob("*.py") if file.stem != "__init__")
    assert list(find_kinds()) == files


def test_a_good_kind_loads(folder: Path) -> None:
    name = write(folder, "planted_good", GOOD.replace("NAME", "planted_good"))
    assert load_kinds([name])[name].settings.size == 1.0


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("planted_empty", "", "no EventKind named KIND"),
        ("planted_syntax", "def (", "cannot be imported"),
        ("planted_raises", "1 / 0", "cannot be imported: division by zero"),
        ("planted_missing", "import no_such_library_anywhere", "cannot be imported"),
        ("planted_wrong_type", "KIND = 'a string'", "no EventKind named KIND"),
        ("planted_misnamed", GOOD.replace("NAME", "other"), "'other'; it must be 'planted_misnamed'"),
        (
            "planted_thawed",
            GOOD.replace("NAME", "planted_thawed").replace("frozen=True", "frozen=False"),
            "frozen dataclass",
        ),
        (
            "planted_class",
            GOOD.replace("NAME", "planted_class").replace("Settings(), lambda", "Settings, lambda"),
            "frozen dataclass",
        ),
        (
            "planted_without_detect",
            GOOD.replace("NAME", "planted_without_detect").replace("lambda v, s, m: ((), m)", "None"),
            "detect",
        ),
        (
            "planted_untitled",
            GOOD.replace("NAME", "planted_untitled").replace('"title"', '""'),
            "title",
        ),
        (
            "planted_unscored",
            GOOD.replace("NAME", "planted_unscored").replace('"it came"', '""'),
            "scored_as",
        ),
        (
            "planted_without_horizon",
            GOOD.replace("NAME", "planted_without_horizon").replace("    judged_after_hours: float = 24.0\n", ""),
            "judged_after_hours, above 0",
        ),
        (
            "planted_horizon_of_nothing",
            GOOD.replace("NAME", "planted_horizon_of_nothing").replace("24.0", "0.0"),
            "judged_after_hours, above 0",
        ),
    ],
)
def test_a_broken_kind_refuses_to_start_and_says_why(folder: Path, name: str, source: str, fault: str) -> None:
    with pytest.raises(BrokenKindError, match=name) as refused:
        load_kinds([write(folder, name, source)])
    assert fault in str(refused.value)


def test_no_kinds_at_all_refuses_to_start() -> None:
    with pytest.raises(BrokenKindError, match="no event kinds"):
        load_kinds([])


def test_every_kind_says_when_it_speaks() -> None:
    for kind in find_kinds().values():
        assert kind.title
        assert kind.summary.endswith(".")
        assert len(kind.summary) < 140
