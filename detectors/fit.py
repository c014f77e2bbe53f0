"""Leverage weights fitted to observed liquidations: bounded, held near a prior, believed only out of sample.

What is liquidated in an interval is taken to be Poisson around a weighted sum of what each leverage node lost in it
(`node_exposure`), in units of a typical observed liquidation. The logs of the weights are a Gaussian process over log
leverage around the prior's, with a part of its own for each round leverage that traders like, so that little evidence
moves them little and much evidence moves them smoothly: a log-Gaussian Cox model, whose mode Newton's method finds
(Rasmussen and Williams 2006, 3.4). One common factor is the *realised share*: how much of what price trades through is
liquidated.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from detectors.fit_task import Task, most_likely
from detectors.leverage import LeverageModel, NodeWeights, default_nodes
from detectors.market import Side

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUND_LEVERAGES = (3.0, 5.0, 10.0, 15.0, 20.0, 25.0, 50.0, 75.0, 100.0, 125.0)
"""What exchanges' sliders and every published table offer."""
ROUND_SHARE = 0.3
PRIOR_MEDIAN = 6.4
PRIOR_LOG_SPREAD = 1.0
"""Isolated positions on Hyperliquid lay a median 15.7 % from liquidation, 80 % of them between 3.1 and 42.7 %."""
FARTHEST = 0.42
SMOOTHNESS = 0.8
"""Distance in log leverage over which weights change together."""
SIDES_APART = 0.3
"""How far longs and shorts differ: prior deviation of a side's own part, of all of it. They read the same screens, but
are not the same people."""
DEVIATION = 0.6
"""Prior standard deviation of the log of a weight against the prior's; for the smooth part and a round leverage."""
MOST_DEVIATION = 3.0
"""No weight moves by more than this factor's exponential, whatever is observed."""
SHARE_DEVIATION = 3.0
"""The same of the realised share: nearly free."""
BACKGROUND = 0.02
"""Part of the mean rate that is expected at the least where no exposure was traded through."""
LEAST_EVENTS = 50.0
"""Typical liquidations that a fit needs before it is believed."""
FOLDS = 3
"""Stretches that are judged, each by what was fitted on all before it."""
FIRST_FOLD = 0.4
"""Part of the evidence that the first of them is fitted on."""
LEVEL = 0.95
"""One-sided, at which a gain must be more than luck."""
LEAST_DAYS = 8
"""Days that must be judged; fewer tell nothing, however much happened on them."""
_ROUNDS = 3
_MIXTURE_STEPS = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was traded through and what was liquidated, by interval: float64[nodes, n] and float64[n] a side.

    Both in one unit, which need not be the same for the two: the realised share takes up the difference. ``day``,
    int64[n], is the day of each interval: liquidations come in storms, so days are single draws and intervals are not.
    """

    traded_through: Mapping[Side, Floats]
    liquidated: Mapping[Side, Floats]
    day: Ints

    def cut(self, start: int, stop: int) -> "Evidence":
        """Intervals ``start`` to before ``stop``."""
        return Evidence(
            {side: nodes[:, start:stop] for side, nodes in self.traded_through.items()},
            {side: amounts[start:stop] for side, amounts in self.liquidated.items()},
            self.day[start:stop],
        )

    def __len__(self) -> int:
        return len(self.liquidated[Side.LONG])

    @property
    def seen(self) -> Floats:
        """Liquidated, both sides one after the other: float64[2 n]."""
        return np.concatenate([self.liquidated[side] for side in Side])

    def through(self, weights: Floats) -> Floats:
        """Traded through of a map with these weights, float64[nodes] or [2, nodes] by side; float64[2 n]."""
        both = np.broadcast_to(weights, (len(Side), weights.shape[-1]))
        return np.concatenate([one @ self.traded_through[side] for one, side in zip(both, Side, strict=True)])


@dataclass(frozen=True, slots=True)
class Weights:
    """Fitted node weights of longs and of shorts, each summing to 1, and the realised share they go with."""

    weights: tuple[float, ...]
    short_weights: tuple[float, ...]
    realised_share: float

    @property
    def by_side(self) -> Floats:
        """float64[2, nodes]."""
        return np.array([self.weights, self.short_weights])


@dataclass(frozen=True, slots=True)
class Gain:
    """What fitting on the past would have gained on what followed: log likelihood over that of the weights to beat."""

    total: float = 0.0
    low: float = float("-inf")
    """What it is at least, at 95 %, days being single draws; minus infinity where too few were judged."""
    high: float = float("inf")
    days: int = 0


@dataclass(frozen=True, slots=True)
class FitResult:
    """A fit on all of the evidence, and what the same recipe did where it had not looked (`judged`)."""

    found: NodeWeights
    realised_share: float
    """Liquidated over traded through, bar by bar, with the fitted weights over all intervals. A receipt's exposure is
    another one: see `detectors.realised`."""
    default_realised_share: float
    """The same of the default weights."""
    events: float
    """Liquidations of typical size that were observed."""
    intervals: int
    gain: Gain

    @property
    def believed(self) -> bool:
        return self.events >= LEAST_EVENTS and self.gain.low > 0

    @property
    def reason(self) -> str:
        """Why it is believed or not, in words."""
        if self.events < LEAST_EVENTS:
            return f"too little was liquidated: {self.events:.0f} typical liquidations of {LEAST_EVENTS:.0f} needed"
        if self.gain.days < LEAST_DAYS:
            return f"too short: {self.gain.days} days to judge by, of {LEAST_DAYS} needed"
        if self.gain.total <= 0:
            return "does not beat the weights before it on days it had not seen"
        if not self.believed:
            return "beats the weights before it on days it had not seen by no more than luck"
        return "beats the weights before it on days it had not seen by more than luck"


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
    return replace(model, nodes=nodes, weights=tuple(weights[node] for node in nodes), short_weights=())


def fitted(prior: LeverageModel, evidence: Evidence) -> Weights:
    """The most likely weights given the prior's and the evidence; the prior's where nothing was liquidated."""
    seen = evidence.seen
    weights = np.asarray(prior.weights) / sum(prior.weights)
    expected = _by_side(weights, evidence)
    busy = (expected.sum(axis=0) > 0) | (seen > 0)  # where neither, only the background tells anything
    typical = typical_size(seen)
    if not (typical > 0 and expected.sum() > 0):
        return Weights(tuple(weights.tolist()), tuple(weights.tolist()), float("nan"))
    task = Task(expected[:, busy], seen, seen[busy], int((~busy).sum()), typical, _covariance(prior), BACKGROUND)
    logs = most_likely(task)
    for _ in range(_ROUNDS):
        # What the weights explain of a storm is no luck: what is left of it says how much an event weighs.
        task.weigh(logs, typical)
        logs = most_likely(task)
    both = np.tile(weights, len(Side)) / len(Side)
    moved = np.clip(logs[:-1] - np.average(logs[:-1], weights=both), -MOST_DEVIATION, MOST_DEVIATION)
    new = weights * np.exp(moved.reshape(len(Side), -1))
    new /= new.sum(axis=1, keepdims=True)
    longs, shorts = (tuple(side.tolist()) for side in new)
    return Weights(longs, shorts, realised_share(new, evidence))


def _by_side(weights: Floats, evidence: Evidence) -> Floats:
    """What is expected of each node's longs, then of its shorts: float64[2 nodes, 2 n]."""
    longs, shorts = (weights[:, None] * evidence.traded_through[side] for side in Side)
    return np.block([[longs, np.zeros_like(shorts)], [np.zeros_like(longs), shorts]])


