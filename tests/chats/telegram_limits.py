"""Telegram's flood limits, and faults by script."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.chats.telegram_text import Refused

MINUTE_S = 60.0


@dataclass(slots=True)
class Limits:
    """As documented: 30 messages a second over all, 1 a second in a chat with short bursts, 20 a minute in a group.

    ``now_s`` is the server's clock. ``penalty_s`` is the least that a chat has to wait once it went over.
    """

    now_s: Callable[[], float]
    per_second: int = 30
    chat_burst: int = 3
    group_per_minute: int = 20
    penalty_s: int = 1
    refused: int = 0
    """How many 429s were given for going over."""
    _all: deque[float] = field(default_factory=deque)
    _chats: dict[int, tuple[float, float]] = field(default_factory=dict)
    _groups: dict[int, deque[float]] = field(default_factory=dict)
    _closed: dict[int, float] = field(default_factory=dict)

    def close(self, chat_id: int, for_s: float) -> None:
        """This chat takes nothing for a while, whatever its pace."""
        self._closed[chat_id] = self.now_s() + for_s

    def take(self, chat_id: int) -> None:
        """One message or edit in a chat. Raises Refused."""
        now = self.now_s()
        closed_for = self._closed.get(chat_id, 0.0) - now
        if closed_for > 0:
            self._refuse(closed_for)
        self._take_overall(now)
        self._take_chat(chat_id, now)
        if chat_id < 0:
            self._take_group(chat_id, now)

    def _take_overall(self, now: float) -> None:
        while self._all and self._all[0] <= now - 1:
            self._all.popleft()
        if len(self._all) >= self.per_second:
            self._refuse(self._all[0] + 1 - now)
        self._all.append(now)

    def _take_chat(self, chat_id: int, now: float) -> None:
        tokens, at = self._chats.get(chat_id, (float(self.chat_burst), now))
        tokens = min(float(self.chat_burst), tokens + now - at)
        if tokens < 1:
            self._chats[chat_id] = (tokens, now)
            self._shut(chat_id, now, 1 - tokens)
        self._chats[chat_id] = (tokens - 1, now)

    def _take_group(self, chat_id: int, now: float) -> None:
        sent = self._groups.setdefault(chat_id, deque())
        while sent and sent[0] <= now - MINUTE_S:
            sent.popleft()
        if len(sent) >= self.group_per_minute:
            self._shut(chat_id, now, sent[0] + MINUTE_S - now)
        sent.append(now)

    def _shut(self, chat_id: int, now: float, for_s: float) -> None:
        for_s = max(for_s, float(self.penalty_s))
        self._closed[chat_id] = now + for_s
        self._refuse(for_s)

    def _refuse(self, wait_s: float) -> None:
        self.refused += 1
        raise flood(wait_s)


def flood(wait_s: float) -> Refused:
    seconds = max(1, int(-(-wait_s // 1)))
    return Refused(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})


class When(StrEnum):
    BEFORE = "before"
    """The request has no effect."""
    AFTER = "after"
    """It has its effect, the answer is lost."""


class Kind(StrEnum):
    SERVER_ERROR = "500"
    BAD_GATEWAY = "502"
    RESET = "reset"
    TIMEOUT = "timeout"
    """No answer for as long as the client waits (at most ``Fault.hold_s``)."""
    GARBAGE = "garbage"
    """200 with something that is no JSON."""
    UNAUTHORIZED = "401"
    FLOOD = "429"


@dataclass(slots=True)
class Fault:
    """The next ``times`` requests of a method (of one chat, if given) go wrong."""

    method: str
    kind: Kind
    when: When = When.BEFORE
    times: int = 1
    chat_id: int | None = None
    hold_s: float = 60.0


@dataclass(slots=True)
class Faults:
    planned: list[Fault] = field(default_factory=list)
    happened: int = 0

    def add(self, fault: Fault) -> None:
        self.planned.append(fault)

    def clear(self) -> None:
        self.planned.clear()

    def due(self, method: str, chat_id: int | None) -> Fault | None:
        """The fault that this request meets, used up by it. ``method`` in lower case."""
        for fault in self.planned:
            wanted = fault.method.lower()
            if ((wanted == "*" and method != "getupdates") or wanted == method) and fault.chat_id in (None, chat_id):
                fault.times -= 1
                if fault.times <= 0:
                    self.planned.remove(fault)
                self.happened += 1
                return fault
        return None
