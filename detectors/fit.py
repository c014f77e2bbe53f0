"""Leverage weights fitted to observed liquidations: bounded, held near a prior, believed only out of sample.

What is liquidated in an interval is taken to be Poisson around a weighted sum of what each leverage node lost in it
(`node_exposure`), in units of a typical observed liquidation. The logs of the weights are a Gaussian process over log
leverage around the prior's, with a part of its own for each round leverage that traders like, so that little evidence
moves them little and much evidence moves them smoothly: a log-Gaussian Cox model, whose mode Newton's method finds
(Rasmussen and Williams 2006, 3.4). One common factor is the *realised share*: how much of what price trades through is
liquidated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.leverage import LeverageModel, default_nodes
from detectors.market import Side

Floats = NDArray[np.float64]

ROUND_LEVERAGES = (3.0, 5.0, 10.0, 15.0, 20.0, 25.0, 50.0, 75.0, 100.0, 125.0)
"""What exchanges' sliders and every published table offer."""
ROUND_SHARE = 0.3
PRIOR_MEDIAN = 6.4
PRIOR_LOG_SPREAD = 1.0
"""Isolated positions on Hyperliquid lay a median 15.7 % from liquidation, 80 % of them between 3.1 and 42.7 %."""
FARTHEST = 0.42
SMOOTHNESS = 0.4
"""Distance in log leverage over which weights change together."""
DEVIATION = 1.0
"""Prior standard deviation of the log of a weight against the prior's; for the smooth part and a round leverage."""
MOST_DEVIATION = 3.0
"""No weight moves by more than this factor's exponential, whatever is observed."""
SHARE_DEVIATION = 3.0
"""The same of the realised share: nearly free."""
BACKGROUND = 0.02
"""Part of the mean rate that is expected even where no exposure was traded through."""
LEAST_EVENTS = 50.0
"""Typical liquidations that a fit needs before it is believed."""
LEAST_GAIN = 0.0
"""Log likelihood by which fitted weights must beat the default on what they have not seen."""
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was traded through and what was liquidated, by interval: float64[nodes, n] and float64[n] a side.

    Both in one unit, which need not be the same for the two: the realised share takes up the difference.
    """

    traded_through: Mapping[Side, Floats]
    liquidated: Mapping[Side, Floats]

    def cut(self, start: int, stop: int) -> "Evidence":
        """Intervals ``start`` to before ``stop``."""
        return Evidence(
            {side: nodes[:, start:stop] for side, nodes in self.traded_through.items()},
            {side: amounts[start:stop] for side, amounts in self.liquidated.items()},
        )

    def __len__(self) -> int:
        return len(self.liquidated[Side.LONG])

    @property
    def stacked(self) -> tuple[Floats, Floats]:
        """Both sides one after the other: float64[nodes, 2 n], float64[2 n]."""
        return (
            np.concatenate([self.traded_through[side] for side in Side], axis=1),
            np.concatenate([self.liquidated[side] for side in Side]),
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """Fitted node weights, summing to 1, and the realised share they go with."""

    weights: tuple[float, ...]
    realised_share: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """A fit, and what it did where it had not looked: fitted on the first half, judged on the second."""

    nodes: tuple[float, ...]
    weights: tuple[float, ...]
    realised_share: float
    """Of the fitted weights, over all intervals."""
    default_realised_share: float
    """The same of the default weights."""
    events: float
    """Liquidations of typical size that were observed."""
    intervals: int
    gain: float
    """Log likelihood of the second half by weights of the first, over that of the default weights."""

    @property
    def believed(self) -> bool:
        return self.events >= LEAST_EVENTS and self.gain > LEAST_GAIN


def fit_model(model: LeverageModel) -> LeverageModel:
    """The model that is fitted: its tiers, turnover and crowding, over finer nodes with the round leverages among them.

    Weights are the prior's: lognormal around 6.4x, and three tenths of it at round leverages.
    """
    count = len(default_nodes())
    ratio = (FARTHEST / 0.006) ** (1 / (count + 3))
    smooth = [1 / (0.006 * ratio**n) for n in range(count + 4)]
    envelope = {
        leverage: float(np.exp(-0.5 * (np.log(leverage / PRIOR_MEDIAN) / PRIOR_LOG_SPREAD) ** 2))
        for leverage in (*smooth, *ROUND_LEVERAGES)
    }
    parts = ((smooth, 1 - ROUND_SHARE), (ROUND_LEVERAGES, ROUND_SHARE))
    weights = {
        one: share * envelope[one] / sum(envelope[each] for each in group) for group, share in parts for one in group
    }
    nodes = tuple(sorted(weights, reverse=True))
    return replace(model, nodes=nodes, weights=tuple(weights[node] for node in nodes))


def fitted(prior: LeverageModel, evidence: Evidence) -> Weights:
    """The most likely weights given the prior's and the evidence; the prior's where nothing was liquidated."""
    traded, seen = evidence.stacked
    weights = np.asarray(prior.weights) / sum(prior.weights)
    typical = typical_size(seen)
    expected = weights[:, None] * traded
    if not (typical > 0 and expected.sum() > 0):
        return Weights(tuple(weights.tolist()), float("nan"))
    start = float(np.log(seen.sum() / expected.sum()))
    inverse = np.linalg.inv(_covariance(np.log(np.asarray(prior.nodes)))).astype(np.float64)
    floor = BACKGROUND * float(seen.mean())
    logs = np.full(len(weights), start)
    loss = _loss(logs, start, inverse, expected, seen, floor, typical)
    for _ in range(_STEPS):
        rates = np.exp(logs)[:, None] * expected
        total = rates.sum(axis=0) + floor
        slope = inverse @ (logs - start) + (rates.sum(axis=1) - rates @ (seen / total)) / typical
        curve = inverse + (rates / total) @ rates.T / typical
        step = np.clip(np.linalg.solve(curve, slope), -2.0, 2.0)
        size, best = 1.0, loss
        while size > 1e-3:
            found = _loss(logs - size * step, start, inverse, expected, seen, floor, typical)
            if found < loss:
                logs, best = logs - size * step, found
                break
            size /= 2
        if loss - best <= 1e-7 * abs(loss):
            break
        loss = best
    moved = logs - np.average(logs, weights=weights)
    new = weights * np.exp(np.clip(moved, -MOST_DEVIATION, MOST_DEVIATION))
    new /= new.sum()
    return Weights(tuple(new.tolist()), realised_share(new, evidence))


def fit(prior: LeverageModel, default: Floats, evidence: Evidence) -> FitResult:
    """Fits on all of the evidence, and says what fitting on its first half would have gained on its second.

    ``default`` are the weights it must beat, float64[nodes], on the prior's nodes.
    """
    half = len(evidence) // 2
    early, late = evidence.cut(0, half), evidence.cut(half, len(evidence))
    typical = typical_size(evidence.stacked[1])
    gain = 0.0
    if typical > 0 and early.stacked[1].sum() > 0:
        tried = np.array(fitted(prior, early).weights)
        gain = likelihood(tried, early, late, typical) - likelihood(default, early, late, typical)
    found = fitted(prior, evidence)
    return FitResult(
        prior.nodes,
        found.weights,
        found.realised_share,
        realised_share(default, evidence),
        float(evidence.stacked[1].sum()) / typical if typical > 0 else 0.0,
        len(evidence),
        gain,
    )


def likelihood(weights: Floats, early: Evidence, late: Evidence, typical: float) -> float:
    """Log likelihood of the late evidence with these weights and the early one's realised share, up to a constant."""
    share = realised_share(weights, early)
    traded, seen = late.stacked
    rates = share * (weights @ traded) + BACKGROUND * float(early.stacked[1].mean())
    return float((seen * np.log(rates) - rates).sum()) / typical if share > 0 else -float("inf")


