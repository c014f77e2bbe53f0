"""How fast a platform or a chat may be spoken to: a token bucket. Pure: the caller brings the time and waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` messages at once, then ``per_second``: in any ``t`` seconds at most ``burst + per_second * t``."""

    per_second: float
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast one destination may be spoken to. All ``rates`` hold; destinations with the same ``key`` share them,
    such as the topics of one group."""

    key: str
    rates: Sequence[Rate]


@dataclass(slots=True)
class Pace:
    """``burst`` messages at once, then ``per_second``. Raises ValueError where either is not positive."""

    per_second: float
    burst: int = 1
    _tokens: float = field(init=False)
    _at_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.per_second <= 0 or self.burst < 1:
            raise ValueError("a pace needs per_second > 0 and burst >= 1")
        self._tokens = float(self.burst)

    def take(self, now_s: float) -> float:
        """Take one token; how long to wait before using it, in seconds. A clock that steps back gives no tokens.

        Tokens may be owed, so that callers who come together are served one after another.
        """
        self._refill(now_s)
        self._tokens -= 1
        return max(0.0, -self._tokens / self.per_second)

    def wait(self, now_s: float) -> float:
        """How long the next `take` would have to wait; nothing is taken."""
        return max(0.0, (1 - self._tokens_at(now_s)) / self.per_second)

    def _refill(self, now_s: float) -> None:
        self._tokens, self._at_s = self._tokens_at(now_s), now_s

    def _tokens_at(self, now_s: float) -> float:
        passed = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        return min(float(self.burst), self._tokens + passed * self.per_second)
