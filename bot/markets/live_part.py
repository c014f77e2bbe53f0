"""One venue at work in the live feed."""

import logging
from collections.abc import Awaitable, Callable

from bot.markets.feed import Refusals
from bot.markets.live_connect import Reached
from bot.markets.live_health import BarTimes, Freshness, VenueStatus
from bot.markets.live_types import BarBatch, Clock, Notice
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
    """``times_bars``: whether it is looked at how late they come, which says nothing where time is quickened."""

    def __init__(
        self,
        reached: Reached,
        fresh: Freshness,
        worker: VenueWorker,
        watch: PrintWatch | None,
        *,
        times_bars: bool = True,
    ) -> None:
        self.client, self.listings = reached.client, reached.listings
        self.fresh, self.worker, self.watch = fresh, worker, watch
        self.stopped = ""
        self._bar_times = BarTimes(self.client.rules.close_delay_ms) if times_bars else None

    def seen(self, *series: str) -> list[Notice]:
        """These have come: it is not stopped. Returns a *recovered* notice for each that was stale."""
        self.stopped = ""
        notices = [self.fresh.seen(one) for one in series]
        return [notice for notice in notices if notice is not None]

    def took(self, batch: BarBatch) -> list[Notice]:
        """As `seen`, of what is in the batch."""
        if self._bar_times is not None:
            self._bar_times.note(batch, self.client.now_ms())
        told = batch.markets.values()
        has = {"bars": any(one.bars for one in told), "open interest": any(one.interest_base for one in told)}
        series = [name for name, is_in in has.items() if is_in]
        return self.seen(*series) if series else []

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
            prints_replayed=self.watch.replayed if self.watch else 0,
            lateness=self._bar_times.lateness if self._bar_times else None,
            stream=self.worker.stream_tally,
        )
