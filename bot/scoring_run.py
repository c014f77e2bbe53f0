"""``scorecard RECORDING``: a recording through the same code as a live market, and what came of its alerts."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bot.config import Config
from bot.markets.feed import ReplayableFeed
from bot.message import Message
from bot.playback import Tally, play
from bot.replay import BATCH, CHAT
from bot.score import Scorer
from bot.scorecard import as_message, as_record, rows_of
from bot.watch import Watcher
from detectors.claims import claims_of
from detectors.market import DAY_MS, Market
from detectors.registry import find_kinds
from detectors.scoring import Scored
from storage.chats import EVERY_MARKET, Subscription
from storage.sqlite import SqliteStore
from storage.store import NewAlert


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What came of the alerts that one chat at the defaults is told of in a recording."""

    markets: tuple[Market, ...]
    begins_ms: int
    ends_ms: int
    scored: tuple[Scored, ...]
    waiting: dict[str, int]

    @property
    def days(self) -> int:
        return round((self.ends_ms - self.begins_ms) / DAY_MS)

    @property
    def simulated(self) -> bool:
        return any(market.simulated for market in self.markets)

    def message(self) -> Message:
        kinds = find_kinds()
        return as_message(
            rows_of(self.scored, by_market=True),
            self.waiting,
            title=f"Scorecard of {', '.join(market.base for market in self.markets)}",
            days=self.days,
            scored_as={name: kind.scored_as for name, kind in kinds.items()},
            simulated=self.simulated,
            claims=claims_of(self.scored),
        )

    def record(self) -> dict[str, object]:
        return as_record(
            self.scored,
            self.waiting,
            claims_of(self.scored),
            markets=[market.symbol for market in self.markets],
            from_ms=self.begins_ms,
            to_ms=self.ends_ms,
            simulated=self.simulated,
        )


async def run(feed: ReplayableFeed, config: Config, on_moment: Callable[[int], None] | None = None) -> Scorecard:
    """Raises RecordingError, UnknownMarket."""
    markets = feed.load()
    kinds, settings = find_kinds(), config.engine_settings()
    async with AsyncExitStack() as closing:
        store = SqliteStore(None, feed.source)
        closing.push_async_callback(store.close)
        await store.open()
        scorer = Scorer(store, kinds, settings.kinds, keep_bars=True)
        watcher = Watcher(
            store, settings, kinds, batch=BATCH, evidence=False, checkpoint_every_ms=None, odds=scorer.odds
        )
        await watcher.start(markets)
        await store.watch(CHAT, Subscription(EVERY_MARKET))
        tally = Tally()
        await play(feed.steps(), watcher, tally, _tell_nobody, on_moment, scorer)
        spans = tally.spans.values()
        return Scorecard(
            tuple(markets),
            min((first for first, _ in spans), default=0),
            max((last for _, last in spans), default=0),
            tuple(await store.outcomes(with_alert=True)),
            dict(await store.waiting()),
        )


async def _tell_nobody(_alerts: Sequence[NewAlert]) -> None: ...
