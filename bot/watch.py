"""One tick: snapshots -> events -> policy for each chat -> one commit. Start-up is recovery.

What is decided waits in a queue until the store has taken it, so a batch (a replay) and a store that is unavailable for
a while are the same case: nothing is told before its commit, and a failed commit is tried again with the next tick.
"""

import asyncio
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.assumptions import Assumptions, decisions_of, fingerprint
from bot.checkpointing import Checkpoints
from bot.deciding import Decider
from bot.markets.past import joined_to
from bot.ranks import ranks
from bot.receipt_gaps import with_gaps
from bot.reliving import Resumed, is_behind, recover_stored, relive, relive_stored, up_to_last_bar
from bot.told_facts import LOOKED_UP, Odds, no_odds, nothing_more
from bot.turns import Turns
from detectors.engine import EngineSettings, MarketEngine, Step
from detectors.event import Event, Fact
from detectors.market import HOUR_MS, Market, MarketSnapshot
from detectors.odds import is_odds
from detectors.registry import EventKind
from storage.errors import StoreUnavailable
from storage.fits import StoredFit
from storage.market_facts import StoredTiers
from storage.store import Cursor, NewAlert, Silence, Store, TickCommit

log = logging.getLogger(__name__)


class Watcher:
    """Watches markets. ``batch`` is how many snapshots go into one commit; a live bot takes 1.

    ``evidence``: keep what the chart draws with each alert. ``checkpoint_every_ms`` is market time; None: only when
    `checkpoint` is called. ``fits``: use what was fitted to a market.
    """

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        kinds: Mapping[str, EventKind],
        *,
        batch: int = 1,
        evidence: bool = True,
        checkpoint_every_ms: int | None = HOUR_MS,
        odds: Odds = no_odds,
        fits: bool = False,
    ) -> None:
        self.engines: dict[str, MarketEngine] = {}
        self._store = store
        self.assumptions = Assumptions(settings, uses_fits=fits)
        self._kinds = kinds
        by_default = frozenset(name for name, kind in kinds.items() if kind.by_default)
        self._decider = Decider(store, by_default, self.ranks)
        self._seals: dict[str, bytes] = {}
        """By market: what its estimate depends on."""
        self._making = asyncio.Lock()
        """One estimate is made anew at a time: two of one market would each miss what the other put in."""
        self.batch = batch
        self._odds = odds
        self._told_odds: dict[str, tuple[Fact, ...]] = {}
        """By key of the alert, of alerts in the queue: the store knows only what it has committed."""
        self._evidence = evidence
        self.look_up: Callable[[Event], Awaitable[Sequence[Fact]]] = nothing_more
        """Further facts of an event that became an alert. It must be quick, for the tick waits."""
        self._busy = asyncio.Lock()
        """Ticks and checkpoints are jobs of their own, and a checkpoint must not see half a tick."""
        self._coming: deque[MarketSnapshot] = deque()
        """Snapshots not stepped yet: a store that fails in the middle of a moment loses none of the others."""
        self._undecided: Step | None = None
        """What an engine has taken and nobody has decided, since the store failed or somebody broke off meanwhile."""
        self._queue: list[TickCommit] = []
        self._cursors: dict[str, Cursor] = {}
        self._noted: dict[str, Counter[str]] = defaultdict(Counter)
        """Refusals that the store has counted."""
        self._checkpoints = Checkpoints(checkpoint_every_ms)

    # --- start-up

    async def start(self, markets: Sequence[Market], *, rebuild_later: bool = False) -> Sequence[Resumed]:
        """Recover every market from the store: afterwards each stands where its last commit left it. With
        ``rebuild_later``, one without a checkpoint to go on from is left for `rebuild`, which nobody waits for."""
        self.assumptions.tiers.update(await self._store.tiers())
        return [await self._resume(market, rebuild_later=rebuild_later) for market in markets]

    async def add(self, market: Market) -> Resumed:
        """Take up a further market while running, as `start` with ``rebuild_later``. Raises StoreUnavailable."""
        async with self._busy:
            return await self._resume(market, rebuild_later=True)

    async def rebuild(self, market: str) -> None:
        """Make a market's estimate from its whole stored series; nothing may be taken of it before. Raises
        StoreUnavailable; the same call may be made again then."""
        async with self._making:
            engine, seal = self._make_engine(self.engines[market].market)
            decisions, changed = decisions_of((await self._store.load_market(market)).state, seal)
            await recover_stored(self._store, engine, market, decisions, adopt=changed)
            self.engines[market], self._seals[market] = engine, seal
            self._checkpoints.ask((market,))

    async def remove(self, market: str) -> Sequence[NewAlert]:
        """Follow a market no longer; what is stored stays, and what is still polled of it is passed over. Returns what
        was still to be committed. Raises StoreUnavailable, and follows it then."""
        async with self._making, self._busy:
            alerts = await self._flush()
            self._checkpoints.ask((market,))
            await self._save_due_checkpoints()
            kept: list[dict[str, Any]] = [self.engines, self._seals, self._cursors]
            for one in [*kept, self._noted]:
                one.pop(market, None)
            self._checkpoints.forget(market)
            return alerts

    def tiers(self, market: str) -> StoredTiers | None:
        """The leverage tiers that the market's estimate is made with; None: those of the settings."""
        return self.assumptions.tiers.get(market)

    def _make_engine(self, market: Market) -> tuple[MarketEngine, bytes]:
        """An empty one, and its seal."""
        settings = self.assumptions.of(market.base)
        return MarketEngine(market, settings, self._kinds), fingerprint(settings)

    async def _resume(self, market: Market, *, rebuild_later: bool) -> Resumed:
        stored = await self._store.load_market(market.base)
        await self.assumptions.load_fits(self._store, market.base)
        engine, seal = self._make_engine(market)
        self.engines[market.base], self._seals[market.base] = engine, seal
        if stored.cursor is None:
            return Resumed(market, None, settings_changed=False)
        self._cursors[market.base] = stored.cursor
        decisions, changed = decisions_of(stored.state, seal)
        checkpoint = stored.checkpoint
        if checkpoint is None or not checkpoint.blob.startswith(seal):
            if rebuild_later:
                return Resumed(market, stored.cursor, changed, to_rebuild=True)
            checkpoint = None
            self._checkpoints.ask((market.base,))
        engine.recover(
            checkpoint.blob[len(seal) :] if checkpoint else None,
            await self._store.snapshots_since(market.base, checkpoint.bar_opened_at_ms if checkpoint else None),
            decisions,
            adopt=changed,
        )
        return Resumed(market, stored.cursor, changed)

    # --- running

    async def take(self, snapshots: Sequence[MarketSnapshot]) -> Sequence[NewAlert]:
        """Step the markets; the alerts that are committed now, in order of time. Snapshots seen before a restart are
        skipped. Raises StoreUnavailable; nothing is lost then, and the next call tries again."""
        async with self._busy:
            self._coming.extend(snapshots)
            turns = Turns()
            await self._decide_step()
            while self._coming:
                await self._step(self._coming.popleft())
                await turns.take()
            return await self._flush() if len(self._queue) >= self.batch else ()

    async def put_before(
        self,
        market: str,
        past: Sequence[MarketSnapshot],
        *,
        asked_from_ms: int,
        tiers: StoredTiers | None = None,
    ) -> Sequence[NewAlert]:
        """Put bars before all that is stored of a market and make its estimate and clusters anew from the whole series.

        ``past`` may reach into what is stored, whose first bar then says on which scale open interest is. Nothing is
        told of what happened: afterwards the market stands where a replay of the whole would stand. With ``tiers`` it
        is made with these from now on. All or nothing is stored; ticks go on meanwhile. Returns what was still to be
        committed. Raises StoreUnavailable; the same call may be made again then.
        """
        if not past and tiers is None:
            await self._store.put_before(market, (), asked_from_ms=asked_from_ms)
            return ()
        async with self._making:
            if tiers is not None:
                await self._store.note_tiers(market, tiers)
                self.assumptions.tiers[market] = tiers
            return await self._make_anew(market, past, asked_from_ms)

    async def use_fit(self, market: str, fit: StoredFit) -> Sequence[NewAlert]:
        """Keep a fit. With an accepted one the market's estimate and clusters are made anew from the whole stored
        series with its weights, and nothing is told of the switch itself. Ticks go on meanwhile. Returns what was still
        to be committed. Raises StoreUnavailable; the same call may be made again then.
        """
        async with self._making:
            await self._store.note_fit(market, fit)
            self.assumptions.take_fit(market, fit)
            if not fit.accepted:
                self.engines[market].settings = self.assumptions.of(market)  # the weights stay, the share is the newest
                return ()
            reach = await self._store.reach(market)
            asked_from_ms = reach.first_bar_opened_at_ms if reach.asked_from_ms is None else reach.asked_from_ms
            alerts = await self._make_anew(market, (), asked_from_ms or 0)
            view = self.engines[market].view()
            applied = replace(fit, applies_from_ms=view.taken_at_ms if view else fit.until_ms)
            await self._store.note_fit(market, applied)
            self.assumptions.take_fit(market, applied)
            return alerts

    async def _make_anew(self, market: str, past: Sequence[MarketSnapshot], asked_from_ms: int) -> Sequence[NewAlert]:
        engine, seal = self._make_engine(self.engines[market].market)
        # Looks after the last bar come with what is committed meanwhile.
        believed: Sequence[MarketSnapshot] = ()
        if past:
            known, stood = up_to_last_bar(stored := await self._store.snapshots_since(market, None))
            believed = await relive(engine, joined_to(past, stored))
            await relive(engine, known)
        else:
            stood = await relive_stored(self._store, engine, market)
        begun_ms = believed[-1].taken_at_ms if believed else 0
        async with self._busy:
            alerts = await self._flush()
            newest = await self._store.snapshots_since(market, stood)
            await relive(engine, [one for one in newest if one.taken_at_ms > begun_ms])
            engine.market = self.engines[market].market
            engine.incomplete = list(self.engines[market].incomplete)  # what was told; nothing that was relived is
            engine.screen.refused.update(self.engines[market].screen.refused)
            state = seal + engine.decisions()
            await self._store.put_before(market, believed, asked_from_ms=asked_from_ms, state=state)
            # Until here ticks and checkpoints were of the old one, and sealed as such.
            self.engines[market], self._seals[market] = engine, seal
            self._checkpoints.made_anew(market)
            await self._save_due_checkpoints()
        return alerts

    async def _step(self, snapshot: MarketSnapshot) -> None:
        base = snapshot.market.base
        if base not in self.engines:
            return
        if (cursor := self._cursors.get(base)) is not None:
            if is_behind(snapshot, cursor):
                return
            del self._cursors[base]
            # A bar's close can lie before the last look, which came while the bar was still being waited for.
            snapshot = replace(snapshot, taken_at_ms=max(snapshot.taken_at_ms, cursor.taken_at_ms))
        step = self.engines[base].step(snapshot)
        if step is None:
            return
        self._checkpoints.stands_at(base, step.snapshot.bar.opened_at_ms if step.snapshot.bar else None)
        self._undecided = step
        await self._decide_step()

    async def _decide_step(self) -> None:
        """Decide what is undecided, before anything else is stepped or committed: else its alerts were lost, and a
        checkpoint was ahead of the series. Raises StoreUnavailable; the next call decides anew."""
        if (step := self._undecided) is None:
            return
        told = self._decider.told() if step.events else None
        try:
            tick = await self._decide(step)
        except (StoreUnavailable, asyncio.CancelledError):
            self._decider.go_back(told)
            raise
        except Exception:
            # A fault of ours would come again and hold every market up: the step is kept, and nobody told of it.
            self._decider.go_back(told)
            self._queue.append(TickCommit(step.snapshot, None, step.events, completed=step.completed))
            self._undecided = None
            raise
        self._queue.append(tick)
        self._undecided = None

    async def flush(self) -> Sequence[NewAlert]:
        """Commit what is queued; the alerts in it. Raises StoreUnavailable and keeps the queue."""
        async with self._busy:
            return await self._flush()

    async def _flush(self) -> Sequence[NewAlert]:
        await self._decide_step()
        if not self._queue:
            return ()
        last = {tick.snapshot.market.base: i for i, tick in enumerate(self._queue)}
        turns = Turns()
        for base, i in last.items():
            await turns.take()
            self._queue[i] = replace(self._queue[i], state=self._seals[base] + self.engines[base].decisions())
        await self._store.commit_ticks(self._queue)
        committed, self._queue = self._queue, []
        self._decider.forget()
        self._told_odds.clear()
        await self._note_refusals(last)
        await self._save_due_checkpoints()
        return [alert for tick in committed for alert in tick.alerts]

    async def checkpoint(self) -> None:
        """Checkpoint each market at its bar's close: now, if it stands at one that is committed, or else with the next
        one. Raises StoreUnavailable."""
        self._checkpoints.ask(self.engines)
        async with self._busy:
            if not self._queue and self._undecided is None:
                await self._save_due_checkpoints()

    async def checkpoint_in_turns(self) -> None:
        """Checkpoint every market at one of its next bars' closes: all at one close would cost as much as a close."""
        self._checkpoints.ask_in_turns(self.engines)

    async def _save_due_checkpoints(self) -> None:
        for base, bar in self._checkpoints.due():
            # Compressing takes tens of milliseconds, which the loop would feel; nothing steps meanwhile.
            blob = await asyncio.to_thread(self.engines[base].estimate.to_bytes)
            await self._store.save_checkpoint(base, bar, self._seals[base] + blob)
            self._checkpoints.kept(base, bar)

    async def _note_refusals(self, bases: Iterable[str]) -> None:
        for base in bases:
            if not self.engines[base].refused:
                continue
            new = Counter(self.engines[base].refused) - self._noted[base]
            if new:
                await self._store.note_refusals(base, new)
                self._noted[base] += new

    def market_times(self) -> dict[str, int]:
        """Time of the last snapshot by market, of those that have had one."""
        views = {base: engine.view() for base, engine in self.engines.items()}
        return {base: view.taken_at_ms for base, view in views.items() if view is not None}

    # --- deciding

    def ranks(self) -> dict[str, int]:
        """Markets by open interest: 1 is the largest."""
        return ranks(self.engines.values())

    async def _decide(self, step: Step) -> TickCommit:
        market = step.snapshot.market
        whole = [await with_gaps(self._store, event, market) for event in step.completed]
        completed = tuple([await self._with_its_odds(event) for event in whole])
        if not step.events:
            return TickCommit(step.snapshot, completed=completed)
        await self._decider.look()
        alerts: list[NewAlert] = []
        silences: list[Silence] = []
        events: list[Event] = []
        for event in step.events:
            deliveries, silent = await self._decider.decide(event)
            silences += silent
            if deliveries and (told := (*self._odds(event), *await self._looked_up(event))):
                self._told_odds[event.key] = told
                event = replace(event, facts=(*event.facts, *told))
            events.append(event)
            if deliveries:
                shown = step.view.with_evidence(event) if self._evidence else event
                alerts.append(NewAlert(shown, tuple(deliveries)))
        return TickCommit(step.snapshot, None, tuple(events), tuple(alerts), tuple(silences), completed)

    async def _looked_up(self, event: Event) -> Sequence[Fact]:
        """No alert waits for, or fails by, what is only worth a line in it."""
        try:
            return await self.look_up(event)
        except Exception:
            log.exception("nothing could be looked up for %s", event.key)
            return ()

    async def _with_its_odds(self, event: Event) -> Event:
        """A completed event with the odds and what was looked up, which are none of its kind's facts."""
        told = self._told_odds.get(event.key)
        if told is None:
            stored = await self._store.alert(event.key)
            facts = stored.event.facts if stored else ()
            told = tuple(fact for fact in facts if is_odds(fact) or fact.name in LOOKED_UP)
        return replace(event, facts=(*event.facts, *told))