def realised_share(weights: Floats, evidence: Evidence) -> float:
    """Liquidated over traded through, of a map with these weights; NaN where nothing was traded through."""
    traded, seen = evidence.stacked
    through = float(weights @ traded.sum(axis=1))
    return float(seen.sum()) / through if through > 0 else float("nan")


def typical_size(seen: Floats) -> float:
    """Amount-weighted mean of what was liquidated in an interval: the size that counts as one event. 0: nothing."""
    total = float(seen.sum())
    return float(seen @ seen) / total if total > 0 else 0.0


def on_nodes(model: LeverageModel, nodes: Sequence[float]) -> Floats:
    """The weights of a model on other nodes, each given to the one nearest in log leverage; float64[nodes], sum 1."""
    found = np.zeros(len(nodes))
    apart = np.abs(np.log(np.asarray(model.nodes))[:, None] - np.log(np.asarray(nodes)))
    np.add.at(found, apart.argmin(axis=1), np.asarray(model.weights) / sum(model.weights))
    return found


def _covariance(logs: Floats) -> Floats:
    rounded = np.isin(np.round(np.exp(logs), 6), ROUND_LEVERAGES)
    apart = (logs[:, None] - logs) / SMOOTHNESS
    covariance: Floats = DEVIATION**2 * np.exp(-0.5 * apart**2) + SHARE_DEVIATION**2
    covariance += np.diag(np.where(rounded, DEVIATION**2, 0.02**2))
    return covariance


def _loss(
    logs: Floats, start: float, inverse: Floats, expected: Floats, seen: Floats, floor: float, typical: float
) -> float:
    rates = np.exp(logs) @ expected + floor
    return float(0.5 * (logs - start) @ inverse @ (logs - start) + (rates - seen * np.log(rates)).sum() / typical)
