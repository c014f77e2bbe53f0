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

from detectors.leverage import LeverageModel, default_nodes
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
SMOOTHNESS = 0.4
"""Distance in log leverage over which weights change together."""
DEVIATION = 1.0
"""Prior standard deviation of the log of a weight against the prior's; for the smooth part and a round leverage."""
MOST_DEVIATION = 3.0
"""No weight moves by more than this factor's exponential, whatever is observed."""
SHARE_DEVIATION = 3.0
"""The same of the realised share: nearly free."""
BACKGROUND = 0.02
"""Part of the mean rate that is expected at the least where no exposure was traded through."""
BACKGROUND_DEVIATION = 2.0
"""Prior standard deviation of the log of the background against that part."""
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
_STEPS = 60
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

    nodes: tuple[float, ...]
    weights: tuple[float, ...]
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
    return replace(model, nodes=nodes, weights=tuple(weights[node] for node in nodes))


def fitted(prior: LeverageModel, evidence: Evidence) -> Weights:
    """The most likely weights given the prior's and the evidence; the prior's where nothing was liquidated."""
    traded, seen = evidence.stacked
    weights = np.asarray(prior.weights) / sum(prior.weights)
    typical = typical_size(seen)
    busy = (traded.sum(axis=0) > 0) | (seen > 0)  # where neither, only the background tells anything
    quiet = int((~busy).sum())
    expected = weights[:, None] * traded[:, busy]
    if not (typical > 0 and expected.sum() > 0):
        return Weights(tuple(weights.tolist()), float("nan"))
    task = _Task(prior, expected, seen, seen[busy], quiet, typical)
    for _ in range(2):
        # What the weights explain of a storm is no luck: what is left of it says how much an event weighs.
        found = _most_likely(task)
        task.typical = min(typical, task.dispersion(found))
    logs = _most_likely(task)[:-1]
    moved = logs - np.average(logs, weights=weights)
    new = weights * np.exp(np.clip(moved, -MOST_DEVIATION, MOST_DEVIATION))
    new /= new.sum()
    return Weights(tuple(new.tolist()), realised_share(new, evidence))


class _Task:
    """What is fitted: logs of the weights over the prior's times a share, and last that of the background."""

    def __init__(
        self, prior: LeverageModel, expected: Floats, all_seen: Floats, seen: Floats, quiet: int, typical: float
    ) -> None:
        nodes = len(expected)
        self.rows = np.vstack([expected, np.full(expected.shape[1], float(all_seen.mean()))])
        self.seen, self.quiet, self.typical = seen, quiet, typical
        self.start = np.append(np.full(nodes, math.log(seen.sum() / expected.sum())), math.log(BACKGROUND))
        covariance = np.zeros((nodes + 1, nodes + 1))
        covariance[:nodes, :nodes] = _covariance(np.log(np.asarray(prior.nodes)))
        covariance[nodes, nodes] = BACKGROUND_DEVIATION**2
        self.inverse: Floats = np.linalg.inv(covariance).astype(np.float64)

    def dispersion(self, logs: Floats) -> float:
        """Summed squares of what these rates leave unexplained, over their sum: a quasi-Poisson scale (McCullagh and
        Nelder, Generalized Linear Models, 1989, 6.2), pooled over the intervals, since most expect next to nothing."""
        rates = np.exp(logs) @ self.rows
        background = self._background(logs)
        left = float(((self.seen - rates) ** 2).sum()) + self.quiet * background**2
        return float(left / (rates.sum() + self.quiet * background))

    def _background(self, logs: Floats) -> float:
        """What is liquidated in an interval whatever price trades through."""
        return float(self.rows[-1, 0] * math.exp(logs[-1]))

    def loss(self, logs: Floats) -> float:
        rates = np.exp(logs) @ self.rows
        away = logs - self.start
        quiet = self.quiet * self._background(logs)
        return float(
            0.5 * away @ self.inverse @ away + ((rates - self.seen * np.log(rates)).sum() + quiet) / self.typical
        )

    def step(self, logs: Floats) -> Floats:
        """Newton's."""
        rates = np.exp(logs)[:, None] * self.rows
        total = rates.sum(axis=0)
        summed = rates.sum(axis=1)
        summed[-1] += self.quiet * self._background(logs)
        slope = self.inverse @ (logs - self.start) + (summed - rates @ (self.seen / total)) / self.typical
        curve = self.inverse + (rates / total) @ rates.T / self.typical
        curve[-1, -1] += self.quiet * self._background(logs) / self.typical
        found: Floats = np.clip(np.linalg.solve(curve, slope), -2.0, 2.0)
        return found


def _most_likely(task: _Task) -> Floats:
    logs = task.start
    loss = task.loss(logs)
    for _ in range(_STEPS):
        step, size, best = task.step(logs), 1.0, loss
        while size > 1e-3:
            found = task.loss(logs - size * step)
            if found < loss:
                logs, best = logs - size * step, found
                break
            size /= 2
        if loss - best <= 1e-7 * abs(loss):
            break
        loss = best
    return logs


def fit(prior: LeverageModel, default: Floats, evidence: Evidence) -> FitResult:
    """Fits on all of the evidence, and says what fitting on the past would have gained on what followed.

    ``default`` are the weights it must beat, float64[nodes], on the prior's nodes. What is judged is the recipe: the
    weights of each judged stretch are those fitted on all before it. What is returned is the same recipe on everything,
    so it knows the newest days as well; nobody has seen how that one does.
    """
    typical = typical_size(evidence.stacked[1])
    found = fitted(prior, evidence)
    return FitResult(
        prior.nodes,
        found.weights,
        found.realised_share,
        realised_share(default, evidence),
        float(evidence.stacked[1].sum()) / typical if typical > 0 else 0.0,
        len(evidence),
        judged(prior, default, evidence),
    )


def judged(prior: LeverageModel, default: Floats, evidence: Evidence) -> Gain:
    """Stretch after stretch fitted on all before it and compared with ``default`` there, day by day.

    The sums by day are held to Student's t, so a gain of one lucky day is none.
    """
    typical = typical_size(evidence.stacked[1])
    edges = [round(len(evidence) * (FIRST_FOLD + (1 - FIRST_FOLD) * n / FOLDS)) for n in range(FOLDS + 1)]
    by_day: dict[int, float] = {}
    for start, stop in itertools.pairwise(edges):
        early, late = evidence.cut(0, start), evidence.cut(start, stop)
        if not len(late) or not early.stacked[1].sum() > 0:
            continue
        tried = np.array(fitted(prior, early).weights)
        gained = (likelihoods(tried, early, late) - likelihoods(default, early, late)) / typical
        for day, one in zip(np.tile(late.day, len(Side)).tolist(), gained.tolist(), strict=True):
            by_day[day] = by_day.get(day, 0.0) + one
    return gain_of(np.array(list(by_day.values())))


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
    traded, seen = early.stacked
    through, floor = weights @ traded, BACKGROUND * float(seen.mean())
    share, background = seen.sum() / max(through.sum(), 1e-300), floor
    for _ in range(_MIXTURE_STEPS):  # expectation and maximisation of a sum of two Poisson parts
        part = seen / (share * through + background)
        share *= (part @ through) / max(through.sum(), 1e-300)
        background = max(floor, background * float(part.mean()))
    traded, seen = late.stacked
    rates = share * (weights @ traded) + background
    found: Floats = seen * np.log(rates) - rates
    return found


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
