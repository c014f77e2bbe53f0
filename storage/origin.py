"""Which recording, or which simulation, a database was filled from. Inside the caller's transaction.

A kind of source is not enough: after one recording a second would go on where the first stands, and what is told then
is of neither. A recording that has grown since, or is played for fewer markets, is still the same one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from storage.errors import WrongSource
from storage.sql import Connection


@dataclass(frozen=True, slots=True)
class Origin:
    """``name`` is for people. Two origins are one where they have marks of the same name, all with the same value."""

    name: str
    marks: Mapping[str, str]

    def is_same(self, other: "Origin") -> bool:
        common = self.marks.keys() & other.marks.keys()
        return bool(common) and all(self.marks[name] == other.marks[name] for name in common)


GetOrigin = Callable[[], Origin | None]


def no_origin() -> Origin | None:
    return None


def bind(connection: Connection, origin: Origin | None, where: str) -> None:
    """Bind a database to where its markets come from, or go on with it. Raises WrongSource for another one."""
    if origin is None:
        return
    found = connection.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    if found is not None:
        document: dict[str, Any] = json.loads(found[0])
        bound = Origin(document["name"], document["marks"])
        if not bound.is_same(origin):
            raise WrongSource(where, bound.name, origin.name)
        origin = Origin(origin.name, {**bound.marks, **origin.marks})
    text = json.dumps({"name": origin.name, "marks": dict(origin.marks)}, separators=(",", ":"), sort_keys=True)
    if found is None or found[0] != text:
        connection.execute(
            "INSERT INTO meta VALUES ('origin', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (text,)
        )
