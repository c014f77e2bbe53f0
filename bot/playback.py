"""Plays a feed through the watcher as fast as the machine allows: replays, the demonstration, the warm-up."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.reliving import Resumed
from bot.score import Scorer
from bot.watch import Watcher
from detectors.event import Event
from detectors.market import DAY_MS, MarketSnapshot
from storage.chats import Chat
from storage.outbox import Later, Sent
from storage.store import NewAlert, Store

Moment = tuple[MarketSnapshot, ...]
OnAlerts = Callable[[Sequence[NewAlert]], Awaitable[None]]
_CLAIMED_AT_ONCE = 500
_LEAVE_TO_OTHERS_MS = 60_000


@dataclass(slots=True)
class Tally:
    """What a playback came to, for its summary."""

    from_ms: int = 0
    """Nothing before this is counted in daily rates."""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    """First and last moment by market."""
    snapshots: int = 0
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (kind, market)."""
    a_day: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By (market, day since the epoch)."""
    started_s: float = field(default_factory=time.monotonic)

    def add(self, event: Event) -> None:
        self.alerts[event.kind, event.market] += 1
        self.a_day[event.market, event.taken_at_ms // DAY_MS] += 1

    def pass_by(self, moment: Moment) -> None:
        self.snapshots += len(moment)
        for snapshot in moment:
            first_ms, _ = self.spans.get(snapshot.market.base, (snapshot.taken_at_ms, 0))
            self.spans[snapshot.market.base] = first_ms, snapshot.taken_at_ms

    def daily(self, market: str, warm_up_ms: int) -> list[int]:
        """Alerts on each whole day after the warm-up, sorted."""
        first_ms, last_ms = self.spans.get(market, (0, 0))
        first = -(-max(self.from_ms, first_ms + warm_up_ms) // DAY_MS)
        return sorted(self.a_day[market, day] for day in range(first, last_ms // DAY_MS))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_s


async def play(
    moments: Iterable[Moment],
    watcher: Watcher,
    tally: Tally,
    on_alerts: OnAlerts,
    on_moment: Callable[[int], None] | None = None,
    scorer: Scorer | None = None,
) -> None:
    """Play all moments and commit them. Raises StoreUnavailable.

    With a scorer, alerts are scored as each day of market time begins, whatever the batch: the odds that go out with an
    alert depend on the market alone.
    """
    day = None
    for moment in moments:
        begins, day = day is not None and moment[0].taken_at_ms // DAY_MS > day, moment[0].taken_at_ms // DAY_MS
        if scorer is not None and begins:
            if alerts := await watcher.flush():
                await on_alerts(alerts)
            await scorer.score(watcher.market_times())
        tally.pass_by(moment)
        if alerts := await watcher.take(moment):
            await on_alerts(alerts)
        if on_moment is not None:
            on_moment(moment[0].taken_at_ms)
        await asyncio.sleep(0)  # signals are heard between moments
    if alerts := await watcher.flush():
        await on_alerts(alerts)
    if scorer is not None:
        await scorer.score(watcher.market_times(), anew=True)


def up_to(moments: Iterator[Moment], to_ms: int | None) -> Iterator[Moment]:
    """The moments until ``to_ms``, the first one at or after it included; None: all. The others stay in ``moments``."""
    for moment in moments:
        yield moment
        if to_ms is not None and moment[0].taken_at_ms >= to_ms:
            return


async def already_told(store: Store, resumed: Sequence[Resumed], chat: Chat) -> list[tuple[Event, str]]:
    """What earlier playbacks into this store told the chat of these markets, in order of time, each with its reason."""
    bases = {found.market.base for found in resumed if found.cursor is not None}
    if not bases:
        return []
    everything = sum((await store.counts()).deliveries.values())
    stored = await store.recent(everything, chat=chat)
    return [(alert.event, alert.reason) for alert in reversed(stored) if alert.event.market in bases]


async def settle_as_shown(store: Store, chat: Chat) -> None:
    """What was printed was sent. Other chats' deliveries are left alone."""
    now_ms = time.monotonic_ns() // 1_000_000
    while claims := await store.claim(now_ms, _CLAIMED_AT_ONCE, flush=True):
        for claim in claims:
            shown = claim.chat == chat
            outcome = Sent("printed") if shown else Later(now_ms + _LEAVE_TO_OTHERS_MS, "a replay sends nothing")
            await store.settle(claim.deliveries, outcome)
