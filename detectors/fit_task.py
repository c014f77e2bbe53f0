"""The most likely weights of a log-Gaussian Cox model, by Newton's method (Rasmussen and Williams 2006, 3.4).

What is liquidated in an interval varies around its rate as ``event x rate + spread x rate^2``: events have a size, and
a rate is only known within some part of itself, since how much of what is traded through is liquidated differs from
storm to storm. With the first part alone (a quasi-Poisson scale) the largest storm would speak louder than all else,
however much of it is the model's own error.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BACKGROUND_DEVIATION = 2.0
"""Prior standard deviation of the log of the background against what is expected of it at the least."""
_STEPS = 60
_LEAST_EVENT = 0.05
"""Of the typical size: a smaller one is no size of an event but the squares' own luck."""
_LARGEST = 0.5
"""Part of what is expected that makes up the large intervals, when event and spread are told apart."""


class Task:
    """What is fitted: logs of the weights over the prior's times a share, and last that of the background.

    ``expected``: of the prior's weights, float64[weights, busy intervals]; ``seen`` in those; ``all_seen`` in all;
    ``quiet``: how many others there are, of which only the background tells anything; ``typical``: size of an event;
    ``covariance`` of the logs of the weights; ``background``: part of the mean of ``all_seen``.
    """

    def __init__(
        self,
        expected: Floats,
        all_seen: Floats,
        seen: Floats,
        quiet: int,
        typical: float,
        covariance: Floats,
        background: float,
    ) -> None:
        nodes = len(expected)
        self.rows = np.vstack([expected, np.full(expected.shape[1], float(all_seen.mean()))])
        self.seen, self.quiet = seen, quiet
        self.event, self.scale = typical, np.full(len(seen), typical)
        self.start = np.append(np.full(nodes, math.log(seen.sum() / expected.sum())), math.log(background))
        whole = np.zeros((nodes + 1, nodes + 1))
        whole[:nodes, :nodes] = covariance
        whole[nodes, nodes] = BACKGROUND_DEVIATION**2
        self.inverse: Floats = np.linalg.inv(whole).astype(np.float64)

    def weigh(self, logs: Floats, most: float) -> None:
        """Take the size of an event, ``most`` at the most, and the spread of rates from what these logs leave."""
        rates = np.exp(logs) @ self.rows
        self.event, spread = event_and_spread(self.seen, rates, most)
        self.scale = self.event + spread * rates

    def loss(self, logs: Floats) -> float:
        rates = np.exp(logs) @ self.rows
        away = logs - self.start
        told = float(((rates - self.seen * np.log(rates)) / self.scale).sum())
        return float(0.5 * away @ self.inverse @ away + told + self._of_quiet(logs))

    def step(self, logs: Floats) -> Floats:
        """Newton's."""
        rates = np.exp(logs)[:, None] * self.rows
        total = rates.sum(axis=0)
        quiet = self._of_quiet(logs)
        summed = (rates / self.scale).sum(axis=1)
        summed[-1] += quiet
        slope = self.inverse @ (logs - self.start) + summed - rates @ (self.seen / total / self.scale)
        curve = self.inverse + (rates / total / self.scale) @ rates.T
        curve[-1, -1] += quiet
        found: Floats = np.clip(np.linalg.solve(curve, slope), -2.0, 2.0)
        return found

    def _of_quiet(self, logs: Floats) -> float:
        """Events that the background expects in the intervals in which nothing was traded through or seen."""
        return float(self.quiet * self.rows[-1, 0] * math.exp(logs[-1]) / self.event)


def most_likely(task: Task) -> Floats:
    """Logs of the weights, and last that of the background."""
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


def event_and_spread(seen: Floats, rates: Floats, most: float) -> tuple[float, float]:
    """Of a variance ``event x rate + spread x rate^2``, by the squares left in large intervals and in small ones, each
    with half of what is expected; float64[n] each. The event is above 0 and at most ``most``, the spread at least 0."""
    squares = (seen - rates) ** 2
    order = np.argsort(-rates, kind="stable")
    through = np.cumsum(rates[order])
    large = np.zeros(len(rates), np.bool_)
    large[order[: int(np.searchsorted(through, _LARGEST * through[-1])) + 1]] = True
    sums = np.array([[rates[part].sum(), (rates[part] ** 2).sum()] for part in (large, ~large)])
    left = np.array([squares[part].sum() for part in (large, ~large)])
    ordinary = left.sum() / sums[:, 0].sum()
    event, spread = float(ordinary), 0.0
    if abs(np.linalg.det(sums)) > 0:
        event, spread = (float(one) for one in np.linalg.solve(sums, left))
    if spread < 0:
        event, spread = float(ordinary), 0.0
    least = _LEAST_EVENT * most
    if event < least:
        event, spread = least, max(0.0, float((left.sum() - least * sums[:, 0].sum()) / sums[:, 1].sum()))
    return min(event, most), spread
