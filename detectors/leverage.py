"""Which leverage positions are assumed to use, and how far from entry each is liquidated.

No venue publishes the distribution, so nodes and weights are settings, never truths. Formulas (isolated margin,
linear contract, entry ``E``, leverage ``L``, maintenance margin rate ``m``): a long is liquidated at
``E (1 - 1/L) / (1 - m)``, a short at ``E (1 + 1/L) / (1 + m)``; with tiers, maintenance margin is
``notional * rate - amount`` where ``amount_i = amount_(i-1) + floor_i * (rate_i - rate_(i-1))``
(Binance "Leverage and Margin of USD-M Futures", Bybit "Maintenance Margin Calculation").
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.market import Side


@dataclass(frozen=True)
class MarginTier:
    """From ``floor_usd`` of position notional upwards the maintenance margin rate is ``rate`` (a fraction)."""

    floor_usd: float
    rate: float
    max_leverage: float


BINANCE_BTC_TIERS = (
    MarginTier(0, 0.004, 150),
    MarginTier(300_000, 0.005, 100),
    MarginTier(800_000, 0.0065, 75),
    MarginTier(3_000_000, 0.01, 50),
    MarginTier(12_000_000, 0.02, 25),
    MarginTier(70_000_000, 0.025, 20),
    MarginTier(100_000_000, 0.05, 10),
)
"""Binance USD-M BTCUSDT brackets as published in September 2026; the largest brackets are left out."""


def maintenance_rate(tiers: tuple[MarginTier, ...], notional_usd: float) -> float:
    """Effective maintenance margin of one position, as a fraction of its own notional (amounts deducted)."""
    amount, rate = 0.0, tiers[0].rate
    for tier in tiers[1:]:
        if notional_usd <= tier.floor_usd:
            break
        amount += tier.floor_usd * (tier.rate - rate)
        rate = tier.rate
    return rate - amount / notional_usd


def liquidation_price(entry: float, leverage: float, maintenance: float, side: Side) -> float:
    """Price at which an isolated position of that leverage is liquidated."""
    if side is Side.LONG:
        return entry * (1 - 1 / leverage) / (1 - maintenance)
    return entry * (1 + 1 / leverage) / (1 + maintenance)


def nodes_by_distance(count: int, nearest: float, farthest: float) -> tuple[float, ...]:
    """``count`` leverages, highest first, whose distances ``1 / leverage`` are evenly spaced fractions of price."""
    return tuple(float(1 / distance) for distance in np.linspace(nearest, farthest, count))


MEDIAN_LEVERAGE = 8.0
LOG_SPREAD = 0.8


def default_nodes(count: int = 40) -> tuple[float, ...]:
    """``count`` leverages, highest first: distances 0.6 % to 30 % of price in equal ratios, so that levels blur as
    real ones do instead of repeating every entry at a handful of round leverages."""
    return tuple(float(leverage) for leverage in 1 / np.geomspace(0.006, 0.3, count))


def default_weights(nodes: tuple[float, ...]) -> tuple[float, ...]:
    """Lognormal around 8x in what is opened. Guesswork, like every such table: one study of real Hyperliquid positions
    found isolated ones a median 15.7 % from liquidation, those within 2 % about 30x and those past 20 % about 3x."""
    spread = np.log(np.asarray(nodes) / MEDIAN_LEVERAGE) / LOG_SPREAD
    return tuple(float(weight) for weight in np.exp(-0.5 * spread**2))


@dataclass(frozen=True, slots=True)
class NodeWeights:
    """Leverage nodes, highest first, and the weight of each: of longs and, where they are others, of shorts."""

    nodes: tuple[float, ...]
    weights: tuple[float, ...]
    short_weights: tuple[float, ...] = ()

    def together(self) -> dict[float, float]:
        """The mean of both sides, by node."""
        shorts = self.short_weights or self.weights
        return {
            node: (long / sum(self.weights) + short / sum(shorts)) / 2
            for node, long, short in zip(self.nodes, self.weights, shorts, strict=True)
        }


@dataclass(frozen=True)
class LeverageModel:
    """Leverage nodes, their weights (share of newly opened notional; normalised to 1) and margin tiers.

    ``position_usd`` is the size of the typical position that the tiers are looked up with: feeding a whole
    market's open interest into a per-position table would be an error of scale.
    """

    nodes: tuple[float, ...] = field(default_factory=lambda: default_nodes())
    weights: tuple[float, ...] = field(default_factory=lambda: default_weights(default_nodes()))
    tiers: tuple[MarginTier, ...] = BINANCE_BTC_TIERS
    position_usd: float = 50_000.0
    crowding_strength: float = 0.5
    """Exponent: at full crowding, weights are multiplied by (leverage / mean leverage) to this power."""
    turnover_daily: float = 0.33
    """Part of open interest that is replaced in a day of usual volume: old positions close and as many open at
    today's price, which net open interest does not show. On winter-2025 it lifts the truth stick's partial rank
    correlation (docs/benchmarks.md). Volume counts relative to its own mean, so that prices and open interest may come
    from different venues."""
    turnover_exponent: float = 1.0
    """How much sooner high leverage is replaced: few sit through days at 100x. Hazard goes with leverage to this power,
    and is 1 on average."""
    fast_from: float = 12.0
    """Nodes of at least this leverage are replaced at their own pace, the others at theirs."""
    short_weights: tuple[float, ...] = ()
    """Of shorts, where they are not those of longs, ``weights``. Empty: the same."""

    def __post_init__(self) -> None:
        if not self.nodes or len(self.nodes) != len(self.weights):
            raise ValueError("leverage nodes and weights must be as many as each other, and at least one")
        if (
            min(self.nodes) <= 1
            or min(self.weights) < 0
            or not math.isfinite(sum(self.weights))
            or not sum(self.weights)
        ):
            raise ValueError("leverage nodes must be above 1, weights not negative and not all zero")
        shorts = self.short_weights
        if shorts and (
            len(shorts) != len(self.nodes) or min(shorts) < 0 or not math.isfinite(sum(shorts)) or not sum(shorts)
        ):
            raise ValueError("short_weights must be empty, or as many as the nodes, not negative and not all zero")

    @cached_property
    def both_weights(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of longs and of shorts, each summing to 1."""
        longs, shorts = (
            tuple(float(weight / sum(of)) for weight in of) for of in (self.weights, self.short_weights or self.weights)
        )
        return longs, shorts

    @property
    def node_weights(self) -> NodeWeights:
        """Each side's weights summing to 1."""
        return NodeWeights(self.nodes, *self.both_weights)

    def with_weights(self, found: NodeWeights) -> "LeverageModel":
        """The model with other nodes and weights, all else as it is."""
        return replace(self, nodes=found.nodes, weights=found.weights, short_weights=found.short_weights)

    def side_weights(self, side: Side) -> NDArray[np.float64]:
        """Of one side while nobody is crowded, float64[nodes], summing to 1."""
        return np.asarray(self.both_weights[0 if side is Side.LONG else 1])

    @cached_property
    def groups(self) -> tuple[NDArray[np.int64], ...]:
        """Indices of the slow and of the fast nodes, int64 each; one of them may be empty."""
        fast = np.asarray(self.nodes) >= self.fast_from
        return np.flatnonzero(~fast), np.flatnonzero(fast)

    @cached_property
    def hazards(self) -> NDArray[np.float64]:
        """How fast each group is replaced relative to all open positions, float64[groups].

        Scaled so that turnover alone would come to rest with every contract tracked once: what is opened in a group
        (its weight) over how fast it is replaced adds up to 1.
        """
        weights = np.mean(self.both_weights, axis=0)
        paces = np.asarray(self.nodes) ** self.turnover_exponent
        shares = np.array([weights[group].sum() for group in self.groups])
        means = np.array([weights[group] @ paces[group] for group in self.groups]) / np.maximum(shares, 1e-12)
        means[shares <= 0] = 1.0
        hazards: NDArray[np.float64] = means * float((shares / means).sum())
        return hazards

    @cached_property
    def log_distances(self) -> dict[Side, NDArray[np.float64]]:
        """Distance from entry to liquidation per node, as a positive difference of log prices, float64[nodes].

        A node with more leverage than a position of typical size may have stands for smaller ones, and one with more
        than any may have for the most: they would else be liquidated as they are opened.
        """
        rates = []
        for node in self.nodes:
            leverage = min(node, self.tiers[0].max_leverage)
            beyond = (tier.floor_usd for tier in self.tiers if tier.max_leverage < leverage)
            rates.append((leverage, maintenance_rate(self.tiers, min(self.position_usd, *beyond, math.inf))))
        return {
            side: np.abs(np.log([liquidation_price(1.0, leverage, rate, side) for leverage, rate in rates]))
            for side in Side
        }

    def weights_at(self, crowding: float, side: Side) -> NDArray[np.float64]:
        """Node weights of one side, float64[nodes], summing to 1.

        ``crowding`` in -1..+1 says which side is *more leveraged* (+1 longs), not which side exists: a rise in
        open interest always adds to both sides in full.
        """
        weights = self.side_weights(side)
        nodes = np.asarray(self.nodes)
        signed = crowding if side is Side.LONG else -crowding
        tilted: NDArray[np.float64] = weights * (nodes / (weights @ nodes)) ** (self.crowding_strength * signed)
        tilted /= tilted.sum()
        return tilted
