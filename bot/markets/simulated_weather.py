"""What drives the simulated price from outside: regimes of volatility, trends, and sudden shocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BARS_A_DAY = 288
STEPS_A_BAR = 30
"""Trades inside a five-minute bar, one every 10 seconds, so that candles have wicks."""

_REGIME_VOLATILITY = (0.55, 0.95, 2.0)
"""Calm, normal, storm: times the market's daily volatility."""
_REGIME_BARS = (200, 150, 30)
"""Mean length of each."""
_NEXT_REGIME = ((0.0, 0.85, 0.15), (0.65, 0.0, 0.35), (0.25, 0.75, 0.0))
_ROUGHNESS = 0.45
"""Standard deviation of the log of a bar's volatility around its regime: fat tails."""
_ROUGHNESS_MEMORY = 0.9
_TREND_DAYS = 1.5
_TREND_STRENGTH = 0.35
"""Standard deviation of the daily drift, in daily volatilities."""
_SHOCKS_A_DAY = 0.35
_CROWD_SHOCKS_A_DAY = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A day from outside. ``returns`` float64[288, 30], log returns; ``activity`` and ``crowding`` float64[288].

    ``activity`` is about 1 on average; ``crowding`` is what is added to the crowd's mood at that bar.
    """

    returns: NDArray[np.float64]
    activity: NDArray[np.float64]
    crowding: NDArray[np.float64]


class Weather:
    """Endless days for one market, from its own random stream. ``daily_volatility`` is a fraction, such as 0.025."""

    def __init__(self, rng: np.random.Generator, daily_volatility: float) -> None:
        self._rng = rng
        self._volatility = daily_volatility
        self._regime = 1
        self._roughness = 0.0
        self._trend = 0.0
        self._pending = np.zeros(BARS_A_DAY)
        """Returns of shocks that reach into the next day."""

    def day(self) -> Day:
        rng = self._rng
        hours = np.arange(BARS_A_DAY) / 12
        season = 1 + 0.3 * np.cos(2 * np.pi * (hours - 15) / 24)
        level = self._regimes() * np.exp(self._rough() - _ROUGHNESS**2) * season
        bar_volatility = self._volatility / np.sqrt(BARS_A_DAY) * level
        drift = self._drift() + self._shocks()
        noise = rng.standard_normal((BARS_A_DAY, STEPS_A_BAR)) * (bar_volatility / np.sqrt(STEPS_A_BAR))[:, None]
        crowding = np.where(rng.random(BARS_A_DAY) < _CROWD_SHOCKS_A_DAY / BARS_A_DAY, 1.0, 0.0)
        crowding *= rng.choice([-1.0, 1.0], BARS_A_DAY) * rng.uniform(1.5, 3.0, BARS_A_DAY)
        return Day(noise + (drift / STEPS_A_BAR)[:, None], np.sqrt(level), crowding)

    def _regimes(self) -> NDArray[np.float64]:
        draws = self._rng.random((BARS_A_DAY, 2))
        levels = np.empty(BARS_A_DAY)
        for i, (leave, where) in enumerate(draws.tolist()):
            if leave < 1 / _REGIME_BARS[self._regime]:
                chances = _NEXT_REGIME[self._regime]
                self._regime = 0 if where < chances[0] else 1 if where < chances[0] + chances[1] else 2
            levels[i] = _REGIME_VOLATILITY[self._regime]
        return levels

    def _rough(self) -> NDArray[np.float64]:
        pushes = self._rng.standard_normal(BARS_A_DAY) * _ROUGHNESS * np.sqrt(1 - _ROUGHNESS_MEMORY**2)
        rough = np.empty(BARS_A_DAY)
        for i, push in enumerate(pushes.tolist()):
            self._roughness = _ROUGHNESS_MEMORY * self._roughness + push
            rough[i] = self._roughness
        return rough

    def _drift(self) -> NDArray[np.float64]:
        """Log return a bar from the trend, which turns now and then."""
        turns = self._rng.random(BARS_A_DAY) < 1 / (_TREND_DAYS * BARS_A_DAY)
        slopes = self._rng.standard_normal(BARS_A_DAY) * _TREND_STRENGTH * self._volatility / BARS_A_DAY
        drift = np.empty(BARS_A_DAY)
        for i, turn in enumerate(turns.tolist()):
            if turn:
                self._trend = float(slopes[i])
            drift[i] = self._trend
        return drift

    def _shocks(self) -> NDArray[np.float64]:
        """Log return a bar from sudden news: hard at first, then easing off; half of them are partly taken back."""
        rng = self._rng
        returns = np.concatenate((self._pending, np.zeros(BARS_A_DAY)))
        for _ in range(rng.poisson(_SHOCKS_A_DAY)):
            at = int(rng.integers(BARS_A_DAY))
            length = int(rng.integers(3, 16))
            size = rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 2.2) * self._volatility
            front = np.exp(-np.arange(length) / 4)
            returns[at : at + length] += size * front / front.sum()
            if rng.random() < 0.5:
                back = int(rng.integers(20, 100))
                returns[at + length : at + length + back] -= 0.4 * size / back
        self._pending = returns[BARS_A_DAY:]
        return returns[:BARS_A_DAY]
