"""What the store's SQL runs on: as much of a database connection as it needs.

`sqlite3.Connection` is one as it is; `storage.postgres` makes one of psycopg's. The SQL above is one text for both:
``?`` for parameters, ``ON CONFLICT``, ids by ``RETURNING``, booleans as 0 and 1, every column that is not aggregated in
``GROUP BY``, and no parameter whose type PostgreSQL could not tell (``? IS NULL``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol


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
