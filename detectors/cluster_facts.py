"""Facts about a cluster that several kinds state in the same words."""

from collections.abc import Mapping

from detectors import figures
from detectors.cluster import Build, Cluster
from detectors.event import Fact, Label, Severity, Unit
from detectors.judging import CONSUMED_AT
from detectors.market import HOUR_MS

BIG_SHARE = 0.06
LARGE_SHARE = 0.035
LEAST_BOUND_HOURS = 1.0
"""A lower bound under this says nothing."""
LONGEST_HEADLINE = 58
"""A message's title has 60 characters, of which a sign takes two."""


def headline(core: str, *more: str) -> str:
    """``core`` and as much of ``more`` as fits, in order: a market's name may be as long as 1000000BABYDOGE."""
    for part in more:
        if len(core) + len(part) > LONGEST_HEADLINE:
            break
        core += part
    return core


def size_facts(cluster: Cluster) -> tuple[Fact, ...]:
    """Share of open interest and distance; the notional and the band are on the event's spine."""
    return (
        Fact(
            "share_of_open_interest",
            round(cluster.share_of_open_interest, 5),
            Unit.FRACTION,
            Label.ESTIMATED,
            "of open interest",
        ),
        Fact("distance_pct", round(cluster.distance * 100, 3), Unit.RATIO, Label.CALCULATED, "distance to centre"),
    )


def build_in_words(build: Build) -> str | None:
    """``≈39 h, medium`` or ``at least ≈27 h``; None where the bound that is known says nothing."""
    if build.build_class is None and build.hours < LEAST_BOUND_HOURS:
        return None
    said = f"{figures.ESTIMATED_SIGN}{figures.duration(build.hours * HOUR_MS)}"
    least = "at least " if build.at_least else ""
    return f"{least}{said}" + (f", {build.build_class}" if build.build_class else "")


def build_facts(cluster: Cluster) -> tuple[Fact, ...]:
    """How long it took to build, and its class.

    Where the rise began before what is remembered only a lower bound is said, and no class that it does not decide.
    """
    build, build_class, said = cluster.build, cluster.build.build_class, build_in_words(cluster.build)
    if said is None:
        return ()
    told = Fact("build", said, Unit.TEXT, Label.ESTIMATED, "built over")
    if build_class is None:
        return (told,)
    return (
        told,
        Fact("build_hours", build.hours, Unit.HOURS, Label.ESTIMATED, shown=False),
        Fact("build_class", str(build_class), Unit.TEXT, Label.ESTIMATED, shown=False),
    )


def core_facts(cluster: Cluster, price_decimals: int) -> tuple[Fact, ...]:
    """The shortest stretch that holds half of the cluster."""
    said = " to ".join(figures.level(price, price_decimals) for price in (cluster.core_low, cluster.core_high))
    return (
        Fact("core", said, Unit.TEXT, Label.ESTIMATED, "core"),
        Fact("core_low", cluster.core_low, Unit.PRICE, Label.ESTIMATED, shown=False),
        Fact("core_high", cluster.core_high, Unit.PRICE, Label.ESTIMATED, shown=False),
    )


def judged_by(cluster: Cluster) -> tuple[Fact, ...]:
    """The price at which it would be consumed, for whoever judges the alert later."""
    if cluster.consumed_at is None:
        return ()
    return (Fact(CONSUMED_AT, cluster.consumed_at, Unit.PRICE, Label.ESTIMATED, shown=False),)


def venue_facts(shares: Mapping[str, float], divergence_bps: float | None) -> tuple[Fact, ...]:
    """Which venues hold the open interest, and how far apart their prices are; nothing with fewer than two."""
    if divergence_bps is None:
        return ()
    parts = [f"{venue} {share * 100:.0f}%" for venue, share in shares.items()]
    said = ", ".join([*([f"{' + '.join(parts)} of open interest"] if len(parts) > 1 else []), f"{divergence_bps:.1f}"])
    return (
        Fact("venues", f"{said} bps apart", Unit.TEXT, Label.OBSERVED, "venues"),
        Fact("venue_divergence_bps", round(divergence_bps, 2), Unit.BPS, Label.OBSERVED, shown=False),
    )


def severity_of(share: float) -> Severity:
    """By share of open interest: a market's own measure, alike for a large coin and a small one."""
    if share >= BIG_SHARE:
        return Severity.CRITICAL
    return Severity.WARNING if share >= LARGE_SHARE else Severity.NOTICE


def below_or_above(cluster: Cluster) -> str:
    return "below" if cluster.side.value == "long" else "above"
