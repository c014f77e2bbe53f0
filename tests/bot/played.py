"""A short simulated market, with a baseline that is ready after a day, so that alerts come soon.

Playing it costs a second or two, so `standing` plays it once, gives each test a copy of what the store then
holds, and goes on from there.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import islice

from bot.config import Config, parse
from bot.markets.simulated import SimulatedFeed
from bot.playback import Moment
from bot.watch import Watcher
from detectors.market import Market
from detectors.registry import find_kinds
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.sql_writer import Connected
from storage.sqlite import SqliteStore
from storage.store import NewAlert, Store

SEED = 5
DAYS = 4.0
CHAT = Chat("console", "local")

_simulated: list[Moment] = []
_images: dict[tuple[float, int, bool], bytes] = {}


@cache
def moments(days: float = DAYS) -> tuple[Moment, ...]:
    """BTC, bar by bar."""
    wanted = round(days * 288)
    _simulated.extend(islice(_feed().steps(), max(wanted - len(_simulated), 0)))
    return tuple(_simulated[:wanted])


@cache
def _feed() -> SimulatedFeed:
    return SimulatedFeed(SEED, None, ["BTC"])


def market() -> Market:
    (one,) = _feed().load()
    return one


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


async def standing(
    store: SqliteStore,
    bars: int | None = None,
    *,
    days: float = DAYS,
    evidence: bool = False,
    watching: Watcher | None = None,
) -> Watcher:
    """Opens ``store``, and starts ``watching`` on it, where `CHAT` was told of the first ``bars`` (None: of all).

    The last of them is played here: a bot that has just started knows no price yet.
    """
    until = (len(moments(days)) if bars is None else bars) - 1
    if (days, until, evidence) not in _images:
        _images[days, until, evidence] = await _played(days, until, evidence)
    _holding(store, _images[days, until, evidence])
    await store.open()
    watching = watching or watcher(store, evidence=evidence)
    await watching.start([market()])
    await play_all(watching, moments(days)[until : until + 1])
    return watching


def _holding(store: SqliteStore, image: bytes) -> None:
    connect = store._connect

    def connect_to_the_image() -> Connected:
        connected = connect()
        assert store._database is not None
        store._database.conn.deserialize(image)
        return replace(connected, created=False)

    store._connect = connect_to_the_image  # type: ignore[method-assign]


async def _played(days: float, until: int, evidence: bool) -> bytes:
    """From the latest image that there is before it on."""
    before = max((bars for d, bars, e in _images if (d, e) == (days, evidence) and bars < until), default=0)
    store = SqliteStore(None, "simulated")
    if before:
        _holding(store, _images[days, before, evidence])
    await store.open()
    if not before:
        await subscribe(store)
    watching = watcher(store, batch=100, evidence=evidence)
    await watching.start([market()])
    await play_all(watching, moments(days)[before:until])
    await watching.checkpoint()
    assert store._database is not None
    image: bytes = await store._run(store._database.conn.serialize)
    await store.close()
    return image


async def subscribe(store: Store, subscription: Subscription | None = None) -> None:
    await store.watch(CHAT, subscription or Subscription(EVERY_MARKET))


def keys(alerts: Sequence[NewAlert]) -> list[str]:
    return [alert.event.key for alert in alerts]
