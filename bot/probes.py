"""Whether anybody asks how the bot is: health and metrics are imported only where somebody does."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bot import VERSION
from bot.config import Config

if TYPE_CHECKING:
    from bot.app import App
    from storage.store import Store


@asynccontextmanager
async def probes(
    config: Config, environ: Mapping[str, str], store: "Store | None" = None
) -> AsyncIterator[Callable[["App"], None]]:
    """Serve on ``PORT`` and call the dead man's switch, if there is either; gives what must be told of the app.

    ``store``: the app's, which says whether this copy stands by for another one before there is an app.

    Raises ConfigError for a port that is none or taken.
    """
    if not environ.get("PORT") and not config.health.ping_url:
        yield lambda _: None
        return
    from bot.health import Health, port_of, serving

    health = Health(version=VERSION, beat_every_s=config.schedule.heartbeat_seconds, store=store)
    async with serving(health, config.health, port_of(environ)):
        yield health.watch
