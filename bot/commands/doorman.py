"""How fast one chat and one user may ask. Pure: the caller brings the time."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from bot.pacing import Pace
from bot.platforms.seam import Request

A_CHAT = (1.0, 20)
"""A command a second, 20 at once: a menu pressed through quickly is answered, a flood is not."""
A_USER = (1.0, 30)
REMEMBERED = 10_000
TERMINAL = "console"
"""The platform where nobody but the operator sits."""


@dataclass(slots=True)
class Doorman:
    """Remembers the chats and users that asked last, so that it cannot be made to remember without end."""

    free: frozenset[str] = frozenset({TERMINAL})
    """Platforms where nobody waits."""
    _paces: OrderedDict[Hashable, Pace] = field(default_factory=OrderedDict)

    def wait_s(self, request: Request, now_s: float) -> float:
        """0 where the request may be answered; otherwise when the next one is. A refusal costs the asker nothing."""
        if request.chat.platform in self.free:
            return 0.0
        asks: list[tuple[Hashable, tuple[float, int]]] = [(request.chat, A_CHAT)]
        if request.user_id is not None:
            asks.append(((request.chat.platform, request.user_id), A_USER))
        paces = [self._pace(who, *rate) for who, rate in asks]
        wait_s = max(pace.wait(now_s) for pace in paces)
        if wait_s > 0:
            return wait_s
        for pace in paces:
            pace.take(now_s)
        return 0.0

    def _pace(self, who: Hashable, per_second: float, burst: int) -> Pace:
        pace = self._paces.get(who)
        if pace is None:
            pace = self._paces[who] = Pace(per_second, burst)
            if len(self._paces) > REMEMBERED:
                self._paces.popitem(last=False)
        self._paces.move_to_end(who)
        return pace
