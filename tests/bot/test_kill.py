"""``kill -9`` at any instant: no alert lost, at most one repeat a chat and kill, and every repeat says so.

Two planted faults show that these tests would see a loss.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bot.kill_child import expected

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Nursery:
    """Bears children and lets them be killed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def life(
        self,
        folder: Path,
        ticks: int,
        *,
        fault: str = "none",
        at_step: int | None = None,
        kill_after_s: float | None = None,
    ) -> bool:
        """Whether the child was killed. It must have booted, and must not have failed by itself."""
        order = {
            "folder": str(folder),
            "ticks": ticks,
            "fault": fault,
            "at_step": at_step,
            "kill_after_s": kill_after_s,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["booted"], "the kill landed before the child had booted: it shows nothing"
        assert not answer["failed"]
        return bool(answer["killed"])


@contextmanager
def nursery() -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bot.kill_child"],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork keeps no threads
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


def problems(folder: Path, ticks: int, kills: int) -> list[str]:
    """What the chats would complain of."""
    lines = [json.loads(line) for line in (folder / "sent.jsonl").read_text().splitlines()]
    arrived = Counter((chat, alert_id) for chat, alert_id, _ in lines)
    repeats = Counter(chat for chat, alert_id in arrived for _ in range(arrived[chat, alert_id] - 1))
    said = Counter((chat, alert_id) for chat, alert_id, repeat in lines if repeat)
    found = [f"lost {key}" for key in expected(ticks) - set(arrived)]
    found += [f"{chat} got {n} repeats of {kills} kills" for chat, n in repeats.items() if n > kills]
    found += [f"repeat not said {key}" for key, n in arrived.items() if n - 1 > said[key]]
    return found + [f"never decided {key}" for key in set(arrived) - expected(ticks)]


def sweep(tmp_path: Path, fault: str, ticks: int = 2) -> Iterator[tuple[int, list[str]]]:
    """Kill one child at every step of its life, each time with a new database, and let a second one finish."""
    with nursery() as births:
        new = tmp_path / "new"
        new.mkdir()
        births.life(new, ticks=0)
        step, killed = 0, True
        while killed:
            step += 1
            folder = shutil.copytree(new, tmp_path / str(step))
            killed = births.life(folder, ticks, fault=fault, at_step=step)
            if killed:
                assert not births.life(folder, ticks, fault=fault)
            yield step, problems(folder, ticks, kills=int(killed))


def test_a_kill_at_any_statement_loses_nothing_and_repeats_at_most_one_alert_a_chat(tmp_path: Path) -> None:
    found = dict(sweep(tmp_path, "none"))
    assert len(found) > 40
    assert {step: what for step, what in found.items() if what} == {}


@pytest.mark.parametrize("fault", ["state_first", "sent_first"])
def test_a_planted_fault_is_seen(tmp_path: Path, fault: str) -> None:
    assert any(what.startswith("lost") for _, found in sweep(tmp_path, fault) for what in found)


def test_kills_at_random_instants_lose_nothing_and_repeat_at_most_one_alert_a_chat_each(tmp_path: Path) -> None:
    chance, ticks, kills = random.Random(7), 120, 0
    with nursery() as births:
        while births.life(tmp_path, ticks, kill_after_s=chance.uniform(0.0, 0.03)):
            kills += 1
    assert kills >= 5
    assert problems(tmp_path, ticks, kills) == []
