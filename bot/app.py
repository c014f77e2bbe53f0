"""The composition root: builds every part from the config, owns start and stop. Any part can be replaced by a fake."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Self

from bot import memory
from bot.charting import ChartFolder
from bot.chats import Chats, make_platforms
from bot.commands import Commands
from bot.config import Config, ConfigError
from bot.deliver import Deliverer, Notice, words
from bot.digests import release_due
from bot.fits import LOOK_EVERY_S, Fitter
from bot.following import Following, Waiting
from bot.hearing import know_stored_prints, note_unheard_before
from bot.markets.feed import ReplayableFeed, Source, origin_of
from bot.markets.live import LiveFeed
from bot.markets.recorded import RecordedFeed
from bot.message import Message
from bot.notices import NoticeBoard
from bot.platforms import console
from bot.platforms.seam import ChatPlatform
from bot.playback import Moment, Tally
from bot.reliving import Resumed
from bot.schedule import Schedule
from bot.score import Scorer
from bot.stores import is_new, make_store
from bot.terminal import terminal_watches
from bot.watch import Watcher
from detectors import figures
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Subscription
from storage.errors import StoreError
from storage.outbox import Task
from storage.store import NewAlert, Store

log = logging.getLogger(__name__)
AnyFeed = ReplayableFeed | LiveFeed
NOTICES_SHOWN = 8
DIGESTS_EVERY_S = 5.0
MARKETS_EVERY_S = 30.0
REACH_WITHIN_S = 12.0
"""What a venue gets to answer in at the start; then the bot starts without it, or says why it cannot."""


def make_feed(config: Config) -> AnyFeed:
    """The feed of the config, not loaded yet. Raises UnknownMarket."""
    source = config.source
    markets = source.markets or None
    if source.kind is Source.LIVE:
        return LiveFeed(source.venues, markets, look_every_s=source.look_every_s, within_s=REACH_WITHIN_S)
    if source.kind is Source.LOCAL:
        from bot.markets.local.feed import LocalFeed  # servers, which nobody else needs

        return LocalFeed(
            source.seed,
            source.venues,
            markets,
            speed=source.speed,
            history_days=source.history_days,
            look_every_s=source.look_every_s,
        )
    if source.kind is Source.RECORDED:
        return RecordedFeed(Path(source.path), markets)
    from bot.markets.simulated import SimulatedFeed  # and numpy's random numbers, 4 MB

    return SimulatedFeed(source.seed, source.days or None, markets)


class App:
    """An async context manager: opened, recovered and subscribed inside; stopped in order after.

    ``chart_processes``: see `ChartFolder`. ``store``, ``printer``, ``schedule`` and ``platforms`` (beside the terminal)
    replace those of the config; the tokens of platforms come from ``environ``. Raises Fatal, ConfigError.
    """

    def __init__(
        self,
        config: Config,
        feed: AnyFeed,
        *,
        chart_processes: int = 0,
        store: Store | None = None,
        printer: console.Printer | None = None,
        schedule: Schedule | None = None,
        platforms: Sequence[ChatPlatform] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        memory.few_arenas()
        memory.large_blocks_apart()
        self.config, self.feed = config, feed
        self._will_make_database = lambda: is_new(config, environ)  # the environment holds tokens: no attribute does
        self.printer = printer or console.Printer(console.make_console(config.console.colour))
        self.schedule = schedule or Schedule()
        self.store: Store = store or make_store(config, environ, feed.source, origin=origin_of(feed), on_wait=self._say)
        kinds = find_kinds()
        self.charts = (
            ChartFolder(Path(config.charts.folder), kept=config.charts.kept, processes=chart_processes)
            if config.charts.draw
            else None
        )
        settings = config.engine_settings()
        self.scorer = Scorer(self.store, kinds, settings.kinds)
        fit_hours = config.schedule.fit_hours
        self.watcher = Watcher(
            self.store, settings, kinds, checkpoint_every_ms=None, odds=self.scorer.odds, fits=fit_hours > 0
        )
        self.fitter = (
            Fitter(
                self.store,
                self.watcher,
                kinds,
                fit_hours,
                waiting_for=lambda market: self._waiting_for(market),
                tell=self.tell,
            )
            if fit_hours
            else None
        )
        self.defaults = Subscription(
            EVERY_MARKET, within_pct=config.policy.within_pct, min_notional_usd=config.policy.min_notional_usd
        )
        others = make_platforms(config, environ) if platforms is None else platforms
        self.chats = Chats(others, self.store, self._say)
        self.following = (
            Following(
                feed,
                self.watcher,
                self.store,
                most=config.source.most_markets,
                ready_hours=config.estimate.baseline.ready_hours,
                tell=self.tell,
                say=lambda chats, message: self.board.tell(chats, message),
            )
            if isinstance(feed, LiveFeed)
            else None
        )
        self.commands = Commands(
            self.store,
            feed,
            self.watcher,
            kinds,
            defaults=self.defaults,
            charts=self.charts,
            faults=self._faults,
            conditions=self.chats.conditions,
            most_chats=config.policy.max_chats_per_user,
            waiting_for=self._waiting_for,
            following=self.following,
            private_faults=self._private_faults,
            operators=config.notices.operators,
        )
        # Only a market that lives by the wall clock can be late.
        market_ms = feed.clock.now_ms if isinstance(feed, LiveFeed) and feed.source is Source.LIVE else None
        everywhere = [console.ConsolePlatform(self.printer), *others]
        self.deliverer = Deliverer(self.store, everywhere, self._compose, market_ms=market_ms)
        # The terminal has every notice already.
        self.board = NoticeBoard(self.store, self.deliverer.say, config.notices.operators, [one.name for one in others])
        self.tally = Tally()
        self.moments: Iterator[Moment] = iter(())
        """What the feed has still to bring."""
        self.begins_at_ms = 0
        self.stands_at_ms: int | None = None
        """Market time of the store at start-up; None: a new one."""
        self.resumed: Sequence[Resumed] = ()
        """What the store knew of each market."""
        self.notices: deque[str] = deque(maxlen=NOTICES_SHOWN)
        """The last things that a live feed said of its data, for ``/status``."""
        self.failed_ticks = 0
        self.ticks = 0
        """Moments that were committed since the start."""
        self.newest_ms: int | None = None
        """Market time of the last of them."""
        self.caught_up = False
        """The past is taken in: from now on moments have to come."""
        self.beat_s: float | None = None
        """When the store last took a heartbeat, by the steady clock."""
        self.notes: list[str] = []
        """Sentences for the operator about the start-up."""
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def _start(self) -> None:
        # Whoever stands by asks no venue. Then the market, before the store is opened: a database made by a start that
        # fails would not be a new one at the next.
        self._closing.push_async_callback(self.store.close)
        await self.store.lead()
        markets = await self.feed.start()
        self._closing.push_async_callback(self.feed.close)
        self.board.started_ms = self.feed.clock.now_ms() if isinstance(self.feed, LiveFeed) else None
        watched, unknown = terminal_watches(self.config.console.watch, markets)
        if unknown:
            will_be_made: bool = await asyncio.to_thread(self._will_make_database)
            if will_be_made:
                raise ConfigError("The config", unknown)
        opened = await self.store.open()
        if self.charts is not None:
            self._closing.push_async_callback(self.charts.close)
        if self.following is not None and isinstance(self.feed, LiveFeed):
            await self.following.start()
            markets = self.feed.markets
        self.resumed = resumed = await self.watcher.start(markets, rebuild_later=isinstance(self.feed, LiveFeed))
        if isinstance(self.feed, LiveFeed):
            await note_unheard_before(self.store, self.feed, resumed)
            await know_stored_prints(self.store, self.feed, resumed)
        else:
            self._take_up(self.feed.steps())
        self.stands_at_ms = max((found.cursor.taken_at_ms for found in resumed if found.cursor), default=None)
        self.notes += [*opened.notes, *_notes(resumed)]
        if self.stands_at_ms is not None:
            await self.scorer.refresh(self.stands_at_ms)
        if opened.created:
            for base in watched:
                await self.store.watch(console.CHAT, replace(self.defaults, market=base))

    def _take_up(self, moments: Iterator[Moment]) -> None:
        first = next(moments, None)
        if first is not None:
            self.begins_at_ms = first[0].taken_at_ms
            self.moments = chain((first,), moments)

    async def __aexit__(self, *_: object) -> None:
        await self.schedule.stop()
        if self.fitter is not None:
            await self.fitter.stop()
        await self.deliverer.stop()
        await self.board.stop()
        await self.chats.stop()
        try:
            await self.watcher.flush()
            await self.watcher.checkpoint()
        except StoreError as error:
            log.warning("the last state could not be kept; the next start catches up: %s", error)
        await self._closing.aclose()

    async def open_chats(self) -> None:
        """Let platforms take commands and be sent to; what they receive comes once ``chats.run`` runs. Raises Fatal."""
        if self.charts is not None and self.chats.platforms:
            await self.charts.warm()
        await self.chats.start(self.commands.handle, self.commands.specs, self.commands.suggest)

    @property
    def catching_up(self) -> Waiting | None:
        """What fetches the past beside a live feed."""
        return self.following.catching_up if self.following else None

    # --- jobs

    def schedule_house(self) -> None:
        """What has to be done now and then whatever the feed is."""
        times = self.config.schedule
        self.schedule.every(times.checkpoint_minutes * 60, "checkpoint", self.watcher.checkpoint_in_turns)
        self.schedule.every(times.housekeeping_minutes * 60, "housekeeping", self.keep_house)
        self.schedule.every(times.score_minutes * 60, "score", self.score)
        if self.fitter is not None:
            self.schedule.every(LOOK_EVERY_S, "fits", self.fit)
        self.schedule.every(times.backup_hours * 3600, "backup", self.back_up)
        self.schedule.every(times.heartbeat_seconds, "heartbeat", self.beat)
        if self.following is not None:
            self.schedule.every(MARKETS_EVERY_S, "markets", self.following.look)
        self.schedule.every(DIGESTS_EVERY_S, "digests", self.send_digests)

    async def tick(self) -> bool:
        """Take in the next moment and commit what it led to; False when the feed has ended. Raises StoreUnavailable."""
        moment = next(self.moments, None)
        if moment is None:
            return False
        await self.take(moment)
        return True

    async def take(self, moment: Moment) -> None:
        """Commit what a moment leads to, and let it be delivered. Raises StoreUnavailable."""
        self.tell(await self.watcher.take(moment))
        self.ticks += 1
        self.newest_ms = moment[-1].taken_at_ms if moment else self.newest_ms

    def tell(self, alerts: Sequence[NewAlert]) -> None:
        """Let what was committed be delivered."""
        for alert in alerts:
            self.tally.add(alert.event)
            self.deliverer.wake()

    async def keep_house(self) -> None:
        """Remove the oldest charts over the limit; give memory back."""
        if self.charts is not None:
            await self.charts.prune()
        await memory.give_back()

    async def send_digests(self) -> None:
        """Owe what was held back for quiet hours or a cap that are over. Raises StoreUnavailable."""
        if await release_due(self.store, self.commands.now_ms):
            self.deliverer.wake()

    async def score(self) -> None:
        """Give the alerts whose horizon has passed their outcome. Raises StoreUnavailable."""
        await self.scorer.score(self.watcher.market_times())

    async def fit(self) -> None:
        """Begin to fit the leverage weights of one market, if one is due."""
        if self.fitter is not None and self.caught_up:
            self.fitter.begin()

    async def back_up(self) -> None:
        await self.store.backup()

    async def beat(self) -> None:
        await self.store.heartbeat(wall_ms())
        self.beat_s = time.monotonic()

    # --- what parts ask of it

    def _say(self, text: str) -> None:
        """To whoever runs the bot."""
        self.printer.show(Message(text))

    async def _compose(self, task: Task, notices: Sequence[Notice]) -> Message:
        message = words(task, notices)
        # A group carries no picture, for one of many would mislead; `/chart` draws each that is asked for.
        if self.charts is None or len(notices) > 1 or task in {Task.EXPIRE, Task.DIGEST}:
            return message
        return replace(message, chart=await self.charts.save(notices[0].event))

    def _faults(self) -> Sequence[str]:
        faults = [f"Job {name} failed {figures.counted(n, 'time')}" for name, n in self.schedule.failed.items()]
        if self.failed_ticks:
            faults.append(f"Ticks that failed by a fault of ours: {self.failed_ticks}")
        if self.fitter is not None and self.fitter.failed:
            faults.append(f"Fits that failed by a fault of ours: {self.fitter.failed}")
        if self.schedule.clock_jumps:
            faults.append(f"The clock jumped {figures.counted(self.schedule.clock_jumps, 'time')}")
        if self.charts is not None and self.charts.failed:
            faults.append(f"Charts that could not be drawn: {self.charts.failed}")
        going_on = self.catching_up.condition if self.catching_up else None
        faults += self.catching_up.faults if self.catching_up else []
        conditions = [one for one in (going_on, self.store.condition) if one]
        conditions += self.following.conditions() if self.following else []
        return [*conditions, *faults, *self.notices]

    def _private_faults(self) -> Sequence[str]:
        """With paths and ids of chats in them."""
        return [*self.notes, *self.board.condition()]

    def _waiting_for(self, market: str) -> str | None:
        return self.catching_up.waiting_for(market) if self.catching_up else None


def _notes(resumed: Sequence[Resumed]) -> list[str]:
    changed = ", ".join(found.market.base for found in resumed if found.settings_changed)
    if not changed:
        return []
    return [f"{changed}: the settings have changed, so the estimate is made anew and its clusters adopted silently."]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
