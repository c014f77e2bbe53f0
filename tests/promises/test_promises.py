"""The table of planted faults does not rot, and planting sees what it should. ``make promises`` plants them all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.promises.fault import Fault
from tests.promises.plant import ROOT, Tree, judge
from tests.promises.table import FAULTS, PROMISES, markdown
from tests.test_reliability_docs import ROWS

QUICKEST = ("P9", "P18")
"""Of these the first fault is planted here."""


def test_every_promise_has_a_fault_planted() -> None:
    assert [promise for promise in PROMISES if promise not in {fault.promise for fault in FAULTS}] == []
    assert {fault.promise for fault in FAULTS} <= set(PROMISES)


def test_each_fault_can_be_planted_and_is_code_that_runs(tmp_path: Path) -> None:
    for number, fault in enumerate(FAULTS):
        planted = fault.planted((ROOT / fault.file).read_text(encoding="utf-8"))
        if fault.file.endswith(".py"):
            (tmp_path / f"{number}_{Path(fault.file).name}").write_text(planted, encoding="utf-8")
    # Names that nobody defined would fail any test, and show nothing.
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821,F823", "."]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_each_test_that_a_fault_names_is_there() -> None:
    gone = []
    for test in {test for fault in FAULTS for test in fault.tests}:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8")) if (ROOT / file).is_file() else ast.parse("")
        if name not in {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}:
            gone.append(test)
    assert gone == []


def test_a_fault_breaks_a_file_of_ours_and_never_the_tests() -> None:
    assert [fault.file for fault in FAULTS if not fault.file.startswith(("bot/", "detectors/", "storage/"))] == []


def test_the_docs_list_the_faults_and_each_promise_s_row_names_a_test_that_sees_one() -> None:
    docs = (ROOT / "docs/RELIABILITY.md").read_text(encoding="utf-8")
    assert markdown() in docs, "python -m tests.promises --markdown prints the table as it is now"
    unnamed = [
        promise
        for promise in PROMISES
        if not any(test in ROWS[promise] for fault in FAULTS if fault.promise == promise for test in fault.tests)
    ]
    assert unnamed == []


# --- planting


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree.copy(tmp_path_factory.mktemp("promises"))


@pytest.mark.parametrize("promise", QUICKEST)
def test_a_fault_that_is_planted_turns_its_test_red(tree: Tree, tmp_path: Path, promise: str) -> None:
    fault = next(fault for fault in FAULTS if fault.promise == promise)
    with tree.with_fault(fault):
        verdict = tree.run(fault.tests[:1], tmp_path / "report.xml")
    assert verdict.red, verdict.said
    assert (tree.folder / fault.file).read_text("utf-8") == (ROOT / fault.file).read_text("utf-8")


@pytest.mark.parametrize(
    ("source", "state"),
    [
        ("import pytest\ndef test_it():\n    pytest.skip('not here')\n", "not run"),
        ("import nowhere\ndef test_it():\n    pass\n", "error"),
        ("def test_it():\n    undefined\n", "badly planted"),
    ],
)
def test_only_a_test_that_ran_and_failed_counts_as_red(tmp_path: Path, source: str, state: str) -> None:
    (tmp_path / "test_probe.py").write_text(source)
    assert Tree(tmp_path).run(["test_probe.py::test_it"], tmp_path / "report.xml").state == state


@pytest.mark.parametrize(
    ("cases", "state"),
    [
        ("<testcase/>", "green"),
        ("<testcase><skipped/></testcase><testcase/>", "green"),
        ("<testcase><skipped/></testcase>", "not run"),
        ("<testcase/><testcase><failure message='assert 1 == 2'/></testcase>", "red"),
        ("<testcase><failure message='NameError: x'/></testcase>", "badly planted"),
        ("<testcase><error message='a fixture'/></testcase>", "error"),
        ("", "not run"),
    ],
)
def test_what_pytest_wrote_down_is_judged(tmp_path: Path, cases: str, state: str) -> None:
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert judge(report, 0.0, "").state == state
    assert judge(tmp_path / "none.xml", 0.0, "").state == "error"


@pytest.mark.parametrize("text", ["there", "nowhere"])
def test_a_fault_whose_text_is_not_there_exactly_once_is_refused(text: str) -> None:
    fault = Fault("P1", "nothing", "bot/x.py", text, "else", ())
    with pytest.raises(ValueError, match=r"occurs (2|0) times in bot/x\.py"):
        fault.planted("there and there")
