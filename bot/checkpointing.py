"""Which markets' estimates are to be kept now: at a bar's close alone, and not all at one close.

Between bars the estimate holds funding and prints that the snapshots since that bar would add again, so no checkpoint
is made of it. Times are open times of bars.
"""

from collections.abc import Iterable, Iterator
from typing import Any

_OVER_BARS = 10


class Checkpoints:
    """``every_ms`` is market time; None: only what was asked for."""

    def __init__(self, every_ms: int | None) -> None:
        self._every_ms = every_ms
        self._at_bar: dict[str, int] = {}
        """The bar that a market stands at, as long as nothing came after it."""
        self._kept: dict[str, int] = {}
        """The bar of the last checkpoint."""
        self._due: dict[str, None] = {}
        self._in_turns: dict[str, None] = {}
        """Markets that become due with one of the next bars."""
        self._at_once, self._turn_of_bar = 1, 0

    def stands_at(self, market: str, bar_opened_at_ms: int | None) -> None:
        """What came last of a market; None: no bar."""
        self._at_bar.pop(market, None)
        if bar_opened_at_ms is not None:
            self._at_bar[market] = bar_opened_at_ms
            if self._in_turns and bar_opened_at_ms > self._turn_of_bar:
                self._take_turns(bar_opened_at_ms)
            if self._is_old(market, bar_opened_at_ms):
                self._due[market] = None

    def ask(self, markets: Iterable[str]) -> None:
        """They are due now, or with their next bar."""
        self._due.update(dict.fromkeys(markets))

    def ask_in_turns(self, markets: Iterable[str]) -> None:
        """Each is due at one of its next bars: all at one close would cost as much as the close."""
        self._in_turns.update(dict.fromkeys(markets))
        self._at_once = max(1, -(-len(self._in_turns) // _OVER_BARS))

    def made_anew(self, market: str) -> None:
        """What was kept of it is of another estimate."""
        self._kept.pop(market, None)
        self._due[market] = None

    def forget(self, market: str) -> None:
        all_of_it: list[dict[str, Any]] = [self._at_bar, self._kept, self._due, self._in_turns]
        for one in all_of_it:
            one.pop(market, None)

    def due(self) -> Iterator[tuple[str, int]]:
        """Those to be kept now, with the bar they stand at; `kept` is to be called for each that was."""
        for market in list(self._due):
            bar = self._at_bar.get(market)
            if bar is None:
                continue
            if self._kept.get(market) == bar:
                del self._due[market]
            else:
                yield market, bar

    def kept(self, market: str, bar_opened_at_ms: int) -> None:
        self._kept[market] = bar_opened_at_ms
        self._due.pop(market, None)

    def _take_turns(self, bar_opened_at_ms: int) -> None:
        self._turn_of_bar = bar_opened_at_ms
        for market in list(self._in_turns)[: self._at_once]:
            del self._in_turns[market]
            self._due[market] = None

    def _is_old(self, market: str, bar_opened_at_ms: int) -> bool:
        last = self._kept.get(market)
        every_ms = self._every_ms
        return every_ms is not None and (last is None or bar_opened_at_ms // every_ms > last // every_ms)
