"""Who is told what, and why. Pure: one event, one chat's subscription and what that chat was told before.

Nothing here knows an event kind. Two ladders of rungs are understood: distance in per cent (5, 3, 2, 1, 0.5), which
says how near price has come, and any other, which counts notional in doublings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from detectors.event import Event
from detectors.market import HOUR_MS, MINUTE_MS
from storage.chats import EVERY_MARKET, LastAlert, Subscription

DISTANCE_LADDER_PCT = frozenset({5.0, 3.0, 2.0, 1.0, 0.5})
ESCALATION_FACTOR = 2.0
ESCALATION_AFTER_MS = 6 * HOUR_MS
CROSSING_LIFETIME_MS = 10 * MINUTE_MS
LIFETIME_MS = 2 * HOUR_MS


class Reason(StrEnum):
    """Why a chat is told (the first three) or not."""

    FIRST = "first"
    """The first alert about this subject."""
    REARMED = "rearmed"
    """The first since the subject was armed again."""
    ESCALATED = "escalated"
    """Told before, but it has at least doubled since, and that was more than six hours ago."""

    NOT_WATCHED = "not_watched"
    KIND_OFF = "kind_off"
    ADOPTED = "adopted"
    """It was there before the bot was, or before its settings changed."""
    MUTED = "muted"
    TOO_MILD = "too_mild"
    BUILD_CLASS = "build_class"
    TOO_FAR = "too_far"
    NEARER = "nearer"
    """Nearer than the rung the chat chose: each rung is armed for itself, and a chat is told at its own."""
    TOO_SMALL = "too_small"
    ALREADY_TOLD = "already_told"


ALERTS = frozenset({Reason.FIRST, Reason.REARMED, Reason.ESCALATED})


@dataclass(frozen=True, slots=True)
class Decision:
    reason: Reason

    @property
    def alert(self) -> bool:
        return self.reason in ALERTS


def decide(
    event: Event,
    subscription: Subscription | None,
    last: LastAlert | None,
    *,
    default_kinds: frozenset[str],
    muted_until_ms: int | None = None,
    adopted: bool = False,
) -> Decision:
    """Whether one chat is told of one event.

    ``subscription`` is the chat's for this market (`subscription_for`); None: it has none. ``last`` is what the chat
    was told last about the same (kind, market, subject, arming), so an alert about one cluster never hides another's.
    """
    if subscription is None or subscription.market not in {event.market, EVERY_MARKET}:
        return Decision(Reason.NOT_WATCHED)
    silence = _filtered(event, subscription, default_kinds)
    if silence is not None:
        return Decision(silence)
    if adopted:
        return Decision(Reason.ADOPTED)
    if muted_until_ms is not None and event.taken_at_ms < muted_until_ms:
        return Decision(Reason.MUTED)
    if last is None:
        return Decision(Reason.REARMED if event.arming > 1 else Reason.FIRST)
    return Decision(Reason.ESCALATED if _escalated(event, last) else Reason.ALREADY_TOLD)


def subscription_for(market: str, subscriptions: Iterable[Subscription]) -> Subscription | None:
    """The one that holds for a market: its own before the one for every market."""
    by_market = {subscription.market: subscription for subscription in subscriptions}
    return by_market.get(market) or by_market.get(EVERY_MARKET)


def expires_at_ms(event: Event) -> int:
    """Market time after which an alert is of no use: price has moved on ten minutes after a crossing."""
    return event.taken_at_ms + (LIFETIME_MS if _distance_rung(event) is None else CROSSING_LIFETIME_MS)


def _filtered(event: Event, subscription: Subscription, default_kinds: frozenset[str]) -> Reason | None:
    kinds = default_kinds if subscription.kinds is None else subscription.kinds
    if event.kind not in kinds:
        return Reason.KIND_OFF
    if event.severity < subscription.min_severity:
        return Reason.TOO_MILD
    build_class = event.value("build_class")
    if None not in (subscription.build_class, build_class) and build_class != subscription.build_class:
        return Reason.BUILD_CLASS
    rung = _distance_rung(event)
    if rung is not None and rung != (own := own_rung(subscription.within_pct)):
        return Reason.TOO_FAR if own is None or rung > own else Reason.NEARER
    if event.notional_usd is not None and event.notional_usd < subscription.min_notional_usd:
        return Reason.TOO_SMALL
    return None


def own_rung(within_pct: float) -> float | None:
    """The rung at which a chat is told: the farthest that is within what it asked for; None under the nearest."""
    return max((rung for rung in DISTANCE_LADDER_PCT if rung <= within_pct), default=None)


def _escalated(event: Event, last: LastAlert) -> bool:
    """Coming nearer is no escalation (the approach was told); only a ladder of doublings is."""
    if event.rung is None or _distance_rung(event) is not None:
        return False
    if event.notional_usd is None or last.notional_usd is None:
        return False
    grown = event.notional_usd >= ESCALATION_FACTOR * last.notional_usd
    return grown and event.taken_at_ms - last.taken_at_ms > ESCALATION_AFTER_MS


def _distance_rung(event: Event) -> float | None:
    """The distance crossed, in per cent. An exponent of 5 or less would be a cluster of 32 dollars."""
    crossing = event.rung in DISTANCE_LADDER_PCT and event.number("distance_pct") is not None
    return event.rung if crossing else None
