"""The tracker's own record of a cluster, the rules it lives by, and how it is shown to others."""

import math
from dataclasses import dataclass, field
from typing import Any

from detectors.cluster import Change, ClusterChange
from detectors.describe import describe
from detectors.liquidation_map import LiquidationMap
from detectors.market import HOUR_MS, MINUTE_MS, Side

DISTANCE_LADDER = (5.0, 3.0, 2.0, 1.0, 0.5)
"""Per cent from price to the centre."""
REARM_FACTOR = 1.5
"""A rung is armed again once price is this many times as far away."""
RUNGS_A_DOUBLING = 3
PARTLY_FRACTION = 0.3
PARTLY_AFTER_MS = 30 * MINUTE_MS
DISSOLVED_FRACTION = 0.5
NEVER_NEARER = 0.005
QUIET_AFTER_SWEEP_MS = 12 * HOUR_MS
"""What is left of a swept band, or comes again at once, is not a new cluster."""
REVIVE_WITHIN_MS = 48 * HOUR_MS

_AMOUNTS = ("base", "peak_base", "closed_since_peak", "consumed_since_peak", "base_at_entry", "consumed_since_entry")


@dataclass
class TrackedCluster:
    """The tracker's own record; `describe.describe` makes the `Cluster` that others see."""

    identity: str
    side: Side
    born_bar_opened_at_ms: int
    low: int
    high: int
    base: float
    centre: float
    """Centre of mass as a grid number; ``.5`` is the middle of a cell."""
    born_share: float
    peak_base: float
    notional_rung: int
    """The size last told, in thirds of a doubling of USD."""
    build_hours: float = 0.0
    build_at_least: bool = True
    """As measured at birth, and again when it grew."""
    armings: list[int] = field(default_factory=lambda: [1] * len(DISTANCE_LADDER))
    armed: list[bool] = field(default_factory=lambda: [True] * len(DISTANCE_LADDER))
    sweeps: int = 1
    closed_since_peak: float = 0.0
    consumed_since_peak: float = 0.0
    nearest_since_peak: float = math.inf
    entered_at_ms: int | None = None
    left_at_ms: int | None = None
    base_at_entry: float = 0.0
    consumed_since_entry: float = 0.0
    open_interest_at_entry: float | None = None
    far_before_entry: bool = False
    last_distance: float = math.inf

    def rebase(self, ratio: float) -> None:
        """Every amount in base units times ``ratio``."""
        for name in _AMOUNTS:
            setattr(self, name, getattr(self, name) * ratio)
        if self.open_interest_at_entry is not None:
            self.open_interest_at_entry *= ratio

    def begin_anew(self) -> None:
        """It is back after it had ended: what price did to it before is settled."""
        self.last_distance = self.nearest_since_peak = math.inf
        self.entered_at_ms = self.left_at_ms = None
        self.consumed_since_entry = self.closed_since_peak = self.consumed_since_peak = 0.0
        self.peak_base = self.base

    def overlap(self, low: int, high: int) -> int:
        return min(self.high, high) - max(self.low, low) + 1


@dataclass
class Ended:
    """A cluster that is no more: ``revivable`` ones come back with their identity, swept ones keep their band quiet."""

    at_ms: int
    revivable: bool
    cluster: TrackedCluster

    def matters_at(self, at_ms: int) -> bool:
        return at_ms - self.at_ms <= (REVIVE_WITHIN_MS if self.revivable else QUIET_AFTER_SWEEP_MS)


def change_of(
    what: Change, cluster: TrackedCluster, estimate: LiquidationMap, price: float, arming: int, **details: Any
) -> ClusterChange:
    """The change with the cluster as it is now; ``details`` are further fields of `ClusterChange`."""
    return ClusterChange(what, describe(cluster, estimate, price), arming, **details)


def record_of(cluster: TrackedCluster) -> dict[str, Any]:
    """Its fields in their order. Of all markets after every look: `asdict` takes twenty times as long."""
    return {**vars(cluster), "armings": [*cluster.armings], "armed": [*cluster.armed]}


def tracked_from(record: dict[str, Any]) -> TrackedCluster:
    return TrackedCluster(**{**record, "side": Side(record["side"])})
