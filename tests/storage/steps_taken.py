"""What a use of the store costs in a database file, whatever the machine does meanwhile."""

from collections.abc import Awaitable, Callable

from storage.sqlite import SqliteStore


async def steps_taken(store: SqliteStore, use: Callable[[], Awaitable[object]]) -> int:
    """Virtual machine steps of SQLite while ``use`` runs, in tens."""
    database = store._database
    assert database is not None
    taken = 0

    def count() -> None:
        nonlocal taken
        taken += 1

    await store._run(lambda: database.conn.set_progress_handler(count, 10))
    await use()
    await store._run(lambda: database.conn.set_progress_handler(None, 0))
    return taken
