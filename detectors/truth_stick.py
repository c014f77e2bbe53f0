"""The truth stick of a whole history: hours, their baselines, and what a map with given weights says of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.fit import Evidence, FitResult, Gain, Weights, first_judged, fit, fit_model, fitted, gain_since
from detectors.leverage import LeverageModel
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS, Side
from detectors.node_exposure import NodeExposure, node_exposure, nothing
from detectors.observed_history import ObservedHistory
from detectors.truth_measures import Interval, Stick, partial_interval, stick

Floats = NDArray[np.float64]

NEAREST = 0.01
YOUNGEST_MS = HOUR_MS
SKIPPED_MS = 3 * DAY_MS
"""What is left out at the start, where most open interest has unknown entries."""


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """Observed hours of one market, each array of one value an hour."""

    of_bar: NDArray[np.int64]
    """Hour that each bar belongs to, as its number below; [bars]."""
    day: NDArray[np.int64]
    """Since the epoch."""
    counted: NDArray[np.bool_]
    """Hours with observed liquidations, the first three days left out."""
    liquidated: Mapping[Side, Floats]
    """In dollars."""
    baselines: Mapping[Side, tuple[Floats, ...]]
    """Move, drawdown, move x volume and drawdown x volume, towards the side's liquidations."""

    def halves(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The counted hours, cut in the middle."""
        early = np.zeros_like(self.counted)
        numbers = np.flatnonzero(self.counted)
        early[numbers[: len(numbers) // 2]] = True
        return early, self.counted & ~early

    def by_hour(self, of_bars: Floats) -> Floats:
        """Sums by hour of values by bar: float64[..., bars] to float64[..., hours]."""
        starts = np.searchsorted(self.of_bar, np.arange(len(self.counted)))
        summed: Floats = np.add.reduceat(of_bars, starts, axis=-1)
        return summed


@dataclass(frozen=True, slots=True)
class Sides:
    """The stick of both sides over some hours."""

    hours: int
    sticks: Mapping[Side, Stick]
    intervals: Mapping[Side, Interval]
    """90 %, of the partial rank correlation."""


def hours_of(history: ObservedHistory) -> Hours:
    """Hours of a history that has at least one bar. Hourly totals are taken where there are some, or else prints."""
    bars = history.bars
    numbers, of_bar = np.unique(bars.opened_at_ms // HOUR_MS, return_inverse=True)
    starts = np.searchsorted(of_bar, np.arange(len(numbers)))
    first_open, last_close = history.open[starts], bars.close[np.append(starts[1:], len(of_bar)) - 1]
    low, high = np.minimum.reduceat(bars.low, starts), np.maximum.reduceat(bars.high, starts)
    volume = np.add.reduceat(bars.volume_base, starts)
    fall = (first_open - last_close) / first_open
    drawdowns = {Side.LONG: (first_open - low) / first_open, Side.SHORT: (high - first_open) / first_open}
    moves = {Side.LONG: fall, Side.SHORT: -fall}
    totals = history.totals_usd
    if totals:
        known = np.array([number in totals for number in numbers.tolist()])
        liquidated = {
            side: np.array([totals[number][side] if number in totals else 0.0 for number in numbers.tolist()])
            for side in Side
        }
    else:
        liquidated = {side: np.add.reduceat(history.printed_base[side] * bars.close, starts) for side in Side}
        seen = np.flatnonzero(liquidated[Side.LONG] + liquidated[Side.SHORT])
        known = np.zeros(len(numbers), bool)
        known[seen[0] if seen.size else len(known) : seen[-1] + 1 if seen.size else 0] = True
    return Hours(
        of_bar,
        numbers * HOUR_MS // DAY_MS,
        known & (numbers - numbers[0] >= SKIPPED_MS // HOUR_MS),
        liquidated,
        {side: (moves[side], drawdowns[side], moves[side] * volume, drawdowns[side] * volume) for side in Side},
    )


def claimed(settings: MapSettings, history: ObservedHistory) -> NodeExposure:
    """By node and bar, what a map may claim: at least an hour old, and at least 1 % from its entry."""
    return node_exposure(settings, history.bars, youngest_ms=YOUNGEST_MS, nearest=NEAREST)


def measure(hours: Hours, consumed: Mapping[Side, Floats], among: NDArray[np.bool_]) -> Sides:
    """``consumed``: base units of each bar, [bars] a side; ``among``: the hours that count."""
    sticks, intervals = {}, {}
    for side in Side:
        hourly = hours.by_hour(consumed[side])[among]
        seen, given = hours.liquidated[side][among], [one[among] for one in hours.baselines[side]]
        sticks[side] = stick(hourly, seen, given)
        intervals[side] = partial_interval(hourly, seen, given)
    return Sides(int(among.sum()), sticks, intervals)


def of_model(settings: MapSettings, history: ObservedHistory, hours: Hours, among: NDArray[np.bool_]) -> Sides:
    """The stick of a map made with these settings."""
    exposure = claimed(settings, history)
    leverage, close = settings.leverage, history.bars.close
    return measure(hours, {side: exposure.weighted(side, leverage.side_weights(side)) * close for side in Side}, among)


# --- fits


def evidence_of(settings: MapSettings, history: ObservedHistory, pause: Callable[[], None] = nothing) -> Evidence:
    """Bar by bar in base units where single liquidations were seen, or else hour by hour in dollars.

    ``settings`` have the leverage model whose nodes are to be fitted. The map's first three days are left out, and bars
    in which single liquidations may have been missed.
    """
    exposure = node_exposure(settings, history.bars, pause=pause).consumed
    if not len(history.bars.close):
        return Evidence(exposure, {side: np.zeros(0) for side in Side}, np.zeros(0, np.int64))
    hours = hours_of(history)
    if history.totals_usd:
        traded = {side: hours.by_hour(exposure[side] * history.bars.close)[:, hours.counted] for side in Side}
        liquidated = {side: hours.liquidated[side][hours.counted] for side in Side}
        return Evidence(traded, liquidated, hours.day[hours.counted])
    seen = hours.counted[hours.of_bar]
    if history.unheard is not None:
        seen = seen & ~history.unheard
    return Evidence(
        {side: exposure[side][:, seen] for side in Side},
        {side: history.printed_base[side][seen] for side in Side},
        hours.day[hours.of_bar][seen],
    )


def fit_history(
    settings: MapSettings,
    history: ObservedHistory,
    *,
    current: LeverageModel | None = None,
    pause: Callable[[], None] = nothing,
) -> FitResult:
    """Weights for the market of this history; twice over, since how fast nodes are replaced depends on the weights.

    The weights that are judged are fitted to exposure replaced as the days before them say, and the weights to beat are
    held to their own, so that no judged day shapes what it is judged by.

    ``settings`` are the configured ones, whatever was fitted before: the prior stays where it was, or fits would drift
    from fit to fit. ``current`` has the weights in use, which are those to beat; None: the configured ones. ``pause``
    is called every few milliseconds.
    """
    prior = fit_model(settings.leverage)
    in_use = current or settings.leverage

    def evidence(leverage: LeverageModel) -> Evidence:
        return evidence_of(replace(settings, leverage=leverage), history, pause)

    plain = evidence(prior)
    whole = evidence(_weighted(prior, fitted(prior, plain)))
    early = evidence(_weighted(prior, fitted(prior, plain.cut(0, first_judged(len(plain))))))
    return fit(prior, whole, early, np.array(in_use.both_weights), evidence(in_use))


def back_to_configured(
    settings: MapSettings,
    history: ObservedHistory,
    current: LeverageModel,
    since_ms: int,
    pause: Callable[[], None] = nothing,
) -> Gain:
    """What the configured weights gain over ``current`` on the days that began after ``since_ms``, when those were
    fitted; each on its own exposure."""
    ours, theirs = (
        (np.array(one.both_weights), evidence_of(replace(settings, leverage=one), history, pause))
        for one in (settings.leverage, current)
    )
    return gain_since(int(np.searchsorted(ours[1].day, since_ms // DAY_MS, side="right")), ours, theirs)


def _weighted(prior: LeverageModel, found: Weights) -> LeverageModel:
    return replace(prior, weights=found.weights, short_weights=found.short_weights)


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Fitted on the first half of the hours, judged on the second; the default's figures there beside it."""

    fit: FitResult
    fitted: Sides
    default: Sides

    @property
    def used(self) -> Sides:
        """Of the weights that would have been used in the second half."""
        return self.fitted if self.fit.believed else self.default


def walk_forward(settings: MapSettings, history: ObservedHistory, hours: Hours) -> WalkForward:
    """Nothing of the second half is looked at before it is judged: not by the fit, nor by whether it is believed."""
    early, late = hours.halves()
    middle = int(np.flatnonzero(late)[0]) if late.any() else len(early)
    result = fit_history(settings, history.until(int(np.searchsorted(hours.of_bar, middle))))
    model = settings.leverage.with_weights(result.found)
    return WalkForward(
        result,
        of_model(replace(settings, leverage=model), history, hours, late),
        of_model(settings, history, hours, late),
    )
