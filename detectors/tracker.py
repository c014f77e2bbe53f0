"""The cluster tracker: identity over time, and what happened since the last look or bar.

`look` is for prices and may be called any number of times between bars; it never changes the map. `absorb` and
`detect` follow each closed bar. Kinds read the changes; no kind tracks clusters of its own.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.cluster import Change, ClusterChange
from detectors.clusters import BandFinder, ClusterSettings, FoundBand
from detectors.describe import build_of
from detectors.liquidation_map import LiquidationMap, MapChange
from detectors.looks import look_at
from detectors.market import HOUR_MS, Side
from detectors.numerics import weighted_centre
from detectors.tracked import (
    DISSOLVED_FRACTION,
    DISTANCE_LADDER,
    NEVER_NEARER,
    RUNGS_A_DOUBLING,
    Ended,
    TrackedCluster,
    change_of,
    record_of,
    tracked_from,
)
from detectors.trail import Trail


@dataclass
class ClusterTracker:
    settings: ClusterSettings
    clusters: list[TrackedCluster] = field(default_factory=list)
    """Oldest first."""
    ended: list[Ended] = field(default_factory=list)

    # --- price

    def look(self, estimate: LiquidationMap, at_ms: int, price: float, low: float, high: float) -> list[ClusterChange]:
        """What the prices since the last look did: rungs crossed, bands entered, consumed or left."""
        if not self.clusters or estimate.boundary is None:
            return []
        grid = estimate.settings.grid
        low_cell, high_cell, price_cell = grid.cell(low), grid.cell(high), grid.cell(price)
        changes: list[ClusterChange] = []
        kept: list[TrackedCluster] = []
        for cluster in self.clusters:
            extreme = low_cell if cluster.side is Side.LONG else high_cell
            told, ended = look_at(cluster, estimate, at_ms, extreme, price_cell, price)
            changes += told
            if ended:
                self.ended.append(Ended(at_ms, revivable=False, cluster=cluster))
            else:
                kept.append(cluster)
        self.clusters = kept
        return changes

    # --- bars

    def rebase(self, ratio: float, price: float) -> None:
        """Exposure is counted on another scale from here on; nothing grew or shrank, and nobody is told."""
        for cluster in (*self.clusters, *(end.cluster for end in self.ended)):
            cluster.rebase(ratio)
            before, now = (_notional_rung(base * price) for base in (cluster.base / ratio, cluster.base))
            cluster.notional_rung += now - before

    def absorb(self, estimate: LiquidationMap, change: MapChange) -> None:
        """Follows what a bar did to the map; before `detect`."""
        if not self.clusters:
            return
        # one running sum each serves every cluster
        origin, cells = estimate.origin, len(estimate.known)
        left = min(cells, max(0, min(cluster.low for cluster in self.clusters) - origin))
        right = min(cells, max(left, max(cluster.high for cluster in self.clusters) + 1 - origin))
        known, among = estimate.known[left:right], slice(left, right)
        through = np.zeros((4, right - left + 1))
        parts = (known, change.consumed[among], change.closed[among], known * np.arange(left, right))
        np.cumsum(parts, axis=1, out=through[:, 1:])
        for cluster in self.clusters:
            first = min(right, max(left, cluster.low - origin)) - left
            stop = min(right, max(left, cluster.high + 1 - origin)) - left
            base, swept, closed, moments = (through[:, stop] - through[:, first]).tolist()
            cluster.base = base
            if base > 0:
                cluster.centre = moments / base + origin + 0.5
            cluster.closed_since_peak += closed
            if swept:
                cluster.consumed_since_peak += swept
                if cluster.entered_at_ms is not None:
                    cluster.consumed_since_entry += swept
            _note_peak(cluster)

    def _weigh(self, cluster: TrackedCluster, estimate: LiquidationMap) -> None:
        first = max(0, cluster.low - estimate.origin)
        cells = estimate.known[first : max(0, cluster.high + 1 - estimate.origin)]
        cluster.base = float(cells.sum())
        if cluster.base > 0:
            cluster.centre = first + estimate.origin + weighted_centre(cells) + 0.5

    def detect(
        self,
        estimate: LiquidationMap,
        trail: Trail,
        bar_opened_at_ms: int,
        price: float,
        finder: BandFinder,
        shares: NDArray[np.float64],
    ) -> list[ClusterChange]:
        """Follows the clusters known and finds new ones. Call after `absorb`, once a bar; ``shares`` is the density."""
        changes: list[ClusterChange] = []
        if bar_opened_at_ms % HOUR_MS < estimate.bar_interval_ms:
            changes += self._follow(estimate, bar_opened_at_ms, price, finder, shares)
        known = list(self.clusters)
        free = finder.find(estimate, shares, [(cluster.low, cluster.high) for cluster in known])
        # They are stored with every tick, so those that nothing asks for any more go at once.
        self.ended = [end for end in self.ended if end.matters_at(bar_opened_at_ms)]
        for band in free:
            change = self._new(band, known, estimate, trail, bar_opened_at_ms, price)
            if change is not None:
                changes.append(change)
        for cluster in known:
            changes += self._grown(cluster, estimate, trail, price)
        changes += self._retire(estimate, bar_opened_at_ms, price)
        return changes

    def _follow(
        self,
        estimate: LiquidationMap,
        at_ms: int,
        price: float,
        finder: BandFinder,
        shares: NDArray[np.float64],
    ) -> list[ClusterChange]:
        """Once an hour bands follow their peaks; where two come to overlap by half, the older takes the younger in.

        A band whose density only rises towards its edge stays where it is, or it would wander off to a neighbour's.
        """
        changes: list[ClusterChange] = []
        kept: list[TrackedCluster] = []
        for cluster in self.clusters:
            first, last = cluster.low - estimate.origin, cluster.high - estimate.origin
            if cluster.entered_at_ms is None and first >= 0 and last < len(shares):
                peak = first + int(shares[first : last + 1].argmax())
                if first < peak < last:
                    left, right = finder.extent(shares, peak)
                    cluster.low, cluster.high = left + estimate.origin, right + estimate.origin
                    self._weigh(cluster, estimate)
            width = cluster.high - cluster.low + 1
            over = [
                other for other in kept if other.side is cluster.side and other.overlap(cluster.low, cluster.high) > 0
            ]
            covered = sum(other.overlap(cluster.low, cluster.high) for other in over)
            if covered > width / 2:
                changes.append(change_of(Change.MERGED, over[0], estimate, price, 1))
                self.ended.append(Ended(at_ms, revivable=True, cluster=cluster))
                continue
            if over:
                self._trim(cluster, over, estimate)
            kept.append(cluster)
        self.clusters = kept
        return changes

    def _trim(self, cluster: TrackedCluster, over: Iterable[TrackedCluster], estimate: LiquidationMap) -> None:
        """Cells that an older band covers are its own, or their exposure would count twice."""
        for other in over:
            if cluster.centre < other.centre:
                cluster.high = min(cluster.high, other.low - 1)
            else:
                cluster.low = max(cluster.low, other.high + 1)
        self._weigh(cluster, estimate)

    def _new(
        self,
        band: FoundBand,
        known: Iterable[TrackedCluster],
        estimate: LiquidationMap,
        trail: Trail,
        bar_opened_at_ms: int,
        price: float,
    ) -> ClusterChange | None:
        gap = max(1, self._gap_cells(estimate))
        for end in reversed(self.ended):
            if end.cluster.side is not band.side or end.cluster.overlap(band.low - gap, band.high + gap) <= 0:
                continue
            if not end.revivable:
                return None
            self.ended.remove(end)
            cluster = end.cluster
            cluster.low, cluster.high = band.low, band.high
            self._weigh(cluster, estimate)
            cluster.begin_anew()
            self._add(cluster)
            return change_of(Change.REVIVED, cluster, estimate, price, 1)
        split = any(c.side is band.side and c.overlap(band.low - gap, band.high + gap) > 0 for c in known)
        cluster = TrackedCluster(
            identity=f"{band.side}-{bar_opened_at_ms}-{band.peak}",
            side=band.side,
            born_bar_opened_at_ms=bar_opened_at_ms,
            low=band.low,
            high=band.high,
            base=band.base,
            centre=(band.low + band.high + 1) / 2,
            born_share=band.base / (estimate.open_interest_base or band.base),
            peak_base=band.base,
            notional_rung=_notional_rung(band.base * price),
        )
        self._weigh(cluster, estimate)
        self._measure_build(cluster, estimate, trail)
        distance = _away(cluster, estimate)
        cluster.armed = [distance > rung / 100 for rung in DISTANCE_LADDER]
        cluster.last_distance = distance
        self._add(cluster)
        what = Change.SPLIT if split else Change.BORN
        return change_of(what, cluster, estimate, price, 1, rung=cluster.notional_rung / RUNGS_A_DOUBLING)

    def _measure_build(self, cluster: TrackedCluster, estimate: LiquidationMap, trail: Trail) -> None:
        build = build_of(cluster.low, cluster.high, cluster.base, estimate, trail)
        cluster.build_hours, cluster.build_at_least = build.hours, build.at_least

    def _gap_cells(self, estimate: LiquidationMap) -> int:
        return estimate.settings.grid.span(self.settings.window)

    def _add(self, cluster: TrackedCluster) -> None:
        self.clusters.append(cluster)
        self.clusters.sort(key=lambda c: (c.born_bar_opened_at_ms, c.identity))

    def _grown(
        self, cluster: TrackedCluster, estimate: LiquidationMap, trail: Trail, price: float
    ) -> list[ClusterChange]:
        rung = _notional_rung(cluster.base * price)
        if rung <= cluster.notional_rung or _away(cluster, estimate) > self.settings.farthest:
            return []
        cluster.notional_rung = rung
        self._measure_build(cluster, estimate, trail)
        return [change_of(Change.GREW, cluster, estimate, price, 1, rung=rung / RUNGS_A_DOUBLING)]

    def _retire(self, estimate: LiquidationMap, at_ms: int, price: float) -> list[ClusterChange]:
        changes = []
        kept = []
        for cluster in self.clusters:
            share = cluster.base / (estimate.open_interest_base or math.inf)
            lost = cluster.peak_base - cluster.base
            if (
                not _off_the_grid(cluster, estimate)
                and cluster.base < DISSOLVED_FRACTION * cluster.peak_base
                and cluster.consumed_since_peak == 0
                and cluster.closed_since_peak >= 0.9 * lost
                and cluster.nearest_since_peak > NEVER_NEARER
            ):
                peak = cluster.peak_base
                changes.append(change_of(Change.DISSOLVED, cluster, estimate, price, 1, reference_base=peak))
                self.ended.append(Ended(at_ms, revivable=False, cluster=cluster))
            elif _off_the_grid(cluster, estimate) or (
                cluster.entered_at_ms is None and share < self.settings.keep * cluster.born_share
            ):
                changes.append(change_of(Change.FADED, cluster, estimate, price, 1))
                self.ended.append(Ended(at_ms, revivable=True, cluster=cluster))
            else:
                kept.append(cluster)
        self.clusters = kept
        return changes

    # --- state

    def state(self) -> dict[str, Any]:
        return {
            "clusters": [record_of(cluster) for cluster in self.clusters],
            "ended": [
                {"at_ms": end.at_ms, "revivable": end.revivable, "cluster": record_of(end.cluster)}
                for end in self.ended
            ],
        }

    @classmethod
    def from_state(cls, settings: ClusterSettings, state: dict[str, Any]) -> "ClusterTracker":
        clusters = [tracked_from(record) for record in state["clusters"]]
        ended = [Ended(e["at_ms"], e["revivable"], tracked_from(e["cluster"])) for e in state["ended"]]
        return cls(settings, clusters, ended)


def _away(cluster: TrackedCluster, estimate: LiquidationMap) -> float:
    """From the last close to the centre, as a difference of log prices."""
    return abs(cluster.centre - 0.5 - (estimate.boundary or 0)) * estimate.settings.grid.log_step


def _off_the_grid(cluster: TrackedCluster, estimate: LiquidationMap) -> bool:
    """The map has moved on and forgotten part of the band: what is left says nothing about it."""
    return cluster.low < estimate.origin or cluster.high >= estimate.origin + len(estimate.known)


def _note_peak(cluster: TrackedCluster) -> None:
    if cluster.base >= cluster.peak_base:
        cluster.peak_base = cluster.base
        cluster.closed_since_peak = cluster.consumed_since_peak = 0.0
        cluster.nearest_since_peak = math.inf


def _notional_rung(notional_usd: float) -> int:
    """In thirds of a doubling: a chat that asks for $5M and more is told of one that grew from 4 to 6, and who has
    been told is told again once it has doubled (`bot.policy`)."""
    return math.floor(RUNGS_A_DOUBLING * math.log2(max(notional_usd, 1.0)))
