"""Finds every event kind: each module of `detectors.kinds` exposes one record named ``KIND``.

A broken kind stops the start: silence from a detector that never ran looks just like a calm market.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Any

from detectors import kinds as kinds_package
from detectors.event import Event, Outcome
from detectors.market import HOUR_MS
from detectors.series import MarketSeries
from detectors.view import MarketView

Memory = dict[str, Any]
"""A kind's own small memory of one market; JSON-able."""
Detect = Callable[[MarketView, Any, Memory], tuple[Sequence[Event], Memory]]


@dataclass(frozen=True, slots=True)
class Completed:
    """An event with newer facts. ``event`` None: nothing new yet. ``final``: nothing more will come."""

    event: Event | None = None
    final: bool = False


Complete = Callable[[Event, MarketView, Any], Completed]
Judge = Callable[[Sequence[Event], MarketSeries, Any], Sequence[Outcome]]


@dataclass(frozen=True)
class EventKind:
    """One kind of event. ``settings`` is a frozen dataclass with defaults, and the kind's table in the config."""

    kind: str
    title: str
    """For people: what ``/watch`` and the help call it."""
    summary: str
    """One sentence on when it is said."""
    settings: Any
    """Has ``judged_after_hours``, the horizon of its outcomes."""
    detect: Detect
    """Pure: (view, settings, memory) -> (events, new memory)."""
    judge: Judge
    """Pure: (events of one market, its series, settings) -> what came of each, in order. Only what lies between the
    event and its horizon (and the hour after) may decide: a series goes on."""
    scored_as: str
    """What an outcome that was reached says, after "64 of 112 such": ``clusters were consumed``."""
    by_chance: str = "a level this far away"
    """What is asked of other times for the chance level."""
    complete: Complete | None = None
    """Pure: what became known since of an event told a while ago. Its facts alone may change: it is the same event."""
    by_default: bool = True
    """Whether a chat that names no kinds is told of it."""

    def horizon_ms(self, settings: Any) -> int:
        """How long after an event its outcome is settled; stated in its settings."""
        return round(float(settings.judged_after_hours) * HOUR_MS)


class BrokenKindError(Exception):
    """A kind's file does not hold what it must; the message says which and what."""


@cache
def find_kinds() -> Mapping[str, EventKind]:
    """Every kind by name, in the order of names. Raises BrokenKindError."""
    names = sorted(module.name for module in pkgutil.iter_modules(kinds_package.__path__))
    return load_kinds(f"{kinds_package.__name__}.{name}" for name in names)


def load_kinds(modules: Iterable[str]) -> Mapping[str, EventKind]:
    """The kinds of these modules by name. Raises BrokenKindError."""
    found: dict[str, EventKind] = {}
    for name in modules:
        short = name.rpartition(".")[2]
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise BrokenKindError(f"{name} cannot be imported: {error}") from error
        record = getattr(module, "KIND", None)
        if not isinstance(record, EventKind):
            raise BrokenKindError(f"{name} has no EventKind named KIND")
        if record.kind != short:
            raise BrokenKindError(f"{name} calls its kind {record.kind!r}; it must be {short!r}, like its file")
        if not _is_frozen(record.settings):
            raise BrokenKindError(f"{name}: settings must be an instance of a frozen dataclass")
        if not callable(record.detect) or not callable(record.judge):
            raise BrokenKindError(f"{name}: detect and judge must be functions")
        if not record.title or not record.summary or not record.scored_as:
            raise BrokenKindError(f"{name}: title, summary and scored_as must not be empty")
        if not getattr(record.settings, "judged_after_hours", 0) > 0:
            raise BrokenKindError(f"{name}: settings must state the horizon, judged_after_hours, above 0")
        found[record.kind] = record
    if not found:
        raise BrokenKindError("no event kinds found")
    return found


def _is_frozen(settings: object) -> bool:
    parameters = getattr(settings, "__dataclass_params__", None)
    return is_dataclass(settings) and not isinstance(settings, type) and bool(getattr(parameters, "frozen", False))