def fit(
    prior: LeverageModel,
    evidence: Evidence,
    judged_on: Evidence,
    default: Floats,
    default_evidence: Evidence,
) -> FitResult:
    """Fits on all of the evidence, and says what fitting on the past would have gained on what followed.

    ``default`` are the weights it must beat, float64[nodes] or [2, nodes] by side, on the nodes of their own evidence;
    ``judged_on`` is the same history with exposure replaced as its first days say. What is judged is the recipe: the
    weights of each judged stretch are those fitted on all before it. What is returned is the same recipe on everything,
    so it knows the newest days as well; nobody has seen how that one does.
    """
    typical = typical_size(evidence.seen)
    found = fitted(prior, evidence)
    return FitResult(
        NodeWeights(prior.nodes, found.weights, found.short_weights),
        found.realised_share,
        realised_share(default, default_evidence),
        float(evidence.seen.sum()) / typical if typical > 0 else 0.0,
        len(evidence),
        judged(prior, judged_on, default, default_evidence),
    )


def first_judged(intervals: int) -> int:
    """The interval with which the stretches that are judged begin."""
    return round(intervals * FIRST_FOLD)


def judged(prior: LeverageModel, evidence: Evidence, default: Floats, default_evidence: Evidence) -> Gain:
    """Stretch after stretch fitted on all before it and compared with ``default`` there, day by day.

    The sums by day are held to Student's t, so a gain of one lucky day is none.
    """
    edges = [round(len(evidence) * (FIRST_FOLD + (1 - FIRST_FOLD) * n / FOLDS)) for n in range(FOLDS + 1)]
    by_day: dict[int, float] = {}
    for start, stop in itertools.pairwise(edges):
        early, late = evidence.cut(0, start), evidence.cut(start, stop)
        if not len(late) or not early.seen.sum() > 0:
            continue
        tried = likelihoods(fitted(prior, early).by_side, early, late)
        beaten = likelihoods(default, default_evidence.cut(0, start), default_evidence.cut(start, stop))
        for day, one in _by_day(late, tried - beaten).items():
            by_day[day] = by_day.get(day, 0.0) + one
    typical = typical_size(evidence.seen)
    return gain_of(np.array(list(by_day.values())) / (typical or 1.0))


