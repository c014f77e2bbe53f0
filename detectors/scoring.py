"""The record of alerts: how many came true, at least, by chance, and whether the difference is more than luck.

Pure arithmetic on judged alerts; what became of each is for the kinds (`detectors.judging`), what chance gives for
`detectors.chance`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from detectors.chance import Chance
from detectors.event import Event, Fact, OutcomeClass, Question
from detectors.market import DAY_MS, Side
from detectors.series import Floats, Times

Z_ONE_SIDED = NormalDist().inv_cdf(0.95)
Z_TWO_SIDED = NormalDist().inv_cdf(0.975)
LEAST_BLOCKS = 8
"""Fewer days (or horizons) than this tell nothing, however many alerts fell into them."""
DISTANCE_LADDER_PCT = frozenset({5.0, 3.0, 2.0, 1.0, 0.5})


class Verdict(StrEnum):
    BETTER = "better than chance"
    WORSE = "worse than chance"
    LUCK = "no more than luck"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True)
class Scored:
    """One alert that was decided, and what came of it. ``chance`` None: there was too little other time to ask."""

    key: str
    kind: str
    market: str
    group: str
    """Alerts that are counted together: see `group_of`."""
    side: Side | None
    taken_at_ms: int
    outcome: OutcomeClass
    decided_at_ms: int
    question: Question | None = None
    chance: Chance | None = None
    facts: tuple[Fact, ...] = ()
    """What was measured; empty where only the count was asked for. So is ``event``."""
    event: Event | None = None

    @property
    def judged(self) -> bool:
        return self.outcome in {OutcomeClass.REACHED, OutcomeClass.MISSED}

    @property
    def reached(self) -> bool:
        return self.outcome is OutcomeClass.REACHED


@dataclass(frozen=True, slots=True)
class Record:
    """How alerts turned out. ``rate``, ``at_least``: None without any that is judged.

    What is said of chance is of the ``compared`` alerts that have a chance level, with their own ``compared_rate``.
    """

    n: int
    reached: int
    at_least: float | None
    unjudged: int = 0
    compared: int = 0
    compared_rate: float | None = None
    chance: float | None = None
    score: float | None = None
    """Standard normal deviate of the difference from chance, blocks of days taken as one draw each."""
    effective_n: float | None = None
    """As many independent alerts would tell as much."""
    verdict: Verdict = Verdict.TOO_FEW

    @property
    def rate(self) -> float | None:
        return self.reached / self.n if self.n else None

    @property
    def lift(self) -> float | None:
        """How many times as often as by chance."""
        return self.compared_rate / self.chance if self.chance and self.compared_rate is not None else None


def group_of(event: Event) -> str:
    """Alerts of one kind count together; approaches only with those of the same rung of the distance ladder."""
    rung = event.rung
    crossing = rung in DISTANCE_LADDER_PCT and event.number("distance_pct") is not None
    return f"{event.kind}@{rung:g}" if crossing else event.kind


def wilson_bounds(reached: int, n: int, z: float = Z_TWO_SIDED) -> tuple[float, float]:
    """Wilson's score interval of a rate (E. B. Wilson, JASA 22, 1927, p. 209): no lower than 0, honest for small n.

    (p + z^2/2n -/+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Raises ValueError unless 0 <= reached <= n, n > 0.
    """
    if not 0 <= reached <= n or n == 0:
        raise ValueError(f"{reached} of {n} is no rate")
    rate = reached / n
    middle, half = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2)
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def wilson_lower(reached: int, n: int) -> float:
    """What the rate is at least, with 95 % confidence (one-sided, z = 1.645): 64 of 112 are at least 49 %."""
    return wilson_bounds(reached, n, Z_ONE_SIDED)[0]


def record_of(scored: Iterable[Scored]) -> Record:
    """The record of these alerts. What is not decided yet does not count; what is unjudged is counted apart."""
    decided = [one for one in scored if one.outcome is not OutcomeClass.UNDECIDED]
    judged = [one for one in decided if one.judged]
    reached = sum(one.reached for one in judged)
    at_least = wilson_lower(reached, len(judged)) if judged else None
    unjudged = len(decided) - len(judged)
    compared = [(one, one.chance.share) for one in judged if one.chance is not None]
    if not compared:
        return Record(len(judged), reached, at_least, unjudged)
    excess = np.array([one.reached - share for one, share in compared])
    shares = np.array([share for _, share in compared])
    rate = float(np.mean([one.reached for one, _ in compared]))
    sums = block_sums(excess, blocks_of([one for one, _ in compared]))
    score = t_as_normal(sums)
    return Record(
        n=len(judged),
        reached=reached,
        at_least=at_least,
        unjudged=unjudged,
        compared=len(compared),
        compared_rate=rate,
        chance=float(shares.mean()),
        score=score,
        effective_n=_effective_n(shares, sums),
        verdict=verdict_of(score),
    )


def verdict_of(score: float | None) -> Verdict:
    """At the usual 5 %, two-sided."""
    if score is None:
        return Verdict.TOO_FEW
    if abs(score) < Z_TWO_SIDED:
        return Verdict.LUCK
    return Verdict.BETTER if score > 0 else Verdict.WORSE


def blocks_of(scored: Sequence[Scored]) -> Times:
    """The block of time each alert falls into, int64[n]: as long as the longest horizon, a day at least.

    Alerts of one such stretch overlap in time, across markets too (they move together), so they are no independent
    draws; blocks nearly are.
    """
    longest = max([DAY_MS, *(one.question.horizon_ms for one in scored if one.question)])
    return np.array([one.taken_at_ms // longest for one in scored], np.int64)


def block_sums(values: Floats, blocks: Times) -> Floats:
    _, at = np.unique(blocks, return_inverse=True)
    return np.bincount(at, weights=values).astype(np.float64)


def t_as_normal(sums: Floats) -> float | None:
    """Student's t of block sums against 0, as the standard normal deviate that is as unlikely; None under 8 blocks."""
    count = len(sums)
    spread = float(np.sqrt(count / (count - 1) * np.sum((sums - sums.mean()) ** 2))) if count > 1 else 0.0
    if count < LEAST_BLOCKS or spread == 0:
        return None
    return normal_of_t(float(sums.sum()) / spread, count - 1)


def normal_of_t(t: float, freedom: int) -> float:
    """The standard normal deviate as unlikely as Student's ``t`` (Abramowitz and Stegun 26.7.8)."""
    return t * (1 - 1 / (4 * freedom)) / math.sqrt(1 + t * t / (2 * freedom))


def _effective_n(shares: Floats, sums: Floats) -> float | None:
    """The number over the variance of the blocks' sums against that of as many independent draws; never more."""
    if len(sums) < LEAST_BLOCKS:
        return None
    clustered = float(len(sums) * np.var(sums, ddof=1))
    independent = float(np.sum(shares * (1 - shares)))
    return len(shares) * min(1.0, independent / clustered) if clustered > 0 else None


@dataclass(frozen=True, slots=True)
class Bin:
    """Alerts with similar chance levels: what chance says and what came, for the reliability chart."""

    n: int
    chance: float
    rate: float
    low: float
    high: float
    """Wilson's 95 % interval of the rate."""


def reliability(scored: Iterable[Scored], bins: int = 5) -> tuple[Bin, ...]:
    """Bins of equal numbers in order of their chance level; fewer where there are few alerts, none without any."""
    known = sorted((one.chance.share, one.reached) for one in scored if one.judged and one.chance is not None)
    made = []
    for part in np.array_split(np.arange(len(known)), max(1, min(bins, len(known) // 5))):
        rows = [known[row] for row in part.tolist()]
        if not rows:
            continue
        reached = sum(came for _, came in rows)
        low, high = wilson_bounds(reached, len(rows))
        made.append(Bin(len(rows), sum(share for share, _ in rows) / len(rows), reached / len(rows), low, high))
    return tuple(made)
