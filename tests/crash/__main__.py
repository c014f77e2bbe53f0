"""``make crash``: the whole matrix in several processes, and a table of what came of it. Exit code 1 where it is bad.

python -m tests.crash [--quick] [--stores SQLite,PostgreSQL] [--processes N] [--fault FAULT --only POINT]
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.crash import matrix
from tests.crash.child import kept
from tests.crash.matrix import PLATFORMS, Outcome
from tests.crash.workers import PAIR, RANDOM, SCENES, STEP, STOP, Job, work, workers

PAIRS, RANDOM_TRIALS, STOPS = 24, 30, 24
STORES = ("SQLite", "PostgreSQL")
SAID_EVERY_S = 15.0
"""Where nobody watches a bar move."""
LEAST_MEMORY = 512 * 1024 * 1024
Found = dict[tuple[str, str], Outcome]


def jobs(store: str, counts: Mapping[str, int], every: int) -> list[Job]:
    """Each kill of a store, or every so-manieth of them."""
    chance = random.Random(7)
    stops = matrix.one_kill_a_point(counts, random.Random(3))
    made = [Job(store, STEP, kill) for kill in matrix.every_kill(counts)[::every]]
    made += [Job(store, PAIR, kill) for kill in matrix.pairs(counts, chance, PAIRS // every)]
    made += [Job(store, RANDOM, seed=seed) for seed in range(RANDOM_TRIALS // every)]
    made += [Job(store, STOP, kill) for kill in stops[:: max(1, len(stops) // STOPS) * every]]
    return made


def table(found: Found) -> Table:
    shown = Table(title="What strict chat servers received, against what was due", caption="due: messages")
    for column in ("store", "how", "kills", "after boot", "points", "platform", "due", "lost", "repeated"):
        shown.add_column(column, justify="left" if column in {"store", "how", "platform"} else "right", no_wrap=True)
    for (store, scene), outcome in sorted(
        found.items(), key=lambda item: (STORES.index(item[0][0]), SCENES.index(item[0][1]))
    ):
        for number, name in enumerate(PLATFORMS):
            kills = str(outcome.kills if scene != STOP else outcome.trials)
            after = str(outcome.after_boot) if scene != STOP else ""
            head = (store, scene, kills, after, str(len(outcome.points)) if outcome.points else "any")
            shown.add_row(
                *(head if number == 0 else ("", "", "", "", "")),
                name.capitalize(),
                *(f"{n[name]:,}" for n in (outcome.due, outcome.lost, outcome.repeated)),
                end_section=number == 1,
            )
    return shown


class Watch:
    """How far it is, and how long it will take: a bar at a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, total: float) -> None:
        self._console, self._total, self._began_s = console, total, time.monotonic()
        self._said_s, self._done = self._began_s, 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            speed_estimate_period=120.0,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("killing", total=total)
        self._progress.start()

    def moved(self, by: float, found: Found) -> None:
        self._done += by
        kills, lost = (sum(n) for n in zip(*((o.kills, sum(o.lost.values())) for o in found.values()), strict=True))
        self._progress.update(self._bar, advance=by, description=f"{kills} kills, {lost} lost")
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._said_s > SAID_EVERY_S:
            self._said_s = now_s
            left_s = (now_s - self._began_s) * (self._total / self._done - 1)
            self._console.print(
                f"{self._done / self._total:.0%}: {kills} kills, {lost} lost; about {left_s:.0f} s left"
            )

    def close(self) -> None:
        self._progress.stop()


def kill_all(arguments: argparse.Namespace, console: Console, folder: Path) -> Found:
    """Raises what ended a worker."""
    found: Found = {}
    lock = threading.Lock()
    with workers(folder, arguments.stores, arguments.processes) as made:
        console.print(f"Killing in {arguments.processes} processes ...")
        counts = {store: made.counts(store) for store in arguments.stores}
        every = 4 if arguments.quick else 1
        given = [job for store in arguments.stores for job in jobs(store, counts[store].result(), every)]
        if arguments.only:
            given = [job for job in given if job.scene == STEP and job.kill and job.kill.point == arguments.only]
        given = [Job(job.store, job.scene, job.kill, job.seed, arguments.fault) for job in given]
        watch = Watch(console, sum(job.lives for job in given))

        def done(job: Job, outcome: Outcome) -> None:
            with lock:
                found.setdefault((job.store, job.scene), Outcome()).merge(outcome)
                watch.moved(job.lives, found)

        # The longest first, so that nobody works alone at the end.
        running = [made.give(job, done) for job in sorted(given, key=lambda job: -job.lives)]
        try:
            finished, _ = wait(running, return_when=FIRST_EXCEPTION)
            for one in finished:
                one.result()
        finally:
            watch.close()
    return found


def in_memory() -> str | None:
    """A place without a disk that is waited for: processes are killed here, not machines. None: there is none."""
    memory = Path("/dev/shm")
    return str(memory) if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > LEAST_MEMORY else None


def report(console: Console, found: Found, took_s: float, stacks: Path) -> int:
    console.print(table(found))
    outcomes = list(found.values())
    kills, lives = sum(one.kills for one in outcomes), sum(one.lives for one in outcomes)
    cpu_s = sum(one.cpu_s for one in outcomes)
    console.print(f"{kills} kills in {took_s:.0f} s; {lives} lives, each {cpu_s / max(1, lives):.2f} s of a core.")
    slowest = max((one.slowest_stop_s for one in outcomes), default=0.0)
    console.print(f"SIGTERM: the slowest exit took {slowest:.1f} s; allowed are 10.")
    if missed := [miss for one in outcomes for miss in one.missed]:
        console.print(f"Not landed, since the step came less often that time: {', '.join(missed)}")
    if stalls := [stall for one in outcomes for stall in one.stalls]:
        stacks.write_text("\n\n".join(stalls))
        heads = "; ".join(stall.partition("\n")[0] for stall in stalls)
        console.print(f"[yellow]Lives that were slow or stalled, and were waited for or tried again: {heads}[/yellow]")
        console.print(f"What they waited for is in {stacks}")
    problems = [problem for one in outcomes for problem in one.problems]
    for problem in problems:
        console.print(problem, style="red", markup=False)
    return 1 if problems or not kills else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="The crash matrix")
    parser.add_argument("--quick", action="store_true", help="a quarter of the kills")
    parser.add_argument("--stores", type=lambda text: text.split(","), default=STORES, help="SQLite,PostgreSQL")
    parser.add_argument("--processes", type=int, default=(os.cpu_count() or 1) + 1)
    parser.add_argument("--fault", choices=("state_first", "sent_first"), default="", help="plant it; must be found")
    parser.add_argument("--only", metavar="POINT", help="kill at this point alone, such as 'composing'")
    parser.add_argument("--story", type=Path, help="a file to keep the market in between runs")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.work:
        work(Path(arguments.work), arguments.stores)
        return 0
    console, began_s = Console(), time.monotonic()
    console = console if console.is_terminal else Console(width=120)
    with tempfile.TemporaryDirectory(prefix="clusterwatch-crash-", dir=in_memory()) as folder:
        story = Path(folder) / "story"
        if arguments.story:
            kept(arguments.story)
            story.symlink_to(arguments.story.resolve())
        kept(story)
        found = kill_all(arguments, console, Path(folder))
    stacks = Path(tempfile.gettempdir()) / "clusterwatch-crash-stacks.txt"
    return report(console, found, time.monotonic() - began_s, stacks)


if __name__ == "__main__":
    sys.exit(main())
