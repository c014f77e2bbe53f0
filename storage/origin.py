"""Which recordings, or which simulation, a database was filled from. Inside the caller's transaction.

A kind of source is not enough: after one recording a second would go on where the first stands, and what is told then
is of neither. A recording that has grown since, or is played for fewer markets, is still the same one. One of the same
series that begins after all that is stored goes on with it: what lies between is a gap as any other, across which
nothing is computed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.errors import WrongSource
from storage.sql import Connection


@dataclass(frozen=True, slots=True)
class Origin:
    """``name`` is for people. Two origins are one where they have marks of the same name, all with the same value."""

    name: str
    marks: Mapping[str, str]
    begins_at_ms: int | None = None
    """Before its first moment, where it can go on with another one of the same series."""

    def is_same(self, other: "Origin") -> bool:
        common = self.marks.keys() & other.marks.keys()
        return bool(common) and all(self.marks[name] == other.marks[name] for name in common)

    def shares_series(self, other: "Origin") -> bool:
        return not self.marks.keys().isdisjoint(other.marks)


GetOrigin = Callable[[], Origin | None]


def no_origin() -> Origin | None:
    return None


def bind(connection: Connection, origin: Origin | None, where: str) -> str | None:
    """Bind a database to where its markets come from, or go on with it. Raises WrongSource for another one.

    Returns a sentence for the operator where a later recording goes on with what is stored.
    """
    if origin is None:
        return None
    found = connection.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    bound = _read(found[0]) if found is not None else []
    note = None
    same = next((n for n, one in enumerate(bound) if one.is_same(origin)), None)
    if same is not None:
        bound[same] = Origin(origin.name, {**bound[same].marks, **origin.marks})
    else:
        if bound:
            note = _goes_on(connection, bound, origin, where)
        bound.append(origin)
    text = _write(bound)
    if found is None or found[0] != text:
        connection.execute(
            "INSERT INTO meta VALUES ('origin', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (text,)
        )
    return note


def _goes_on(connection: Connection, bound: list[Origin], origin: Origin, where: str) -> str:
    last = bound[-1]
    (ends_at_ms,) = connection.execute("SELECT max(taken_at_ms) FROM markets").fetchone()
    if origin.begins_at_ms is None or ends_at_ms is None or not any(one.shares_series(origin) for one in bound):
        raise WrongSource(where, last.name, origin.name)
    if origin.begins_at_ms < ends_at_ms:
        after = f"another one of its markets that begins after {_moment(ends_at_ms)}, where it stands"
        raise WrongSource(where, last.name, origin.name, after)
    return (
        f"{origin.name} goes on with {last.name}: nothing is known from {_moment(ends_at_ms)} "
        f"to {_moment(origin.begins_at_ms)}, and nothing is told across it."
    )


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _read(text: str) -> list[Origin]:
    document: dict[str, Any] = json.loads(text)
    return [Origin(one["name"], one["marks"]) for one in (document, *document.get("later", ()))]


def _write(bound: list[Origin]) -> str:
    """The first as it always was, so that an earlier version still knows it."""
    first, *later = ({"name": one.name, "marks": dict(one.marks)} for one in bound)
    document: dict[str, Any] = {**first, "later": later} if later else dict(first)
    return json.dumps(document, separators=(",", ":"), sort_keys=True)
