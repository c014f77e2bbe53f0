"""Small events, snapshots and ticks for tests of the store and what stands on it."""

from typing import Any

import numpy as np

from detectors.event import Event, Evidence, Fact, Label, Level, Severity, Unit
from detectors.market import Bar, Market, MarketSnapshot, OpenInterest, Side
from storage.chats import Chat
from storage.store import NewAlert, NewDelivery, Store, TickCommit

START_MS = 1_764_547_200_000
BAR_MS = 300_000
ALICE = Chat("console", "alice")
BOB = Chat("console", "bob")


def market(base: str = "BTC") -> Market:
    return Market(base, f"{base}/USDT:USDT", ("binance",), ("binance",))


def snapshot(n: int, base: str = "BTC", **changes: Any) -> MarketSnapshot:
    """The market as the n-th bar closes."""
    opened = START_MS + n * BAR_MS
    bar = Bar(opened, BAR_MS, 100.1, 101.3 + n, 99.7, 100.9, 12.5)
    fields: dict[str, Any] = {
        "bar": bar,
        "open_interest": OpenInterest(bar.closed_at_ms, 5000.25 + n, BAR_MS),
        "price": bar.close,
        "low": bar.low,
        "high": bar.high,
    }
    return MarketSnapshot(market(base), bar.closed_at_ms, **{**fields, **changes})


def look(at_ms: int, base: str = "BTC", price: float = 100.5) -> MarketSnapshot:
    """A price between bars."""
    return MarketSnapshot(market(base), at_ms, price, price, price)


def event(n: int = 0, **changes: Any) -> Event:
    opened = START_MS + n * BAR_MS
    fields: dict[str, Any] = {
        "kind": "cluster_formed",
        "market": "BTC",
        "venue": "binance",
        "symbol": "BTC/USDT:USDT",
        "subject": "long-1",
        "arming": 1,
        "rung": None,
        "bar_opened_at_ms": opened,
        "taken_at_ms": opened + BAR_MS,
        "side": Side.LONG,
        "price": 100.0,
        "level": Level(97.0, 98.0, 97.5),
        "notional_usd": 5e6,
        "severity": Severity.NOTICE,
        "headline": "BTC long cluster",
        "facts": (Fact("build_class", "fast", Unit.TEXT, Label.ESTIMATED),),
    }
    return Event(**{**fields, **changes})


def evidence() -> Evidence:
    bars, cells = 3, 4
    return Evidence(
        interval_ms=BAR_MS,
        opened_at_ms=np.arange(bars, dtype=np.int64) * BAR_MS,
        ohlc=np.full((bars, 4), 100.1),
        edges=np.linspace(90.0, 110.0, cells + 1),
        heat_usd=np.ones((bars, cells), np.float32),
        long_usd=np.linspace(0.0, 0.3, cells),
        short_usd=np.zeros(cells),
        funding_at_ms=np.zeros(0, np.int64),
        funding_rate=np.zeros(0),
    )


def alert(about: Event, *chats: Chat, reason: str = "first", expires_at_ms: int | None = None) -> NewAlert:
    return NewAlert(about, tuple(NewDelivery(chat, reason, expires_at_ms) for chat in chats or (ALICE,)))


def tick(n: int, *alerts: NewAlert, **changes: Any) -> TickCommit:
    fields: dict[str, Any] = {"state": f"state {n}".encode(), "events": tuple(a.event for a in alerts)}
    return TickCommit(snapshot(n), alerts=alerts, **{**fields, **changes})


async def released(store: Store, market_ms: int) -> int:
    """All that is held and due by then is owed; to how many chats."""
    due = await store.held_due(market_ms)
    await store.release_held(due)
    return len({one.chat for one in due})
