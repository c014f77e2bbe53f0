"""How much of a swept cluster's exposure is really liquidated: measured on receipts, for receipts.

A receipt says what price traded through of one cluster and what was liquidated meanwhile in the whole market.
Liquidated over traded through bar by bar is another figure: it counts exposure everywhere, and liquidations of
positions that no map holds. So the share that a receipt is to state is taken from the receipts of the same market's
past (`detectors.receipts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.event import Event
from detectors.market import MINUTE_MS

LEAST_RECEIPTS = 5
"""Fewer say nothing of the next one."""
HELD_TO = 2.0
"""The configured share counts as so many receipts of usual size."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One sweep, completed."""

    taken_at_ms: int
    at_risk_usd: float
    liquidated_usd: float
    counted_ms: tuple[int, int] | None = None
    """Since and until when what was liquidated is added up; None: not said."""


@dataclass(frozen=True, slots=True)
class RealisedShare:
    """Of exposure traded through, above 0 and at most 1; ``receipts``: how many sweeps it was measured on."""

    share: float
    receipts: int
    clamped: bool = False
    """More was liquidated than the map held: the map is too small there, and more than all of it is never expected."""


def receipt_of(event: Event) -> Receipt | None:
    """None where the event is no sweep, or nobody said what was liquidated."""
    at_risk, liquidated = (event.number(name) for name in ("exposure_at_risk_usd", "observed_liquidation_usd"))
    if at_risk is None or liquidated is None:
        return None
    return Receipt(event.taken_at_ms, at_risk, liquidated, counted_ms(event))


def counted_ms(event: Event) -> tuple[int, int] | None:
    """Since and until when a receipt's liquidations are added up; None where it is no completed one."""
    before, after = (event.number(name) for name in ("watched_before_minutes", "receipt_after_minutes"))
    if before is None or after is None:
        return None
    return event.taken_at_ms - round(before * MINUTE_MS), event.taken_at_ms + round(after * MINUTE_MS)


def realised_share_of(receipts: Sequence[Receipt], configured: float) -> RealisedShare | None:
    """Sums, so that large sweeps weigh more, held to the configured share; None where there are too few receipts."""
    at_risk = sum(one.at_risk_usd for one in receipts)
    if len(receipts) < LEAST_RECEIPTS or not at_risk > 0:
        return None
    held = HELD_TO * at_risk / len(receipts)
    share = (sum(one.liquidated_usd for one in receipts) + held * configured) / (at_risk + held)
    if not share > 0:
        return None
    return RealisedShare(min(1.0, share), len(receipts), clamped=share > 1)
