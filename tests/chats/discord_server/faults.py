"""Scripted trouble: what goes wrong with which requests, before Discord takes them or after it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Trouble(StrEnum):
    STATUS = "status"
    """An answer of ``status``."""
    RESET = "reset"
    """The connection is cut."""
    STALL = "stall"
    """The answer comes after ``seconds``."""
    GARBAGE = "garbage"
    """200 with ``text`` in place of an answer."""


@dataclass(slots=True)
class Fault:
    """``route`` as in `limits.RULES`, or a beginning of it; ``major`` narrows it to one channel; ``times`` it happens.

    ``taken``: Discord has done what it was asked, and only its answer is lost.
    """

    trouble: Trouble
    route: str = "POST messages"
    taken: bool = False
    times: int = 1
    status: int = 503
    seconds: float = 0.0
    text: str = "<html>oops</html>"
    major: str = ""
    body: Mapping[str, object] = field(default_factory=dict)
    """Of a `STATUS`; empty: what Discord sends with it."""


@dataclass(slots=True)
class Faults:
    waiting: list[Fault] = field(default_factory=list)
    met: list[Fault] = field(default_factory=list)
    """Each as often as it happened."""

    def add(self, fault: Fault) -> None:
        self.waiting.append(fault)

    def meet(self, route: str, major: str, *, taken: bool) -> Fault | None:
        """The next fault of this request, at this side of its being taken."""
        for fault in self.waiting:
            if fault.taken == taken and route.startswith(fault.route) and fault.major in ("", major):
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                self.met.append(fault)
                return fault
        return None
