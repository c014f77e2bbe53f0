"""What judging costs: 100,000 alerts of one market, and what comes with it in a running bot."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.calibration import Timing, best_of
from benchmarks.report import Report
from detectors.chance import chances
from detectors.event import Event, Level, Outcome, OutcomeClass
from detectors.market import DAY_MS, HOUR_MS, Side
from detectors.registry import find_kinds
from detectors.scoring import Scored, group_of, record_of
from detectors.series import MarketSeries
from tests.storage.make import BAR_MS, START_MS, event

ALERTS = 100_000
DAYS = 90
BUDGET_S = 10.0
CHANCES = 2_000


def series(days: float = DAYS, seed: int = 3) -> MarketSeries:
    """A random walk of five-minute bars."""
    count = round(days * DAY_MS / BAR_MS)
    random = np.random.default_rng(seed)
    close = 90_000 * np.exp(np.cumsum(random.normal(0, 0.0012, count)))
    opened = START_MS + np.arange(count, dtype=np.int64) * BAR_MS
    before = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(close, before) * 1.0004, np.minimum(close, before) * 0.9996
    return MarketSeries(opened, opened + BAR_MS, high, low, close)


def alerts(of: MarketSeries, count: int, seed: int = 4) -> list[Event]:
    """Every kind in turn, at moments spread over the series whose horizon has passed."""
    random, kinds = np.random.default_rng(seed), list(find_kinds().values())
    last = len(of) - 1 - (73 * HOUR_MS + BAR_MS) // BAR_MS
    model, made = event(), []
    for number, at in enumerate(random.integers(300, last, count).tolist()):
        side = Side.SHORT if number % 2 else Side.LONG
        price = float(of.close[at])
        centre = price * (1 + (0.02 if number % 2 else -0.02) * (1 + number % 3))
        level = Level(centre * 0.997, centre * 1.003, centre)
        taken_at_ms, kind = int(of.closed_at_ms[at]), kinds[number % len(kinds)].kind
        made.append(replace(model, kind=kind, side=side, price=price, level=level, taken_at_ms=taken_at_ms))
    return made


def judge(events: Sequence[Event], of: MarketSeries) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for name, kind in find_kinds().items():
        outcomes += kind.judge([one for one in events if one.kind == name], of, kind.settings)
    return outcomes


def measure(count: int) -> tuple[Timing, Timing, Timing, int]:
    """Judging, the chance levels of `CHANCES` of them, the record of all; how many were judged."""
    of = series()
    events = alerts(of, count)
    judging, outcomes = best_of(1, lambda: judge(events, of))
    asked = [(event.taken_at_ms, one.question) for event, one in zip(events, outcomes, strict=True) if one.question]
    levelling, levels = best_of(1, lambda: chances(asked[:CHANCES], of))
    scored = [
        Scored(
            e.key,
            e.kind,
            e.market,
            group_of(e),
            e.side,
            e.taken_at_ms,
            o.outcome,
            o.decided_at_ms,
            o.question,
            levels[n % len(levels)],
        )
        for n, (e, o) in enumerate(zip(events, outcomes, strict=True))
    ]
    recording, _ = best_of(1, lambda: record_of(scored))
    judged = sum(one.outcome in {OutcomeClass.REACHED, OutcomeClass.MISSED} for one in outcomes)
    return judging, levelling, recording, judged


def run(*, quick: bool = False) -> list[Report]:
    count = ALERTS // 50 if quick else ALERTS
    judging, levelling, recording, judged = measure(count)
    budget = f"{BUDGET_S * count / ALERTS:g} s"
    rows = (
        (f"judging {count:,} alerts", *judging.shown, budget),
        (f"chance levels of {min(count, CHANCES):,}", *levelling.shown, ""),
        (f"the record of {count:,}", *recording.shown, ""),
    )
    notes = (f"{judged:,} of {count:,} judged, five kinds, horizons of 24 and 72 h, 90 days of five-minute bars",)
    return [Report("Scoring", ("what", "measured", "calibration loops", "budget"), rows, notes)]
