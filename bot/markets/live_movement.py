"""Venues that answer and say nothing new: a halted engine or a stuck cache repeats its last prices with status 200."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.markets.live_health import MISSED
from bot.markets.live_part import Part
from bot.markets.live_types import BarBatch, Clock, LookBatch, Notice
from detectors.market import MINUTE_MS

_FEW = 5
"""Fewer markets may all be without a trade for a minute: their candles have to say so too."""
_FLAT_BARS = 2
"""In a row, without any trade, before a venue whose prices carry no time counts as frozen."""


@dataclass(slots=True)
class _Venue:
    said: object = None
    """The newest stamp of its prices; where they carry none, the prices."""
    looked_s: float = 0.0
    moved_s: float = 0.0
    flat: set[int] = field(default_factory=set)
    """Closes since it last moved, of which it told nothing but candles without a trade."""


class Movement:
    """Judges a venue as a whole, and only by others that move on meanwhile."""

    def __init__(self, clock: Clock, parts: Mapping[str, Part], look_every_s: float) -> None:
        self._clock, self._parts = clock, parts
        self._least_s = max(MINUTE_MS / 1000, MISSED * look_every_s)
        self._venues: dict[str, _Venue] = {}

    def note(self, batch: LookBatch | BarBatch) -> list[Notice]:
        """What the batch shows: a *stale* notice when its venue turns out frozen, whose prices are held back then."""
        part, one = self._parts[batch.venue], self._venues.setdefault(batch.venue, _Venue())
        is_stamped = bool(part.client.rules.prices_call.stamp_key)
        if isinstance(batch, LookBatch):
            one.looked_s = self._clock.steady_s()
            samples = batch.looks.items()
            said = max(look.happened_at_ms for _, look in samples) if is_stamped else {b: s.price for b, s in samples}
            if said != one.said:
                one.said = said
                self._moves(one)
        else:
            self._note_bars(one, batch, is_stamped=is_stamped)
        since_ms = part.client.now_ms() - round((self._clock.steady_s() - one.moved_s) * 1000)
        if not self._is_frozen(one, len(part.listings), is_stamped=is_stamped):
            part.fresh.release("prices")
            return []
        return part.fresh.hold("prices", since_ms, "answers, but nothing moves there while it does elsewhere")

    def _note_bars(self, one: _Venue, batch: BarBatch, *, is_stamped: bool) -> None:
        newest = [series.bars[-1] for series in batch.markets.values() if series.bars]
        if any(bar.volume_base or bar.high > bar.low for bar in newest):
            one.flat.clear()
            if not is_stamped:  # candles may go on where the prices are stuck
                self._moves(one)
        elif newest:
            one.flat.add(batch.closed_at_ms)

    def _moves(self, one: _Venue) -> None:
        one.moved_s = self._clock.steady_s()
        one.flat.clear()

    def _is_frozen(self, one: _Venue, markets: int, *, is_stamped: bool) -> bool:
        if is_stamped:
            stuck = one.looked_s - one.moved_s > self._least_s and (markets >= _FEW or bool(one.flat))
        else:
            stuck = len(one.flat) >= _FLAT_BARS
        return stuck and any(other.moved_s > one.moved_s for other in self._venues.values())
