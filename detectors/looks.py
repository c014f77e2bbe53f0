"""What prices do to a cluster between bars: rungs crossed, the band entered, consumed or left."""

from detectors.cluster import CONSUMED_FRACTION, Change, ClusterChange, Sweep
from detectors.liquidation_map import LiquidationMap
from detectors.market import Side
from detectors.tracked import (
    DISTANCE_LADDER,
    PARTLY_AFTER_MS,
    PARTLY_FRACTION,
    REARM_FACTOR,
    TrackedCluster,
    change_of,
)


def look_at(
    cluster: TrackedCluster,
    estimate: LiquidationMap,
    at_ms: int,
    extreme: int,
    price_cell: int,
    price: float,
) -> tuple[list[ClusterChange], bool]:
    """What reaching grid cell ``extreme`` and ending at ``price`` did; and whether the cluster ended with it."""
    log_step = estimate.settings.grid.log_step
    towards = 1 if cluster.side is Side.LONG else -1
    centre = cluster.centre - 0.5
    outer = cluster.high if cluster.side is Side.LONG else cluster.low
    nearest = max(0.0, (extreme - centre) * towards * log_step)
    now = max(0.0, (price_cell - centre) * towards * log_step)
    cluster.nearest_since_peak = min(cluster.nearest_since_peak, max(0.0, (extreme - outer) * towards * log_step))
    before, cluster.last_distance = cluster.last_distance, now
    changes: list[ClusterChange] = []
    reached_band = (extreme - outer) * towards <= 0
    if reached_band:
        if cluster.entered_at_ms is None:
            cluster.entered_at_ms = at_ms
            cluster.base_at_entry = max(cluster.base, 1e-12)
            cluster.consumed_since_entry = 0.0
            cluster.open_interest_at_entry = estimate.open_interest_base
            cluster.far_before_entry = before > DISTANCE_LADDER[2] / 100
            changes.append(change_of(Change.ENTERED, cluster, estimate, price, cluster.sweeps))
        through = cluster.consumed_since_entry + _reached(cluster, estimate, extreme)
        if through >= CONSUMED_FRACTION * cluster.base_at_entry:
            sweep = _sweep(cluster, estimate, through / cluster.base_at_entry)
            return [change_of(Change.CONSUMED, cluster, estimate, price, cluster.sweeps, sweep=sweep)], True
    nearest_price = price if nearest == now else estimate.settings.grid.price(extreme + 0.5)
    changes += _ladder(cluster, estimate, nearest_price, nearest, now)
    if cluster.entered_at_ms is not None:
        inside = (price_cell - outer) * towards <= 0
        if inside:
            cluster.left_at_ms = None
        elif reached_band or cluster.left_at_ms is None:
            cluster.left_at_ms = at_ms
        elif at_ms - cluster.left_at_ms >= PARTLY_AFTER_MS:
            changes += _left(cluster, estimate, price)
    return changes, False


def _ladder(
    cluster: TrackedCluster,
    estimate: LiquidationMap,
    price: float,
    nearest: float,
    now: float,
) -> list[ClusterChange]:
    changes = []
    for index, rung in enumerate(DISTANCE_LADDER):
        if cluster.armed[index] and nearest <= rung / 100:
            cluster.armed[index] = False
            arming = cluster.armings[index]
            changes.append(change_of(Change.CROSSED, cluster, estimate, price, arming, rung=rung))
        elif not cluster.armed[index] and now >= REARM_FACTOR * rung / 100:
            cluster.armed[index] = True
            cluster.armings[index] += 1
    return changes


def _left(cluster: TrackedCluster, estimate: LiquidationMap, price: float) -> list[ClusterChange]:
    """Price has been out of the band for half an hour: what it traded through is settled."""
    fraction = cluster.consumed_since_entry / cluster.base_at_entry
    changes = []
    if fraction >= PARTLY_FRACTION:
        sweep = _sweep(cluster, estimate, fraction)
        changes.append(change_of(Change.PARTLY_CONSUMED, cluster, estimate, price, cluster.sweeps, sweep=sweep))
        cluster.sweeps += 1
    cluster.entered_at_ms = cluster.left_at_ms = None
    cluster.consumed_since_entry = 0.0
    return changes


def _reached(cluster: TrackedCluster, estimate: LiquidationMap, extreme: int) -> float:
    """Exposure in the band that price has reached and no bar has consumed yet."""
    low, high = (extreme, cluster.high) if cluster.side is Side.LONG else (cluster.low, extreme)
    low, high = max(low, cluster.low), min(high, cluster.high)
    columns = slice(max(0, low - estimate.origin), max(0, high + 1 - estimate.origin))
    return float(estimate.known[columns].sum())


def _sweep(cluster: TrackedCluster, estimate: LiquidationMap, fraction: float) -> Sweep:
    assert cluster.entered_at_ms is not None
    middle = estimate.settings.grid.price((cluster.low + cluster.high + 1) / 2)
    at_entry = cluster.open_interest_at_entry
    return Sweep(
        entered_at_ms=cluster.entered_at_ms,
        base_at_entry=cluster.base_at_entry,
        notional_usd_at_entry=cluster.base_at_entry * middle,
        share_at_entry=cluster.base_at_entry / at_entry if at_entry else 0.0,
        fraction=min(1.0, fraction),
        open_interest_at_entry=at_entry,
        crossed_at_once=cluster.far_before_entry,
    )
