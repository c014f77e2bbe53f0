"""Which store the bot works with: PostgreSQL where ``DATABASE_URL`` names one, the config's SQLite file elsewhere."""

from collections.abc import Callable, Mapping
from pathlib import Path

from bot.config import Config, ConfigError
from storage.origin import GetOrigin, no_origin
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore

DATABASE_URL = "DATABASE_URL"
SCHEMES = ("postgres://", "postgresql://")


def database_url(environ: Mapping[str, str]) -> str:
    """Empty where none is named. A line break that came along with it does not belong to it."""
    return environ.get(DATABASE_URL, "").strip()


def check_host(environ: Mapping[str, str]) -> None:
    """Raises ConfigError on a host whose disk does not last, unless a database elsewhere is named."""
    if "DYNO" not in environ or database_url(environ):
        return
    why = "this host (DYNO is set) wipes its disk at every restart, so subscriptions and alerts would be lost daily"
    fix = "add PostgreSQL (heroku addons:create heroku-postgresql), or run on a host with a disk that lasts"
    raise ConfigError("This host", [f"{DATABASE_URL}: {why}, and there is no {DATABASE_URL}; {fix}"])


def is_new(config: Config, environ: Mapping[str, str]) -> bool:
    """Whether a start would make the database. False where that cannot be told: opening it says why."""
    url = database_url(environ)
    if not config.store.path:
        return True
    if not url:
        try:
            return not Path(config.store.path).exists()
        except OSError:
            return False
    import psycopg  # whoever uses SQLite need not load libpq

    from storage.postgres_look import look

    try:
        return not look(url).has_tables
    except psycopg.Error:
        return False


def make_store(
    config: Config,
    environ: Mapping[str, str],
    source: str,
    *,
    origin: GetOrigin = no_origin,
    on_wait: Callable[[str], object] | None = None,
) -> SqlStore:
    """The store, not opened yet; ``origin`` is asked when it is.

    A config whose ``path`` is empty asks for memory, whatever the environment says.

    Raises ConfigError.
    """
    url, most = database_url(environ), config.policy.max_subscriptions
    if not config.store.path or not url:
        path = Path(config.store.path) if config.store.path else None
        return SqliteStore(path, source, origin=origin, max_subscriptions=most, on_wait=on_wait)
    return open_url(url, source, origin=origin, max_subscriptions=most, on_wait=on_wait)


def open_url(
    url: str,
    source: str,
    *,
    origin: GetOrigin = no_origin,
    max_subscriptions: int = 50,
    on_wait: Callable[[str], object] | None = None,
) -> SqlStore:
    """The PostgreSQL store of a URL, not opened yet. Raises ConfigError for what is none; never repeats the URL."""
    from storage.postgres import PostgresStore  # whoever uses SQLite need not load libpq

    right = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    if not url.startswith(SCHEMES):
        raise ConfigError("The environment", [f"{DATABASE_URL}: only PostgreSQL is understood; {right}, or unset it"])
    return PostgresStore(url, source, origin=origin, max_subscriptions=max_subscriptions, on_wait=on_wait)
