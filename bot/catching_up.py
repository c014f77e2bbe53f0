"""Catching up with the past beside the live feed, in two stages.

First what alerts need, market by market: of a market that is stored, the bars since then, told as late alerts; of a new
one, the newest days, silently. Then the rest of ``history_days``, put before what is stored. Until the bars of a stored
market are in, what comes live of it waits, for bars must be taken in order; a new market is followed at once.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence

from bot import memory
from bot.app import App
from bot.ending import cancelled
from bot.enduring import nothing_ends_it
from bot.markets.live import LiveFeed
from bot.markets.live_history import FIRST_STAGE_DAYS, Past, Progress, Stretch
from bot.markets.live_types import BAR_MS
from bot.message import Message
from bot.reliving import Resumed
from detectors.leverage import MarginTier, maintenance_rate
from detectors.market import Market, MarketSnapshot
from storage.errors import StoreUnavailable
from storage.market_facts import StoredReach, StoredTiers

log = logging.getLogger(__name__)
_AT_ONCE = 64
"""Snapshots of the time since the last run in one commit."""
_TIERS_WITHIN_S = 900.0
"""Only what is made anew waits for them; 500 tables take two minutes at OKX."""
_TIERS_APART = 0.05
"""Maintenance margins that differ by less, as a fraction, are not worth an estimate made anew."""
_SAID_EVERY_S = 15.0
_AGAIN_AFTER_S = (30.0, 120.0, 600.0)
"""When what no venue answered is asked for again; the last for ever."""
_MISSED_AGAIN_AFTER_S = 10.0
_STORE_AGAIN_S = 5.0
_REBUILD_TRIES = 3


class CatchingUp:
    """``first_stage_done`` is set once every market has what alerts need."""

    def __init__(self, app: App, feed: LiveFeed) -> None:
        self._app, self._feed = app, feed
        self._days = app.config.source.history_days
        self._known_until_ms = {
            found.market.base: found.cursor.bar_opened_at_ms + BAR_MS
            for found in app.resumed
            if found.cursor is not None and found.cursor.bar_opened_at_ms is not None
        }
        self._lacking = {market.base for market in feed.markets if market.base not in self._known_until_ms}
        """New markets without a past."""
        self._held: dict[str, list[MarketSnapshot]] = {
            base: [] for base, until_ms in self._known_until_ms.items() if until_ms < feed.live_from_ms
        }
        """What came live of stored markets whose bars since the last run are still being fetched."""
        self._out: set[str] = set()
        """Markets whose estimate could not be made anew: nothing is taken of them before a restart."""
        self._to_rebuild = {found.market.base for found in app.resumed if found.to_rebuild}
        self._held.update({base: [] for base in self._to_rebuild})
        self._progress: Progress | None = None
        self._stage = ""
        self._bars, self._started_s, self._said_s = 0, time.monotonic(), time.monotonic()
        self.first_stage_done = asyncio.Event()
        self._adding: set[asyncio.Task[None]] = set()

    # --- while it goes on

    def let_through(self, moment: Sequence[MarketSnapshot]) -> tuple[MarketSnapshot, ...]:
        """What of a moment can be taken in now; the rest is kept for later."""
        for snapshot in moment:
            if (held := self._held.get(snapshot.market.base)) is not None:
                held.append(snapshot)
        return tuple(one for one in moment if one.market.base not in self._held and one.market.base not in self._out)

    def waiting_for(self, market: str) -> str | None:
        """Why nothing can be said of a market yet; None where something can."""
        if market in self._out:
            return f"{market} is out until a restart: its estimate could not be made anew. The log says why."
        if market not in self._lacking and market not in self._held:
            return None
        doing = "making the estimate of {} anew" if market in self._to_rebuild else "fetching the past of {}"
        return f"Still {doing.format(market)}{self._so_far()}: ask again in a minute."

    @property
    def condition(self) -> str | None:
        """For ``/status``; None when all is in."""
        return f"{self._stage}{self._so_far()}" if self._stage else None

    @property
    def faults(self) -> list[str]:
        """For ``/status``, too."""
        return [f"{market} is out until a restart: its estimate could not be made anew" for market in sorted(self._out)]

    def _so_far(self) -> str:
        return f" ({self._progress.done} of {self._progress.of} markets are in)" if self._progress else ""

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress
        self._bars += progress.bars
        if time.monotonic() - self._said_s > _SAID_EVERY_S:
            self._said_s = time.monotonic()
            self._app.printer.show(Message(f"{self.condition}, {progress.market} last."))

    def _begin(self, stage: str) -> None:
        self._stage, self._progress, self._bars, self._started_s = stage, None, 0, time.monotonic()

    def add(self, found: Resumed) -> None:
        """Fetch the past of a view that came while running, beside whatever else is fetched."""
        base, cursor = found.market.base, found.cursor
        if cursor is not None and cursor.bar_opened_at_ms is not None:
            self._known_until_ms[base] = cursor.bar_opened_at_ms + BAR_MS
            self._held[base] = []
            self._to_rebuild |= {base} if found.to_rebuild else set()
        else:
            self._lacking.add(base)
        task = asyncio.create_task(self._fetch(found.market), name=f"the past of {base}")
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    def forget(self, market: str) -> None:
        """It is not followed any more, and nothing of it waited for."""
        self._lacking.discard(market)
        self._to_rebuild.discard(market)
        self._out.discard(market)
        self._held.pop(market, None)
        self._known_until_ms.pop(market, None)

    async def _fetch(self, market: Market) -> None:
        # Bars that close later come live, whoever else has had this one.
        until_ms = self._feed.now_ms() // BAR_MS * BAR_MS
        again: list[Stretch] = []
        with nothing_ends_it(self._app, f"the past of {market.base} could not be fetched"):
            again = await self._first(self._missing([market], min(self._days, FIRST_STAGE_DAYS), until_ms))
        if market.base in self._held:  # nothing was missing, or it cannot be had
            await self._catch_up(market.base, ())
        with nothing_ends_it(self._app, f"the older past of {market.base} could not be fetched"):
            again += await self._put_all(await self._older([market]))
            await self._ask_until_told(again)
        self._lacking.discard(market.base)
        await self._use_newest_tiers([market])

    async def stop(self) -> None:
        await cancelled(list(self._adding))

    # --- the stages

    async def run(self) -> None:
        """Both stages; ends when all is in. Raises Superseded."""
        markets = self._feed.markets
        shown = self._app.printer.show
        first_days = min(self._days, FIRST_STAGE_DAYS)
        shown(Message(f"Fetching what is missing of the last {first_days:g} days of {len(markets)} markets ..."))
        self._begin("Fetching the past")
        again = await self._first(self._missing(markets, first_days, self._feed.live_from_ms))
        for base in sorted(self._to_rebuild.intersection(market.base for market in markets)):
            await self._catch_up(base, ())
        # Of what was made anew one is due anyhow; the others have theirs.
        await self._app.watcher.checkpoint_in_turns()
        self.first_stage_done.set()
        shown(Message(f"Caught up: {self._bars:,} bars in {time.monotonic() - self._started_s:.1f} s"))
        self._begin(f"Fetching the rest of {self._days:g} days")
        older: list[Stretch] = []
        with nothing_ends_it(self._app, "the rest of the past could not be fetched"):
            older = await self._older(markets)
            again += await self._put_all(older)
        if older:
            shown(Message(f"The whole past is in: {self._bars:,} bars in {time.monotonic() - self._started_s:.0f} s"))
        memory.settle()
        self._stage = ""
        await asyncio.gather(self._use_newest_tiers(markets), self._ask_until_told(again))

    async def _ask_until_told(self, again: list[Stretch]) -> None:
        tries = 0
        while again:
            await self._feed.clock.sleep(_AGAIN_AFTER_S[min(tries, len(_AGAIN_AFTER_S) - 1)])
            tries += 1
            again = await self._put_all([Stretch(one.market, one.since_ms, one.until_ms) for one in again])

    def _missing(self, markets: Sequence[Market], first_days: float, until_ms: int) -> list[Stretch]:
        """What the first stage has to fetch."""
        stretches = []
        for market in markets:
            known_ms = self._known_until_ms.get(market.base)
            days = first_days if known_ms is None else self._days
            wanted = Stretch.of_days(market, days, until_ms)
            since_ms = max(wanted.since_ms, known_ms or 0)
            if since_ms < until_ms:
                stretches.append(Stretch(market, since_ms, until_ms))
        return stretches

    async def _first(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """Returns those of new markets that no venue told of. Bars since the last run, which nothing can be put before
        once later ones are in, are asked for once more."""
        again, missed = [], []
        async for past in self._feed.past(stretches, self._on_progress):
            market = past.stretch.market.base
            if market not in self._known_until_ms:
                again += [] if await self._put(past) else [past.stretch]
            elif past.snapshots or past.complete:
                await self._catch_up(market, past.snapshots)
            else:
                missed.append(past.stretch)
        if missed:
            await self._feed.clock.sleep(_MISSED_AGAIN_AFTER_S)
            async for past in self._feed.past(missed, self._on_progress):
                await self._catch_up(past.stretch.market.base, past.snapshots)
        return again

    async def _catch_up(self, market: str, snapshots: Sequence[MarketSnapshot]) -> None:
        """A stored market goes on where it stood; then comes what waited."""
        if market in self._out or not await self._rebuild(market):
            self._out.add(market)
            self._held.pop(market, None)
            return
        for start in range(0, len(snapshots), _AT_ONCE):
            # What one call could not commit is committed with the next.
            with nothing_ends_it(self._app, f"bars of {market} since the last run could not be taken in"):
                await self._app.take(tuple(snapshots[start : start + _AT_ONCE]))
        while held := self._held.get(market):
            self._held[market] = []
            with nothing_ends_it(self._app, f"what came of {market} meanwhile could not be taken in"):
                await self._app.take(tuple(held))
        self._held.pop(market, None)

    async def _rebuild(self, market: str) -> bool:
        """Of a market without a checkpoint, what is stored comes first of all, however long the store is away.

        False after a fault of ours that does not go away; nothing is taken of that market then before a restart.
        """
        faults = 0
        while market in self._to_rebuild and faults < _REBUILD_TRIES:
            before = self._app.failed_ticks
            with nothing_ends_it(self._app, f"the estimate of {market} could not be made anew"):
                await self._app.watcher.rebuild(market)
                self._to_rebuild.discard(market)
            if market in self._to_rebuild:
                faults += self._app.failed_ticks > before
                await asyncio.sleep(_STORE_AGAIN_S)
        return market not in self._to_rebuild

    async def _older(self, markets: Sequence[Market]) -> list[Stretch]:
        """What lies before the first stored bar, as far as it was never asked for. With that bar: see `joined_to`."""
        stretches = []
        for market in markets:
            reach = await self._reach(market.base)
            wanted = Stretch.of_days(market, self._days, self._feed.live_from_ms)
            if reach.first_bar_opened_at_ms is None:
                continue
            until_ms = reach.first_bar_opened_at_ms + BAR_MS
            asked = reach.asked_from_ms is not None and reach.asked_from_ms <= wanted.since_ms
            if not asked and wanted.since_ms + BAR_MS < until_ms:
                stretches.append(Stretch(market, wanted.since_ms, until_ms))
        return stretches

    async def _reach(self, market: str) -> StoredReach:
        """How far back it is stored, however long the store is away."""
        while True:
            try:
                return await self._app.store.reach(market)
            except StoreUnavailable as error:
                log.warning("how far back %s is stored cannot be read, and is asked for again: %s", market, error)
                await asyncio.sleep(_STORE_AGAIN_S)

    async def _put_all(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """Returns those that no venue told of."""
        return [
            past.stretch async for past in self._feed.past(stretches, self._on_progress) if not await self._put(past)
        ]

    async def _put(self, past: Past) -> bool:
        """Put a stretch before what is stored; False where it should be asked for again."""
        stretch, market = past.stretch, past.stretch.market.base
        if market not in self._app.watcher.engines:
            return True  # it has ended meanwhile
        if not past.snapshots and not past.complete:
            return False
        is_in = False
        with nothing_ends_it(self._app, f"the past of {market} could not be taken in"):
            tiers = None if self._app.watcher.tiers(market) else self._newest_tiers(market)
            asked_from_ms = stretch.since_ms if past.complete else stretch.until_ms
            put_before = self._app.watcher.put_before
            self._app.tell(await put_before(market, past.snapshots, asked_from_ms=asked_from_ms, tiers=tiers))
            self._lacking.discard(market)
            is_in = True
        return is_in  # noqa: RET504 - the block above swallows what goes wrong in it

    # --- leverage tiers

    def _newest_tiers(self, market: str) -> StoredTiers:
        """Those told by now, or the table."""
        tiers, source = self._feed.tiers(market)
        return StoredTiers(tiers, source, self._feed.clock.now_ms())

    async def _use_newest_tiers(self, markets: Collection[Market]) -> None:
        """Make the estimate anew where the margin that venues ask for is another than it was made with: it has changed
        since, or the venues had not told it yet."""
        await self._feed.tiers_asked(_TIERS_WITHIN_S)
        for market in markets:
            if market.base not in self._app.watcher.engines:
                continue  # it has ended meanwhile
            with nothing_ends_it(self._app, f"the leverage tiers of {market.base} could not be taken in"):
                newest, used = self._newest_tiers(market.base), self._app.watcher.tiers(market.base)
                if used is not None and (
                    not self._feed.tiers_are_told(market.base)
                    or not _are_apart(newest.tiers, used.tiers, self._position_usd)
                ):
                    continue
                asked = (await self._app.store.reach(market.base)).asked_from_ms
                asked = asked or self._feed.live_from_ms
                put_before = self._app.watcher.put_before
                self._app.tell(await put_before(market.base, (), asked_from_ms=asked, tiers=newest))

    @property
    def _position_usd(self) -> float:
        return self._app.config.estimate.map.leverage.position_usd


def _are_apart(one: Sequence[MarginTier], other: Sequence[MarginTier], position_usd: float) -> bool:
    first, second = (maintenance_rate(tuple(tiers), position_usd) for tiers in (one, other))
    return abs(first / second - 1) > _TIERS_APART
