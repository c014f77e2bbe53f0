"""``make promises``: plants every fault of the table, one at a time, and prints which tests saw it.

python -m tests.promises [P4 P9 ...] [--processes N] [--markdown]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.promises.fault import Fault
from tests.promises.plant import Tree, Verdict
from tests.promises.table import FAULTS, PROMISES, markdown

T = TypeVar("T")
_LINES_SHOWN = 15
_SLOW = ("tests/crash/", "tests/chats/test_secrets", "tests/bot/test_resources")
"""Tests of half a minute: begun first, so that no process is left waiting for another's at the end."""


def _turn(test: str) -> int:
    return 0 if test.startswith(_SLOW) else 1


def chosen(promises: Sequence[str]) -> list[Fault]:
    return [fault for fault in FAULTS if not promises or fault.promise in promises]


Found = tuple[Fault, str, Verdict]


class Planting:
    """Copies of the tree, in each of which one thing is run at a time, side by side."""

    def __init__(self, folder: Path, processes: int, console: Console) -> None:
        self._folder, self._console = folder, console
        self._trees: Queue[Tree] = Queue()
        for number in range(processes):
            self._trees.put(Tree.copy(folder / str(number)))
        self._began_s = time.monotonic()
        self._pool = ThreadPoolExecutor(processes)
        self._done = 0

    def untouched(self, faults: Sequence[Fault]) -> Verdict:
        """Their tests without any fault, which must be green, or red would mean nothing: the first that is not."""
        files: dict[str, dict[str, None]] = {}
        for test in sorted((test for fault in faults for test in fault.tests), key=_turn):
            files.setdefault(test.partition("::")[0], {})[test] = None
        # Few runs, for each has its imports; the crash tests' files are runs of their own.
        shares: list[list[str]] = [list(tests) for file, tests in files.items() if file.startswith(_SLOW)]
        rest = [test for file, tests in files.items() if not file.startswith(_SLOW) for test in tests]
        half = next((n for n in range(len(rest) // 2, len(rest)) if _file(rest[n]) != _file(rest[n - 1])), 0)
        shares += [share for share in (rest[:half], rest[half:]) if share]
        verdicts = list(self._pool.map(lambda tests: self._in_a_tree(lambda tree: self._run(tree, tests)), shares))
        return next((one for one in verdicts if one.state != "green"), verdicts[0])

    def plant(self, faults: Sequence[Fault]) -> list[Found]:
        """Every test of every fault, each in a run of its own; in the order of the faults."""
        self._done = 0
        slowest = sorted(faults, key=lambda fault: min(map(_turn, fault.tests)))
        planted = {
            id(fault): self._pool.submit(self._in_a_tree, partial(self._plant, fault, len(faults))) for fault in slowest
        }
        return [found for fault in faults for found in planted[id(fault)].result()]

    def _plant(self, fault: Fault, of: int, tree: Tree) -> list[Found]:
        with tree.with_fault(fault):
            found = [(fault, test, self._run(tree, [test])) for test in fault.tests]
        self._done += 1
        at = f"{self._done:3} of {of}, {time.monotonic() - self._began_s:4.0f} s"
        for _, test, verdict in found:
            line = f"{at}  {fault.promise:3} {verdict.state:7} {verdict.seconds:5.1f} s  {fault.breaks}"
            self._console.print(Text(line, style="" if verdict.red else "red"), soft_wrap=True)
            if not verdict.red:
                said = "\n".join([test, *verdict.said.splitlines()[-_LINES_SHOWN:]])
                self._console.print(Text(said, style="dim"), soft_wrap=True)
        return found

    def _run(self, tree: Tree, tests: Sequence[str]) -> Verdict:
        return tree.run(tests, tree.folder.parent / "report.xml", self._folder / "story")

    def _in_a_tree(self, work: Callable[[Tree], T]) -> T:
        tree = self._trees.get()
        try:
            return work(tree)
        finally:
            self._trees.put(tree)


def _file(test: str) -> str:
    return test.partition("::")[0]


def shown(found: Sequence[Found]) -> Table:
    table = Table(title="Faults planted, one at a time, and whether the test saw them")
    for column in ("", "what was broken", "test", "was"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", justify="right")
    last = ""
    for fault, test, verdict in found:
        state = Text(verdict.state, style="red bold" if verdict.red else "green bold")
        head = fault.promise if fault.promise != last else ""
        table.add_row(head, fault.breaks, test.replace("::", "\n"), state, f"{verdict.seconds:.1f}")
        last = fault.promise
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description=__doc__)
    parser.add_argument("promises", nargs="*", metavar="P4", help="these alone; default: all")
    parser.add_argument("--markdown", action="store_true", help="plant nothing; print the table of docs/RELIABILITY.md")
    parser.add_argument("--processes", type=int, default=max(os.cpu_count() or 1, 2), metavar="N", help="side by side")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.promises) - set(PROMISES))
    if unknown:
        parser.error(f"{', '.join(unknown)}: there are {PROMISES[0]} to {PROMISES[-1]}")
    if arguments.markdown:
        sys.stdout.write(markdown())
        return 0
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    faults, began_s = chosen(arguments.promises), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clusterwatch-promises-") as folder:
        planting = Planting(Path(folder), min(max(arguments.processes, 1), len(faults)), console)
        console.print("Without a fault ...")
        before = planting.untouched(faults)
        if before.state != "green":
            console.print(Text(f"Without any fault the tests are already: {before.state}\n{before.said[-4000:]}"))
            return 1
        console.print(
            f"... all green, after {time.monotonic() - began_s:.0f} s. With a fault, one at a time in a copy:"
        )
        found = planting.plant(faults)
    console.print(shown(found))
    unseen = sum(not verdict.red for _, _, verdict in found)
    promises = len({fault.promise for fault in faults})
    console.print(
        f"{len(found) - unseen} of {len(found)} seen, {len(faults)} faults of {promises} promises, "
        f"in {time.monotonic() - began_s:.0f} s; without a fault all were green."
    )
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
