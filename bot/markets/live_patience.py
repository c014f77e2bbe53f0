"""How long a bar waits for the venues that have not given it yet."""

from collections.abc import Collection

from bot.markets.live_types import BarBatch, Clock

LONGEST_S = 45.0
"""Five hundred markets take half a minute at the slowest venue's limit; nobody is waited for much longer."""


class Patience:
    """A bar waits for ``grace_s`` after the first venue gave it, and longer for a venue that is still on its way
    through its line of markets: one that has not come to this market, and gave another's bar within the grace."""

    def __init__(self, clock: Clock, grace_s: float) -> None:
        self._clock, self._grace_s = clock, grace_s
        self._first_s: dict[tuple[int, str], float] = {}
        """When a bar close of an asset was first waited for."""
        self._still_s: dict[tuple[int, str], float] = {}
        """Those of them that are waited for in this round."""
        self._asked_ms: dict[tuple[str, str], int] = {}
        """The newest close for which the venue has come to the asset, whether it gave something or not."""
        self._gave_s: dict[str, float] = {}
        """When the venue last gave a bar."""
        self._over_s: float | None = None

    def note(self, batch: BarBatch) -> None:
        """A venue answers."""
        self._asked_ms.update(dict.fromkeys(((base, batch.venue) for base in batch.markets), batch.closed_at_ms))
        if any(series.bars for series in batch.markets.values()):
            self._gave_s[batch.venue] = self._clock.steady_s()

    def begin_round(self) -> None:
        """Every bar that could be handed out is looked at in a round."""
        self._still_s, self._over_s = {}, None

    def waits(self, closed_at_ms: int, asset: str, lacking: Collection[str]) -> bool:
        """Whether that bar is still held back for these venues."""
        now_s = self._clock.steady_s()
        first_s = self._first_s.get((closed_at_ms, asset), now_s)
        heard_s = first_s
        for venue in lacking:
            if self._asked_ms.get((asset, venue), 0) < closed_at_ms:
                heard_s = max(heard_s, self._gave_s.get(venue, first_s))
        over_s = min(heard_s, first_s + LONGEST_S) + self._grace_s
        if now_s >= over_s:
            return False
        self._still_s[closed_at_ms, asset] = first_s
        self._over_s = over_s if self._over_s is None else min(over_s, self._over_s)
        return True

    def end_round(self) -> None:
        self._first_s = self._still_s

    def left_s(self) -> float | None:
        """Until a bar has waited long enough, as of the last round; None where none waits."""
        return None if self._over_s is None else max(self._over_s - self._clock.steady_s(), 0.0)
