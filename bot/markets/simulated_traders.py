"""How simulated traders open a position: leverage, margin, stop, target and how long they mean to stay."""

import math

import numpy as np
from numpy.typing import NDArray

from bot.markets.simulated_book import Column, Floats
from bot.markets.simulated_crowd import Crowd, Tiers

CLASS_SHARES = np.array([0.25, 0.45, 0.30])
"""Scalpers, swing traders, holders: share of the notional that is opened."""
CLASS_DAYS = np.array([0.2, 3.0, 20.0])
"""Mean days they hold, stops and targets aside."""
_CLASS_TILT = np.array([0.9, 0.0, -0.8])
"""Scalpers use more leverage."""
_DRAWN_AT_ONCE = 120
_POSITION_SPREAD = 1.6
"""Log standard deviation of one position's notional, which decides the margin tier."""
_PATIENT_LEVERAGE = 10.0
"""Above it traders stay shorter in proportion: few sit through days at 100x."""
_STOP_SHARE = (0.55, 0.9)
"""Share that sets a stop, at low leverage and from 50x on."""
_STOP_LEVERAGE = 3.0
_TARGET_SHARE = 0.6
_TARGET_RETURN = 0.5
"""Median profit wanted, as a share of the margin."""
_NEAREST_TARGET = 0.003


class Traders:
    """Draws positions for one market. Positions come *relative*: as if entered at price 1."""

    def __init__(
        self, rng: np.random.Generator, crowd: Crowd, tiers: Tiers, position_usd: float, lots_a_usd: float
    ) -> None:
        """``position_usd``: median notional of a position. ``lots_a_usd``: how many lots a dollar bought at first."""
        self._rng = rng
        self._crowd = crowd
        self._tiers = tiers
        self._position_usd = position_usd
        self.mean_lots = position_usd * math.exp(_POSITION_SPREAD**2 / 2) * lots_a_usd
        """What a position holds on average."""
        self._ready = {sign: np.empty((len(Column), 0)) for sign in (1, -1)}

    def newcomers(self, sign: int, lots: int, tilt: float, clock: float) -> Floats:
        """Positions of exactly ``lots`` in all, relative, float64[columns, m].

        As many as hold that much between them on average. They are drawn ahead, so the tilt acts with some delay.
        """
        n = min(max(1, int(self._rng.poisson(lots / self.mean_lots))), lots)
        if self._ready[sign].shape[1] < n:
            classes = self._rng.choice(len(CLASS_SHARES), 4 * n + _DRAWN_AT_ONCE, p=CLASS_SHARES)
            self._ready[sign] = self.draw(sign, classes, tilt)
        rows, self._ready[sign] = self._ready[sign][:, :n].copy(), self._ready[sign][:, n:]
        rows[Column.EXPIRES] += clock
        rows[Column.LOTS] = shared(lots, rows[Column.LOTS])
        return rows[:, rows[Column.LOTS] > 0]

    def draw(self, sign: int, classes: NDArray[np.intp], tilt: float) -> Floats:
        """Positions of these classes, relative, opened when the clock is 0: float64[columns, n].

        In place of lots they hold their notional in USD, to share lots out by.
        """
        rng, n = self._rng, len(classes)
        rank, stops, stop_at, targets = rng.random((4, n))
        notional_usd = self._position_usd * np.exp(_POSITION_SPREAD * rng.standard_normal(n))
        leverage = self._crowd.leverage(0 if sign > 0 else 1, rank, tilt + _CLASS_TILT[classes])
        leverage = self._tiers.allowed(leverage, notional_usd)
        liquidation = liquidation_price(sign, leverage, self._tiers.rates(notional_usd))
        stop = 1 + (0.3 + 0.55 * stop_at) * (liquidation - 1)
        cautious = stops < np.interp(leverage, (_PATIENT_LEVERAGE, 50.0), _STOP_SHARE)
        has_stop = cautious & (leverage >= _STOP_LEVERAGE)
        gain = np.maximum(_TARGET_RETURN * np.exp(0.8 * rng.standard_normal(n)) / leverage, _NEAREST_TARGET)
        rows = np.zeros((len(Column), n))
        rows[Column.LOTS] = notional_usd
        rows[Column.ENTRY] = 1.0
        rows[Column.LEVERAGE] = leverage
        rows[Column.LIQUIDATION] = sign * liquidation
        rows[Column.EXIT] = sign * np.where(has_stop, stop, liquidation)
        rows[Column.TARGET] = np.where(targets < _TARGET_SHARE, sign + gain, np.inf)
        rows[Column.EXPIRES] = CLASS_DAYS[classes] * patience(leverage) * rng.standard_exponential(n)
        return rows


def patience(leverage: Floats) -> Floats:
    """How much of their class's time traders of this leverage stay, float64[n] in 0..1."""
    return np.minimum(1.0, _PATIENT_LEVERAGE / leverage)


def liquidation_price(sign: int, leverage: Floats, maintenance_rate: Floats) -> Floats:
    """For an entry at 1 with isolated margin in a linear contract, float64[n].

    Long ``(1 - 1/L)/(1 - m)``, short ``(1 + 1/L)/(1 + m)`` (methods.md, Formulas).
    """
    return (1 - sign / leverage) / (1 - sign * maintenance_rate)


def entered(relative: Floats, price: Floats | float) -> Floats:
    """Relative positions at their entry price (one for all, or float64[m])."""
    rows = relative.copy()
    rows[Column.ENTRY :] *= price
    return rows


def shared(lots: int, weights: Floats) -> Floats:
    """``lots`` dealt out by weight in whole numbers, float64[n]; the sum is exact."""
    parts: Floats = np.floor(lots * (weights / weights.sum()))
    parts[0] += lots - parts.sum()
    return parts
