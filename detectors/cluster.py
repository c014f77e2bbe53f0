"""A liquidation cluster with identity, as detectors see it, and what may happen to it."""

from dataclasses import dataclass
from enum import StrEnum

from detectors.event import Level
from detectors.market import Side


class BuildClass(StrEnum):
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"


CONSUMED_FRACTION = 0.8
"""Of a cluster's exposure: traded through that much of it, it is consumed."""
FAST_HOURS = 6.0
SLOW_HOURS = 72.0


def build_class(hours: float) -> BuildClass:
    """Fast up to 6 h, slow from 72 h on."""
    if hours <= FAST_HOURS:
        return BuildClass.FAST
    return BuildClass.SLOW if hours >= SLOW_HOURS else BuildClass.MEDIUM


@dataclass(frozen=True, slots=True)
class Build:
    """Hours from 10 % to 90 % of the rise from the band's last trough to its peak."""

    hours: float
    at_least: bool
    """The rise began before what is remembered, so it took at least this long."""

    @property
    def build_class(self) -> BuildClass | None:
        """None where only a lower bound is known and it does not decide."""
        known = build_class(self.hours)
        return None if self.at_least and known is not BuildClass.SLOW else known


@dataclass(frozen=True, slots=True)
class Cluster:
    """One tracked cluster at one moment. Every notional is estimated."""

    identity: str
    """From market data alone: side, open time of the bar it was born in, cell of its peak."""
    side: Side
    born_bar_opened_at_ms: int
    level: Level
    core_low: float
    core_high: float
    """The shortest stretch that holds half of it."""
    base: float
    notional_usd: float
    share_of_open_interest: float
    distance: float
    """From price to the centre, as a fraction of price, never negative; 0 where price is past it."""
    distance_to_edge: float
    build: Build
    consumed_at: float | None = None
    """Price at which it would be consumed as it is now; None where it is empty."""


class Change(StrEnum):
    """What the tracker says happened to a cluster."""

    BORN = "born"
    GREW = "grew"
    SPLIT = "split"
    MERGED = "merged"
    REVIVED = "revived"
    CROSSED = "crossed"
    """Price came within a rung of the distance ladder."""
    ENTERED = "entered"
    CONSUMED = "consumed"
    PARTLY_CONSUMED = "partly_consumed"
    DISSOLVED = "dissolved"
    FADED = "faded"
    """Its share fell away without price or closings explaining it, mostly by dilution. Never an event."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """How price went through a cluster."""

    entered_at_ms: int
    base_at_entry: float
    notional_usd_at_entry: float
    share_at_entry: float
    fraction: float
    """Part of the exposure at entry that price traded through."""
    open_interest_at_entry: float | None
    crossed_at_once: bool
    """Price was outside 2 % at the look before: approach and sweep came in one."""


@dataclass(frozen=True, slots=True)
class ClusterChange:
    what: Change
    cluster: Cluster
    arming: int = 1
    rung: float | None = None
    """CROSSED: distance in per cent. BORN and GREW: notional as a power of two of USD, in steps of a third."""
    sweep: Sweep | None = None
    reference_base: float | None = None
    """DISSOLVED: the peak it has lost more than half of."""
