"""Chats and what they asked for."""

import re
from dataclasses import dataclass

from detectors.event import Severity

EVERY_MARKET = "*"
MOVED = "moved"
"""Why a chat is parked that has another id now. Nothing can come from the old one, and nobody is missed there."""
LARGEST_SET = 500
_SET = re.compile(r"top(\d{1,3})")


def set_size(market: str) -> int | None:
    """How many of the largest markets a subscription to ``top10`` is about; None for any other name."""
    match = _SET.fullmatch(market)
    size = int(match[1]) if match else 0
    return size if 1 <= size <= LARGEST_SET else None


@dataclass(frozen=True, slots=True, order=True)
class Chat:
    """A destination in a platform. ``chat_id`` is the platform's own name for it, as text."""

    platform: str
    chat_id: str

    def __str__(self) -> str:
        return f"{self.platform}:{self.chat_id}"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one chat wants to hear of one market, of the largest ones (``top10``), or of every other one (``*``)."""

    market: str
    """The market's base asset, ``topN``, or ``*``."""
    kinds: frozenset[str] | None = None
    """None: the kinds that are on by default, also those added in a later version."""
    within_pct: float = 2.0
    min_notional_usd: float = 0.0
    build_class: str | None = None
    min_severity: Severity = Severity.NOTICE


@dataclass(frozen=True, slots=True)
class Watch:
    """One subscription with the chat it belongs to and that chat's mute."""

    chat: Chat
    subscription: Subscription
    muted_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LastAlert:
    """What a chat was told last in one conversation: one (kind, market, subject, arming)."""

    reason: str
    taken_at_ms: int
    rung: float | None
    notional_usd: float | None
