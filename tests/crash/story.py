"""What the bot lives through: the bars of a simulated market around a time when much is told, and what is then due.

The database before those bars (the template) is made once; every life begins with a copy of it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.config import Config, parse
from bot.markets.simulated import SimulatedFeed
from bot.watch import Watcher
from detectors.leverage import BINANCE_BTC_TIERS
from detectors.market import Market, MarketSnapshot
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.market_facts import StoredTiers
from storage.sqlite import SqliteStore
from storage.store import NewAlert, Store

SEED, DAYS, MARKETS = 5, 3.0, ("BTC", "DOGE")
LIVE_BARS = 16
LEAST_DUE = 4
"""Alerts in the bars that are lived through."""
FEW = frozenset({"cluster_formed", "cluster_approached"})
ROLES = ("telegram-all", "telegram-few", "discord-all", "discord-few")
"""A platform, and whether the chat wants everything."""
TIERS = StoredTiers(BINANCE_BTC_TIERS, "the story", 0)
Moment = tuple[MarketSnapshot, ...]


def subscription(role: str) -> Subscription:
    return Subscription(EVERY_MARKET, kinds=None if role.endswith("all") else FEW)


def platform(role: str) -> str:
    return role.partition("-")[0]


def settings(store_path: str, folder: Path, *, draw: bool = True) -> Config:
    document = {
        "source": {"kind": "live", "venues": ["binance"], "markets": list(MARKETS), "history_days": 1.0},
        "estimate": {"baseline": {"ready_hours": 24}},
        "store": {"path": store_path},
        "charts": {"draw": draw, "folder": str(folder / "charts")},
        "console": {"watch": []},
    }
    return parse(document, "crash")


@dataclass(frozen=True, slots=True)
class Story:
    markets: tuple[Market, ...]
    past: Sequence[Moment]
    live: Sequence[Moment]
    due: frozenset[tuple[str, str]]
    """(role, alert id) of everything that must arrive."""

    @property
    def now_ms(self) -> int:
        """Time stands still while the bars are lived through, so that nothing expires."""
        return self.live[0][0].taken_at_ms

    def told_at(self) -> list[int]:
        """The bars that are lived through, by number, at which something is due."""
        times = {key.rpartition(":")[2] for _, key in self.due}
        return [n for n, moment in enumerate(self.live) if str(moment[0].taken_at_ms) in times]

    def opened_at_ms(self, n: int) -> int:
        """When the n-th bar that is lived through opened, or would open."""
        first = self.live[0][0].bar
        assert first is not None
        return first.opened_at_ms + n * first.interval_ms

    def bars(self, market: Market, since_ms: int, until_ms: int) -> list[MarketSnapshot]:
        """Of those that are lived through: opened since, closed by then."""
        return [
            one
            for moment in self.live
            for one in moment
            if one.market == market
            and one.bar is not None
            and since_ms <= one.bar.opened_at_ms
            and one.bar.closed_at_ms <= until_ms
        ]

    async def fill(self, store: Store) -> None:
        """Make an empty store the template."""
        watcher = _watcher(store)
        await watcher.start(self.markets)
        for market in self.markets:
            first = self.past[0][0].bar
            assert first is not None
            await watcher.put_before(market.base, (), asked_from_ms=first.opened_at_ms, tiers=TIERS)
        for moment in self.past:
            await watcher.take(moment)
        await watcher.flush()
        await watcher.checkpoint()


def make() -> Story:
    return asyncio.run(_make())


async def _make() -> Story:
    feed = SimulatedFeed(SEED, DAYS, MARKETS)
    markets = tuple(_real(market) for market in feed.load())
    moments = [tuple(replace(one, market=_real(one.market)) for one in moment) for moment in feed.steps()]
    first = await _busiest(markets, moments)
    story = Story(markets, moments[:first], moments[first : first + LIVE_BARS], frozenset())
    due = frozenset(await _due(story))
    assert len({alert for _, alert in due}) >= LEAST_DUE, "too little is told in this market: take another seed"
    return replace(story, due=due)


async def _due(story: Story) -> set[tuple[str, str]]:
    """By the real watcher, in memory, with nobody killed."""
    store = SqliteStore(None, "live")
    await store.open()
    await story.fill(store)
    chats = {role: Chat(platform(role), role) for role in ROLES}
    for role, chat in chats.items():
        await store.watch(chat, subscription(role))
    watcher = _watcher(store)
    await watcher.start(story.markets)
    alerts: list[NewAlert] = []
    for moment in story.live:
        alerts += await watcher.take(moment)
    alerts += await watcher.flush()
    await store.close()
    return {(delivery.chat.chat_id, alert.event.key) for alert in alerts for delivery in alert.deliveries}


async def _busiest(markets: Sequence[Market], moments: Sequence[Moment]) -> int:
    """Where the bars with the most alerts begin, after the first day and a half."""
    store = SqliteStore(None, "live")
    await store.open()
    await store.watch(Chat("console", "x"), Subscription(EVERY_MARKET))
    watcher = _watcher(store, batch=1)
    await watcher.start(markets)
    told = [len(await watcher.take(moment)) for moment in moments]
    await store.close()
    return max(range(len(moments) // 2, len(moments) - LIVE_BARS), key=lambda n: sum(told[n : n + LIVE_BARS]))


def _watcher(store: Store, batch: int = 512) -> Watcher:
    engine_settings = settings("", Path()).engine_settings()
    return Watcher(store, engine_settings, find_kinds(), batch=batch, evidence=False, checkpoint_every_ms=None)


def _real(market: Market) -> Market:
    return replace(market, simulated=False)
