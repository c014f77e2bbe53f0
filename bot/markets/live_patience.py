"""How long a bar waits for the venues that have not given it yet."""

from collections.abc import Collection

from bot.markets.live_types import BarBatch, Clock
from detectors.market import Market

LONGEST_S = 45.0
"""Five hundred markets take half a minute at the slowest venue's limit; nobody is waited for much longer."""


class Patience:
    """A bar waits for ``grace_s`` after the first venue gave it, and longer for a venue that is still on its way
    through its line of markets: one that has not come to this market, and gave another's bar within the grace."""

    def __init__(self, clock: Clock, grace_s: float) -> None:
        self._clock, self._grace_s = clock, grace_s
        self._first_s: dict[tuple[int, str], float] = {}
        """When a bar close of a view was first waited for."""
        self._asked_ms: dict[tuple[str, str], int] = {}
        """The newest close for which the venue has come to the asset, whether it gave something or not."""
        self._gave: dict[str, tuple[int, float]] = {}
        """The close that the venue last gave a bar of, and when."""
        self._over_s: float | None = None
        """No bar that waits has waited long enough before then."""

    def note(self, batch: BarBatch) -> None:
        """A venue answers."""
        for base in batch.markets:  # rates are of an earlier close at times
            if self._asked_ms.get((base, batch.venue), 0) < batch.closed_at_ms:
                self._asked_ms[base, batch.venue] = batch.closed_at_ms
        if any(series.bars for series in batch.markets.values()):
            self._gave[batch.venue] = (batch.closed_at_ms, self._clock.steady_s())

    def waits(self, closed_at_ms: int, market: Market, lacking: Collection[str]) -> bool:
        """Whether the view's bar is still held back for these venues."""
        if not lacking:
            self._first_s.pop((closed_at_ms, market.base), None)
            return False
        now_s = self._clock.steady_s()
        first_s = self._first_s.setdefault((closed_at_ms, market.base), now_s)
        heard_s = first_s
        for venue in lacking:
            gave_of_ms, gave_s = self._gave.get(venue, (0, first_s))
            # One that is still busy with an earlier close is not on its way through this one.
            if self._asked_ms.get((market.asset, venue), 0) < closed_at_ms <= gave_of_ms:
                heard_s = max(heard_s, gave_s)
        over_s = min(heard_s, first_s + LONGEST_S) + self._grace_s
        if now_s >= over_s:
            del self._first_s[closed_at_ms, market.base]
            return False
        self._over_s = over_s if self._over_s is None else min(over_s, self._over_s)
        return True

    def is_over(self) -> bool:
        """Whether every bar that waits is to be looked at again; asked before that is done."""
        if self._over_s is None or self._clock.steady_s() < self._over_s:
            return False
        self._over_s = None
        return True

    def left_s(self) -> float | None:
        """How long none will have waited long enough; None where none waits."""
        return None if self._over_s is None else max(self._over_s - self._clock.steady_s(), 0.0)
