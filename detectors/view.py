"""What a kind sees: one market at one moment, its map, its clusters and what changed in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.cluster import Cluster, ClusterChange
from detectors.describe import describe
from detectors.estimate import MarketEstimate
from detectors.event import PICTURE_HIGH, PICTURE_LOW, Band, Event, Evidence, Fact, Label, Level, Severity, Unit
from detectors.market import HOUR_MS, Funding, Market, Side, VenueSample
from detectors.realised import RealisedShare
from detectors.tracked import TrackedCluster
from detectors.trail import CELLS_A_BIN, COLUMN_MS
from detectors.windows import Windows, windows_of

SHOWN_COLUMNS = 144
"""Three days of half-hourly candles on a chart."""
SHOWN_REACH = 0.06
"""A chart spans at least this far from price to each side."""


@dataclass(frozen=True)
class MarketView:
    """Read-only to kinds. ``price`` is the last one, ``low`` and ``high`` span the prices since the last look."""

    market: Market
    taken_at_ms: int
    bar_opened_at_ms: int
    """Open time of the bar that this moment belongs to."""
    price: float
    low: float
    high: float
    estimate: MarketEstimate
    tracked: Sequence[TrackedCluster]
    changes: Sequence[ClusterChange] = ()
    new_funding: Sequence[Funding] = ()
    by_venue: Sequence[VenueSample] = ()
    """What each venue of a merged market said by now; empty where there is one source."""
    realised_share: RealisedShare | None = None
    """Of what is traded through, the part that is liquidated, as measured on this market; None: not known."""

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """Every cluster now, nearest first."""
        made = (describe(cluster, self.estimate.map, self.price) for cluster in self.tracked)
        return tuple(sorted(made, key=lambda cluster: cluster.distance))

    @property
    def bar_closed_at_ms(self) -> int:
        """When the last closed bar ended; this moment where there was none."""
        last = self.estimate.map.last_bar_opened_at_ms
        return self.taken_at_ms if last is None else last + self.estimate.map.bar_interval_ms

    @property
    def divergence_bps(self) -> float | None:
        """How far apart the venues' prices are; None with fewer than two."""
        prices = [sample.price for sample in self.by_venue if sample.price is not None]
        return (max(prices) - min(prices)) / self.price * 10_000 if len(prices) > 1 else None

    @property
    def venue_shares(self) -> Mapping[str, float]:
        """Each venue's share of the open interest that is counted, the largest first."""
        held = {one.venue: one.open_interest_base for one in self.by_venue if one.open_interest_base}
        total = sum(held.values())
        return {venue: base / total for venue, base in sorted(held.items(), key=lambda pair: -pair[1])}

    def next_funding_at_ms(self, last: Funding) -> int:
        """When funding is settled next, at the earliest: as the venues say, whose intervals differ and change with the
        rate; where none does, as long after ``last`` as that was for."""
        told = [one.next_funding_at_ms for one in self.by_venue if one.next_funding_at_ms is not None]
        return min((at_ms for at_ms in told if at_ms > self.taken_at_ms), default=last.next_at_ms)

    @property
    def open_interest_usd(self) -> float | None:
        base = self.estimate.map.open_interest_base
        return None if base is None else base * self.price

    def nearest_cluster(self, side: Side) -> Cluster | None:
        return next((cluster for cluster in self.clusters if cluster.side is side), None)

    def move(self, hours: float) -> float | None:
        """Change of price since the close nearest to that many hours ago, as a fraction; None where that is unknown."""
        interval_ms = self.estimate.map.bar_interval_ms
        if not interval_ms:
            return None
        bars = max(0, round((hours * HOUR_MS - (self.taken_at_ms - self.bar_closed_at_ms)) / interval_ms))
        closes = self.estimate.recent_closes
        return self.price / closes[-1 - bars] - 1 if len(closes) > bars else None

    @cached_property
    def usual_hourly_move(self) -> float | None:
        """Median size of an hour's move over the last bars (a day of five-minute bars), as a fraction."""
        closes = np.array(self.estimate.recent_closes)
        bars = max(1, round(HOUR_MS / (self.estimate.map.bar_interval_ms or HOUR_MS)))
        return float(np.median(np.abs(closes[bars:] / closes[:-bars] - 1))) if len(closes) >= 3 * bars else None

    @cached_property
    def windows(self) -> Windows:
        """Price over 1 minute, 5 minutes and 1 hour."""
        return windows_of(self.estimate.prices, self.taken_at_ms, self.price)

    def event(
        self,
        kind: str,
        *,
        subject: str,
        headline: str,
        side: Side | None,
        severity: Severity,
        facts: Sequence[Fact],
        level: Level | None = None,
        notional_usd: float | None = None,
        arming: int = 1,
        rung: float | None = None,
    ) -> Event:
        """An event of this moment with its spine filled in; `with_evidence` completes it once it becomes an alert."""
        return Event(
            kind=kind,
            market=self.market.base,
            venue=self.market.venue,
            symbol=self.market.symbol,
            subject=subject,
            arming=arming,
            rung=rung,
            bar_opened_at_ms=self.bar_opened_at_ms,
            taken_at_ms=self.taken_at_ms,
            side=side,
            price=self.price,
            level=level,
            notional_usd=notional_usd,
            severity=severity,
            headline=headline,
            price_decimals=self.market.price_decimals,
            simulated=self.market.simulated,
            facts=(*facts, *self._sources()),
        )

    def _sources(self) -> tuple[Fact, ...]:
        """Named where open interest comes from somewhere else than prices do."""
        venues = self.market.open_interest_venues
        if not venues or venues == self.market.venues:
            return ()
        text = f"{self.market.venue} prices, {'+'.join(venues)} open interest"
        return (Fact("sources", text, Unit.TEXT, Label.OBSERVED),)

    def with_evidence(self, event: Event) -> Event:
        """An event of this moment with what its chart draws; made only for alerts, for most events stay unseen."""
        return replace(event, evidence=self.evidence(event))

    def evidence(self, event: Event | None = None) -> Evidence:
        """What a chart draws of this moment; the band that ``event`` is about is marked as its own."""
        candles = self.estimate.candle_history()[-SHOWN_COLUMNS:]
        lowest, highest = self._shown_range(candles, event)
        grid = self.estimate.map.settings.grid
        first = grid.cell(lowest) // CELLS_A_BIN
        bins = grid.cell(highest) // CELLS_A_BIN - first + 1
        edges = np.exp(np.arange(first, first + bins + 1) * CELLS_A_BIN * grid.log_step)
        long_usd, short_usd = (self._profile(side, first, bins) for side in Side)
        heat = self._heat(candles, first, np.sqrt(edges[1:] * edges[:-1]))
        if len(heat):
            heat[-1] = long_usd + short_usd
        since = candles[0, 0] if len(candles) else 0
        funding = [one for one in self.estimate.funding if one.taken_at_ms >= since]
        return Evidence(
            interval_ms=COLUMN_MS,
            opened_at_ms=candles[:, 0].astype(np.int64),
            ohlc=candles[:, 1:].copy(),
            edges=edges,
            heat_usd=heat,
            long_usd=long_usd,
            short_usd=short_usd,
            funding_at_ms=np.array([one.taken_at_ms for one in funding], np.int64),
            funding_rate=np.array([one.rate for one in funding], np.float64),
            bands=self._bands(event, lowest, highest),
        )

    def _heat(self, candles: NDArray[np.float64], first: int, middle: NDArray[np.float64]) -> NDArray[np.float32]:
        heat = np.zeros((len(candles), len(middle)), np.float32)
        row_at = {int(opened) + COLUMN_MS: row for row, opened in enumerate(candles[:, 0].tolist())}
        for taken_at_ms, first_bin, base in self.estimate.trail.columns():
            row = row_at.get(taken_at_ms)
            if row is not None:
                heat[row] = _aligned(base, first_bin, first, len(middle)) * middle
        return heat

    def _bands(self, event: Event | None, lowest: float, highest: float) -> tuple[Band, ...]:
        """The bands within the prices shown. The event's own always is, and as the event tells of it, so that picture
        and words never name two sizes for one cluster."""
        own = None
        if event is not None and event.level and event.side and event.notional_usd is not None:
            own = Band(event.side, event.level.low, event.level.high, event.notional_usd, own=True)
        subject = event.subject if event else None
        others = (
            Band(c.side, c.level.low, c.level.high, c.notional_usd, own=c.identity == subject)
            for c in self.clusters
            if c.level.high > lowest and c.level.low < highest and not (own and c.identity == subject)
        )
        return (*others, *((own,) if own else ()))

    def _shown_range(self, candles: NDArray[np.float64], event: Event | None) -> tuple[float, float]:
        low, high = self.price * (1 - SHOWN_REACH), self.price * (1 + SHOWN_REACH)
        if len(candles):
            low, high = min(low, float(candles[:, 3].min())), max(high, float(candles[:, 2].max()))
        if event is not None and (own := event.level) is not None:
            low, high = min(low, own.low * 0.99), max(high, own.high * 1.01)
        if event is not None and (lowest := event.number(PICTURE_LOW)) and (highest := event.number(PICTURE_HIGH)):
            low, high = min(low, lowest * 0.99), max(high, highest * 1.01)
        return low, high

    def _profile(self, side: Side, first: int, bins: int) -> NDArray[np.float64]:
        estimate = self.estimate.map
        notional = estimate.side_usd(side)
        skip = -estimate.origin % CELLS_A_BIN
        whole = notional[skip : skip + (len(notional) - skip) // CELLS_A_BIN * CELLS_A_BIN]
        binned = whole.reshape(-1, CELLS_A_BIN).sum(axis=1)
        return _aligned(binned, (estimate.origin + skip) // CELLS_A_BIN, first, bins)


def _aligned(values: NDArray[np.float64], starts_at: int, first: int, count: int) -> NDArray[np.float64]:
    """``values`` whose first bin is ``starts_at``, as ``count`` bins from ``first``, zero where there are none."""
    out = np.zeros(count)
    left, right = max(first, starts_at), min(first + count, starts_at + len(values))
    if right > left:
        out[left - first : right - first] = values[left - starts_at : right - starts_at]
    return out
