"""A cluster was consumed: price traded through it, wholly or in part; with the receipt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from detectors import figures
from detectors.cluster import Change, Cluster, Sweep
from detectors.cluster_facts import build_facts, headline, severity_of
from detectors.event import Event, Fact, Label, Outcome, Unit
from detectors.judging import judge_moves
from detectors.market import MINUTE_MS, Side
from detectors.realised import RealisedShare
from detectors.registry import Completed, EventKind, Memory
from detectors.series import MarketSeries
from detectors.view import MarketView

RECEIPT_GIVEN_UP_MS = 90 * MINUTE_MS
"""Then it is completed with what is known: an hourly total that has not come by then does not come."""


@dataclass(frozen=True)
class Settings:
    realised_share: float = 0.2
    """Part of the exposure traded through that is expected to be liquidated rather than closed in time, where none was
    measured on the market. Consumed exposure was 3 to 11 times what was liquidated on winter-2025, BTC (see
    docs/estimate.md)."""
    receipt_minutes: float = 10.0
    """How long what is liquidated is added up before the receipt is completed."""
    judged_after_hours: float = 24.0
    judged_move: float = 0.02
    """The outcome: did price go on by this fraction?"""


def detect(view: MarketView, settings: Settings, memory: Memory) -> tuple[Sequence[Event], Memory]:
    """One event when 80 % has been traded through, or when price has left after at least 30 %."""
    events = []
    for change in view.changes:
        if change.what not in {Change.CONSUMED, Change.PARTLY_CONSUMED} or change.sweep is None:
            continue
        cluster, sweep = change.cluster, change.sweep
        wholly = change.what is Change.CONSUMED
        verb = "swept" if wholly else f"swept {figures.percent(sweep.fraction)} of"
        where = figures.level(_middle(cluster), view.market.price_decimals)
        size = figures.usd(sweep.notional_usd_at_entry)
        events.append(
            view.event(
                KIND.kind,
                subject=cluster.identity,
                headline=headline(f"{view.market.base} {verb} {cluster.side} cluster", f" {size}", f" at {where}"),
                side=cluster.side,
                severity=severity_of(sweep.share_at_entry),
                facts=(
                    Fact("extent", "wholly" if wholly else "partly", Unit.TEXT, Label.ESTIMATED, "consumed"),
                    *_receipt(view, settings, cluster, sweep),
                    *build_facts(cluster),
                ),
                # The centre of mass of what is left has moved away from what was swept.
                level=replace(cluster.level, centre=_middle(cluster)),
                notional_usd=sweep.notional_usd_at_entry,
                arming=change.arming,
            )
        )
    return events, memory


def _middle(cluster: Cluster) -> float:
    return math.sqrt(cluster.level.low * cluster.level.high)


def _receipt(view: MarketView, settings: Settings, cluster: Cluster, sweep: Sweep) -> tuple[Fact, ...]:
    at_risk = sweep.notional_usd_at_entry * sweep.fraction
    facts = [
        Fact(
            "share_of_open_interest", round(sweep.share_at_entry, 5), Unit.FRACTION, Label.ESTIMATED, "of open interest"
        ),
        Fact("distance_pct", 0.0, Unit.RATIO, Label.CALCULATED, "distance to centre"),
        Fact("exposure_at_risk_usd", at_risk, Unit.USD, Label.ESTIMATED, "traded through"),
        *_expected(view.realised_share, settings, at_risk),
    ]
    since_ms = sweep.entered_at_ms - view_span_ms(view)
    facts += [
        *_liquidated(view, cluster.side, since_ms),
        Fact(
            "minutes_in_zone",
            round((view.taken_at_ms - sweep.entered_at_ms) / MINUTE_MS, 1),
            Unit.MINUTES,
            Label.OBSERVED,
            "time in the zone",
        ),
        Fact(
            "watched_before_minutes",
            round((view.taken_at_ms - since_ms) / MINUTE_MS, 6),
            Unit.MINUTES,
            Label.OBSERVED,
            "liquidations counted from so long before",
            shown=False,
        ),
    ]
    before = sweep.open_interest_at_entry
    if view.estimate.map.open_interest_base and before:
        facts += [
            _interest_change(view, before, sweep.entered_at_ms),
            Fact("open_interest_at_entry_base", before, Unit.BASE, Label.OBSERVED, shown=False),
            Fact("open_interest_counted_on", _counted_on(view), Unit.TEXT, Label.OBSERVED, shown=False),
        ]
    if sweep.crossed_at_once:
        facts.append(Fact("approach", "reached in one move", Unit.TEXT, Label.OBSERVED, "approach"))
    return tuple(facts)


def _expected(measured: RealisedShare | None, settings: Settings, at_risk: float) -> tuple[Fact, ...]:
    """What of it is expected to be liquidated, and whose share that is: this market's own, or the configured one."""
    if measured is None:
        share, whose = settings.realised_share, "as configured"
    else:
        share, whose = measured.share, f"as in {measured.receipts} earlier sweeps here"
        if measured.clamped:
            whose = f"all: in {measured.receipts} earlier sweeps here more was liquidated than estimated"
    said = f"expected to be liquidated ({whose if measured and measured.clamped else f'{share:.0%}, {whose}'})"
    return (
        Fact("expected_liquidation_usd", at_risk * share, Unit.USD, Label.ESTIMATED, said),
        Fact("realised_share", round(share, 4), Unit.FRACTION, Label.ESTIMATED, "share expected", shown=False),
    )


