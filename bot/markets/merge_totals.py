"""Sums of liquidations over five minutes, each handed out once, however often a venue tells it. Pure."""

from collections.abc import Iterable

from bot.markets.live_types import BAR_MS, known_at_ms
from detectors.market import LiquidationTotal

_REMEMBERED = 288
"""Bars: a day. What is told of an older one, this far behind its venue's newest, is taken for told before."""


class Totals:
    """What venues told and no bar has taken yet.

    A venue whose bars fail, or that is asked by two, tells its totals anew with every try; one that comes late is
    handed out with the next bar.
    """

    def __init__(self) -> None:
        self._waiting: list[LiquidationTotal] = []
        self._told: dict[str, tuple[int, int]] = {}
        """By venue: number of the newest bar told of, and a bit for each of the last bars, the newest lowest."""
        self._passed_ms = 0
        """What could be known by then was handed out by somebody else."""

    def add(self, totals: Iterable[LiquidationTotal]) -> None:
        new = [total for total in totals if self._is_new(total)]
        if new:
            self._waiting = sorted([*self._waiting, *new], key=known_at_ms)

    def _is_new(self, total: LiquidationTotal) -> bool:
        if known_at_ms(total) <= self._passed_ms:
            return False
        number = total.started_at_ms // BAR_MS
        newest, told = self._told.get(total.venue, (number, 0))
        if number > newest:
            told = (told << min(number - newest, _REMEMBERED)) & ((1 << _REMEMBERED) - 1)
            newest = number
        back = newest - number
        if back >= _REMEMBERED or told >> back & 1:
            return False
        self._told[total.venue] = newest, told | 1 << back
        return True

    def take(self, until_ms: int) -> tuple[LiquidationTotal, ...]:
        """Those that could be known by then, in order of time."""
        known = 0
        while known < len(self._waiting) and known_at_ms(self._waiting[known]) <= until_ms:
            known += 1
        taken, self._waiting[:known] = self._waiting[:known], []
        return tuple(taken)

    def pass_over(self, until_ms: int) -> None:
        """Somebody else has handed out what could be known by then."""
        self.take(until_ms)
        self._passed_ms = max(self._passed_ms, until_ms)
