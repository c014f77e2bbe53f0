"""One venue at work in the live feed."""

import logging
from collections.abc import Awaitable, Callable

from bot.markets.feed import Refusals
from bot.markets.live_connect import Reached
from bot.markets.live_health import Freshness, VenueStatus
from bot.markets.live_types import Clock
from bot.markets.live_watch import PrintWatch
from bot.markets.live_worker import VenueWorker

_AGAIN_S = 30.0
log = logging.getLogger(__name__)


async def kept_up(
    name: str,
    run: Callable[[], Awaitable[None]],
    clock: Clock,
    refusals: Refusals,
    note: Callable[[str], None],
    is_closed: Callable[[], bool],
) -> None:
    """A fault of ours in one venue's work (``okx/worker``) is said and the work begun again; others never notice."""
    venue, part = name.split("/")
    while True:
        try:
            await run()
        except Exception as error:  # whatever it is, it is one venue's
            if is_closed():
                # A group of tasks that fails just when it is cancelled tells of the failure alone.
                return
            log.exception("the %s of %s ended", part, venue)
            refusals.add("fault", name)
            note(f"{venue}: its {part} ended by a fault of ours ({error!r}); begun again in {_AGAIN_S:.0f} s")
            await clock.sleep(_AGAIN_S)
        else:
            return


class Part:
    def __init__(self, reached: Reached, fresh: Freshness, worker: VenueWorker, watch: PrintWatch | None) -> None:
        self.client, self.listings = reached.client, reached.listings
        self.fresh, self.worker, self.watch = fresh, worker, watch
        self.stopped = ""

    def status(self) -> VenueStatus:
        return VenueStatus(
            venue=self.client.rules.name,
            markets=len(self.listings),
            stopped=self.stopped,
            stale=self.fresh.stale,
            seen_ms=self.fresh.seen_ms,
            prints=self.client.rules.coverage or "not told",
            prints_received=self.watch.received if self.watch else 0,
            refuses=self.client.rules.unknowns(),
        )
