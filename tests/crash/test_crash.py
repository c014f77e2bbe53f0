"""P1 and P2 on the real bot: real platforms, strict chat servers, every step of the way. `make crash` runs the whole.

Here: one kill at each step of a delivery, the two planted faults, random kills and SIGTERM, on each store.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.crash import matrix
from tests.crash.matrix import Kill
from tests.crash.points import statement_name, times
from tests.crash.rig import ROOT, STALLS_AT_MOST, Rig, rigs

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.xdist_group("crash"),
    # A kill in the middle of an upload leaves the server with half a file.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STORES = ("SQLite", "PostgreSQL") if find_spec("storage.postgres") else ("SQLite",)
SLICE = ("bar arrived", "commit begins", "commit: commit", "committed", "claimed", "composed", "telegram answer read",
         "discord answer read", "settle begins", "settle: commit", "settled")  # fmt: skip


@pytest.fixture(scope="module")
def all_rigs(tmp_path_factory: pytest.TempPathFactory, story_file: Path) -> Iterator[list[Rig]]:
    with rigs(tmp_path_factory.mktemp("crash"), postgres="PostgreSQL" in STORES, story_file=story_file) as made:
        yield made


@pytest.fixture(params=STORES)
def rig(request: pytest.FixtureRequest, all_rigs: list[Rig]) -> Rig:
    return next(one for one in all_rigs if one.store_name == request.param)


@pytest.fixture(scope="module")
def all_counts(all_rigs: list[Rig]) -> dict[str, dict[str, int]]:
    """A life that nobody kills, for each store."""
    return {rig.store_name: dict(matrix.counted(rig)) for rig in all_rigs}


def test_killed_at_each_step_nothing_is_lost_and_discord_gets_no_repeat(
    rig: Rig, all_counts: dict[str, dict[str, int]]
) -> None:
    kills = matrix.one_kill_a_point(all_counts[rig.store_name], random.Random(5), SLICE)
    found = matrix.matrix(rig, kills)
    assert (found.problems, found.missed) == ([], [])
    assert found.kills == len(kills) == len(SLICE)
    assert sum(found.lost.values()) == found.repeated["discord"] == 0


def test_killed_between_the_answer_and_the_settlement_telegram_gets_one_repeat_that_says_so(rig: Rig) -> None:
    for kill, trial in matrix.run(rig, [Kill("telegram sent", 3), Kill("discord sent", 3)]):
        assert trial is not None
        assert trial.problems == ()
        assert trial.on("discord", trial.repeated) == 0
        if kill.point.startswith("telegram"):
            # The other chat's message may be between its answer and its settlement at the same instant.
            repeated = [trial.repeated[role] for role in ("telegram-all", "telegram-few")]
            assert max(repeated) == 1, "the one that was sent comes again, and none twice"


@pytest.mark.parametrize(
    ("fault", "kill"), [("state_first", Kill("commit: insert alerts", 1)), ("sent_first", Kill("composing", 3))]
)
def test_a_planted_fault_loses_alerts_and_is_seen(rig: Rig, fault: str, kill: Kill) -> None:
    tried = [Kill(kill.point, nth) for nth in (kill.nth, *range(2, 12))]
    for _, trial in matrix.run(rig, tried, fault):
        if trial is not None and trial.problems:
            assert any("lost" in problem for problem in trial.problems)
            return
    pytest.fail(f"{fault} was not seen")


def test_with_a_fault_planted_the_whole_command_ends_in_red_and_says_what_was_lost(story_file: Path) -> None:
    fault, point = "sent_first", "composing"
    command = [sys.executable, "-m", "tests.crash", "--story", str(story_file), "--stores", "SQLite"]
    planted = ["--processes", "1", "--fault", fault, "--only", point]
    done = subprocess.run([*command, *planted], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{point} #" in done.stdout
    assert " lost" in done.stdout


def test_killed_at_random_instants_after_boot_nothing_is_lost(rig: Rig) -> None:
    found = matrix.random_kills(rig, seed=11, trials=2)
    assert found.problems == []
    assert found.kills >= 2


def test_told_to_stop_at_any_step_it_drains_ends_well_and_repeats_nothing(
    rig: Rig, all_counts: dict[str, dict[str, int]]
) -> None:
    names = ("commit begins", "composing", "telegram request leaves", "discord answer read")
    found = matrix.stops(rig, matrix.one_kill_a_point(all_counts[rig.store_name], random.Random(3), names))
    assert (found.problems, found.missed) == ([], [])
    assert found.trials == len(names)
    assert found.slowest_stop_s < 10


def test_a_life_that_stalls_is_tried_again_and_what_it_waited_for_is_told(all_rigs: list[Rig]) -> None:
    trial = all_rigs[0].trial(lambda life: {"fault": "deaf", "bored_s": 2.0} if life == 0 else None)
    assert trial.problems == ()
    assert [life.stalled for life in trial.lives] == [True, False]
    (told,) = trial.stalls
    assert told.startswith("stalled: life 1")
    assert "'pending'" in told, "what is owed"
    assert "in follow" in told, "what tasks wait for"
    assert "Current thread" in told


def test_a_life_that_stalls_again_is_a_fault(all_rigs: list[Rig]) -> None:
    trial = all_rigs[0].trial(lambda life: {"fault": "deaf", "bored_s": 1.0})
    assert len(trial.lives) == STALLS_AT_MOST
    assert any("stalled again" in problem for problem in trial.problems)


def test_statements_are_named_after_what_the_store_was_asked_for_their_verb_and_their_table() -> None:
    assert statement_name("commit", "INSERT INTO deliveries VALUES (1)") == "commit: insert deliveries"
    assert statement_name("claim", "UPDATE deliveries SET x = (SELECT 1 FROM y)") == "claim: update deliveries"
    assert statement_name("settle", "BEGIN IMMEDIATE") == "settle: begin"
    assert statement_name("other", "SELECT a FROM b WHERE c") == "other: select b"


def test_first_second_middle_and_last_are_each_killed_at_once() -> None:
    assert [list(times(n)) for n in (1, 2, 3, 9)] == [[1], [1, 2], [1, 2, 3], [1, 2, 5, 9]]
