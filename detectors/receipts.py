"""Receipts of a market's past, by the code that makes them live."""

from collections.abc import Callable, Iterable, Mapping

from detectors.engine import EngineSettings, MarketEngine
from detectors.market import Market, MarketSnapshot
from detectors.realised import Receipt, receipt_of
from detectors.registry import EventKind

_SNAPSHOTS_A_PAUSE = 8


class ReceiptMaker:
    """Lives a market through once more and collects the receipts of its sweeps; nobody is told."""

    def __init__(self, market: Market, settings: EngineSettings, kinds: Mapping[str, EventKind]) -> None:
        completing = {name: kind for name, kind in kinds.items() if kind.complete is not None}
        self._engine = MarketEngine(market, settings, completing)
        self.receipts: list[Receipt] = []

    def add(self, snapshots: Iterable[MarketSnapshot], pause: Callable[[], None] = lambda: None) -> None:
        """Further snapshots in order of time. ``pause`` is called every few milliseconds."""
        for number, snapshot in enumerate(snapshots):
            step = self._engine.step(snapshot)
            found = [receipt_of(event) for event in step.completed] if step is not None else []
            self.receipts += [one for one in found if one is not None]
            if number % _SNAPSHOTS_A_PAUSE == 0:
                pause()
