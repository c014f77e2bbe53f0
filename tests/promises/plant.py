"""Plants faults into a copy of the tree, one at a time, and sees whether the tests notice."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.promises.fault import Fault

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 400.0
"""A test that takes longer hangs, which nobody would call seeing the fault."""
CHECKED_FIRST = 'failed on setup with "AssertionError'
NO_FINDINGS = (
    "SyntaxError",
    "IndentationError",
    "NameError",
    "UnboundLocalError",
    "ImportError",
    "ModuleNotFoundError",
)
"""A test that fails with these has met a fault that was planted badly."""
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "out", "*.egg-info")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``state``: red (the test failed), green, or why it says nothing: error, not run, hangs, badly planted."""

    state: str
    seconds: float
    said: str = ""

    @property
    def red(self) -> bool:
        return self.state == "red"


@dataclass(frozen=True, slots=True)
class Tree:
    """A copy of the tree. ``folder`` is its top; what stands beside the checkout stands beside it too."""

    folder: Path

    @classmethod
    def copy(cls, into: Path) -> "Tree":
        """What git knows or would add; all that is not generated where there is no git."""
        folder = into / "tree"
        names = _tracked()
        if names is None:
            shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)
            return cls(folder)
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
        return cls(folder)

    @contextmanager
    def with_fault(self, fault: Fault) -> Iterator[None]:
        """Raises ValueError where it cannot be planted."""
        path = self.folder / fault.file
        source = path.read_text(encoding="utf-8")
        planted = fault.planted(source)
        if path.suffix == ".py":
            compile(planted, fault.file, "exec")
        try:
            _write(path, planted)
            yield
        finally:
            _write(path, source)

    def run(self, tests: Sequence[str], report: Path, story: Path | None = None) -> Verdict:
        """The first failure ends it. ``story``: where crash tests keep theirs, for all runs."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
        environ = {**os.environ, "PYTHONPATH": str(self.folder)}
        for name in [name for name in environ if name.startswith(("PYTEST_", "COV_"))]:
            del environ[name]  # of the run that runs this one
        if story is not None:
            environ["CLUSTERWATCH_TEST_STORY"] = str(story)
        report.unlink(missing_ok=True)
        began_s = time.monotonic()
        try:
            done = subprocess.run(
                [*command, f"--junitxml={report}", *tests],
                cwd=self.folder,
                env=environ,
                capture_output=True,
                text=True,
                timeout=LONGEST_S,
            )
        except subprocess.TimeoutExpired as hung:
            said = hung.stdout.decode() if isinstance(hung.stdout, bytes) else hung.stdout or ""
            return Verdict("hangs", time.monotonic() - began_s, said)
        return judge(report, time.monotonic() - began_s, done.stdout + done.stderr)


def judge(report: Path, seconds: float, said: str) -> Verdict:
    """By what pytest wrote down: a test that failed is red, and one whose fixture found what it checks not to hold; one
    that could not be collected or was skipped is not."""
    if not report.exists():
        return Verdict("error", seconds, said)
    cases = list(ET.parse(report).iter("testcase"))
    failures = [str(failure.get("message")) for case in cases for failure in case.iter("failure")]
    if failures:
        planted_badly = failures[0].startswith(NO_FINDINGS)
        return Verdict("badly planted" if planted_badly else "red", seconds, said)
    errors = [str(error.get("message")) for case in cases for error in case.iter("error")]
    if errors:
        return Verdict("red" if errors[0].startswith(CHECKED_FIRST) else "error", seconds, said)
    ran = [case for case in cases if case.find("skipped") is None]
    return Verdict("green" if ran else "not run", seconds, said)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    # Python tells a changed file by its size and its second, and a fault can have both in common with the truth.
    for old in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        old.unlink()


def _tracked() -> list[str] | None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    names = [name for name in done.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()] if done.returncode == 0 and names else None
