"""A cluster formed: exposure in one band grew well above what is usual at that distance."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors import figures
from detectors.cluster import Change, ClusterChange
from detectors.cluster_facts import (
    below_or_above,
    build_facts,
    core_facts,
    headline,
    judged_by,
    severity_of,
    size_facts,
)
from detectors.event import Event, Outcome
from detectors.judging import judge_bands
from detectors.registry import EventKind, Memory
from detectors.series import MarketSeries
from detectors.view import MarketView


@dataclass(frozen=True)
class Settings:
    judged_after_hours: float = 72.0
    """The outcome: did price trade through 80 % of the band's exposure within this long?"""


def detect(view: MarketView, _settings: Settings, memory: Memory) -> tuple[Sequence[Event], Memory]:
    """One event at birth, and one for each third of a doubling of its notional after that: the same subject, a higher
    rung."""
    events = []
    for change in view.changes:
        if change.what not in {Change.BORN, Change.GREW}:
            continue
        cluster = change.cluster
        verb = _verb(change)
        where = figures.level(cluster.level.centre, view.market.price_decimals)
        size, away = figures.usd(cluster.notional_usd), figures.percent(cluster.distance)
        events.append(
            view.event(
                KIND.kind,
                subject=cluster.identity,
                headline=headline(
                    f"{view.market.base} {cluster.side} {verb} {size} at {where}", f", {away} {below_or_above(cluster)}"
                ),
                side=cluster.side,
                severity=severity_of(cluster.share_of_open_interest),
                facts=(
                    *size_facts(cluster),
                    *build_facts(cluster),
                    *core_facts(cluster, view.market.price_decimals),
                    *judged_by(cluster),
                ),
                level=cluster.level,
                notional_usd=cluster.notional_usd,
                rung=change.rung,
            )
        )
    return events, memory


def _verb(change: ClusterChange) -> str:
    """An old band that price has come near is not news of leverage: nothing was seen to build it."""
    if change.what is Change.GREW:
        return "cluster grew:"
    return "cluster" if change.cluster.build.build_class else "cluster in reach:"


def judge(events: Sequence[Event], series: MarketSeries, settings: Settings) -> Sequence[Outcome]:
    return judge_bands(events, series, settings.judged_after_hours)


KIND = EventKind(
    kind="cluster_formed",
    title="cluster formed",
    summary="A liquidation cluster stands out from what is usual at its distance; says how long it took to build.",
    settings=Settings(),
    detect=detect,
    judge=judge,
    scored_as="clusters were consumed",
)
