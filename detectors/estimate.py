"""Everything about one market that follows from its series alone: map, baseline, trail, candles, funding, prints.

It holds no decision of any detector, so a checkpoint of it plus the series since gives the same state whether
detectors ran or not.
"""

import itertools
import json
import math
import struct
import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import BaselineSettings, DistanceBaseline
from detectors.clusters import density
from detectors.liquidation_map import LiquidationMap, MapChange
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Bar, Funding, MarketSnapshot, Print, Side
from detectors.numerics import from_planes, to_planes
from detectors.trail import COLUMN_MS, COLUMNS, Trail

FUNDING_KEPT_MS = 40 * DAY_MS
"""Longer than any kind looks back by default; venues charge every one to eight hours."""
RECENT_BARS = 288
OBSERVED_KEPT_MS = DAY_MS
PRICES_KEPT = 95
"""Minutes: an hour, and as much again as a window of one hour may reach back."""
USUAL_FUNDING_8H = 0.0001
"""The interest-rate part that most venues charge when nothing is going on."""


@dataclass(frozen=True)
class EstimateSettings:
    map: MapSettings = field(default_factory=MapSettings)
    baseline: BaselineSettings = field(default_factory=BaselineSettings)
    window_cells: int = 10
    """Height of the band whose density is compared, in cells."""
    crowding_funding_8h: float = 0.0005
    """Funding this far from usual counts as fully crowded (tanh(1))."""


def crowding_from(funding: Funding, crowding_funding_8h: float) -> float:
    """-1..+1: +1 longs are crowded and pay for it."""
    rate_8h = funding.rate * 8 / funding.interval_hours
    return math.tanh((rate_8h - USUAL_FUNDING_8H) / crowding_funding_8h)


@dataclass(frozen=True, slots=True)
class Observed:
    """Observed liquidations of one side summed over one stretch that ended at ``at_ms``."""

    at_ms: int
    side: Side
    notional_usd: float
    source: str
    started_at_ms: int | None = None
    """Of a total over an interval; None: prints, seen as they came."""
    beside_prints: bool = False
    """A total of one of several venues, which does not stream: the prints are of the others."""


