"""Who is told what, when, and why. Pure: one event, one chat's subscription, its settings and what it was told before.

Nothing here knows an event kind. Two ladders of rungs are understood: distance in per cent (5, 3, 2, 1, 0.5), which
says how near price has come, and any other, which counts notional in doublings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bot.quiet import day_ends_ms, quiet_until_ms
from detectors.event import Event
from detectors.market import HOUR_MS, MINUTE_MS
from storage.chat_settings import USUAL, ChatSettings
from storage.chats import EVERY_MARKET, LastAlert, Subscription, set_size

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
    MARKET_MUTED = "market_muted"
    TOO_MILD = "too_mild"
    BUILD_CLASS = "build_class"
    TOO_FAR = "too_far"
    NEARER = "nearer"
    """Nearer than the rung the chat chose: each rung is armed for itself, and a chat is told at its own."""
    TOO_SMALL = "too_small"
    ALREADY_TOLD = "already_told"

    QUIET = "quiet"
    """Would be told, but these are the chat's quiet hours: kept for the digest after them."""
    CAPPED = "capped"
    """Would be told, but the chat's cap for the day is spent, or this subject's part of it: kept for the digest."""


ALERTS = frozenset({Reason.FIRST, Reason.REARMED, Reason.ESCALATED})
HELD = frozenset({Reason.QUIET, Reason.CAPPED})
SUBJECTS_SHARE_OF_CAP = 3
"""One cluster can spend the third part of a day's cap at most, so that a wide one leaves room for others."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``hold_until_ms``: not now; market time at which it is told in a digest."""

    reason: Reason
    hold_until_ms: int | None = None

    @property
    def alert(self) -> bool:
        return self.reason in ALERTS


@dataclass(frozen=True, slots=True)
class ToldToday:
    """Alerts of the chat's day so far: all, and about this event's subject."""

    alerts: int = 0
    about_subject: int = 0


def decide(
    event: Event,
    subscription: Subscription | None,
    last: LastAlert | None,
    *,
    default_kinds: frozenset[str],
    muted_until_ms: int | None = None,
    adopted: bool = False,
    settings: ChatSettings = USUAL,
    told_today: ToldToday = ToldToday(),
) -> Decision:
    """Whether one chat is told of one event.

    ``subscription`` is the chat's for this market (`subscription_for`); None: it has none. ``last`` is what the chat
    was told last about the same (kind, market, subject, arming), so an alert about one cluster never hides another's.
    ``told_today`` matters only where ``settings`` have a cap.
    """
    if subscription is None or not covers(subscription.market, event.market):
        return Decision(Reason.NOT_WATCHED)
    silence = _filtered(event, subscription, default_kinds)
    if silence is not None:
        return Decision(silence)
    if adopted:
        return Decision(Reason.ADOPTED)
    if muted_until_ms is not None and event.taken_at_ms < muted_until_ms:
        return Decision(Reason.MUTED)
    if event.taken_at_ms < settings.muted_markets.get(event.market, 0):
        return Decision(Reason.MARKET_MUTED)
    if last is None:
        return _timed(Reason.REARMED if event.arming > 1 else Reason.FIRST, event, settings, told_today)
    if _escalated(event, last):
        return _timed(Reason.ESCALATED, event, settings, told_today)
    return Decision(Reason.ALREADY_TOLD)


def covers(watched: str, market: str) -> bool:
    """Whether a subscription can be about a market: one for a set can. The view of one venue alone (``BTC@okx``) is
    watched by its own name only: others would be told twice."""
    return watched == market or ("@" not in market and (watched == EVERY_MARKET or set_size(watched) is not None))


def _timed(reason: Reason, event: Event, settings: ChatSettings, told: ToldToday) -> Decision:
    """Now, or in a digest. Quiet hours come first: what they hold spends nothing of the day's cap."""
    until_ms = quiet_until_ms(settings.quiet, settings.time_zone, event.taken_at_ms)
    if until_ms is not None:
        return Decision(Reason.QUIET, until_ms)
    cap = settings.daily_cap
    if cap is not None and (told.alerts >= cap or told.about_subject >= max(1, cap // SUBJECTS_SHARE_OF_CAP)):
        return Decision(Reason.CAPPED, capped_until_ms(settings, event.taken_at_ms))
    return Decision(reason)


def capped_until_ms(settings: ChatSettings, at_ms: int) -> int:
    """When what is over a day's cap is told: as the day ends, or with the quiet hours that it ends in."""
    ends_ms = day_ends_ms(settings.time_zone, at_ms)
    return quiet_until_ms(settings.quiet, settings.time_zone, ends_ms) or ends_ms


def subscription_for(
    market: str, subscriptions: Iterable[Subscription], rank: int | None = None
) -> Subscription | None:
    """The one that holds for a market: its own, then that for the smallest set it is in, then that for every market.

    ``rank``: 1 for the largest market; None where its size is not known, and then it is in no set. The
    view of one venue alone (``BTC@okx``) is in none either, and not in every market.
    """
    by_market = {subscription.market: subscription for subscription in subscriptions}
    if own := by_market.get(market):
        return own
    if "@" in market:
        return None
    sets = sorted((size, name) for name in by_market if (size := set_size(name)) and rank is not None and rank <= size)
    return by_market[sets[0][1]] if sets else by_market.get(EVERY_MARKET)


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
