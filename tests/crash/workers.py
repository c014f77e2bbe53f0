"""The crash matrix spread over processes: each takes the next kill when it is done with one."""

import json
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.crash import matrix
from tests.crash.matrix import Kill, Outcome
from tests.crash.rig import ROOT, Rig, rigs

STEP, PAIR, RANDOM, STOP = SCENES = ("kills at a step", "two kills in a row", "random kills", "SIGTERM")
LIVES = {STEP: 2.1, PAIR: 2.8, RANDOM: 1.0 + matrix.KILLS_IN_A_ROW, STOP: 2.1}
"""About how many lives such a job takes, for the estimate of the time left."""


@dataclass(frozen=True, slots=True)
class Job:
    """A ``kill``, or kills at random by ``seed``. ``scene`` empty: how often each point comes when nobody is killed."""

    store: str
    scene: str = ""
    kill: Kill | None = None
    seed: int = 0
    fault: str = ""

    @property
    def lives(self) -> float:
        return LIVES.get(self.scene, 1.0)


def work(folder: Path, stores: Sequence[str]) -> None:
    """A worker's life: a line of JSON with a job in, a line with its outcome out."""
    shared = folder.parent
    with rigs(
        folder, postgres="PostgreSQL" in stores, story_file=shared / "story", server_folder=shared / "postgres"
    ) as made:
        by_store = {rig.store_name: rig for rig in made}
        print("ready", flush=True)
        for line in sys.stdin:
            given = json.loads(line)
            kill = given.pop("kill")
            job = Job(**given, kill=Kill(**kill) if kill else None)
            print(json.dumps(_done(by_store[job.store], job)), flush=True)


def _done(rig: Rig, job: Job) -> dict[str, Any]:
    if not job.scene:
        return dict(matrix.counted(rig))
    if job.scene == RANDOM:
        outcome = matrix.random_kills(rig, job.seed, 1)
    elif job.scene == STOP:
        outcome = matrix.stops(rig, [_kill(job)])
    else:
        outcome = matrix.matrix(rig, [_kill(job)], job.fault)
    return {**vars(outcome), "points": sorted(outcome.points)}


def _kill(job: Job) -> Kill:
    assert job.kill is not None
    return job.kill


def _outcome(given: Mapping[str, Any]) -> Outcome:
    counters = {name: Counter(given[name]) for name in ("due", "lost", "repeated")}
    return Outcome(**{**given, **counters, "points": set(given["points"])})


class Workers:
    """Processes that are started at once and take jobs in turn."""

    def __init__(self, folder: Path, stores: Sequence[str], number: int) -> None:
        self._idle: queue.Queue[subprocess.Popen[str]] = queue.Queue()
        self._threads = ThreadPoolExecutor(number)
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.crash", "--work", str(folder / str(n)), "--stores", ",".join(stores)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(number)
        ]
        for process in self._processes:
            threading.Thread(target=self._await, args=(process,), daemon=True).start()

    def _await(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        process.stdout.readline()
        self._idle.put(process)

    def counts(self, store: str) -> "Future[Mapping[str, int]]":
        return self._threads.submit(self._ask, Job(store))

    def give(self, job: Job, done: Callable[[Job, Outcome], None]) -> "Future[None]":
        """``done`` is called in a thread."""
        return self._threads.submit(lambda: done(job, _outcome(self._ask(job))))

    def _ask(self, job: Job) -> Mapping[str, Any]:
        process = self._idle.get()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        self._idle.put(process)
        if not answer:
            raise RuntimeError(f"a worker ended with exit code {process.wait()} at {job}")
        found: Mapping[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has ended by itself, which was said
                process.stdin.close()
        for process in self._processes:
            process.wait()


@contextmanager
def workers(folder: Path, stores: Sequence[str], number: int) -> Iterator[Workers]:
    with ExitStack() as closing:
        if "PostgreSQL" in stores:
            from tests import postgres_server

            closing.enter_context(postgres_server.start(folder / "postgres"))
        made = Workers(folder, stores, number)
        closing.callback(made.close)
        yield made