def gain_since(interval: int, weights: tuple[Floats, Evidence], others: tuple[Floats, Evidence]) -> Gain:
    """What these weights gain over others on the intervals from that one on, each on its own exposure; shares and
    backgrounds are of the intervals before."""
    evidence = weights[1]
    typical = typical_size(evidence.seen)
    if not (0 < interval < len(evidence) and evidence.cut(0, interval).seen.sum() > 0):
        return Gain()
    first, second = (likelihoods(one, of.cut(0, interval), of.cut(interval, len(of))) for one, of in (weights, others))
    return gain_of(np.array(list(_by_day(evidence.cut(interval, len(evidence)), first - second).values())) / typical)


def _by_day(evidence: Evidence, values: Floats) -> dict[int, float]:
    """Sums by day of a value for each interval, both sides one after the other."""
    sums: dict[int, float] = {}
    for day, one in zip(np.tile(evidence.day, len(Side)).tolist(), values.tolist(), strict=True):
        sums[day] = sums.get(day, 0.0) + one
    return sums


def gain_of(days: Floats) -> Gain:
    """From the gain of each day that was judged, float64[days]."""
    if len(days) < LEAST_DAYS:
        return Gain(total=float(days.sum()), days=len(days))
    total, luck = float(days.sum()), student(len(days) - 1) * math.sqrt(len(days)) * float(days.std(ddof=1))
    return Gain(total, total - luck, total + luck, len(days))


def student(freedom: int) -> float:
    """Student's t at `LEVEL`, one-sided, from 4 degrees of freedom on (Abramowitz and Stegun 26.7.8, solved for t)."""
    normal = NormalDist().inv_cdf(LEVEL)
    return normal / math.sqrt((1 - 1 / (4 * freedom)) ** 2 - normal**2 / (2 * freedom))


def likelihoods(weights: Floats, early: Evidence, late: Evidence) -> Floats:
    """Log likelihood of each late interval, both sides one after the other, up to a constant; float64[2 n].

    How much is liquidated, of what these weights say and besides, is taken from the early ones: what happens whatever
    price trades through speaks for no weights.
    """
    through, seen = early.through(weights), early.seen
    floor = BACKGROUND * float(seen.mean())
    share, background = seen.sum() / max(through.sum(), 1e-300), floor
    for _ in range(_MIXTURE_STEPS):  # expectation and maximisation of a sum of two Poisson parts
        part = seen / (share * through + background)
        share *= (part @ through) / max(through.sum(), 1e-300)
        background = max(floor, background * float(part.mean()))
    rates = share * late.through(weights) + background
    seen = late.seen
    found: Floats = seen * np.log(rates) - rates
    return found


def realised_share(weights: Floats, evidence: Evidence) -> float:
    """Liquidated over traded through, of a map with these weights; NaN where nothing was traded through."""
    through = float(evidence.through(weights).sum())
    return float(evidence.seen.sum()) / through if through > 0 else float("nan")


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


def _covariance(prior: LeverageModel) -> Floats:
    """Of the logs of longs' weights and, after them, of shorts': float64[2 nodes, 2 nodes]."""
    nodes = np.asarray(prior.nodes)
    rounded = np.isin(np.round(nodes, 6), ROUND_LEVERAGES)
    apart = np.log(nodes[:, None] / nodes) / SMOOTHNESS
    one = DEVIATION**2 * np.exp(-0.5 * apart**2) + np.diag(np.where(rounded, DEVIATION**2, 0.02**2))
    alike = 1 - SIDES_APART**2
    both = np.block([[one, alike * one], [alike * one, one]]) + SHARE_DEVIATION**2
    found: Floats = both + 1e-6 * np.eye(len(both))  # a side's own part is narrow, and sums are rounded
    return found
