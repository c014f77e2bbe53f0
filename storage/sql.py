"""What the store's SQL runs on: as much of a database connection as it needs.

`sqlite3.Connection` is one as it is; `storage.postgres` makes one of psycopg's. The SQL above is one text for both:
``?`` for parameters, ``ON CONFLICT``, ids by ``RETURNING``, booleans as 0 and 1, every column that is not aggregated in
``GROUP BY``, and no parameter whose type PostgreSQL could not tell (``? IS NULL``).
"""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_LENGTHS = (1, 4, 16, 64, 256, 512)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MOST_LISTED = 512
"""Values in one ``IN (...)``: a statement can have so many parameters."""


class Cursor(Protocol):
    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""

    @property
    def description(self) -> Any:
        """Of a query: one sequence a column that begins with its name."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Every statement is its own transaction until ``BEGIN``."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor: ...

    def set_trace_callback(self, callback: Callable[[str], object] | None, /) -> None:
        """Call with every statement's text before it runs."""


def listed(rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """What stands inside an ``IN (...)`` for up to `MOST_LISTED` rows, and its values; columns beyond one are texts.

    The last row is repeated up to one of a few lengths, or every number of rows would be another statement, prepared
    anew.
    """
    length = next(n for n in _LENGTHS if n >= len(rows))
    filled = [*rows, *[rows[-1]] * (length - len(rows))]
    columns = len(rows[0])
    marks = ", ".join("?" * length) if columns == 1 else f"VALUES {_marks(columns, length)}"
    return marks, [value for row in filled for value in row]


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at once as `listed` takes."""
    return (values[start : start + MOST_LISTED] for start in range(0, len(values), MOST_LISTED))


def insert(
    connection: Connection, into: str, rows: Sequence[Sequence[Any]], conflict: str = "", *, first: str = "?"
) -> list[Cursor]:
    """``INSERT INTO`` a table and its columns, many rows a statement, in order; where some are there, ``conflict``.

    ``first`` stands for each row's first value: a query that finds it, so that nobody waits for the answer. Statements
    have one of a few lengths, too.
    """
    done, start = [], 0
    while start < len(rows):
        length = next(n for n in reversed(_ROWS) if n <= len(rows) - start)
        values = [value for row in rows[start : start + length] for value in row]
        marks = _marks(len(rows[0]), length, first)
        done.append(connection.execute(f"INSERT INTO {into} VALUES {marks} {conflict}", values))
        start += length
    return done


@cache
def _marks(columns: int, rows: int, first: str = "?") -> str:
    return ", ".join([f"({', '.join([first, *'?' * (columns - 1)])})"] * rows)
