"""Rate limits as venues keep them: so much in a window of time, counted for each address."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """At most ``limit`` (requests, or weight) in each ``window_s``, windows counted from a fixed zero."""

    name: str
    limit: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    rule: Rule
    used: int
    resets_in_s: float

    @property
    def over(self) -> bool:
        return self.used > self.rule.limit

    @property
    def left(self) -> int:
        return max(self.rule.limit - self.used, 0)


class Limiter:
    """Counts what is used. Real time, whatever the venue's clock does, since clients keep their pace in real time.

    ``scale`` shrinks every limit, so that a test reaches one within a few requests.
    """

    def __init__(self, scale: float = 1.0, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.scale = scale
        self._monotonic_s = monotonic_s
        self._used: dict[str, tuple[int, int]] = {}

    def use(self, rule: Rule, amount: int = 1) -> Usage:
        """Count ``amount`` against the rule, even when it is over."""
        now_s = self._monotonic_s()
        window, index = rule.window_s, int(now_s // rule.window_s)
        seen, used = self._used.get(rule.name, (index, 0))
        used = (used if seen == index else 0) + amount
        self._used[rule.name] = (index, used)
        scaled = Rule(rule.name, max(int(rule.limit * self.scale), 1), rule.window_s)
        return Usage(scaled, used, (index + 1) * window - now_s)

    def now_s(self) -> float:
        return self._monotonic_s()
