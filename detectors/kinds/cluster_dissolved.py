"""A cluster dissolved: its positions left before price came. No sweep happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors import figures
from detectors.cluster import Change
from detectors.cluster_facts import build_facts, headline, judged_by, size_facts
from detectors.event import Event, Fact, Label, Outcome, Severity, Unit
from detectors.judging import judge_bands
from detectors.market import HOUR_MS
from detectors.registry import EventKind, Memory
from detectors.series import MarketSeries
from detectors.view import MarketView


@dataclass(frozen=True)
class Settings:
    farthest: float = 0.10
    """As a fraction of price: nobody waits for what lies farther away."""
    judged_after_hours: float = 72.0
    """The outcome: did price stay out of 80 % of the band's exposure for this long?"""


def detect(view: MarketView, settings: Settings, memory: Memory) -> tuple[Sequence[Event], Memory]:
    """One event when closings alone have taken half of the peak, price never within 0.5 % of the band."""
    events = []
    for change in view.changes:
        if change.what is not Change.DISSOLVED or not change.reference_base:
            continue
        cluster = change.cluster
        if cluster.distance > settings.farthest:
            continue
        lost = 1 - cluster.base / change.reference_base
        where = figures.level(cluster.level.centre, view.market.price_decimals)
        closed = figures.percent(lost)
        age = (view.bar_opened_at_ms - cluster.born_bar_opened_at_ms) / HOUR_MS
        events.append(
            view.event(
                KIND.kind,
                subject=cluster.identity,
                headline=headline(
                    f"{view.market.base} {cluster.side} cluster at {where} dissolved", f", {closed} closed"
                ),
                side=cluster.side,
                severity=Severity.NOTICE,
                facts=(
                    *size_facts(cluster),
                    Fact("closed_share", round(lost, 4), Unit.FRACTION, Label.ESTIMATED, "closed since its peak"),
                    Fact("age_hours", round(age, 2), Unit.HOURS, Label.ESTIMATED, "lasted"),
                    *build_facts(cluster),
                    *judged_by(cluster),
                ),
                level=cluster.level,
                notional_usd=cluster.notional_usd,
            )
        )
    return events, memory


def judge(events: Sequence[Event], series: MarketSeries, settings: Settings) -> Sequence[Outcome]:
    return judge_bands(events, series, settings.judged_after_hours, wanted=False)


KIND = EventKind(
    kind="cluster_dissolved",
    title="cluster dissolved",
    summary="Half of a cluster's peak was closed before price came near it.",
    settings=Settings(),
    detect=detect,
    judge=judge,
    scored_as="bands were left alone by price",
)