def _liquidated(view: MarketView, side: Side, since_ms: int) -> tuple[Fact, ...]:
    """What was really liquidated of that side since then, by whom, and how much of it they tell."""
    observed = view.estimate.observed_usd(side, since_ms)
    if observed is None and view.market.streams_liquidations:
        observed = 0.0, view.market.venue
    if observed is None:
        return ()
    amount, source = observed
    covered = f", {view.market.coverage}" if view.market.coverage else ""
    return (Fact("observed_liquidation_usd", amount, Unit.USD, Label.OBSERVED, f"liquidated on {source}{covered}"),)


def _interest_change(view: MarketView, before: float, since_ms: int) -> Fact:
    now = view.estimate.map.open_interest_base
    # An hourly sample from before the entry knows nothing of it: 0 % would be made up.
    known = now is not None and view.estimate.map.open_interest_at_ms >= since_ms
    change = round(now / before - 1, 5) if known and now is not None else None
    return Fact("open_interest_change", change, Unit.FRACTION, Label.OBSERVED, "open interest since entry")


def _counted_on(view: MarketView) -> str:
    return "+".join(view.estimate.interest_venues)


def complete(event: Event, view: MarketView, settings: Settings) -> Completed:
    """The receipt, once what followed is known: ten minutes later from prints, or when the total of its hour has come.

    Until then nothing is said: a sum that still grows would only be edited again and again.
    """
    before_minutes, side = event.number("watched_before_minutes"), event.side
    if before_minutes is None or side is None:
        return Completed(final=True)
    since_ms = event.taken_at_ms - round(before_minutes * MINUTE_MS)
    # Prints come with their bar: those since the last close are not known yet.
    waited_ms = view.bar_closed_at_ms - event.taken_at_ms
    settled = waited_ms >= settings.receipt_minutes * MINUTE_MS
    prints = view.market.streams_liquidations or any(one.started_at_ms is None for one in view.estimate.observed)
    covered = any(
        one.started_at_ms is not None and one.started_at_ms <= event.taken_at_ms < one.at_ms
        for one in view.estimate.observed
    )
    given_up = waited_ms >= RECEIPT_GIVEN_UP_MS
    if not (settled and (prints or covered)) and not given_up:
        return Completed()
    fresh = {fact.name: fact for fact in _liquidated(view, side, since_ms)}
    before = event.number("open_interest_at_entry_base")
    if before and event.value("open_interest_counted_on") in {None, _counted_on(view)}:
        fresh["open_interest_change"] = _interest_change(view, before, event.taken_at_ms)
        if fresh["open_interest_change"].value is None and not given_up:
            return Completed()
    elif before:  # other venues are counted now: the difference would be theirs
        fresh["open_interest_change"] = Fact(
            "open_interest_change", None, Unit.FRACTION, Label.OBSERVED, "open interest since entry", shown=False
        )
    minutes = max(1, round(waited_ms / MINUTE_MS))
    fresh["receipt_after_minutes"] = Fact(
        "receipt_after_minutes", minutes, Unit.MINUTES, Label.OBSERVED, "receipt completed after"
    )
    return Completed(event.with_facts(fresh.values()), final=True)


def view_span_ms(view: MarketView) -> int:
    """How long this look spans: the prints of the look that entered the zone count too."""
    return max(0, view.taken_at_ms - view.bar_opened_at_ms)


def judge(events: Sequence[Event], series: MarketSeries, settings: Settings) -> Sequence[Outcome]:
    sides = [event.side or Side.LONG for event in events]
    return judge_moves(events, series, settings.judged_after_hours, settings.judged_move, sides)


KIND = EventKind(
    kind="cluster_consumed",
    title="cluster consumed",
    summary="Price traded through a cluster, wholly (80 %) or partly (30 % and left); with the receipt.",
    settings=Settings(),
    detect=detect,
    judge=judge,
    complete=complete,
    scored_as="sweeps were followed by a further move",
    by_chance="a move this large",
)
