"""A short simulated market, with a baseline that is ready after a day, so that alerts come soon."""

from collections.abc import Sequence
from functools import cache

from bot.config import Config, parse
from bot.markets.simulated import SimulatedFeed
from bot.playback import Moment
from bot.watch import Watcher
from detectors.market import Market
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.store import NewAlert, Store

SEED = 5
DAYS = 4.0
CHAT = Chat("console", "local")


@cache
def moments(days: float = DAYS, seed: int = SEED) -> tuple[Moment, ...]:
    """BTC, bar by bar."""
    return tuple(SimulatedFeed(seed, days, ["BTC"]).steps())


def market() -> Market:
    return moments()[0][0].market


def config(**sections: object) -> Config:
    return parse({"estimate": {"baseline": {"ready_hours": 24}}, "store": {"path": ""}, **sections}, "test")


def watcher(store: Store, *, batch: int = 1, settings: Config | None = None, evidence: bool = False) -> Watcher:
    engine_settings = (settings or config()).engine_settings()
    return Watcher(store, engine_settings, find_kinds(), batch=batch, evidence=evidence, checkpoint_every_ms=None)


async def play_all(watching: Watcher, played: Sequence[Moment]) -> list[NewAlert]:
    alerts: list[NewAlert] = []
    for moment in played:
        alerts += await watching.take(moment)
    return [*alerts, *await watching.flush()]


async def subscribe(store: Store, subscription: Subscription | None = None) -> None:
    await store.watch(CHAT, subscription or Subscription(EVERY_MARKET))


def keys(alerts: Sequence[NewAlert]) -> list[str]:
    return [alert.event.key for alert in alerts]
