"""An engine that lives through what has happened, a few milliseconds at a time and with nobody told."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.turns import in_turns
from detectors.engine import MarketEngine
from detectors.market import Market, MarketSnapshot
from storage.store import Cursor, Store

PAGE = 256
"""Snapshots read at once: a series may be too long to be in memory as a whole."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What start-up found of one market."""

    market: Market
    cursor: Cursor | None
    """The last snapshot committed; everything up to it is skipped when it comes again. None: a new market."""
    settings_changed: bool
    """The estimate is built anew from the stored series, and the clusters there are adopted silently."""
    to_rebuild: bool = False
    """Nothing is known of it before `Watcher.rebuild` has gone through its whole series."""


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


async def recover_stored(
    store: Store, engine: MarketEngine, market: str, decisions: bytes | None, *, adopt: bool
) -> None:
    """As `MarketEngine.recover`, from all that is stored. Raises StoreUnavailable."""
    stood: int | None = None
    while page := await store.snapshots_page(market, stood, PAGE):
        async for _ in in_turns(engine.recovering(None, page, None)):
            pass
        stood = page[-1].bar.opened_at_ms if page[-1].bar is not None else stood
    looks = await store.snapshots_since(market, stood)
    async for _ in in_turns(engine.recovering(None, looks, decisions, adopt=adopt)):
        pass


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
