"""What a running bot commits, measured on stores: simulated markets, watched by chats, tick by tick.

The watcher is the bot's own, with a store in memory; each commit and checkpoint that it asks for is made and timed on
the stores under measure as well: snapshots of every market, the decisions of its engines, events, alerts with all that
their charts need, deliveries, checkpoints. Between two bars come looks at the prices, as of a live feed.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot import memory
from bot.markets.simulated import SimulatedFeed
from detectors.market import MarketSnapshot
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.postgres import PostgresStore
from storage.sql import Cursor
from storage.sql_series import Series
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import Committed, TickCommit
from tests.bot import played
from tests.storage.trips import Trips

FEEDS = 8
"""Simulated exchanges of four markets each."""
CHATS = 10
BARS_A_DAY = 288
READY_HOURS = 12
LOOK, BAR, ALERT, CHECKPOINT = "looks", "bar closes, nobody told", "bar closes with alerts", "a market's checkpoint"


@dataclass(slots=True)
class Taken:
    """Seconds of each call by what it was, and the round trips that it took where they are known."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    commits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of them, seconds from the COMMIT to its answer."""
    trips: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    deliveries: int = 0

    def rows(self, store: str) -> list[tuple[str, ...]]:
        return [
            (
                store,
                what,
                f"{len(seconds):,}",
                *(f"{value * 1000:.2f}" for value in (statistics.median(seconds), p99(seconds), max(seconds))),
                *(f"{value * 1000:.2f}" for value in (statistics.median(self.commits[what]), p99(self.commits[what]))),
                f"{statistics.median(self.trips[what]):.0f}" if self.trips[what] else "",
            )
            for what in (LOOK, BAR, ALERT, CHECKPOINT)
            if (seconds := self.seconds[what])
        ]


class CommitsTimed:
    """A store's connection that knows how long its last COMMIT took."""

    def __init__(self, store: SqlStore) -> None:
        self._connection = store._connection  # noqa: SLF001 - no use-case tells it apart
        self.seconds = 0.0
        store._open_connection = self  # noqa: SLF001
        store._series = Series(self)  # noqa: SLF001

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        started = time.perf_counter()
        done = self._connection.execute(sql, parameters)
        if sql == "COMMIT":
            self.seconds = time.perf_counter() - started
        return done

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        return self._connection.executemany(sql, rows)

    def set_trace_callback(self, callback: Callable[[str], object] | None, /) -> None:
        self._connection.set_trace_callback(callback)


class Measuring(SqliteStore):
    """The store that the watcher asks, in memory; what it writes of markets is written to ``measured`` too."""

    def __init__(self, measured: Mapping[str, SqlStore]) -> None:
        super().__init__(None, "recorded")
        self._measured = measured
        self.taken = {name: Taken() for name in measured}
        self._trips = {name: Trips(store) for name, store in measured.items() if isinstance(store, PostgresStore)}
        self._commits = {name: CommitsTimed(store) for name, store in measured.items()}
        self.on = False

    async def commit_ticks(self, ticks: Sequence[TickCommit]) -> Committed:
        alerts = [alert for tick in ticks for alert in tick.alerts]
        what = ALERT if alerts else BAR if any(tick.snapshot.bar for tick in ticks) else LOOK
        for name, store in self._measured.items():
            await self._time(name, what, lambda store=store: store.commit_ticks(ticks))  # type: ignore[misc]
            self.taken[name].deliveries += sum(len(alert.deliveries) for alert in alerts) * self.on
        return await super().commit_ticks(ticks)

    async def save_checkpoint(self, market: str, bar_opened_at_ms: int, blob: bytes) -> None:
        for name, store in self._measured.items():
            save = lambda store=store: store.save_checkpoint(market, bar_opened_at_ms, blob)  # noqa: E731
            await self._time(name, CHECKPOINT, save)
        await super().save_checkpoint(market, bar_opened_at_ms, blob)

    async def _time(self, name: str, what: str, call: Callable[[], Awaitable[object]]) -> None:
        trips = self._trips.get(name)
        before, started = trips.count if trips else 0, time.perf_counter()
        await call()
        if self.on:
            self.taken[name].seconds[what].append(time.perf_counter() - started)
            self.taken[name].commits[what].append(self._commits[name].seconds)
            if trips:
                self.taken[name].trips[what].append(trips.count - before)


async def measure(stores: Mapping[str, SqlStore], *, days: float, looks: int, feeds: int = FEEDS) -> dict[str, Taken]:
    """Open and empty ``stores``, measured from the moment on at which the markets' baselines are ready."""
    measuring = Measuring(stores)
    await measuring.open()
    for store in (measuring, *stores.values()):
        for n in range(CHATS):
            await store.watch(Chat("console", str(n)), Subscription(EVERY_MARKET))
    settings = played.config(estimate={"baseline": {"ready_hours": READY_HOURS}})
    watcher = played.watcher(measuring, settings=settings, evidence=True)
    moments = list(_moments(days, looks, feeds))
    await watcher.start(sorted({one.market for one in moments[0]}, key=lambda market: market.base))
    ready_ms = moments[0][0].taken_at_ms + READY_HOURS * 3_600_000
    hour = -1
    for moment in moments:
        if not measuring.on and moment[0].taken_at_ms > ready_ms:
            measuring.on = True
            memory.settle()  # as the bot does once it is up
        await watcher.take(moment)
        if moment[0].bar is not None and moment[0].taken_at_ms // 3_600_000 > hour:
            hour = moment[0].taken_at_ms // 3_600_000
            await watcher.checkpoint()
    await measuring.close()
    return measuring.taken


def _moments(days: float, looks: int, feeds: int) -> Iterator[tuple[MarketSnapshot, ...]]:
    for together in zip(*(_renamed(seed, days) for seed in range(1, feeds + 1)), strict=True):
        bars = tuple(snapshot for moment in together for snapshot in moment)
        yield bars
        for n in range(1, looks + 1):
            yield tuple(_look(bar, n * 10_000) for bar in bars)


def _renamed(seed: int, days: float) -> Iterator[tuple[MarketSnapshot, ...]]:
    for moment in SimulatedFeed(seed, days).steps():
        yield tuple(replace(one, market=replace(one.market, base=f"{one.market.base}{seed}")) for one in moment)


def _look(bar: MarketSnapshot, after_ms: int) -> MarketSnapshot:
    return MarketSnapshot(bar.market, bar.taken_at_ms + after_ms, bar.price, bar.price, bar.price)


def p99(taken: Sequence[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.99))]
