"""``make promises``: plants every fault of the table, one at a time, and prints which tests saw it.

python -m tests.promises [P4 P9 ...] [--markdown]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.promises.fault import Fault
from tests.promises.plant import Tree, Verdict
from tests.promises.table import FAULTS, PROMISES, markdown

_LINES_SHOWN = 15


def chosen(promises: Sequence[str]) -> list[Fault]:
    return [fault for fault in FAULTS if not promises or fault.promise in promises]


def plant(faults: Sequence[Fault], console: Console) -> list[tuple[Fault, str, Verdict]]:
    """Every test of every fault, each in a run of its own."""
    found = []
    with tempfile.TemporaryDirectory(prefix="clusterwatch-promises-") as folder:
        tree, report = Tree.copy(Path(folder)), Path(folder) / "report.xml"
        for fault in faults:
            with tree.with_fault(fault):
                for test in fault.tests:
                    with console.status(f"{fault.promise}: {fault.breaks}"):
                        verdict = tree.run([test], report)
                    found.append((fault, test, verdict))
                    if not verdict.red:
                        console.print(Text(f"{fault.promise}, {fault.breaks}: {verdict.state} ({test})", style="red"))
                        console.print(Text("\n".join(verdict.said.splitlines()[-_LINES_SHOWN:]), style="dim"))
    return found


def untouched(faults: Sequence[Fault]) -> Verdict:
    """Their tests without any fault, which must be green, or red would mean nothing."""
    with tempfile.TemporaryDirectory(prefix="clusterwatch-promises-") as folder:
        tests = dict.fromkeys(test for fault in faults for test in fault.tests)
        return Tree.copy(Path(folder)).run(list(tests), Path(folder) / "report.xml")


def shown(found: Sequence[tuple[Fault, str, Verdict]]) -> Table:
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
    with console.status("without a fault ..."):
        before = untouched(faults)
    if before.state != "green":
        console.print(Text(f"Without any fault the tests are already: {before.state}\n{before.said[-4000:]}"))
        return 1
    found = plant(faults, console)
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
