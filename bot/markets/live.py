"""The live feed: real venues as one stream of merged snapshots. One worker a venue; none waits for another."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial

from bot.markets import live_choice
from bot.markets.ccxt_errors import VenueError, VenueFatal
from bot.markets.feed import Refusals, Source
from bot.markets.live_budget import is_for_good
from bot.markets.live_closing import LEAD_S
from bot.markets.live_connect import ClientFactory, Reached, Venues, explain
from bot.markets.live_depth import Books, DepthTowards
from bot.markets.live_exchange import Rewrite
from bot.markets.live_health import Freshness, LookTimes, Remarks
from bot.markets.live_health import VenueStatus as VenueStatus  # commands look for it here
from bot.markets.live_history import Past, Progress, Stretch, warm_start
from bot.markets.live_join import Joins
from bot.markets.live_movement import Movement
from bot.markets.live_part import Part, kept_up
from bot.markets.live_patience import Patience
from bot.markets.live_tiers import TierTables
from bot.markets.live_types import (
    BAR_MS,
    BarBatch,
    Clock,
    Listing,
    LookBatch,
    Notice,
    NoticeKind,
    VenueClient,
    WallClock,
)
from bot.markets.live_views import Views
from bot.markets.live_watch import SILENT_S, Gap, PrintWatch
from bot.markets.live_worker import Batch, VenueWorker
from bot.markets.merge import Merger
from bot.markets.names import UnknownMarket
from bot.markets.venues import DEFAULT_VENUES
from bot.turns import Turns
from detectors.leverage import MarginTier
from detectors.market import Market, MarketSnapshot
from storage.chats import Chat

_NOTICES_KEPT = 500
_CHECK_EVERY_S = 1.0
_GATHER_S = 0.02
"""At a close bars come in small batches by the hundred: what comes together is committed together."""


class LiveFeed:
    """``markets``: what the user would type; None takes the largest. ``grace_s``: how long after the first venue's
    bar the others are waited for. ``prints_in_looks``: hand prints out at once, not with the next bar.
    ``silent_s``: how long a stream may be silent. ``within_s``: how long a venue has to answer at the start."""

    source = Source.LIVE
    stream_lead_s: float | None = LEAD_S
    """How long before a bar's close venues' streams of candles are opened; None where time is too quick for them."""

    def __init__(
        self,
        venues: Sequence[str] = DEFAULT_VENUES,
        markets: Sequence[str] | None = None,
        *,
        clock: Clock | None = None,
        rewrite: Rewrite | None = None,
        clients: ClientFactory | None = None,
        look_every_s: float = 10.0,
        grace_s: float = 5.0,
        largest: int = live_choice.LARGEST,
        prints_in_looks: bool = False,
        silent_s: float = SILENT_S,
        within_s: float = 30.0,
    ) -> None:
        self.live_from_ms = 0
        """Bars that close after it come live; what is up to it is past."""
        self.started_ms = 0
        """From then on each venue misses liquidations until it is heard, whenever it joins."""
        self._clock = clock or WallClock()
        self._refusals = Refusals()
        self._venues = Venues(venues, self._clock, self._refusals, rewrite=rewrite, clients=clients, within_s=within_s)
        self._words, self._largest = markets, largest
        self._look_every_s, self._silent_s = look_every_s, silent_s
        self._patience = Patience(self._clock, grace_s)
        self._prints_in_looks = prints_in_looks
        self._books, self._tiers = Books(self._clock), TierTables(self._clock)
        self._notices: deque[Notice] = deque(maxlen=_NOTICES_KEPT)
        self._parts: dict[str, Part] = {}
        self._mergers: dict[str, Merger] = {}
        self.views = Views(self._mergers)
        self._batches: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._new: dict[str, None] = {}
        self._held: dict[str, None] = {}
        """Views by base: those given something of a bar since they were looked at; those whose bar waits."""
        self._checked_s = -math.inf
        self._looked = LookTimes(self._clock, look_every_s)
        self._remarks = Remarks()
        self._movement = Movement(self._clock, self._parts, look_every_s)
        common = (self._venues, self._clock, self._mergers, self._parts, self._looked, self._note)
        simulated = self.source is Source.LOCAL
        self.joins = Joins(*common, self._begin, self._ask_tiers, markets, largest, simulated=simulated)
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def markets(self) -> tuple[Market, ...]:
        return tuple(merger.market for merger in self._mergers.values())

    @property
    def venue_names(self) -> tuple[str, ...]:
        """Of the config, in its order, whether they answer or not."""
        return self._venues.names

    # --- for status

    @property
    def refusals(self) -> Mapping[str, int]:
        late = sum(merger.late for merger in self._mergers.values())
        return {**self._refusals, **({"late live/bars": late} if late else {})}

    @property
    def clock(self) -> Clock:
        """Market time."""
        return self._clock

    def now_ms(self) -> int:
        """By the slowest of the venues' clocks; ours may be minutes off."""
        return self._venues.now_ms()

    def notices(self) -> list[Notice]:
        """What admins should be told; each is handed out once."""
        told = list(self._notices)
        self._notices.clear()
        return told

    @property
    def gaps(self) -> list[Gap]:
        """When liquidations may have been missed, by their start; the last one of a venue may still last."""
        return sorted((gap for watch in self.watches for gap in watch.gaps), key=lambda gap: gap.since_ms)

    @property
    def watches(self) -> list[PrintWatch]:
        """Of the venues that are listened to."""
        return [part.watch for part in self._parts.values() if part.watch is not None]

    def status(self) -> list[VenueStatus]:
        """One row a venue: those in use, then those that have not joined."""
        used = [part.status() for part in self._parts.values()]
        out = self._venues.faults.items()
        return used + [
            VenueStatus(name, len(self.markets), error.reason, (), {}, "not told", 0, ()) for name, error in out
        ]

    def tiers(self, base: str) -> tuple[tuple[MarginTier, ...], str]:
        """Leverage tiers of a market and where they are from: its largest venue that publishes them, or a table.

        Raises KeyError for a market that is not watched.
        """
        merger = self._mergers[base]
        return self._tiers.of(merger.market.asset, merger.by_size)

    def tiers_are_told(self, base: str) -> bool:
        """Whether a venue has told them by now. Raises KeyError for a market that is not watched."""
        merger = self._mergers[base]
        return self._tiers.are_told(merger.market.asset, merger.market.venues)

    async def tiers_asked(self, within_s: float) -> None:
        """Wait until every venue has been asked for its tiers, but not for longer."""
        await self._tiers.asked(within_s)

    async def depth_towards(self, base: str, price: float, level: float) -> DepthTowards | None:
        """Resting orders from ``price`` towards ``level``, as far as all books reach; None where there is no book.

        Raises KeyError for a market that is not watched.
        """
        return await self._books.towards(self._sources(base), price, level)

    def _sources(self, base: str) -> list[tuple[VenueClient, Listing]]:
        market = self._mergers[base].market
        parts = [self._parts[venue] for venue in market.venues if venue in self._parts]
        return [(part.client, part.listings[market.asset]) for part in parts if market.asset in part.listings]

    def _note(self, kind: NoticeKind, venue: str, series: str, text: str, *told: Chat, stopped: bool = False) -> None:
        self._notices.append(Notice(kind, self._clock.now_ms(), venue, series, text, None, stopped, frozenset(told)))

    # --- start and stop

    async def start(self) -> tuple[Market, ...]:
        """Load every venue's markets, choose, and begin. Raises `NoVenue`, `UnknownMarket`."""
        await self._venues.open()
        self.started_ms = self._venues.now_ms()
        for name, error in self._venues.faults.items():
            until = "until a restart" if is_for_good(error) else "until it answers"
            self._note(NoticeKind.VENUE, name, "markets", f"{name} is left out {until}; {explain(error)}", stopped=True)
        try:
            chosen = await live_choice.choose_views(
                self._venues, self._words, self._largest, lambda *told: self._note(NoticeKind.VENUE, *told)
            )
        except UnknownMarket:
            await self.close()
            raise
        self.joins.begin_all(chosen)
        delay_ms = max(one.client.rules.close_delay_ms for one in self._venues.reached.values())
        self.live_from_ms = (self._venues.now_ms() - delay_ms) // BAR_MS * BAR_MS
        for name, reached in self._venues.reached.items():
            self._begin(name, reached, self.live_from_ms)
        for name, error in self._venues.faults.items():
            if not is_for_good(error):
                self._spawn(name, "joining", partial(self.joins.venue, name))
        return self.markets

    def _begin(self, name: str, reached: Reached, after_ms: int | None = None) -> None:
        """``after_ms``: the first bar wanted is the next that closes after it; None: after now."""
        reached.listings = {
            m.base: reached.offered[m.base] for m in self.markets if name in m.venues and not m.is_alone
        }
        if not reached.listings:
            return
        fresh = Freshness(name, self._clock, self._look_every_s)
        worker = VenueWorker(
            reached.client,
            reached.listings,
            self._clock,
            self._arrive,
            lambda error, series: self._failed(name, error, series),
            look_every_ms=round(self._look_every_s * 1000),
            with_interest=frozenset(m.base for m in self.markets if name in m.open_interest_venues),
            after_ms=after_ms,
            stream_lead_s=self.stream_lead_s,
        )
        watch = None
        if reached.client.rules.streams_prints:
            common = (reached.client, reached.listings.values(), self._clock, self._refusals, self._notices.append)
            watch = PrintWatch(*common, silent_s=self._silent_s, missing_from_ms=self.started_ms)
            self._spawn(name, "prints", watch.run)
        self._parts[name] = Part(reached, fresh, worker, watch, times_bars=self.stream_lead_s is not None)
        self._spawn(name, "worker", worker.run)
        self._spawn(name, "tiers", partial(self._tiers.keep, reached.client, reached.listings))

    def _ask_tiers(self, venue: str, reached: Reached, listing: Listing) -> None:
        self._spawn(venue, f"tiers of {listing.base}", partial(self._tiers.ask_once, reached.client, listing))

    def _spawn(self, venue: str, part: str, run: Callable[[], Awaitable[None]]) -> None:
        note = partial(self._note, NoticeKind.VENUE, venue, part)
        work = kept_up(f"{venue}/{part}", run, self._clock, self._refusals, note, lambda: self._closed)
        self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._batches.put_nowait(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._venues.close()

    # --- the past

    async def past(
        self, stretches: Sequence[Stretch], on_progress: Callable[[Progress], None] = lambda _: None
    ) -> AsyncIterator[Past]:
        """What the venues tell of each stretch, in that order; after `start`, and beside `poll`."""
        async for told in warm_start(
            stretches, self._venues.reached, self.views.full_interest_now, on_progress, self._failed
        ):
            if told.snapshots and (merger := self._mergers.get(told.stretch.market.base)):  # else it ended meanwhile
                merger.go_on_after(told.snapshots[-1])
            yield told

    # --- the present

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        """The next snapshots: looks as prices come, a market's bar once every fresh venue gave it or was waited for.

        None once the feed is closed. What takes long is done in turns with everything else on the loop.
        """
        turns = Turns()
        while not self._closed:
            left_s = self._patience.left_s()
            try:
                batch = await asyncio.wait_for(
                    self._batches.get(), _CHECK_EVERY_S if left_s is None else min(max(left_s, 0.01), _CHECK_EVERY_S)
                )
            except TimeoutError:
                batch = None
            if isinstance(batch, BarBatch):
                await asyncio.sleep(_GATHER_S)
            self._check_freshness()
            snapshots: list[MarketSnapshot] = []
            while batch is not None:
                if isinstance(batch, LookBatch):  # a bar goes before the prices after it
                    snapshots += await self._emit_bars(turns)
                snapshots += await self._take(batch, turns)
                batch = None if self._batches.empty() else self._batches.get_nowait()
            snapshots += await self._emit_bars(turns)
            for venue, text in self._remarks.take():
                self._note(NoticeKind.VENUE, venue, "open interest", text)
            if snapshots:
                return sorted(snapshots, key=lambda snapshot: snapshot.taken_at_ms)
        return None

    def _arrive(self, batch: Batch) -> None:
        """Freshness is that of arrival, however long the batch then waits to be polled."""
        part = self._parts[batch.venue]
        self._notices += [*part.fresh.check(), *self._movement.note(batch)]
        if part.fresh.is_held("prices"):
            self._looked.lose(batch.venue)
        elif isinstance(batch, LookBatch):
            self._looked.seen(batch.venue, batch.looks)
            self._notices.extend(part.seen("prices"))
        if isinstance(batch, BarBatch):
            self._patience.note(batch)
            self._notices.extend(part.took(batch))
        self._batches.put_nowait(batch)

    async def _take(self, batch: Batch, turns: Turns) -> list[MarketSnapshot]:
        self._take_prints()
        if isinstance(batch, LookBatch):
            return await self._look(batch, turns)
        for base, series in batch.markets.items():
            for merger in self.views.fed_by(base, batch.venue):
                merger.add(batch.venue, series)
                self._new[merger.market.base] = None
            await turns.take()
        return []

    async def _look(self, batch: LookBatch, turns: Turns) -> list[MarketSnapshot]:
        """Snapshots of the markets whose price is this venue's, with the others' newest beside it."""
        if self._parts[batch.venue].fresh.is_held("prices"):
            return []
        self.joins.check(batch.venue, batch.looks)
        looks, now_ms = [], self._parts[batch.venue].client.now_ms()  # not behind its bars, however wrong our clock is
        for base, sample in batch.looks.items():
            for merger in self.views.fed_by(base, batch.venue):
                merger.stale.discard(batch.venue)
                merger.note(sample)
                if merger.leads(batch.venue):
                    look = merger.look(now_ms, with_prints=self._prints_in_looks)
                    looks += [look] if look is not None else []
                self._remarks.hear(merger)
            await turns.take()
        return looks

    def _take_prints(self) -> None:
        for venue, part in self._parts.items():
            for base, prints in (part.watch.take() if part.watch else {}).items():
                for merger in self.views.fed_by(base, venue):
                    merger.add_prints(prints)

    async def _emit_bars(self, turns: Turns) -> list[MarketSnapshot]:
        emitted: list[MarketSnapshot] = []
        looked_at, self._new = self._new, {}
        if self._patience.is_over():
            looked_at |= self._held
        for base in looked_at:
            self._held.pop(base, None)
            if (merger := self._mergers.get(base)) is None:  # a view that has ended
                continue
            for closed_at_ms in merger.pending:
                lacking = [v for v in merger.market.venues if self._asks(v) and merger.lacks(closed_at_ms, v)]
                if self._patience.waits(closed_at_ms, merger.market, lacking):
                    self._held[base] = None
                    break  # a later bar never overtakes an earlier one
                snapshot = merger.emit(closed_at_ms)
                emitted += [snapshot] if snapshot is not None else []
            self._remarks.hear(merger)
            await turns.take()
        return emitted

    def _asks(self, venue: str) -> bool:
        """Whether an answer of the venue can be expected."""
        part = self._parts.get(venue)
        return part is not None and not part.stopped and "bars" not in part.fresh.stale

    # --- trouble

    def _failed(self, venue: str, error: VenueError, series: str) -> None:
        self._refusals.add("call_failed", f"{venue}/{series}")
        part = self._parts.get(venue)
        if isinstance(error, VenueFatal) and not self._closed and (part is None or not part.stopped):
            self._note(NoticeKind.VENUE, venue, series, f"{venue} is stopped; {explain(error)}", stopped=True)
            if part is not None:
                part.stopped = error.reason
            self._new |= self._held

    def _check_freshness(self) -> None:
        now_s = self._clock.steady_s()
        if now_s - self._checked_s < _CHECK_EVERY_S / 2:
            return
        self._checked_s = now_s
        for part in self._parts.values():
            self._notices.extend(part.fresh.check())
        for base, venue in self._looked.silent():
            for merger in self.views.fed_by(base, venue):
                merger.stale.add(venue)
