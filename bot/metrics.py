"""What ``/metrics`` says, as Prometheus families. Read anew at each scrape; nothing here is counted twice."""

import time
from collections.abc import Iterator, Sequence

from prometheus_client import (
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import CollectorRegistry

from bot.app import App
from bot.lag import BOUNDS_S, LoopLag
from bot.markets.live import LiveFeed
from storage.outbox import DeliveryState
from storage.store import Counts

CONTENT_TYPE = CONTENT_TYPE_LATEST
NAME = "clusterwatch"


class Scrape(CollectorRegistry):
    """One answer: the process, then the bot. ``app`` and ``counts`` are None where there is nothing of them yet."""

    def __init__(
        self,
        version: str,
        healthy: bool,
        lag: LoopLag,
        app: App | None,
        counts: Counts | None,
        *,
        standing_by: bool = False,
    ) -> None:
        super().__init__(auto_describe=False)
        ProcessCollector(registry=self)
        PlatformCollector(registry=self)
        GCCollector(registry=self)
        self._version, self._healthy, self._lag, self._app, self._counts = version, healthy, lag, app, counts
        self._standing_by = standing_by

    def text(self) -> bytes:
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        yield from super().collect()
        yield InfoMetricFamily(f"{NAME}_build", "Which version runs", {"version": self._version})
        yield _gauge("healthy", "1 where /healthz says so", int(self._healthy))
        yield _gauge("standing_by", "1 where another copy leads and this one waits", int(self._standing_by))
        yield _lag(self._lag)
        if self._app is not None:
            yield from _of_app(self._app)
            if isinstance(self._app.feed, LiveFeed):
                yield from _of_venues(self._app.feed)
        if self._counts is not None:
            yield from _of_store(self._counts, self._app)


def _gauge(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAME}_{name}", says, value)


def _lag(lag: LoopLag) -> HistogramMetricFamily:
    total, buckets = 0, []
    for bound, n in zip([*map(str, BOUNDS_S), "+Inf"], lag.counts, strict=True):
        total += n
        buckets.append((bound, float(total)))
    says = "How late the event loop comes to what is due"
    return HistogramMetricFamily(f"{NAME}_event_loop_lag_seconds", says, buckets, lag.total_s)


def _of_app(app: App) -> Iterator[Metric]:
    yield CounterMetricFamily(f"{NAME}_ticks", "Moments committed since the start", app.ticks)
    yield CounterMetricFamily(f"{NAME}_failed_ticks", "Moments that failed by a fault of ours", app.failed_ticks)
    yield CounterMetricFamily(f"{NAME}_clock_jumps", "How often the clock was set", app.schedule.clock_jumps)
    failed = CounterMetricFamily(f"{NAME}_job_failures", "Runs of a job that raised", labels=["job"])
    for job, n in app.schedule.failed.items():
        failed.add_metric([job], n)
    yield failed
    if app.charts is not None:
        yield CounterMetricFamily(f"{NAME}_charts_failed", "Charts that could not be drawn", app.charts.failed)
    refused = CounterMetricFamily(f"{NAME}_feed_refusals", "Input that was not believed, by the feed", labels=["what"])
    for what, n in app.feed.refusals.items():
        refused.add_metric([what], n)
    yield refused


def _of_venues(feed: LiveFeed) -> Iterator[Metric]:
    age = GaugeMetricFamily(f"{NAME}_venue_age_seconds", "Since a venue's series last came", labels=["venue", "series"])
    stale = GaugeMetricFamily(f"{NAME}_venue_stale", "1: without news for two intervals", labels=["venue", "series"])
    stopped = GaugeMetricFamily(f"{NAME}_venue_stopped", "1: nothing is asked of it", labels=["venue"])
    prints = CounterMetricFamily(f"{NAME}_liquidations_seen", "Observed liquidations", labels=["venue"])
    replayed = CounterMetricFamily(
        f"{NAME}_liquidations_replayed", "Old ones that came with a connection, and were dropped", labels=["venue"]
    )
    late = GaugeMetricFamily(
        f"{NAME}_venue_bars_late_seconds", "The last market's bar after it was due, newest close", labels=["venue"]
    )
    late_closes = GaugeMetricFamily(
        f"{NAME}_venue_late_closes", "Of the last 12, those whose last bar came over 2 s late", labels=["venue"]
    )
    stream = CounterMetricFamily(
        f"{NAME}_stream_candles_lacking",
        "Closing candles that the stream did not tell in time, and were asked for",
        labels=["venue", "how"],
    )
    silent = CounterMetricFamily(
        f"{NAME}_stream_silent_closes", "Closes of which the stream told nothing", labels=["venue"]
    )
    now_ms = feed.clock.now_ms()
    for venue in feed.status():
        replayed.add_metric([venue.venue], venue.prints_replayed)
        if venue.lateness is not None:
            late.add_metric([venue.venue], venue.lateness.last_s)
            late_closes.add_metric([venue.venue], venue.lateness.late_closes)
        if venue.stream is not None:
            stream.add_metric([venue.venue, "late"], venue.stream.late)
            stream.add_metric([venue.venue, "missing"], venue.stream.missing)
            silent.add_metric([venue.venue], venue.stream.silent)
        stopped.add_metric([venue.venue], int(bool(venue.stopped)))
        prints.add_metric([venue.venue], venue.prints_received)
        for series, seen_ms in venue.seen_ms.items():
            age.add_metric([venue.venue, series], max(0, now_ms - seen_ms) / 1000)
            stale.add_metric([venue.venue, series], int(series in venue.stale))
    yield from (age, stale, stopped, prints, replayed, late, late_closes, stream, silent)


def _of_store(counts: Counts, app: App | None) -> Iterator[Metric]:
    platforms = sorted({*counts.by_platform, *({one.name for one in app.chats.platforms} if app else ())})
    yield from _deliveries(counts, platforms, _market_ms(app))
    if counts.heartbeat_at_ms is not None:
        beaten = max(0.0, time.time() - counts.heartbeat_at_ms / 1000)
        yield _gauge("heartbeat_age_seconds", "Since the store last took a heartbeat", beaten)
    parked = GaugeMetricFamily(f"{NAME}_parked_chats", "Chats that are sent nothing more", labels=["platform"])
    for platform in sorted({chat.platform for chat in counts.parked}):
        parked.add_metric([platform], sum(chat.platform == platform for chat in counts.parked))
    yield parked
    for name, says, label, found in (
        ("events", "Events seen, by kind", "kind", counts.events),
        ("silences", "Decisions not to tell a chat, by reason", "reason", counts.silences),
    ):
        family = CounterMetricFamily(f"{NAME}_{name}", says, labels=[label])
        for key, n in found.items():
            family.add_metric([key], n)
        yield family
    refused = CounterMetricFamily(f"{NAME}_refusals", "Input that was not believed", labels=["market", "reason"])
    for (market, reason), n in counts.refusals.items():
        refused.add_metric([market, reason], n)
    yield refused


def _deliveries(counts: Counts, platforms: Sequence[str], now_ms: int | None) -> Iterator[Metric]:
    """Every platform has each state and an age, also where it is 0: an alarm needs a series that is there."""
    kept = GaugeMetricFamily(
        f"{NAME}_deliveries", "Deliveries kept, by platform and state", labels=["platform", "state"]
    )
    for platform in platforms:
        for state in DeliveryState:
            kept.add_metric([platform, state], counts.by_platform.get(platform, {}).get(state, 0))
    yield kept
    if now_ms is None:
        return
    says = "Age of a platform's oldest alert not settled, in market time"
    age = GaugeMetricFamily(f"{NAME}_oldest_pending_seconds", says, labels=["platform"])
    for platform in platforms:
        age.add_metric([platform], max(0, now_ms - counts.oldest_pending.get(platform, now_ms)) / 1000)
    yield age


def _market_ms(app: App | None) -> int | None:
    if app is None:
        return None
    return app.feed.clock.now_ms() if isinstance(app.feed, LiveFeed) else app.newest_ms
