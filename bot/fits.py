"""Fits each market's leverage weights now and then, one market at a time, beside everything else.

The work is done in a thread that rests every few milliseconds, so that no tick waits for it. A fit that beats the
weights in use by more than luck takes their place; any other is kept too, and said.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.assumptions import with_leverage
from bot.ending import cancelled
from bot.fit_words import BACK
from bot.receipt_gaps import is_whole
from bot.reliving import PAGE
from bot.watch import Watcher
from detectors.engine import EngineSettings
from detectors.fit import Gain
from detectors.leverage import LeverageModel, NodeWeights
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS, Market, MarketSnapshot, PrintGap
from detectors.observed_history import HistoryWriter, ObservedHistory
from detectors.realised import RealisedShare, realised_share_of
from detectors.receipts import ReceiptMaker
from detectors.registry import EventKind
from detectors.truth_stick import back_to_configured, fit_history
from storage.errors import StoreUnavailable
from storage.fits import StoredFit
from storage.store import NewAlert, Store

log = logging.getLogger(__name__)
LOOK_EVERY_S = 60.0
"""How often it looks whether a market is due; one look fits one market at most."""
DAYS = 30
"""Of the past that a fit is made from."""
LEAST_DAYS = 17
"""Of stored series before the first: the map's first three tell nothing, and eight of the others have to be judged."""
_REST_S = 0.001


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be kept of a fit, and why."""

    weights: NodeWeights
    accepted: bool
    reason: str
    gain: Gain


class Fitter:
    """``hours`` of market time lie between two fits of a market. ``waiting_for`` says why a market is not ready yet.

    ``tell`` takes what a switch had still to commit.
    """

    def __init__(
        self,
        store: Store,
        watcher: Watcher,
        kinds: Mapping[str, EventKind],
        hours: float,
        *,
        least_days: float = LEAST_DAYS,
        waiting_for: Callable[[str], str | None] = lambda _: None,
        tell: Callable[[Sequence[NewAlert]], None] = lambda _: None,
    ) -> None:
        self._store, self._watcher, self._kinds = store, watcher, kinds
        self._configured = watcher.assumptions.configured
        self._every_ms, self._least_ms = round(hours * HOUR_MS), round(least_days * DAY_MS)
        self._waiting_for, self._tell = waiting_for, tell
        self._not_before_ms: dict[str, int] = {}
        """By market, in its own time: when it is to be looked at again."""
        self._task: asyncio.Task[object] | None = None
        self._stopping = False
        self.failed = 0

    def begin(self) -> None:
        """Look, unless it is still at work, and do not wait for it."""
        if not self._stopping and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._look_safely(), name="fit")

    async def stop(self) -> None:
        """Break off what is under way; it begins anew when it is due next, and nothing half-done is kept."""
        self._stopping = True
        if self._task is not None:
            await cancelled([self._task])

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except StoreUnavailable as error:
            log.warning("a fit waits for the store: %s", error)
        except Exception:
            self.failed += 1
            log.exception("a fit failed")

    async def look(self) -> str | None:
        """Fit the market that has waited longest, if one is due; its name. Raises StoreUnavailable."""
        times = self._watcher.market_times()
        for due_ms, base in sorted((self._due_ms(base), base) for base in times):
            if due_ms > times[base] or self._waiting_for(base) is not None:
                continue
            if (unapplied := self._unapplied(base)) is not None:
                self._tell(await self._watcher.use_fit(base, unapplied))
                return base
            try:
                if await self._fit(base, times[base]):
                    return base
            except StoreUnavailable:
                self._not_before_ms.pop(base, None)  # it is tried again once the store is there, not in a week
                raise
        return None

    def _due_ms(self, market: str) -> int:
        if self._unapplied(market) is not None:
            return 0
        made_ms = [
            one.fitted_at_ms for one in self._watcher.assumptions.fits(market) if one.configured == self._configured
        ]
        next_ms = max(made_ms) + self._every_ms if made_ms else 0
        return max(next_ms, self._not_before_ms.get(market, 0))

    def _unapplied(self, market: str) -> StoredFit | None:
        """Accepted, and the store failed or the process ended before it was in use."""
        fit = self._watcher.assumptions.in_force(market)
        return fit if fit is not None and fit.applies_from_ms is None else None

    async def _fit(self, market: str, now_ms: int) -> bool:
        """False where there is nothing to fit yet."""
        first_ms = (await self._store.reach(market)).first_bar_opened_at_ms
        if first_ms is None or now_ms < first_ms + self._least_ms:
            self._not_before_ms[market] = (now_ms if first_ms is None else first_ms) + self._least_ms
            return False
        self._not_before_ms[market] = now_ms + self._every_ms
        engine = self._watcher.engines[market]
        since_ms = now_ms - DAYS * DAY_MS
        configured = self._watcher.assumptions.of(market, fitted=False).estimate
        writer = HistoryWriter(configured.crowding_funding_8h)
        async for page in self._pages(market, since_ms):
            await asyncio.to_thread(writer.add, page)
        gaps = [gap for gap in await self._store.gaps(since_ms) if gap.concerns(engine.market)]
        history = await asyncio.to_thread(lambda: writer.history().with_gaps(gaps))
        if not history.prints and not history.totals_usd:
            return False
        in_use = engine.settings
        model = in_use.estimate.map.leverage
        result = await asyncio.to_thread(fit_history, configured.map, history, current=model, pause=self._rest)
        verdict = Verdict(result.found, result.believed, result.reason, result.gain)
        used = self._watcher.assumptions.in_force(market)
        if not result.believed and used is not None and not _same(model, configured.map.leverage):
            verdict = await self._back(configured.map, history, model, used, verdict)
        share = await self._share(engine.market, since_ms, in_use, verdict, gaps)
        fit = StoredFit(
            fitted_at_ms=now_ms,
            since_ms=int(history.bars.opened_at_ms[0]),
            until_ms=int(history.bars.opened_at_ms[-1]) + history.bars.interval_ms,
            prints=history.print_count or len(history.totals_usd),
            accepted=verdict.accepted,
            reason=verdict.reason,
            gain=verdict.gain,
            before=model.node_weights,
            after=verdict.weights,
            configured=self._configured,
            share=share,
        )
        if market not in self._watcher.engines:
            return False  # nobody watches it any more
        log.info("leverage weights of %s: %s", market, fit.reason)
        self._tell(await self._watcher.use_fit(market, fit))
        return True

    async def _back(
        self, settings: MapSettings, history: ObservedHistory, model: LeverageModel, used: StoredFit, otherwise: Verdict
    ) -> Verdict:
        """The way back: a fit in use gives way to the configured weights if those beat it on the days since."""
        gain = await asyncio.to_thread(back_to_configured, settings, history, model, used.until_ms, self._rest)
        if gain.low <= 0:
            return otherwise
        return Verdict(settings.leverage.node_weights, True, BACK, gain)

    async def _share(
        self, market: Market, since_ms: int, in_use: EngineSettings, result: Verdict, gaps: Sequence[PrintGap]
    ) -> RealisedShare | None:
        """Of the weights that are used from now on, on the receipts of the same days."""
        settings = replace(in_use, realised_share=None)
        if result.accepted:
            settings = with_leverage(settings, settings.estimate.map.leverage.with_weights(result.weights))
        maker = ReceiptMaker(market, settings, self._kinds)
        async for page in self._pages(market.base, since_ms):
            await asyncio.to_thread(maker.add, page, self._rest)
        kind = self._kinds["cluster_consumed"]
        configured = in_use.kinds.get(kind.kind, kind.settings).realised_share
        return realised_share_of([one for one in maker.receipts if is_whole(one, gaps)], configured)

    def _rest(self) -> None:
        """Lets go of the interpreter, which threads share, so that the loop has its turn at once."""
        if self._stopping:
            raise _BrokenOff
        time.sleep(_REST_S)

    async def _pages(self, market: str, since_ms: int) -> AsyncIterator[Sequence[MarketSnapshot]]:
        after_ms = since_ms
        while page := await self._store.snapshots_page(market, after_ms, PAGE):
            yield page
            last = page[-1].bar
            assert last is not None, "a page ends with a bar"
            after_ms = last.opened_at_ms


def _same(one: LeverageModel, other: LeverageModel) -> bool:
    return one.nodes == other.nodes and one.both_weights == other.both_weights


class _BrokenOff(Exception):  # noqa: N818 - no error: the bot stops
    pass
