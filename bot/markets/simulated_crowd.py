"""Who trades on the simulated exchange: the leverage in use, drawn anew from each seed, and its margin rules."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POPULAR = np.array([2, 3, 5, 10, 15, 20, 25, 50, 75, 100, 125], float)
_POPULARITY = np.array([0.8, 1.3, 2.2, 3.5, 0.6, 2.8, 1.8, 1.5, 0.4, 0.6, 0.3])
"""Dirichlet concentrations: a seed's crowd leans to round leverages traders like, but to which is its own affair."""
_SIDE_LIKENESS = 25.0
"""How alike longs and shorts are; the Dirichlet concentration of each side around the market's weights."""
_QUANTILES = 2048
_HIGHEST_LEVERAGE = 125.0


@dataclass(frozen=True, slots=True, eq=False)
class Tiers:
    """Maintenance-margin tiers by position notional, as venues publish them: all float64[k], floors rising.

    ``amount_i = amount_(i-1) + floor_i (rate_i - rate_(i-1))`` (methods.md, Formulas) makes the margin continuous.
    """

    floor_usd: Floats
    rate: Floats
    max_leverage: Floats
    amount_usd: Floats

    def rates(self, notional_usd: Floats) -> Floats:
        """Effective maintenance rate at entry, float64[n]: ``rate - amount / notional`` of the position's tier."""
        tier = self._tier(notional_usd)
        rates: Floats = self.rate[tier] - self.amount_usd[tier] / notional_usd
        return rates

    def allowed(self, leverage: Floats, notional_usd: Floats) -> Floats:
        """The leverage a position of that size may have, float64[n]."""
        return np.minimum(leverage, self.max_leverage[self._tier(notional_usd)])

    def _tier(self, notional_usd: Floats) -> NDArray[np.intp]:
        return np.searchsorted(self.floor_usd, notional_usd, side="right") - 1


def _tiers(*rows: tuple[float, float, float]) -> Tiers:
    floor_usd, rate, max_leverage = np.array(rows, float).T
    return Tiers(floor_usd, rate, max_leverage, np.cumsum(floor_usd * np.diff(rate, prepend=0.0)))


MAJOR_TIERS = _tiers(
    (0, 0.004, 125), (3e5, 0.005, 100), (8e5, 0.0065, 75), (3e6, 0.01, 50), (12e6, 0.02, 25), (70e6, 0.025, 20)
)
"""As Binance had them for BTCUSDT in 2026."""
MINOR_TIERS = _tiers((0, 0.0065, 75), (8e4, 0.01, 50), (1.5e5, 0.0125, 40), (7.5e5, 0.02, 25), (2e6, 0.025, 20))
"""As Binance had them for DOGEUSDT in 2026."""


class Crowd:
    """The leverage distribution of one market's longs and shorts, a mix of round leverages and a lognormal rest."""

    def __init__(self, rng: np.random.Generator) -> None:
        weights = rng.dirichlet(_POPULARITY)
        share = rng.uniform(0.4, 0.8)
        median = rng.uniform(4.0, 15.0)
        spread = rng.uniform(0.4, 0.9)
        # Longs, then shorts: alike, since they read the same screens, but not the same people.
        self._quantiles = [
            _draw_quantiles(rng, rng.dirichlet(weights * _SIDE_LIKENESS + 0.02), share, median, spread)
            for _ in range(2)
        ]

    def leverage(self, side: int, rank: Floats, tilt: Floats) -> Floats:
        """Leverage of traders by their rank in 0..1, float64[n]; a positive tilt means more of it.

        ``side`` is 0 for longs, 1 for shorts.
        """
        index = (rank ** np.exp(-tilt) * _QUANTILES).astype(np.int64)
        leverage: Floats = self._quantiles[side][np.minimum(index, _QUANTILES - 1)]
        return leverage

    @property
    def preferred(self) -> Floats:
        """Leverage of longs, then of shorts, before any tilt: float64[n], of equal weight."""
        return np.concatenate(self._quantiles)


def _draw_quantiles(rng: np.random.Generator, weights: Floats, share: float, median: float, spread: float) -> Floats:
    """Leverages in rising order, float64[_QUANTILES], weighted by notional."""
    n_round = round(share * _QUANTILES)
    rounded = rng.choice(_POPULAR, n_round, p=weights)
    rest = median * rng.lognormal(0.0, 0.2) * rng.lognormal(0.0, spread, _QUANTILES - n_round)
    return np.sort(np.concatenate((rounded, np.clip(rest, 1.0, _HIGHEST_LEVERAGE))))
