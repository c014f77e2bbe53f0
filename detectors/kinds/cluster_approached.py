"""Price came near a cluster: within a rung of the distance ladder (5, 3, 2, 1, 0.5 %) of its centre."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors import figures
from detectors.cluster import Change, Cluster
from detectors.cluster_facts import build_facts, core_facts, headline, judged_by, severity_of, size_facts, venue_facts
from detectors.event import Event, Fact, Label, Outcome, Unit
from detectors.judging import judge_bands
from detectors.market import Side
from detectors.registry import EventKind, Memory
from detectors.series import MarketSeries
from detectors.view import MarketView


@dataclass(frozen=True)
class Settings:
    sharp_factor: float = 3.0
    """Sharp: the last hour moved towards the cluster by this many times the day's median hourly move."""
    sharp_least: float = 0.005
    """... and by at least this fraction of price. Anything else is a grind."""
    judged_after_hours: float = 24.0
    """The outcome: did price trade through 80 % of the band's exposure within this long?"""


def detect(view: MarketView, settings: Settings, memory: Memory) -> tuple[Sequence[Event], Memory]:
    """One event per rung that price crossed inwards since the last look."""
    events = []
    for change in view.changes:
        if change.what is not Change.CROSSED or change.rung is None:
            continue
        cluster = change.cluster
        near = figures.percent(max(cluster.distance, 0.0))
        where = figures.level(cluster.level.centre, view.market.price_decimals)
        size = figures.usd(cluster.notional_usd)
        events.append(
            view.event(
                KIND.kind,
                subject=cluster.identity,
                headline=headline(f"{view.market.base} {near} from {cluster.side} cluster", f" {size}", f" at {where}"),
                side=cluster.side,
                severity=severity_of(cluster.share_of_open_interest),
                facts=(
                    *size_facts(cluster),
                    *_pace(view, settings, cluster),
                    Fact(
                        "distance_to_edge_pct",
                        round(cluster.distance_to_edge * 100, 3),
                        Unit.RATIO,
                        Label.CALCULATED,
                        "distance to edge",
                    ),
                    *core_facts(cluster, view.market.price_decimals),
                    *judged_by(cluster),
                    *build_facts(cluster),
                    *venue_facts(view.venue_shares, view.divergence_bps),
                ),
                level=cluster.level,
                notional_usd=cluster.notional_usd,
                arming=change.arming,
                rung=change.rung,
            )
        )
    return events, memory


def _pace(view: MarketView, settings: Settings, cluster: Cluster) -> tuple[Fact, ...]:
    move, usual = view.move(1.0), view.usual_hourly_move
    if move is None or usual is None:
        return ()
    towards = -move if cluster.side is Side.LONG else move
    sharp = towards >= max(settings.sharp_factor * usual, settings.sharp_least)
    return (
        Fact("approach", "sharp move" if sharp else "slow grind", Unit.TEXT, Label.CALCULATED, "approach"),
        Fact("price_change_1h_pct", round(move * 100, 3), Unit.RATIO, Label.OBSERVED, shown=False),
        Fact("windows", view.windows.in_words(), Unit.TEXT, Label.OBSERVED, "price"),
    )


def judge(events: Sequence[Event], series: MarketSeries, settings: Settings) -> Sequence[Outcome]:
    return judge_bands(events, series, settings.judged_after_hours)


KIND = EventKind(
    kind="cluster_approached",
    title="cluster approached",
    summary="Price came within the chat's distance (2 % unless set) of a cluster's centre.",
    settings=Settings(),
    detect=detect,
    judge=judge,
    scored_as="clusters were consumed",
)
