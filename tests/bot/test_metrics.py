"""What ``/metrics`` says of deliveries, over both stores, and that the docs name every family."""

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from bot import metrics
from bot.app import App, make_feed
from bot.lag import LoopLag
from bot.markets.live_health import Lateness, StreamTally, VenueStatus
from bot.metrics import Scrape
from bot.platforms.console import Printer
from storage.chats import Chat
from storage.outbox import Dead, Expired, Later, Sent, Settlement
from storage.postgres import PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from tests.bot.played import SEED, config
from tests.storage.make import alert, event, tick

HOSTING = Path(__file__).resolve().parents[2] / "docs/HOSTING.md"
Samples = dict[tuple[str, ...], float]
LATE = Lateness(2.5, 2.5, 1, 12, is_usual=False)
VENUES = SimpleNamespace(
    clock=SimpleNamespace(now_ms=lambda: 100_000),
    status=lambda: [
        VenueStatus("okx", 3, "", (), {"bars": 40_000}, "full", 7, (), 4, LATE, StreamTally(30, 2, 3, 40)),
        VenueStatus("gate", 3, "banned", (), {}, "totals", 0, ()),
    ],
)


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    if request.param == "postgres":
        yield PostgresStore(request.getfixturevalue("postgres_url"), "simulated")
    else:
        yield SqliteStore(tmp_path / "bot.db", "simulated")


def app_of(store: SqlStore) -> App:
    made = config(source={"seed": SEED, "days": 1.0, "markets": ["BTC"]}, charts={"draw": False})
    return App(made, make_feed(made), store=store, printer=Printer(Console(file=io.StringIO(), width=160)))


async def scraped(app: App | None, store: SqlStore) -> str:
    return Scrape("1.2.3", True, LoopLag(), app, await store.counts()).text().decode()


def samples(text: str, family: str) -> Samples:
    """By the values of its labels, in the order of their names."""
    return {
        tuple(sample.labels[name] for name in sorted(sample.labels)): sample.value
        for found in text_string_to_metric_families(text)
        for sample in found.samples
        if sample.name == family
    }


async def owe(store: SqlStore) -> None:
    """To four Telegram chats and two on Discord, one of each end; each pair of alerts an hour after the other."""
    telegram, discord = ([Chat(name, str(n)) for n in range(4)] for name in ("telegram", "discord"))
    await store.commit_tick(tick(0, alert(event(), *telegram)))
    await store.commit_tick(tick(12, alert(event(12, subject="later"), *discord[:2])))
    ends: list[Settlement] = [Sent("m"), Dead("refused"), Expired("too late"), Later(0, "wait")]
    claims = await store.claim(0, 4, platform="telegram")
    await store.settle_all([(one.deliveries, end) for one, end in zip(claims, ends, strict=True)])
    (first,) = await store.claim(0, 1, platform="discord")
    await store.settle(first.deliveries, Sent("m"))


async def test_deliveries_are_counted_by_platform_and_state_with_the_age_of_the_oldest_owed(store: SqlStore) -> None:
    async with app_of(store) as app:
        await owe(store)
        app.newest_ms = event(12).taken_at_ms + 60_000
        text = await scraped(app, store)
        counts = await store.counts()
    assert counts.by_platform == {
        "telegram": {"sent": 1, "dead": 1, "expired": 1, "pending": 1},
        "discord": {"sent": 1, "pending": 1},
    }
    assert counts.deliveries == {"sent": 2, "dead": 1, "expired": 1, "pending": 2}
    kept = samples(text, "clusterwatch_deliveries")
    assert {key: n for key, n in kept.items() if n} == {
        ("telegram", "sent"): 1,
        ("telegram", "dead"): 1,
        ("telegram", "expired"): 1,
        ("telegram", "pending"): 1,
        ("discord", "sent"): 1,
        ("discord", "pending"): 1,
    }
    assert kept["discord", "dead"] == 0  # there before the first one dies, or no alarm could be set on it
    assert samples(text, "clusterwatch_oldest_pending_seconds") == {("telegram",): 3660, ("discord",): 60}


async def test_a_platform_that_owes_nothing_has_an_age_of_nothing(store: SqlStore) -> None:
    async with app_of(store) as app:
        await store.commit_tick(tick(0, alert(event(), Chat("telegram", "1"))))
        (claim,) = await store.claim(0, 1)
        await store.settle(claim.deliveries, Sent("m"))
        app.newest_ms = event().taken_at_ms + 60_000
        text = await scraped(app, store)
    assert samples(text, "clusterwatch_oldest_pending_seconds") == {("telegram",): 0}


async def test_the_docs_name_every_family_and_no_other(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "bot.db", "simulated")
    async with app_of(store) as app:
        await owe(store)
        await store.note_refusals("BTC", {"spike": 1})
        await store.heartbeat(1)
        app.newest_ms = event().taken_at_ms
        text = await scraped(app, store)
    families = set(re.findall(r"^# TYPE (clusterwatch_\w+?)(?:_total|_info)? ", text, re.MULTILINE))
    named = set(re.findall(r"`(clusterwatch_\w+)`", HOSTING.read_text(encoding="utf-8")))
    of_venues = {family.name for family in metrics._of_venues(cast(Any, VENUES))}
    assert named == families | of_venues | {"clusterwatch_charts_failed"}


def test_bars_that_come_late_and_candles_that_a_stream_lacked_are_told_by_venue() -> None:
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics._of_venues(cast(Any, VENUES))
        for sample in family.samples
    }
    assert told["clusterwatch_venue_bars_late_seconds", "okx"] == 2.5
    assert told["clusterwatch_venue_late_closes", "okx"] == 1
    assert told["clusterwatch_stream_candles_lacking_total", "okx", "late"] == 3
    assert told["clusterwatch_stream_candles_lacking_total", "okx", "missing"] == 40
    assert told["clusterwatch_stream_silent_closes_total", "okx"] == 2
    assert told["clusterwatch_liquidations_replayed_total", "okx"] == 4
    assert ("clusterwatch_stream_silent_closes_total", "gate") not in told
