"""A live run that was killed tells the same as one that was not, what each venue said included."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.markets.live_history import Stretch
from bot.markets.live_types import BAR_MS
from bot.markets.simulated_exchange import START_MS
from bot.watch import Watcher
from detectors.event import Event
from detectors.market import DAY_MS, MarketSnapshot
from storage.postgres import PostgresStore
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from tests.bot.markets.live_rig import Rig, rig
from tests.bot.played import subscribe, watcher

DAYS = 2.0
BARS = 18
SEED = 1
AWAY_BARS = 5


def heard(snapshots: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
    """Without liquidations, which stream only to who listens."""
    return [replace(one, prints=()) for one in sorted(snapshots, key=lambda one: one.taken_at_ms)]


async def since_the_last(watching: Watcher, rigged: Rig) -> list[MarketSnapshot]:
    """What the venues tell of the time since the bot was last there."""
    known = {base: engine.screen.last_bar_opened_at_ms or 0 for base, engine in watching.engines.items()}
    stretches = [
        Stretch(market, known[market.base] + BAR_MS, rigged.feed.live_from_ms) for market in rigged.feed.markets
    ]
    return [one async for past in rigged.feed.past(stretches) for one in past.snapshots]


async def told(
    make_store: Callable[[], SqlStore], kill_after: Sequence[int], venues: Sequence[str]
) -> tuple[list[Event], list[dict[str, Any]], set[int]]:
    """Every alert of a run, what is stored of each venue, and the bars that were missed: it was killed after
    ``kill_after``, and away for a while then."""
    async with rig(venues, ["ETH", "DOGE"], days=DAYS, seed=SEED, look_every_s=1e7) as rigged:
        store = make_store()
        await store.open()
        await subscribe(store)
        watching = watcher(store, evidence=True)
        await watching.start(rigged.feed.markets)
        missed: set[int] = set()
        for market in rigged.feed.markets:
            stretch = Stretch.of_days(market, DAYS, rigged.clock.now_ms())
            async for one in rigged.feed.past([stretch]):
                await watching.put_before(market.base, one.snapshots, asked_from_ms=stretch.since_ms)
        await watching.checkpoint()
        n = 0
        while n < BARS:
            assert await rigged.next_bar()
            await watching.take(heard(rigged.bars))
            rigged.snapshots.clear()
            if n in kill_after:
                await store.close()
                store = make_store()
                await store.open()
                watching = watcher(store, evidence=True)
                await rigged.restart(AWAY_BARS * BAR_MS)
                await watching.start(rigged.feed.markets)
                past = heard(await since_the_last(watching, rigged))
                missed |= {one.bar.opened_at_ms for one in past if one.bar is not None}
                await watching.take(past)
                n += AWAY_BARS
            n += 1
        alerts = [one.newest for one in await store.recent(1000)]
        samples = [
            {
                "at": snapshot.taken_at_ms,
                "venue": (one.venue, one.symbol, one.happened_at_ms),
                "said": (one.price, one.volume_base, one.open_interest_base),
            }
            for market in rigged.feed.markets
            for snapshot in await store.snapshots_since(market.base, None)
            for one in snapshot.by_venue
        ]
        await store.close()
        return alerts, samples, missed


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SqlStore]:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda: PostgresStore(url, "local")
    return lambda: SqliteStore(tmp_path / "killed.db", "local")


@pytest.mark.parametrize(
    ("make_store", "venues"),
    [("sqlite", ("gate", "okx")), ("postgres", ("gate", "okx")), ("sqlite", ("binance", "bybit"))],
    indirect=["make_store"],
    ids=["sqlite", "postgres", "binance and bybit"],
)
async def test_killed_and_restarted_it_tells_byte_for_byte_what_it_would_have_told(
    make_store: Callable[[], SqlStore], tmp_path: Path, venues: Sequence[str]
) -> None:
    expected_alerts, expected_samples, _ = await told(lambda: SqliteStore(tmp_path / "never.db", "local"), [], venues)
    first_ms = (START_MS + round(DAYS * DAY_MS)) // BAR_MS * BAR_MS
    telling = [one for one in expected_alerts if "venue_divergence_bps" in {fact.name for fact in one.facts}]
    bars = [(one.bar_opened_at_ms - first_ms) // BAR_MS for one in telling]
    killed_at = next((n for n in bars if 2 * AWAY_BARS < n < BARS - AWAY_BARS + 2), None)
    assert killed_at is not None, f"no alert in the middle tells of venues, only at {bars}: choose another seed"
    alerts, samples, missed = await told(make_store, [1, killed_at - 2], venues)
    assert samples == expected_samples
    assert len({one["venue"][0] for one in samples}) == 2
    assert [one.to_json() for one in alerts] == [one.to_json() for one in expected_alerts]
    late = [one for one in alerts if one.bar_opened_at_ms in missed]
    assert any(fact.name == "venues" and "% of open interest" in str(fact.value) for one in late for fact in one.facts)
