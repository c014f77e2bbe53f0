"""How near the default map comes to the truth of a simulated market, where every liquidation is known."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Report
from bot.markets.simulated import SimulatedFeed, Truth
from detectors.estimate import EstimateSettings, MarketEstimate
from detectors.leverage import LeverageModel
from detectors.liquidation_map import LiquidationMap
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, MarketSnapshot, Side

DAYS = 30.0
SEEDS = range(1, 11)
HELD_OUT_SEEDS = range(11, 21)
"""Looked at only after the defaults were settled on the others."""
REACH = 0.10
BIN = 0.0025

FIVE_TIERS = LeverageModel((5.0, 10.0, 25.0, 50.0, 100.0), (0.15, 0.30, 0.25, 0.20, 0.10), turnover_daily=0.0)
"""One of the tables in use elsewhere, and open interest taken at its word."""
DEFAULT = "default map"
UNIFORM = "uniform outside the last day's range"
MODELS: Mapping[str, LeverageModel] = {
    DEFAULT: LeverageModel(),
    "default without turnover": replace(LeverageModel(), turnover_daily=0.0),
    "plain five tiers, no turnover": FIVE_TIERS,
}


def correlations(seed: int, days: float = DAYS) -> dict[str, float]:
    """Pearson correlation with the truth by map, on bins of 0.25 % within 10 % of price, both sides together."""
    feed = SimulatedFeed(seed, days, ["BTC"])
    (market,) = feed.load()
    snapshots = [snapshot for (snapshot,) in feed.steps()]
    price = snapshots[-1].price
    edges = bin_edges(price)
    truth = true_notional(feed.truth(market), edges)
    found = {
        name: pearson(estimated_notional(estimate_of(model, snapshots), edges), truth) for name, model in MODELS.items()
    }
    return found | {UNIFORM: pearson(uniform_notional(snapshots, edges), truth)}


def estimate_of(model: LeverageModel, snapshots: Sequence[MarketSnapshot]) -> LiquidationMap:
    """The map as the bot makes it: bar by bar, with the market's own funding and prints."""
    estimate = MarketEstimate.empty(EstimateSettings(MapSettings(model)))
    for snapshot in snapshots:
        estimate.apply(snapshot)
    return estimate.map


def bin_edges(price: float) -> NDArray[np.float64]:
    low, high = math.log(price * (1 - REACH)), math.log(price * (1 + REACH))
    edges: NDArray[np.float64] = np.exp(np.arange(low, high, math.log1p(BIN)))
    return edges


def true_notional(truth: Truth, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    notional: NDArray[np.float64] = np.histogram(truth.price, edges, weights=truth.notional_usd)[0]
    return notional


def estimated_notional(made: LiquidationMap, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    middles = np.sqrt(made.edges[1:] * made.edges[:-1])
    both = made.side_usd(Side.LONG) + made.side_usd(Side.SHORT)
    notional: NDArray[np.float64] = np.histogram(middles, edges, weights=both)[0]
    return notional


def uniform_notional(snapshots: Sequence[MarketSnapshot], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same amount everywhere, but for what was traded through in a day: all a glance at the candles gives."""
    day = [snapshot for snapshot in snapshots if snapshot.taken_at_ms > snapshots[-1].taken_at_ms - DAY_MS]
    low, high = min(one.low for one in day), max(one.high for one in day)
    return np.where((edges[1:] < low) | (edges[:-1] > high), 1.0, 0.0)


def pearson(estimate: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """0 where either is the same everywhere, for then it tells nothing."""
    if not (estimate.std() > 0 and truth.std() > 0):
        return 0.0
    return float(np.corrcoef(estimate, truth)[0, 1])


def measure(seeds: Sequence[int], days: float = DAYS) -> dict[str, list[float]]:
    """Correlations by map, one a seed."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        for name, value in correlations(seed, days).items():
            found.setdefault(name, []).append(value)
    return found


def run(*, quick: bool = False) -> list[Report]:
    groups = (
        (("seeds 1-3", range(1, 4)),) if quick else (("seeds 1-10", SEEDS), ("held-out seeds 11-20", HELD_OUT_SEEDS))
    )
    return [_report(name, measure(seeds)) for name, seeds in groups]


def _report(seeds: str, found: Mapping[str, Sequence[float]]) -> Report:
    return Report(
        f"Truth: Pearson with a simulated market's liquidations, BTC, {DAYS:g} days, {seeds}",
        ("map", "mean", "worst", "best", "target mean", "target worst"),
        tuple(
            (
                name,
                f"{statistics.mean(values):.2f}",
                f"{min(values):.2f}",
                f"{max(values):.2f}",
                *(("0.70", "0.45") if name == DEFAULT else ("", "")),
            )
            for name, values in found.items()
        ),
        ("default map by seed: " + " ".join(f"{value:.2f}" for value in found[DEFAULT]),),
    )
