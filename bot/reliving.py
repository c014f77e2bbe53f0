"""An engine that lives through what has happened, a few milliseconds at a time and with nobody told."""

from collections.abc import Sequence

from bot.turns import in_turns
from detectors.engine import MarketEngine
from detectors.market import MarketSnapshot
from storage.store import Cursor, Store

PAGE = 2048
"""Snapshots read at once: a series may be too long to be in memory as a whole."""


async def relive(engine: MarketEngine, snapshots: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
    """Step what has happened; what was believed of it."""
    steps = (engine.step(snapshot) for snapshot in snapshots)
    return [step.snapshot async for step in in_turns(steps) if step is not None]


async def relive_stored(store: Store, engine: MarketEngine, market: str) -> int | None:
    """Step all that is stored up to its last bar; when that opened (None: there is none). Raises StoreUnavailable."""
    stood: int | None = None
    while page := await store.snapshots_page(market, stood, PAGE):
        await relive(engine, page)
        stood = page[-1].bar.opened_at_ms if page[-1].bar is not None else stood
    return stood


def up_to_last_bar(snapshots: Sequence[MarketSnapshot]) -> tuple[Sequence[MarketSnapshot], int | None]:
    """Without the looks after the last bar, and when that opened."""
    for n in range(len(snapshots), 0, -1):
        bar = snapshots[n - 1].bar
        if bar is not None:
            return snapshots[:n], bar.opened_at_ms
    return (), None


def is_behind(snapshot: MarketSnapshot, cursor: Cursor) -> bool:
    """Whether it was committed before the restart."""
    if snapshot.bar is not None and cursor.bar_opened_at_ms is not None:
        return snapshot.bar.opened_at_ms <= cursor.bar_opened_at_ms
    return snapshot.taken_at_ms <= cursor.taken_at_ms
