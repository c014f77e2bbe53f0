"""Named points on the way from a bar's arrival to the settled delivery, and the process that ends itself at one.

Production code has no hooks: the child wraps the parts of the real bot (feed, engine, store, charts, platforms and the
libraries' own request functions). Every SQL statement is a point too, named after what the store was asked for, its
verb and its table; the name is reached *before* the statement runs.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

START = ("store opens", "store opened", "chats known")
TICK = ("past fetched", "bar arrived", "bar stepped", "chats read", "commit begins", "committed")
CHECKPOINT = ("checkpoint begins", "checkpoint saved")
DELIVERY = (
    "claim begins",
    "claimed",
    "evidence read",
    "composing",
    "chart drawn",
    "composed",
    *(
        f"{name} {step}"
        for name in ("telegram", "discord")
        for step in ("send begins", "request leaves", "answer read", "sent")
    ),
    "settle begins",
    "settled",
)
END = ("stopping", "stopped")
NAMED = (*START, *TICK, *CHECKPOINT, *DELIVERY, *END)
"""Every one of these must be reached by a life that is not killed."""
STATEMENTS = (
    "commit: begin",
    "commit: insert snapshots",
    "commit: insert events",
    "commit: insert alerts",
    "commit: insert deliveries",
    "commit: commit",
    "claim: begin",
    "claim: update deliveries",
    "claim: commit",
    "settle: begin",
    "settle: update deliveries",
    "settle: commit",
)
"""Some of the statements on that way; every other one that occurs is killed at as well."""

_STATEMENT = re.compile(r"\s*(\w+)(?:\s.*?\b(?:INTO|UPDATE|FROM|TABLE|INDEX)\s+(?:IF NOT EXISTS\s+)?(\w+))?", re.DOTALL)
_UPDATE = re.compile(r"\s*UPDATE\s+(\w+)", re.IGNORECASE)


def statement_name(doing: str, sql: str) -> str:
    """``commit: insert deliveries``."""
    update = _UPDATE.match(sql)
    if update:
        return f"{doing}: update {update[1].lower()}"
    found = _STATEMENT.match(sql)
    assert found is not None
    return f"{doing}: {found[1].lower()}" + (f" {found[2].lower()}" if found[2] else "")


class Points:
    """Counts what is reached; at the ``nth`` time of ``name`` it sends ``sign`` to its own process.

    The kernel delivers SIGKILL before the call returns, so nothing runs after it. ``nth`` 0: never.
    """

    def __init__(self, name: str = "", nth: int = 0, sign: int = signal.SIGKILL, mark: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._name, self._nth, self._sign, self._mark = name, nth, sign, mark

    def reached(self, name: str) -> None:
        self.counts[name] += 1
        if name == self._name and self.counts[name] == self._nth:
            if self._mark is not None:
                self._mark.write_text(f"{name} {self._nth}")
            os.kill(os.getpid(), self._sign)


def times(count: int) -> Sequence[int]:
    """First, second, middle and last of so many, each once."""
    return sorted({1, 2, (count + 1) // 2, count} & set(range(1, count + 1)))
