"""A funding shock: the rate is far from this market's own history, so one side is crowded and pays for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors import figures
from detectors.cluster_facts import below_or_above
from detectors.event import Event, Fact, Label, Outcome, Severity, Unit
from detectors.judging import judge_moves
from detectors.market import DAY_MS, MINUTE_MS, Funding, Side
from detectors.numerics import robust_score
from detectors.registry import EventKind, Memory
from detectors.series import MarketSeries
from detectors.view import MarketView

HOURS_A_YEAR = 24 * 365


@dataclass(frozen=True)
class Settings:
    score: float = 3.0
    """Robust deviations (median and MAD) from the market's own history."""
    rearm_score: float = 1.5
    least_rate_8h: float = 0.00015
    """The rate must be at least this far from the median, per 8 hours, whatever the score."""
    deviation_floor_8h: float = 0.00003
    history_days: float = 30.0
    least_history: int = 12
    """Settled rates needed before anything is called unusual."""
    judged_after_hours: float = 24.0
    judged_move: float = 0.02
    """The outcome: did price move by this fraction against the crowded side?"""


def detect(view: MarketView, settings: Settings, memory: Memory) -> tuple[Sequence[Event], Memory]:
    """One event when the score passes the threshold; armed again once it is back under the lower one."""
    events = []
    for funding in view.new_funding:
        since = funding.taken_at_ms - settings.history_days * DAY_MS
        history = np.array([_rate_8h(f) for f in view.estimate.funding if since <= f.taken_at_ms < funding.taken_at_ms])
        if len(history) < settings.least_history:
            continue
        score = robust_score(_rate_8h(funding), history, settings.deviation_floor_8h)
        far = abs(_rate_8h(funding) - float(np.median(history))) >= settings.least_rate_8h
        # A rate on its way back to nothing is as far from what was usual, and crowds nobody.
        crowds = funding.rate * score > 0
        side = Side.LONG if score > 0 else Side.SHORT
        shocked = memory.get("side")
        if shocked is not None and (abs(score) <= settings.rearm_score or side != shocked):
            memory, shocked = {**memory, "side": None}, None
        if shocked is None and far and crowds and abs(score) >= settings.score:
            memory = {"side": str(side), "count": memory.get("count", 0) + 1}
            events.append(_event(view, settings, funding, score, side, memory["count"]))
    return events, memory


def _rate_8h(funding: Funding) -> float:
    return funding.rate * 8 / funding.interval_hours


def _event(view: MarketView, settings: Settings, funding: Funding, score: float, side: Side, arming: int) -> Event:
    vulnerable = view.nearest_cluster(side)
    yearly = funding.rate * HOURS_A_YEAR / funding.interval_hours
    facts = [
        Fact("funding_rate", funding.rate, Unit.FRACTION, Label.OBSERVED, f"funding per {funding.interval_hours:g} h"),
        Fact("funding_yearly", round(yearly, 5), Unit.FRACTION, Label.CALCULATED, "a year at this rate"),
        Fact("score", round(score, 2), Unit.RATIO, Label.CALCULATED, "robust deviations from its own history"),
        Fact("crowded_side", f"{side}s", Unit.TEXT, Label.CALCULATED, "crowded"),
    ]
    if vulnerable is not None:
        where = figures.level(vulnerable.level.centre, view.market.price_decimals)
        text = (
            f"{figures.usd(vulnerable.notional_usd)} at {where}, "
            f"{figures.percent(vulnerable.distance)} {below_or_above(vulnerable)}"
        )
        facts.append(Fact("vulnerable_cluster", text, Unit.TEXT, Label.ESTIMATED, f"nearest {side} cluster"))
    minutes = max(0.0, (view.next_funding_at_ms(funding) - view.taken_at_ms) / MINUTE_MS)
    facts.append(Fact("minutes_to_funding", round(minutes), Unit.MINUTES, Label.CALCULATED, "next funding in"))
    return view.event(
        KIND.kind,
        subject="funding",
        headline=f"{view.market.base} funding {figures.funding(funding.rate)}: {side}s crowded",
        side=side,
        severity=Severity.CRITICAL if abs(score) >= 2 * settings.score else Severity.WARNING,
        facts=facts,
        arming=arming,
    )


def judge(events: Sequence[Event], series: MarketSeries, settings: Settings) -> Sequence[Outcome]:
    sides = [event.side or Side.LONG for event in events]
    return judge_moves(events, series, settings.judged_after_hours, settings.judged_move, sides)


KIND = EventKind(
    kind="funding_shock",
    title="funding shock",
    summary="Funding is far from the market's own history; says which side is crowded and what lies in reach.",
    settings=Settings(),
    detect=detect,
    judge=judge,
    scored_as="shocks saw price move against the crowded side",
    by_chance="a move this large",
)