@dataclass
class MarketEstimate:
    settings: EstimateSettings
    map: LiquidationMap
    baseline: DistanceBaseline
    trail: Trail = field(default_factory=Trail)
    candles: NDArray[np.float64] = field(default_factory=lambda: np.zeros((COLUMNS, 5)))
    """Half-hourly candles as a ring: opened_at_ms, open, high, low, close; float64[columns, 5]."""
    candle_count: int = 0
    recent_closes: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_BARS))
    funding: deque[Funding] = field(default_factory=deque)
    observed: deque[Observed] = field(default_factory=deque)
    prices: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=PRICES_KEPT))
    """(time in ms, price) of the last look of each minute, oldest first."""
    pooled_prints: list[Print] = field(default_factory=list)
    """Observed since the last bar; the next one takes them in."""
    interest_venues: tuple[str, ...] = ()
    """Venues that the last sample of open interest counted."""
    shares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Density of the map after the last bar, see `clusters.density`."""

    @classmethod
    def empty(cls, settings: EstimateSettings) -> Self:
        return cls(settings, LiquidationMap(settings.map), DistanceBaseline(settings.baseline))

    @property
    def crowding(self) -> float:
        """-1..+1 from the last funding rate: +1 longs are crowded and pay for it."""
        return crowding_from(self.funding[-1], self.settings.crowding_funding_8h) if self.funding else 0.0

    def apply(self, snapshot: MarketSnapshot) -> MapChange | None:
        """Takes in a snapshot; returns what its bar did to the map, None without a bar or open interest."""
        self._fund(snapshot)
        self._observe(snapshot)
        self._price(snapshot)
        self.pooled_prints += snapshot.prints
        bar = snapshot.bar
        if bar is None:
            return None
        prints, self.pooled_prints = self.pooled_prints, []
        rebased = self._follow_venues(snapshot)
        self.recent_closes.append(bar.close)
        self._candle(bar)
        change = self.map.update(bar, snapshot.open_interest, self.crowding, prints)
        if rebased != 1:
            change = replace(change, rebased=rebased)
        if self.map.open_interest_base is None or self.map.boundary is None:
            return None
        self.shares = density(self.map, self.settings.window_cells)
        if bar.closed_at_ms % HOUR_MS < bar.interval_ms:
            self.baseline.learn(self.shares, self.map.boundary - self.map.origin)
        if self.trail.due(bar.closed_at_ms):
            self.trail.add(
                bar.closed_at_ms, self.map.known, self.map.origin, self.map.boundary, self.map.open_interest_base
            )
        return change

    def _observe(self, snapshot: MarketSnapshot) -> None:
        totals = {side: sum(p.notional_usd for p in snapshot.prints if p.side is side) for side in Side}
        # A bar that is handed out late brings what was liquidated until its close.
        bar = snapshot.bar
        heard_at_ms = snapshot.taken_at_ms if bar is None else min(snapshot.taken_at_ms, bar.closed_at_ms)
        for side, notional_usd in totals.items():
            if notional_usd:
                self.observed.append(Observed(heard_at_ms, side, notional_usd, snapshot.market.venue))
        for total in snapshot.liquidations:
            at_ms = total.started_at_ms + total.interval_ms
            for side, notional_usd in ((Side.LONG, total.long_usd), (Side.SHORT, total.short_usd)):
                beside = len(snapshot.market.venues) > 1 and total.venue in snapshot.market.venues
                source = snapshot.market.venue if beside else total.venue
                self.observed.append(Observed(at_ms, side, notional_usd, source, total.started_at_ms, beside))
        while self.observed and self.observed[0].at_ms < snapshot.taken_at_ms - OBSERVED_KEPT_MS:
            self.observed.popleft()

    def observed_usd(self, side: Side, since_ms: int) -> tuple[float, str] | None:
        """Observed liquidations of a side that ended after ``since_ms``, and whose; None where none is known.

        Prints where there are any, and totals of venues that do not stream beside the others' prints; or else totals of
        one source. Of the same venues the two tell of the same liquidations and must not be added up.
        """
        known = [one for one in self.observed if one.at_ms > since_ms]
        heard = [one for one in known if one.started_at_ms is None or one.beside_prints]
        if not known:
            return None
        source = (heard or known)[-1].source
        counted = heard or [one for one in known if one.source == source]
        return sum(one.notional_usd for one in counted if one.side is side), source

    def _follow_venues(self, snapshot: MarketSnapshot) -> float:
        """A venue that joins or leaves the sum of open interest must not look like positions opened or closed.

        Returns the new scale over the old.
        """
        if snapshot.open_interest is None:
            return 1.0
        venues, ratio = snapshot.market.open_interest_venues, 1.0
        if self.interest_venues and venues != self.interest_venues:
            ratio = self.map.rebase(snapshot.open_interest.base)
            self.trail.rebase(ratio)
        self.interest_venues = venues
        return ratio

    def _fund(self, snapshot: MarketSnapshot) -> None:
        self.funding.extend(snapshot.funding)
        while self.funding and self.funding[0].taken_at_ms < snapshot.taken_at_ms - FUNDING_KEPT_MS:
            self.funding.popleft()

    def _price(self, snapshot: MarketSnapshot) -> None:
        seen = (snapshot.taken_at_ms, snapshot.price)
        if self.prices and self.prices[-1][0] // MINUTE_MS == snapshot.taken_at_ms // MINUTE_MS:
            self.prices[-1] = seen
        else:
            self.prices.append(seen)

    def _candle(self, bar: Bar) -> None:
        opened = bar.opened_at_ms - bar.opened_at_ms % COLUMN_MS
        last = (self.candle_count - 1) % COLUMNS
        if self.candle_count and self.candles[last, 0] == opened:
            self.candles[last, 2:] = (
                max(self.candles[last, 2], bar.high),
                min(self.candles[last, 3], bar.low),
                bar.close,
            )
            return
        self.candles[self.candle_count % COLUMNS] = (opened, bar.open, bar.high, bar.low, bar.close)
        self.candle_count += 1

    def candle_history(self) -> NDArray[np.float64]:
        """Half-hourly candles, oldest first, float64[n, 5] as in ``candles``."""
        kept = min(self.candle_count, COLUMNS)
        return self.candles[np.arange(self.candle_count - kept, self.candle_count) % COLUMNS]

    # --- checkpoint

    def to_bytes(self) -> bytes:
        """All of it, compressed; `from_bytes` continues bit for bit."""
        small = json.dumps(
            {
                "candles": self.candle_count,
                "closes": list(self.recent_closes),
                "funding": [[f.taken_at_ms, f.rate, f.interval_hours] for f in self.funding],
                "prices": list(self.prices),
                "interest_venues": self.interest_venues,
                "observed": [
                    [o.at_ms, o.side, o.notional_usd, o.source, o.started_at_ms, o.beside_prints] for o in self.observed
                ],
            }
        ).encode()
        arrays = to_planes(self.candles) + self.baseline.to_bytes() + self.trail.to_bytes()
        parts = (self.map.to_bytes(), zlib.compress(small, 6), zlib.compress(arrays, 4))
        return struct.pack("<3I", *(len(part) for part in parts)) + b"".join(parts)

    @classmethod
    def from_bytes(cls, settings: EstimateSettings, data: bytes) -> Self:
        """Raises ValueError where the checkpoint was made with other settings of size."""
        sizes = struct.unpack_from("<3I", data)
        starts = np.cumsum([12, *sizes])
        map_bytes, small_bytes, array_bytes = (data[a:b] for a, b in itertools.pairwise(starts))
        small, arrays = json.loads(zlib.decompress(small_bytes)), zlib.decompress(array_bytes)
        candle_bytes = COLUMNS * 5 * 8
        baseline_bytes = 8 + 2 * 2 * settings.baseline.reach_cells * 8
        loaded = cls(
            settings,
            LiquidationMap.from_bytes(settings.map, map_bytes),
            DistanceBaseline.from_bytes(settings.baseline, arrays[candle_bytes : candle_bytes + baseline_bytes]),
            Trail.from_bytes(arrays[candle_bytes + baseline_bytes :]),
            from_planes(arrays, np.float64, (COLUMNS, 5)),
            small["candles"],
        )
        loaded.recent_closes.extend(small["closes"])
        loaded.funding.extend(Funding(*one) for one in small["funding"])
        loaded.interest_venues = tuple(small["interest_venues"])
        loaded.prices.extend((at, price) for at, price in small["prices"])
        loaded.observed.extend(Observed(at, Side(side), *rest) for at, side, *rest in small["observed"])
        if loaded.map.open_interest_base:
            loaded.shares = density(loaded.map, settings.window_cells)
        return loaded
