"""How an estimate is held to what really happened: rank correlations, their intervals, and distances of histograms.

The *truth stick*: is more liquidated in the hours in which the map says that more was consumed? Almost any map agrees,
for both follow the move; so what counts is the partial rank correlation given the hour's move, its drawdown and both
times volume. Arrays are float64[n], one value an hour, where nothing else is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK_HOURS = 24
"""Hours drawn together: liquidations come in storms, so single hours are not independent draws."""
DRAWS = 400
LEVEL = 0.90


@dataclass(frozen=True, slots=True)
class Stick:
    """Of one map and side: rank correlation with what was liquidated, and the same given the baselines.

    ``baseline`` is the best rank correlation that one of the baselines has by itself, without a map. NaN where nothing
    varies or too few hours are known.
    """

    spearman: float
    partial: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


def ranks(values: Floats) -> Floats:
    """Ranks from 0, ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: Floats = last - (counts + 1) / 2
    return mean[inverse]


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's; NaN where one of them does not vary."""
    return _correlation(ranks(a), ranks(b))


def partial_rank_correlation(a: Floats, b: Floats, given: Sequence[Floats]) -> float:
    """Correlation of what is left of both ranks once a straight line on the ranks of ``given`` is taken out."""
    if len(a) < len(given) + 3:
        return float("nan")
    explained = np.column_stack([np.ones(len(a)), *(ranks(one) for one in given)])
    left = []
    for one in (ranks(a), ranks(b)):
        rest = one - explained @ np.linalg.lstsq(explained, one, rcond=None)[0]
        # what the baselines explain to the last digit leaves rounding, which would correlate with anything
        left.append(rest if rest.std() > 1e-9 * max(1.0, float(one.std())) else np.zeros(len(rest)))
    return _correlation(left[0], left[1])


def stick(consumed: Floats, liquidated: Floats, baselines: Sequence[Floats]) -> Stick:
    """The truth stick of one side."""
    return Stick(
        rank_correlation(consumed, liquidated),
        partial_rank_correlation(consumed, liquidated, baselines),
        max((rank_correlation(one, liquidated) for one in baselines), default=float("nan")),
    )


def partial_interval(consumed: Floats, liquidated: Floats, baselines: Sequence[Floats]) -> Interval:
    """Bootstrap interval (90 %) of the partial rank correlation, over blocks of a day, in a circle.

    Draws are spread evenly by a fixed sequence in place of chance, so that the same hours give the same interval.
    """
    n = len(consumed)
    if n < 2 * BLOCK_HOURS:
        return Interval(float("nan"), float("nan"))
    blocks = -(-n // BLOCK_HOURS)
    found = []
    for draw in range(DRAWS):
        starts = (_spread(draw * blocks + np.arange(blocks)) * n).astype(np.int64)
        rows = ((starts[:, None] + np.arange(BLOCK_HOURS)).ravel() % n)[:n]
        found.append(partial_rank_correlation(consumed[rows], liquidated[rows], [one[rows] for one in baselines]))
    known = np.array(found)[np.isfinite(found)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _spread(numbers: NDArray[np.int64]) -> Floats:
    """A fraction in 0..1 for each number that looks drawn at random: SplitMix64 (Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: Floats = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(2**53)
    return spread


# --- maps against known positions


@dataclass(frozen=True, slots=True)
class Likeness:
    """An estimated histogram against the true one on the same bins."""

    pearson: float
    spearman: float
    earth_mover: float
    """Mean distance that estimated exposure must be moved to lie like the true one, in bins."""
    total_ratio: float
    """Estimated over true total."""


def likeness(estimate: Floats, truth: Floats) -> Likeness:
    """float64[bins] each, of evenly spaced bins. NaN where a histogram is empty; 0 correlation where it is flat."""
    totals = float(estimate.sum()), float(truth.sum())
    mover = float("nan")
    if min(totals) > 0:
        mover = float(np.abs(np.cumsum(estimate / totals[0] - truth / totals[1])).sum())
    return Likeness(
        pearson(estimate, truth),
        rank_correlation(estimate, truth),
        mover,
        totals[0] / totals[1] if totals[1] > 0 else float("nan"),
    )


def pearson(estimate: Floats, truth: Floats) -> float:
    """0 where either is the same everywhere, for then it tells nothing."""
    found = _correlation(estimate, truth)
    return 0.0 if np.isnan(found) else found


def _correlation(a: Floats, b: Floats) -> float:
    if len(a) < 2 or not (a.std() > 0 and b.std() > 0):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
