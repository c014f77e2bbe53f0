"""``python -m bot move``: a whole database from SQLite to PostgreSQL, or back, or to another of its kind."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bot.config import Config
from bot.stores import DATABASE_URL, SCHEMES, database_url, open_url
from storage.errors import StoreError
from storage.move import move
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore


def run(config: Config, environ: Mapping[str, str], to: str, from_: str | None) -> str:
    """Carry everything over and say what; ``from_`` None: the database that the bot works with.

    Raises ConfigError, StoreError.
    """
    begins = from_ or database_url(environ) or config.store.path
    if not begins:
        raise StoreError("This config keeps its database in memory: name the database to carry over with --from.")
    if not begins.startswith(SCHEMES) and not Path(begins).exists():
        raise StoreError(f"{begins} does not exist: name the database to carry over with --from.")
    source, target = _store(begins), _store(to)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("")
        counts = move(
            source,
            target,
            lambda table, done, of: progress.update(bar, description=table, completed=done, total=of),
        )
    onward = (
        f"set {DATABASE_URL} to it" if to.startswith(SCHEMES) else f"name it in [store] path and unset {DATABASE_URL}"
    )
    rows = sum(counts.values())
    return (
        f"{rows:,} rows of {len(counts)} tables are in {target.where}, compared by count and checksum.\n"
        f"Next: {onward}. {source.where} is as it was; do not let a bot work with both."
    )


def _store(place: str) -> SqlStore:
    # The source is what the database is bound to already; nothing of it is asked here.
    return open_url(place, "") if "://" in place else SqliteStore(Path(place), "")
