"""How often a store of PostgreSQL waits for its server, which is what another machine's distance is paid with."""

from collections.abc import Sequence
from typing import Any

from storage.postgres import PostgresStore
from storage.sql import Cursor


class Trips:
    """Counts from now on, on the connection of an open store."""

    def __init__(self, store: PostgresStore) -> None:
        self.count = 0
        connection = store._postgres
        assert connection is not None
        heard, execute = connection.heard, connection.execute

        def counted_heard() -> None:
            self.count += connection.waits
            heard()

        def counted_execute(sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
            done = execute(sql, parameters)
            self.count += not connection.waits  # a commit, a rollback, or a statement outside of a transaction
            return done

        connection.heard = counted_heard  # type: ignore[method-assign]
        connection.execute = counted_execute  # type: ignore[method-assign]
