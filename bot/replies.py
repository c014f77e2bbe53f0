"""What commands answer: the market's view as platform-neutral messages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bot.markets.feed import Source
from bot.message import NOT_ADVICE, SIMULATED, Message, Table, distance, handle_of, why_in_words
from bot.policy import own_rung
from detectors import figures
from detectors.cluster import Cluster
from detectors.cluster_facts import build_in_words, venue_facts
from detectors.event import PICTURE_HIGH, PICTURE_LOW, Event, Fact, Label, Severity, Unit
from detectors.market import Market, Side
from detectors.view import MarketView
from storage.chats import EVERY_MARKET, Subscription, Watch
from storage.store import Counts, StoredAlert

if TYPE_CHECKING:  # `map` starts without what only live venues need
    from bot.markets.live import VenueStatus
    from bot.markets.live_health import Lateness, StreamTally
    from bot.markets.live_watch import Gap

LEVELS = 5
"""Levels shown a side."""
APART = 0.005
"""Two levels nearer to each other than this fraction of price are one."""
REACH = 0.10
"""How far from price levels are looked for."""
ESTIMATED = f"{figures.ESTIMATED_SIGN} estimated · others observed or calculated"


def map_event(view: MarketView) -> Event:
    """The moment as an event that no detector saw, with its evidence: for charts only. It names how far the levels
    reach that `liquidation_map` lists, so that the picture shows all of them."""
    levels = [level for side in Side for level, _ in heaviest(view, side)] if view.open_interest_usd else []
    reach = (
        (
            Fact(PICTURE_LOW, min(levels), Unit.PRICE, Label.ESTIMATED, shown=False),
            Fact(PICTURE_HIGH, max(levels), Unit.PRICE, Label.ESTIMATED, shown=False),
        )
        if levels
        else ()
    )
    event = view.event(
        "map",
        subject=f"map-{view.taken_at_ms}",
        headline=f"{view.market.base} liquidation map",
        side=None,
        severity=Severity.NOTICE,
        facts=reach,
    )
    return view.with_evidence(event)


def liquidation_map(view: MarketView) -> Message:
    """Price, open interest and the heaviest levels of each side."""
    decimals = view.market.price_decimals
    lines = [_price_line(view)]
    interest = view.open_interest_usd
    if interest is None:
        lines.append("No open interest is known here, so nothing is estimated.")
        return Message(f"{view.market.base} liquidation map", tuple(lines), _footer(view))
    lines.append(f"Open interest {figures.usd(interest)}")
    lines += [str(fact.value) for fact in venue_facts(view.venue_shares, view.divergence_bps) if fact.shown]
    levels = [(side, *found) for side in (Side.SHORT, Side.LONG) for found in heaviest(view, side)]
    rows = tuple(
        (
            side.value,
            f"{figures.ESTIMATED_SIGN}{figures.level(level, decimals)}",
            distance(view.price, level),
            f"{figures.ESTIMATED_SIGN}{figures.usd(notional_usd)}",
            f"{figures.ESTIMATED_SIGN}{figures.percent(notional_usd / interest)}",
        )
        for side, level, notional_usd in levels
    )
    nearest = tuple(sorted(range(len(levels)), key=lambda number: abs(levels[number][1] / view.price - 1)))
    table = Table(("side", "level", "from price", "size", "of open interest"), rows, nearest) if rows else None
    return Message(f"{view.market.base} liquidation map", tuple(lines), (ESTIMATED, *_footer(view)), table)


def heaviest(view: MarketView, side: Side) -> list[tuple[float, float]]:
    """The heaviest levels of a side within reach, highest first: (price, estimated USD within half of `APART`)."""
    estimate = view.estimate.map
    edges = estimate.edges
    middle = np.sqrt(edges[1:] * edges[:-1])
    notional = np.where(np.abs(middle / view.price - 1) <= REACH, estimate.side_usd(side), 0.0)
    half = estimate.settings.grid.span(APART) // 2
    heaped = np.convolve(notional, np.ones(2 * half + 1), mode="same")
    found: list[tuple[float, float]] = []
    while len(found) < LEVELS and (total := float(heaped.max())) > 0:
        peak = int(heaped.argmax())
        found.append((float(middle[peak]), total))
        near = slice(max(0, peak - 2 * half), peak + 2 * half + 1)
        notional[slice(max(0, peak - half), peak + half + 1)] = 0.0
        heaped[near] = 0.0
    return sorted(found, reverse=True)


def clusters(view: MarketView) -> Message:
    """Every cluster that is tracked now, nearest first."""
    lines = [_price_line(view)]
    if not view.clusters:
        lines.append("No cluster stands out now.")
    decimals = view.market.price_decimals
    columns = ("side", "centre", "band", "from price", "size", "of open interest", "built over")
    rows = tuple(_cluster_row(cluster, view.price, decimals) for cluster in view.clusters)
    table = Table(columns, rows) if rows else None
    return Message(f"{view.market.base} clusters", tuple(lines), (ESTIMATED, *_footer(view)), table)


def _cluster_row(cluster: Cluster, price: float, decimals: int) -> tuple[str, ...]:
    low, high, centre = (
        figures.level(value, decimals) for value in (cluster.level.low, cluster.level.high, cluster.level.centre)
    )
    return (
        cluster.side.value,
        f"{figures.ESTIMATED_SIGN}{centre}",
        f"{figures.ESTIMATED_SIGN}{low} to {high}",
        distance(price, cluster.level.centre),
        f"{figures.ESTIMATED_SIGN}{figures.usd(cluster.notional_usd)}",
        f"{figures.ESTIMATED_SIGN}{figures.percent(cluster.share_of_open_interest)}",
        build_in_words(cluster.build) or figures.NOT_KNOWN,
    )


def funding(views: Sequence[MarketView]) -> Message:
    """The last settled rate of each market, with what is usual there and who pays."""
    rows = []
    for view in views:
        rates = view.estimate.funding
        if not rates:
            rows.append((view.market.base, *["not known"] * 4))
            continue
        last = rates[-1]
        usual = float(np.median([one.rate for one in rates]))
        pays = "nobody" if not last.rate else "longs pay" if last.rate > 0 else "shorts pay"
        left = figures.duration(max(0, view.next_funding_at_ms(last) - view.taken_at_ms))
        rate = f"{figures.funding(last.rate)} per {last.interval_hours:g} h"
        rows.append((view.market.base, rate, figures.funding(usual), pays, left))
    table = Table(("market", "funding", "median", "who", "next in"), tuple(rows))
    return Message("Funding", (), _footer(*views), table)


def recent(alerts: Sequence[StoredAlert], first: int = 1) -> Message:
    """Alerts, newest first; ``first``: which one the page begins with, the newest is 1."""
    if not alerts:
        return Message("No alert yet." if first == 1 else "No alert is so old.")
    rows = tuple(
        (
            figures.moment(one.event.taken_at_ms),
            one.newest.headline,
            why_in_words(one.reason),
            handle_of(one.alert_id),
        )
        for one in alerts
    )
    footer = (SIMULATED, NOT_ADVICE) if any(one.event.simulated for one in alerts) else (NOT_ADVICE,)
    title = "Recent alerts" if first == 1 else f"Recent alerts, {first} to {first + len(rows) - 1}"
    return Message(title, (), footer, Table(("time", "alert", "why", "handle"), rows))


def watching(watches: Sequence[Watch]) -> Message:
    if not watches:
        return Message("Nothing is watched here.", ("Start with /watch BTC, /watch top10, or /watch all.",))
    rows = tuple(_subscription_row(watch.subscription) for watch in watches)
    return Message("Watched here", (), (), Table(("market", "kinds", "within", "at least", "build"), rows))


def _subscription_row(one: Subscription) -> tuple[str, ...]:
    return (
        "all others" if one.market == EVERY_MARKET else one.market,
        "all" if one.kinds is None else ", ".join(sorted(one.kinds)).replace("_", " "),
        f"{own_rung(one.within_pct) or one.within_pct:g}%",
        figures.usd(one.min_notional_usd) if one.min_notional_usd else "any size",
        one.build_class or "any",
    )


def status(
    source: Source,
    markets: Mapping[Market, MarketView | None],
    counts: Counts,
    refused: Mapping[str, int],
    gaps: int,
    faults: Sequence[str],
    *,
    venues: Sequence[str] = (),
    now_ms: int | None = None,
    private: bool = True,
) -> Message:
    """What runs, how old its data are, what was refused, and what is owed to chats.

    ``venues``: sentences about live venues. ``now_ms``: what ages are counted from; None: the newest data.
    ``private``: for the operator, with what is said of other chats.
    """
    newest_ms = max((view.taken_at_ms for view in markets.values() if view), default=None)
    if now_ms is not None and newest_ms is not None:
        newest_ms = max(now_ms, newest_ms)
    lines = [f"Source: {source.label}", *venues]
    if newest_ms is not None:
        lines.append(f"Market time {figures.moment(newest_ms)}")
    several = len(counts.by_platform) > 1
    for platform, states in sorted(counts.by_platform.items()) or [("", {})]:
        owed = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none yet"
        lines.append(f"Deliveries{f' to {platform}' if several else ''}: {owed}")
    if counts.oldest_pending_ms is not None:
        slowest = min(counts.oldest_pending, key=counts.oldest_pending.__getitem__)
        whose = f" ({slowest})" if several else ""
        lines.append(f"Oldest pending: {figures.moment(counts.oldest_pending_ms)}{whose}")
    last = "none yet" if counts.last_alert_ms is None else figures.moment(counts.last_alert_ms)
    lines.append(f"Last alert: {last}")
    lines.append(f"Silences: {_counted(counts.silences)}")
    lines.append(f"Input refused: {_counted(refused)}")
    lines.append(f"Gaps not bridged: {gaps}")
    if counts.parked:
        reasons = f" ({', '.join(sorted(set(counts.parked.values())))})" if private else ""
        lines.append(f"Chats that cannot be reached: {len(counts.parked)}{reasons}; any command there brings one back")
    lines += faults
    rows = tuple(_market_row(market, view, newest_ms) for market, view in markets.items())
    return Message("Status", tuple(lines), (), Table(("market", "price", "data age", "open interest from"), rows))


def venue_line(venue: "VenueStatus", gaps: "Sequence[Gap]", now_ms: int) -> str:
    """One live venue in a sentence: markets, the age of each series, liquidations seen and missed."""
    if venue.stopped:
        return f"{venue.venue}: STOPPED, {venue.stopped}; {figures.counted(venue.markets, 'market')} without it"
    ages = [
        f"{series} {'STALE, ' if series in venue.stale else ''}{figures.duration(max(0, now_ms - seen_ms))} old"
        for series, seen_ms in venue.seen_ms.items()
    ]
    missed = [gap for gap in gaps if gap.venue == venue.venue]
    told = f"liquidations {venue.prints}" + (f", {venue.prints_received:,} seen" if venue.prints_received else "")
    if missed:
        span = sum((now_ms if gap.until_ms is None else gap.until_ms) - gap.since_ms for gap in missed)
        still = ", the last one lasts" if missed[-1].until_ms is None else ""
        told += f", {len(missed)} {'gap' if len(missed) == 1 else 'gaps'} of {figures.duration(span)} in all{still}"
    closes = [*_lateness(venue.lateness), *_stream(venue.stream)]
    refused = [f"not trusted: {', '.join(venue.refuses)}"] if venue.refuses else []
    return f"{venue.venue}: " + " · ".join([figures.counted(venue.markets, "market"), *ages, *closes, told, *refused])


def _lateness(told: "Lateness | None") -> list[str]:
    if told is None:
        return []
    late = f", late at {told.late_closes} of {told.closes} closes" if told.late_closes else ""
    if told.is_usual:
        return [f"bars LATE: the last {told.last_s:.1f} s after it was due{late}"]
    return [f"last bar {told.last_s:.1f} s after it was due, {told.most_s:.1f} s at most{late}"]


def _stream(told: "StreamTally | None") -> list[str]:
    """Nothing where it told all: that is no news."""
    if told is None or not (told.late or told.missing):
        return []
    silent = f", silent at {told.silent} of {told.closes} closes" if told.silent else ""
    return [f"candle stream: {told.late:,} late, {told.missing:,} missing{silent} (asked for instead)"]


def _market_row(market: Market, view: MarketView | None, newest_ms: int | None) -> tuple[str, ...]:
    interest = "+".join(market.open_interest_venues) or "nowhere"
    if view is None or newest_ms is None:
        return market.base, figures.NOT_KNOWN, "no data yet", interest
    age = figures.duration(newest_ms - view.taken_at_ms)
    return market.base, figures.price(view.price, market.price_decimals), age, interest


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in sorted(counts.items())) or "none"


def _price_line(view: MarketView) -> str:
    return f"Price {figures.price(view.price, view.market.price_decimals)} at {figures.moment(view.taken_at_ms)}"


def _footer(*views: MarketView) -> tuple[str, ...]:
    simulated = any(view.market.simulated for view in views)
    return (SIMULATED, NOT_ADVICE) if simulated else (NOT_ADVICE,)
