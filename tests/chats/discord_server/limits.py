"""Discord's rate limits: a bucket a route and major parameter, 50 a second over all, a ban for ignoring them.

Windows are fixed, as Discord's are: they begin with the first request and are full again when they end.
"""

import time
from collections import Counter, deque
from dataclasses import dataclass, field

GLOBAL_LIMIT, GLOBAL_WINDOW_S = 50, 1.0
MOST_INVALID, INVALID_WINDOW_S = 10_000, 600.0


@dataclass(frozen=True, slots=True)
class Rule:
    limit: int
    window_s: float


RULES = {
    "POST messages": Rule(5, 5.0),
    "PATCH message": Rule(5, 5.0),
    "GET messages": Rule(5, 5.0),
    "POST crosspost": Rule(10, 3600.0),
    "PUT commands": Rule(5, 20.0),
    "GET commands": Rule(5, 20.0),
}
"""Customary values; Discord documents none and sends them in headers. Others are counted only globally."""
EDITS_OF_PUBLISHED = Rule(3, 3600.0)


@dataclass(slots=True)
class Window:
    rule: Rule
    began_at_s: float = -1e18
    used: int = 0

    def take(self, now_s: float) -> float:
        """0, or for how long it is closed, in seconds."""
        if now_s >= self.began_at_s + self.rule.window_s:
            self.began_at_s, self.used = now_s, 0
        if self.used >= self.rule.limit:
            return self.began_at_s + self.rule.window_s - now_s
        self.used += 1
        return 0.0

    def reset_after_s(self, now_s: float) -> float:
        return max(0.0, self.began_at_s + self.rule.window_s - now_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``scope`` None: may pass."""

    headers: dict[str, str]
    scope: str | None = None
    retry_after_s: float = 0.0


@dataclass(slots=True)
class Limits:
    """``refused`` counts the 429s by scope; a pace that is right leaves it empty."""

    refused: Counter[str] = field(default_factory=Counter)
    requests_at_s: list[float] = field(default_factory=list)
    """When each request came that counts towards the global limit, on the monotonic clock."""
    banned: bool = False
    """The address is, after 10,000 answers of 401, 403 or 429 within ten minutes."""
    _windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    _global: deque[float] = field(default_factory=deque)
    _invalid: deque[float] = field(default_factory=deque)

    def take(self, route: str, major: str) -> Verdict:
        """One request of the bot to a route, such as ``POST messages`` of a channel."""
        now_s = time.monotonic()
        self.requests_at_s.append(now_s)
        while self._global and self._global[0] <= now_s - GLOBAL_WINDOW_S:
            self._global.popleft()
        if len(self._global) >= GLOBAL_LIMIT:
            return self._refuse("global", self._global[0] + GLOBAL_WINDOW_S - now_s, {})
        self._global.append(now_s)
        rule = RULES.get(route)
        return self.take_of(route, major, rule) if rule else Verdict({})

    def take_of(self, route: str, major: str, rule: Rule) -> Verdict:
        now_s = time.monotonic()
        window = self._windows.setdefault((route, major), Window(rule))
        wait_s = window.take(now_s)
        left_s = window.reset_after_s(now_s)
        headers = {
            "X-RateLimit-Bucket": route.replace(" ", "-").lower(),
            "X-RateLimit-Limit": str(rule.limit),
            "X-RateLimit-Remaining": str(rule.limit - window.used),
            "X-RateLimit-Reset": f"{time.time() + left_s:.3f}",
            "X-RateLimit-Reset-After": f"{left_s:.3f}",
        }
        return self._refuse("user", wait_s, headers) if wait_s else Verdict(headers)

    def _refuse(self, scope: str, wait_s: float, headers: dict[str, str]) -> Verdict:
        self.refused[scope] += 1
        # Without Via discord.py takes a 429 for a ban of the address.
        told = {"Via": "1.1 google", "Retry-After": str(int(wait_s) + 1), "X-RateLimit-Scope": scope}
        if scope == "global":
            told["X-RateLimit-Global"] = "true"
        return Verdict(headers | told, scope, round(wait_s + 0.005, 3))

    def count_invalid(self) -> None:
        """An answer of 401, 403 or 429."""
        now_s = time.monotonic()
        self._invalid.append(now_s)
        while self._invalid[0] < now_s - INVALID_WINDOW_S:
            self._invalid.popleft()
        self.banned |= len(self._invalid) >= MOST_INVALID

    @property
    def invalid(self) -> int:
        return len(self._invalid)
