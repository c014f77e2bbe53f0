"""Which database ``check`` means, and whether a start could work with it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bot.config import Config, ConfigError
from bot.markets.check import Row, check_database
from bot.stores import DATABASE_URL, database_url, open_url
from storage.errors import StoreError


def place_of(config: Config, environ: Mapping[str, str], *, local: bool) -> Path | str | None:
    """The file or the URL that a start would work with; None: memory."""
    if local or not config.store.path:
        return None
    return database_url(environ) or Path(config.store.path)


async def database_row(place: Path | str | None) -> Row:
    """Nothing is made, locked or migrated, so a running bot is not disturbed."""
    if not isinstance(place, str):
        return check_database(place)
    try:
        where = open_url(place, "").where
    except ConfigError as error:
        return Row("database", False, "; ".join(error.faults), f"mend {DATABASE_URL}")
    except StoreError as error:
        return Row("database", False, str(error), f"mend {DATABASE_URL}")
    return await asyncio.to_thread(_look, place, where)


def _look(url: str, where: str) -> Row:
    import psycopg  # whoever uses SQLite need not load libpq

    from storage.postgres_look import look

    try:
        found = look(url)
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        return Row("database", False, f"{where} cannot be reached ({said})", f"see {DATABASE_URL} and the server")
    if found.encoding != "UTF8":
        return Row("database", False, f"{where} is encoded as {found.encoding}", "make one with ENCODING 'UTF8'")
    if not found.may_create:
        fix = "GRANT USAGE, CREATE ON its schema to the user that the URL names"
        return Row("database", False, f"{where}: this user may make no tables", fix)
    now = "a bot works with it now" if found.is_led else "no bot works with it now"
    tables = "" if found.has_tables else "; its tables will be made"
    return Row("database", True, f"{where}, version {found.version}; {now}{tables}")
