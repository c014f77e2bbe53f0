"""One venue at work in the live feed."""

from bot.markets.live_connect import Reached
from bot.markets.live_health import Freshness, VenueStatus
from bot.markets.live_watch import PrintWatch
from bot.markets.live_worker import VenueWorker


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
