"""``make crash``: the whole matrix in several processes, and a table of what came of it. Exit code 1 where it is bad.

python -m tests.crash [--quick] [--no-postgres] [--processes N]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash import matrix
from tests.crash.child import kept
from tests.crash.matrix import PLATFORMS, Outcome
from tests.crash.rig import ROOT, rigs

PAIRS, RANDOM_TRIALS, STOPS = 24, 30, 24
SCENES = ("kills at a step", "two kills in a row", "random kills", "SIGTERM")


def share(arguments: argparse.Namespace) -> None:
    """One process's part: every n-th kill. Prints one line of JSON for each store and scene."""
    number, of = map(int, arguments.share.split("/"))
    chance = random.Random(7)
    quick = 4 if arguments.quick else 1
    folder = Path(arguments.folder)
    with rigs(folder / str(number), postgres=not arguments.no_postgres, story_file=folder / "story") as made:
        for rig in made:
            counts = matrix.counted(rig)
            # Every process draws the same kills, and takes its own of them.
            every = matrix.every_kill(counts)
            stops = matrix.one_kill_a_point(counts, random.Random(3))
            parts = {
                SCENES[0]: matrix.matrix(rig, every[number :: of * quick]),
                SCENES[1]: matrix.matrix(rig, matrix.pairs(counts, chance, PAIRS // quick)[number::of]),
                SCENES[2]: matrix.random_kills(rig, number, RANDOM_TRIALS // of // quick),
                SCENES[3]: matrix.stops(rig, stops[:: max(1, len(stops) // STOPS) * quick][number::of]),
            }
            for scene, outcome in parts.items():
                line = {"store": rig.store_name, "scene": scene, **vars(outcome), "points": sorted(outcome.points)}
                print(json.dumps(line), flush=True)


def outcomes(lines: list[str]) -> dict[tuple[str, str], Outcome]:
    found: dict[tuple[str, str], Outcome] = {}
    for line in lines:
        given = json.loads(line)
        key = given.pop("store"), given.pop("scene")
        for name in ("due", "lost", "repeated"):
            given[name] = Counter(given[name])
        one = Outcome(**{**given, "points": set(given["points"])})
        found.setdefault(key, Outcome()).merge(one)
    return found


def table(found: dict[tuple[str, str], Outcome]) -> Table:
    shown = Table(title="What strict chat servers received, against what was due", caption="due: messages")
    for column in ("store", "how", "kills", "points", "platform", "due", "lost", "repeated"):
        shown.add_column(column, justify="left" if column in {"store", "how", "platform"} else "right", no_wrap=True)
    for (store, scene), outcome in sorted(
        found.items(), key=lambda item: (item[0][0] != "SQLite", SCENES.index(item[0][1]))
    ):
        for number, name in enumerate(PLATFORMS):
            kills = str(outcome.kills if scene != SCENES[3] else outcome.trials)
            head = (store, scene, kills, str(len(outcome.points)) if outcome.points else "any instant")
            shown.add_row(
                *(head if number == 0 else ("", "", "", "")),
                name.capitalize(),
                *(f"{n[name]:,}" for n in (outcome.due, outcome.lost, outcome.repeated)),
                end_section=number == 1,
            )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="The crash matrix")
    parser.add_argument("--quick", action="store_true", help="a quarter of the kills")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    parser.add_argument("--processes", type=int, default=(os.cpu_count() or 1) + 1)
    for name in ("--share", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.no_postgres |= find_spec("storage.postgres") is None
    if arguments.share:
        share(arguments)
        return 0
    console, began_s = Console(), time.monotonic()
    console = console if console.is_terminal else Console(width=110)
    with tempfile.TemporaryDirectory(prefix="clusterwatch-crash-") as folder:
        kept(Path(folder) / "story")
        console.print(f"Killing in {arguments.processes} processes; this takes some minutes ...")
        command = [sys.executable, "-m", "tests.crash", *sys.argv[1:], "--folder", folder]
        running = [
            subprocess.Popen(
                [*command, "--share", f"{n}/{arguments.processes}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            for n in range(arguments.processes)
        ]
        answers = [process.communicate()[0] for process in running]
    found = outcomes([line for answer in answers for line in answer.splitlines()])
    console.print(table(found))
    problems = [problem for outcome in found.values() for problem in outcome.problems]
    problems += [f"a part ended with exit code {process.returncode}" for process in running if process.returncode]
    missed = [miss for outcome in found.values() for miss in outcome.missed]
    kills = sum(outcome.kills for outcome in found.values())
    slowest = max((outcome.slowest_stop_s for outcome in found.values()), default=0.0)
    console.print(f"{kills} kills, all after boot or at a named step, in {time.monotonic() - began_s:.0f} s.")
    console.print(f"SIGTERM: the slowest exit took {slowest:.1f} s; allowed are 10.")
    if missed:
        console.print(f"Not landed, since the step came less often that time: {', '.join(missed)}")
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
