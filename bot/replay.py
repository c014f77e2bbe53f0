"""``replay``: a recording through the same code as a live market, as fast as the machine allows."""

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from bot.charting import ChartFolder
from bot.config import Config
from bot.markets.feed import ReplayableFeed, origin_of
from bot.markets.recording import RecordingError
from bot.playback import Moment, Tally, already_told, play, settle_as_shown
from bot.reliving import Resumed
from bot.score import Scorer
from bot.show import Show
from bot.watch import Watcher
from detectors import figures
from detectors.event import Event
from detectors.market import DAY_MS
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.sqlite import SqliteStore
from storage.store import NewAlert, Store

CHAT = Chat("console", "replay")
BATCH = 2048
CHART_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Replay:
    """What to replay. Times are UTC milliseconds, both included; ``from_ms`` only filters what is shown."""

    feed: ReplayableFeed
    config: Config
    from_ms: int | None = None
    to_ms: int | None = None
    charts: Path | None = None
    database: Path | None = None


async def run(replay: Replay, show: Show) -> None:
    """Play it and show each alert once. Raises RecordingError, UnknownMarket, StoreError."""
    markets = replay.feed.load()
    async with AsyncExitStack() as closing:
        store = SqliteStore(replay.database, replay.feed.source, origin=origin_of(replay.feed))
        closing.push_async_callback(store.close)
        for note in (await store.open()).notes:
            show.note(note)
        charts = None
        if replay.charts is not None:
            charts = ChartFolder(replay.charts, processes=CHART_PROCESSES)
            closing.push_async_callback(charts.close)
        kinds, settings = find_kinds(), replay.config.engine_settings()
        scorer = Scorer(store, kinds, settings.kinds, keep_bars=True)
        # Without a database nobody will ever ask for the evidence, and making it costs more than all the rest.
        watcher = Watcher(
            store,
            settings,
            kinds,
            batch=BATCH,
            evidence=charts is not None or replay.database is not None,
            checkpoint_every_ms=None if replay.database is None else DAY_MS,
            odds=scorer.odds,
        )
        resumed = await watcher.start(markets)
        await store.watch(CHAT, Subscription(EVERY_MARKET))
        await _refuse_older(replay, store, resumed)
        tally = Tally(from_ms=replay.from_ms or 0)

        async def tell(event: Event, reason: str) -> None:
            if _within(event, replay):
                tally.add(event)
                show.alert(event, reason, await charts.save(event) if charts else None)

        async def tell_new(alerts: Sequence[NewAlert]) -> None:
            if charts is not None:
                await charts.save_all(alert.event for alert in alerts if _within(alert.event, replay))
            for alert in alerts:
                for delivery in alert.deliveries:
                    if delivery.chat == CHAT:
                        await tell(alert.event, delivery.reason)
            if replay.database is not None:
                await settle_as_shown(store, CHAT)

        show.start(markets)
        if any(found.settings_changed for found in resumed):
            show.note("The settings have changed since this database was made: alerts in it stand as they were told.")
        for event, reason in await already_told(store, resumed, CHAT):
            stored = await store.alert(event.key) if charts else None
            await tell(stored.event if stored else event, reason)
        await play(_moments(replay), watcher, tally, tell_new, show.moment, scorer)
        if replay.database is not None:
            await watcher.checkpoint()
        show.finish(tally, watcher.engines, replay.feed.refusals, replay.charts)


async def _refuse_older(replay: Replay, store: Store, resumed: Sequence[Resumed]) -> None:
    """A store goes on from where it stands, so what came before its first snapshot would be left out silently."""
    begins_ms = {snapshot.market.base: snapshot.taken_at_ms for snapshot in next(replay.feed.steps(), ())}
    for base in (found.market.base for found in resumed if found.cursor is not None):
        stored = await store.snapshots_since(base, None)
        if stored and begins_ms.get(base, stored[0].taken_at_ms) < stored[0].taken_at_ms:
            raise RecordingError(
                f"{replay.database} holds {base} from {figures.moment(stored[0].taken_at_ms)} on, and this recording "
                "begins before that: give another --db, or the recording it was made of."
            )


def _moments(replay: Replay) -> Iterator[Moment]:
    moments, to_ms = replay.feed.steps(), replay.to_ms
    if to_ms is None:
        return moments
    return takewhile(lambda moment: moment[0].taken_at_ms <= to_ms, moments)


def _within(event: Event, replay: Replay) -> bool:
    after = replay.from_ms is None or event.taken_at_ms >= replay.from_ms
    return after and (replay.to_ms is None or event.taken_at_ms <= replay.to_ms)
