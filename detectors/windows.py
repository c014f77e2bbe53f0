"""Price over 1 minute, 5 minutes and 1 hour side by side: do they agree, and is the move fading?"""

from collections.abc import Iterable
from dataclasses import dataclass

from detectors import figures
from detectors.market import HOUR_MS, MINUTE_MS

SPANS_MS = (MINUTE_MS, 5 * MINUTE_MS, HOUR_MS)
SLACK = 0.5
"""The price a window starts from may be this part of its span older, no more: nothing is measured across a gap."""
STILL = 0.0002
"""A move smaller than this fraction of price has no direction."""
FADING = 0.5
"""Fading: the shortest window moves on at less than this part of the pace of the next."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Change of price over each of `SPANS_MS` as a fraction; None where no price is known from then."""

    moves: tuple[float | None, ...]

    @property
    def agreement(self) -> str | None:
        """``all up``, ``all down``, ``conflicted``; None where fewer than two windows have a direction."""
        signs = {move > 0 for move in self.moves if move is not None and abs(move) >= STILL}
        known = sum(move is not None and abs(move) >= STILL for move in self.moves)
        if known < 2:
            return None
        return "conflicted" if len(signs) > 1 else "all up" if signs.pop() else "all down"

    @property
    def fading(self) -> bool:
        """Whether the move slows down: the shortest two windows known, same direction, the shorter at half the pace."""
        paces = [move / span for move, span in zip(self.moves, SPANS_MS, strict=True) if move is not None]
        if len(paces) < 2 or paces[0] * paces[1] <= 0:
            return False
        return abs(paces[0]) < FADING * abs(paces[1])

    def in_words(self) -> str:
        """``5 min -0.42%, 1 h -1.2%: all down, fading``; empty where nothing is known."""
        known = [(span, move) for span, move in zip(SPANS_MS, self.moves, strict=True) if move is not None]
        said = ", ".join(f"{figures.duration(span)} {figures.percent(move, signed=True)}" for span, move in known)
        verdict = ", ".join(word for word in (self.agreement, "fading" if self.fading else None) if word)
        return f"{said}: {verdict}" if said and verdict else said


def windows_of(prices: Iterable[tuple[int, float]], now_ms: int, price: float) -> Windows:
    """From prices known before (time in ms, price), oldest first, and the price now."""
    known = list(prices)
    moves = []
    for span in SPANS_MS:
        from_then = [(at, then) for at, then in known if at <= now_ms - span]
        start = from_then[-1] if from_then else None
        usable = start is not None and start[0] >= now_ms - span - SLACK * span
        moves.append(price / start[1] - 1 if start is not None and usable else None)
    return Windows(tuple(moves))
