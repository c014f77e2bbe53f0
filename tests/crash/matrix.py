"""The crash matrix: which kills there are, and what came of them."""

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.crash.points import NAMED, STATEMENTS, times
from tests.crash.rig import Rig, Trial
from tests.crash.story import platform

PLATFORMS = ("telegram", "discord")
KILLS_IN_A_ROW = 6
LATEST_KILL_S = 0.35
_TRIES = (1.0, 0.8, 0.5)


@dataclass(frozen=True, slots=True)
class Kill:
    """At the ``nth`` time of ``point``; ``again``: the next life too, at its first time there."""

    point: str
    nth: int
    sign: int = int(signal.SIGKILL)
    again: str = ""

    def __str__(self) -> str:
        return f"{self.point} #{self.nth}" + (f", then {self.again}" if self.again else "")


@dataclass
class Outcome:
    """Sums over trials, for one store."""

    trials: int = 0
    kills: int = 0
    after_boot: int = 0
    """Of the kills, those that came after the bot had said that it was up."""
    points: set[str] = field(default_factory=set)
    """Where a kill was shown to have landed."""
    due: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Kills that could not be made to land: the point was not reached so often."""
    slowest_stop_s: float = 0.0
    lives: int = 0
    cpu_s: float = 0.0
    """What the lives took of a core."""
    stalls: list[str] = field(default_factory=list)
    """See `Trial.stalls`."""

    def add(self, trial: Trial, what: str, due: Mapping[str, int]) -> None:
        self.trials += 1
        self.kills += trial.kills
        self.after_boot += trial.kills_after_boot
        self.lives += len(trial.lives)
        self.cpu_s += sum(life.cpu_s for life in trial.lives)
        self.stalls += [f"{what}: {stall}" for stall in trial.stalls]
        self.problems += [f"{what}: {problem}" for problem in trial.problems]
        for name in PLATFORMS:
            self.due[name] += due[name]
            self.lost[name] += trial.on(name, trial.lost)
            self.repeated[name] += trial.on(name, trial.repeated)

    def merge(self, other: "Outcome") -> None:
        self.trials += other.trials
        self.kills += other.kills
        self.after_boot += other.after_boot
        self.lives += other.lives
        self.cpu_s += other.cpu_s
        self.stalls += other.stalls
        self.points |= other.points
        for mine, theirs in ((self.due, other.due), (self.lost, other.lost), (self.repeated, other.repeated)):
            mine.update(theirs)
        self.problems += other.problems
        self.missed += other.missed
        self.slowest_stop_s = max(self.slowest_stop_s, other.slowest_stop_s)


def due_by_platform(rig: Rig) -> Mapping[str, int]:
    return Counter(platform(role) for role, _ in rig.story.due)


def counted(rig: Rig) -> Mapping[str, int]:
    """How often each point is reached when nobody is killed, which must also lose and repeat nothing."""
    trial = rig.trial(lambda n: None)
    assert trial.problems == (), trial.problems
    assert not sum(trial.repeated.values())
    counts = trial.lives[0].counts
    missing = [name for name in (*NAMED, *STATEMENTS) if not counts.get(name)]
    assert not missing, f"never reached: {missing}"
    return counts


def every_kill(counts: Mapping[str, int]) -> list[Kill]:
    """First, second, middle and last time of every named point; of other statements that write the first and the last,
    of those that only read the middle one."""
    kills = []
    for point, count in sorted(counts.items()):
        if ": select" in point:
            kills.append(Kill(point, (count + 1) // 2))
        elif ": " in point and point not in STATEMENTS:
            kills += [Kill(point, nth) for nth in sorted({1, count})]
        else:
            kills += [Kill(point, nth) for nth in times(count)]
    return kills


def one_kill_a_point(counts: Mapping[str, int], chance: random.Random, only: Iterable[str] | None = None) -> list[Kill]:
    names = sorted(only if only is not None else counts)
    return [Kill(name, chance.choice(times(counts[name]))) for name in names if counts.get(name)]


def pairs(counts: Mapping[str, int], chance: random.Random, n: int) -> list[Kill]:
    """Two lives in a row are killed, the second one while it recovers or wherever it first comes."""
    names = [name for name in sorted(counts) if ": select" not in name and name not in {"stopping", "stopped"}]
    return [Kill(chance.choice(names), 1, again=chance.choice(names)) for _ in range(n)]


def run(rig: Rig, kills: Sequence[Kill], fault: str = "") -> Iterator[tuple[Kill, Trial | None]]:
    """A trial for each kill; None where it could not be made to land."""
    for kill in kills:
        yield kill, _landed(rig, kill, fault)


def _landed(rig: Rig, kill: Kill, fault: str) -> Trial | None:
    # How often a point is reached varies a little from life to life, so the last time may not come.
    for nth in dict.fromkeys(max(1, round(kill.nth * share)) for share in _TRIES):
        trial = rig.trial(_orders(kill, nth), fault)
        if trial.lives[0].killed or trial.lives[0].marked:
            return trial
    return None


def _orders(kill: Kill, nth: int) -> Callable[[int], Mapping[str, Any] | None]:
    def order(life: int) -> Mapping[str, Any] | None:
        if life == 0:
            return {"point": kill.point, "nth": nth, "sign": kill.sign}
        return {"point": kill.again, "nth": 1, "sign": kill.sign} if life == 1 and kill.again else None

    return order


def matrix(rig: Rig, kills: Sequence[Kill], fault: str = "") -> Outcome:
    outcome, due = Outcome(), due_by_platform(rig)
    for kill, trial in run(rig, kills, fault):
        if trial is None:
            outcome.missed.append(str(kill))
            continue
        outcome.points.add(kill.point)
        outcome.add(trial, str(kill), due)
    return outcome


def random_kills(rig: Rig, seed: int, trials: int) -> Outcome:
    """Kills from outside, at any instant after boot, several lives in a row."""
    chance, outcome, due = random.Random(seed), Outcome(), due_by_platform(rig)
    for number in range(trials):
        trial = rig.trial(
            lambda life: {"kill_after_s": chance.uniform(0.0, LATEST_KILL_S)} if life < KILLS_IN_A_ROW else None
        )
        assert all(life.booted for life in trial.lives if life.killed), "a kill landed before boot and shows nothing"
        outcome.add(trial, f"random kills {seed}/{number}", due)
    return outcome


def stops(rig: Rig, kills: Sequence[Kill]) -> Outcome:
    """SIGTERM in place of SIGKILL: it drains, exits with 0, and nothing is lost or repeated."""
    outcome, due = Outcome(), due_by_platform(rig)
    for kill in kills:
        trial = _landed(rig, Kill(kill.point, kill.nth, int(signal.SIGTERM)), "")
        if trial is None:
            outcome.missed.append(str(kill))
            continue
        outcome.points.add(kill.point)
        outcome.add(trial, f"SIGTERM at {kill}", due)
        outcome.slowest_stop_s = max(outcome.slowest_stop_s, trial.lives[0].seconds)
        if trial.lives[0].exit_code != 0:
            outcome.problems.append(f"SIGTERM at {kill}: exit code {trial.lives[0].exit_code}")
        if sum(trial.repeated.values()):
            outcome.problems.append(f"SIGTERM at {kill}: {sum(trial.repeated.values())} repeated")
    return outcome
