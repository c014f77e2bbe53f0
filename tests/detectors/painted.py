"""A map painted by hand and a tracker on it, so that a test of a cluster's life says exactly what happens."""

import math
from dataclasses import dataclass, field

import numpy as np

from detectors.baseline import BaselineSettings, DistanceBaseline
from detectors.cluster import Change, ClusterChange
from detectors.clusters import BandFinder, ClusterSettings, Preset, density
from detectors.liquidation_map import LiquidationMap, MapChange
from detectors.map_settings import MapSettings
from detectors.market import HOUR_MS, MINUTE_MS
from detectors.tracked import TrackedCluster
from detectors.tracker import ClusterTracker
from detectors.trail import Trail
from tests.detectors.histories import BAR_MS, ONE_NODE, START_MS

PRICE = 100.0
OPEN_INTEREST = 1000.0
SENSITIVE = ClusterSettings(preset=Preset.SENSITIVE, nearest=0.01, farthest=0.10)


def painted_map(price: float = PRICE, open_interest_base: float = OPEN_INTEREST) -> LiquidationMap:
    """An empty map around a price."""
    made = LiquidationMap(MapSettings(ONE_NODE))
    made.boundary = made.settings.grid.cell(price)
    made.origin = made.boundary - made.settings.grid.cells // 2
    made.open_interest_base = open_interest_base
    made.last_bar_opened_at_ms, made.bar_interval_ms = START_MS, BAR_MS
    return made


def paint(on: LiquidationMap, price: float, base: float, cells: int = 10) -> tuple[int, int]:
    """Adds exposure evenly over cells around a price; returns the band's first and last grid number."""
    first = on.settings.grid.cell(price) - cells // 2
    on.known[first - on.origin : first - on.origin + cells] += base / cells
    return first, first + cells - 1


@dataclass
class Stage:
    """A painted map, its tracker and a clock. Every call returns what the tracker said."""

    map: LiquidationMap = field(default_factory=painted_map)
    trail: Trail = field(default_factory=Trail)
    tracker: ClusterTracker = field(default_factory=lambda: ClusterTracker(SENSITIVE))
    price: float = PRICE
    at_ms: int = START_MS

    def __post_init__(self) -> None:
        self.finder = BandFinder(self.tracker.settings, self.map.settings.grid.log_step)
        self.finder.learn(DistanceBaseline(BaselineSettings()))

    def bar(self, *, closed: float = 0.0, low: float | None = None, high: float | None = None) -> list[ClusterChange]:
        """One bar: what it traded through goes, then ``closed`` of all positions, then the tracker looks for bands.

        Open interest stays as it is, so what is closed shows in the tracked exposure alone.
        """
        grid, origin = self.map.settings.grid, self.map.origin
        low, high = min(self.price, low or self.price), max(self.price, high or self.price)
        opened_at_ms = self.at_ms - self.at_ms % BAR_MS
        self.at_ms = opened_at_ms + BAR_MS
        consumed = np.zeros_like(self.map.known)
        reached = slice(grid.cell(low) - origin, grid.cell(high) + 1 - origin)
        consumed[reached] = self.map.known[reached]
        self.map.known[reached] = 0.0
        left = self.map.known * closed
        self.map.known -= left
        self.map.boundary, self.map.last_bar_opened_at_ms = grid.cell(self.price), opened_at_ms
        self.tracker.absorb(self.map, MapChange(consumed, left, np.zeros_like(consumed)))
        shares = density(self.map, self.finder.window_cells)
        if self.trail.due(self.at_ms):
            self.trail.add(self.at_ms, self.map.known, origin, self.map.boundary, OPEN_INTEREST)
        return self.tracker.detect(self.map, self.trail, opened_at_ms, self.price, self.finder, shares)

    def depth(self, cluster: TrackedCluster, part: float) -> float:
        """Price at which a little more than that part of a long cluster has been traded through."""
        cells = self.map.known[cluster.low - self.map.origin : cluster.high + 1 - self.map.origin][::-1]
        reached = int(np.argmax(np.cumsum(cells) >= part * cells.sum() * (1 - 1e-9)))
        return self.map.settings.grid.price(cluster.high - reached + 0.5)

    def wait(self, hours: float) -> list[ClusterChange]:
        """Bars in which nothing happens."""
        return [change for _ in range(round(hours * HOUR_MS / BAR_MS)) for change in self.bar()]

    def look(
        self, price: float, *, low: float = math.inf, high: float = -math.inf, minutes: float = 0
    ) -> list[ClusterChange]:
        """Price goes straight to ``price``, on the way as far as ``low`` and ``high``."""
        self.at_ms += round(minutes * MINUTE_MS)
        low, high = min(low, self.price, price), max(high, self.price, price)
        self.price = price
        return self.tracker.look(self.map, self.at_ms, price, low, high)

    def go(self, price: float, *, low: float = math.inf, high: float = -math.inf) -> list[ClusterChange]:
        """The look at a bar's end, and the bar."""
        before = self.price
        self.at_ms += BAR_MS
        said = self.look(price, low=low, high=high)
        self.at_ms -= BAR_MS
        return said + self.bar(low=min(low, before), high=max(high, before))


def kinds_of(changes: list[ClusterChange]) -> list[Change]:
    return [change.what for change in changes]


def rungs_of(changes: list[ClusterChange]) -> list[float | None]:
    return [change.rung for change in changes if change.what is Change.CROSSED]
