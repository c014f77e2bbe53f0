"""The whole live path, real ccxt included, against local venues: faults change nothing but what is said of them."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import pytest

from bot.markets.live_types import BAR_MS, Notice, NoticeKind
from bot.markets.local.venues import LocalVenues
from detectors.engine import MarketEngine
from detectors.market import Market, MarketSnapshot
from detectors.registry import find_kinds
from tests.bot.markets.live_rig import Rig, rig, until
from tests.bot.played import config

BARS = 30
WARM_DAYS = 2.0
SEED = 7
VENUES = ("binance", "okx")
Told = set[tuple[str, str, int]]
"""(kind, cluster, bar) of events."""


def told(snapshots: Iterable[MarketSnapshot], markets: Sequence[Market]) -> Told:
    """Of every event. Prints stream only to who listens, so a replay has none to compare."""
    kinds, found = find_kinds(), set()
    engines = {market.base: MarketEngine(market, config().engine_settings(), kinds) for market in markets}
    for snapshot in sorted(snapshots, key=lambda one: one.taken_at_ms):
        step = engines[snapshot.market.base].step(replace(snapshot, prints=()))
        for event in step.events if step is not None else ():
            found.add((event.kind, f"{event.market} {event.subject}", event.bar_opened_at_ms))
    return found


# --- what goes wrong, bar by bar


async def burst_of_500(rigged: Rig) -> None:
    def received() -> int:
        return next(row.prints_received for row in rigged.feed.status() if row.venue == "binance")

    await until(lambda: not any(gap.until_ms is None and gap.venue == "binance" for gap in rigged.feed.gaps))
    before = received()
    await rigged.venues["binance"].burst("ETH", 500)
    await until(lambda: received() >= before + 500)


async def small_troubles(rigged: Rig, n: int) -> None:
    binance, okx = rigged.venues["binance"].faults, rigged.venues["okx"].faults
    match n % 12:
        case 0:
            await burst_of_500(rigged)
        case 1:
            binance.garbage("", path="klines", times=1)
        case 2:
            okx.garbage("<html></html>", path="candles", times=1)
        case 3:
            binance.skew_ms = okx.skew_ms = 700
            okx.silent = True
        case 4:
            binance.skew_ms = okx.skew_ms = 0
            okx.silent = False
            binance.poison("NaN", path="openInterest", times=1)
        case 5:
            okx.reset(times=1)
        case 7:
            binance.answer(503, times=1)
        case 8:
            okx.garbage("null", times=1)
        case 10:
            binance.delay(0.05, times=2)
            okx.garbage("[]", path="open-interest", times=1)
        case _:
            pass


def out_and_back(venue: str) -> Callable[[Rig, int], Awaitable[None]]:
    """Banned for a quarter of an hour, silent for a while, and geo-blocked in the end."""

    async def trouble(rigged: Rig, n: int) -> None:
        faults = rigged.venues[venue].faults
        match n:
            case 3:
                faults.answer(418, retry_after_s=900)
            case 5 | 13:
                faults.clear()
            case 9:
                faults.reset()
                faults.silent = True
            case 23:
                faults.answer(451)
            case _:
                pass

    return trouble


def btc_is_not_on_okx(venues: LocalVenues) -> None:
    venues["okx"].faults.delisted.add("BTC")


async def markets_come_and_go(rigged: Rig, n: int) -> None:
    binance, okx = rigged.venues["binance"].faults, rigged.venues["okx"].faults
    match n:
        case 2:
            okx.delisted.add("DOGE")
        case 6:
            okx.delisted.clear()  # BTC is listed with it, and is no part of the view before lists are read again
        case 10:
            binance.delisted.add("ETH")
        case 14:
            binance.delisted.clear()
        case _:
            pass


async def somebody_sets_our_clock(rigged: Rig, n: int) -> None:
    rigged.clock.wrong_by_ms = {3: 45_000, 8: -45_000, 13: 420_000, 18: -420_000, 23: 0}.get(
        n, rigged.clock.wrong_by_ms
    )


@dataclass(frozen=True)
class Story:
    trouble: Callable[[Rig, int], Awaitable[None]]
    said: Sequence[str] = ()
    """What has to be said of it."""
    may_be_late: bool = False
    """A bar may come with the one after it."""
    before: Callable[[LocalVenues], object] = lambda _: None
    venues: Sequence[str] = VENUES


STORIES = {
    "small troubles": Story(small_troubles),
    "a venue is banned, silent and blocked": Story(
        out_and_back("gate"),
        said=(
            "gate is stopped; banned (418)",
            "gate's open interest is not counted",
            "gate: bars again",
            "gate's open interest is counted again",
            "gate: no bars for",
            "gate is stopped; geo-block",
        ),
        venues=("bybit", "gate"),
    ),
    "the venue that leads the price is": Story(
        out_and_back("binance"),
        said=(
            "binance is stopped; banned (418)",
            "the price is okx's now",
            "binance: bars again",
            "binance's open interest is counted again",
            "binance: no bars for",
            "binance is stopped; geo-block (451)",
        ),
    ),
    "markets come and go": Story(
        markets_come_and_go,
        said=(
            "DOGE: okx's open interest is not counted",
            "DOGE: okx's open interest is counted again",
            "ETH: binance's open interest is not counted",
            "ETH: binance's open interest is counted again",
        ),
        before=btc_is_not_on_okx,
    ),
    "somebody sets our clock": Story(somebody_sets_our_clock, may_be_late=True),
}


def gaps(notices: Sequence[Notice]) -> list[tuple[int, int]]:
    """When a venue was said to be missing: from an interval before it was said until one after all was back."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    lasts = 2**53
    for notice in notices:
        of_venue = found[notice.venue]
        begins = notice.stopped or notice.kind is NoticeKind.STALE or "not counted" in notice.text
        if notice.kind is NoticeKind.RECOVERED or "counted again" in notice.text:
            since_ms, _ = of_venue.pop()
            of_venue.append((since_ms, notice.at_ms + BAR_MS))
        elif begins and (not of_venue or of_venue[-1][1] != lasts):
            # What is said seconds after a close is of the bar that closed then.
            of_venue.append((notice.at_ms // BAR_MS * BAR_MS - BAR_MS, lasts))
    return [gap for of_venue in found.values() for gap in of_venue]


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_alerts_with_faults_on_equal_those_of_a_replay_without_except_inside_the_stated_gaps(
    story: Story,
) -> None:
    notices: list[Notice] = []
    async with rig(story.venues, ["BTC", "ETH", "DOGE"], days=WARM_DAYS, seed=SEED, before=story.before) as rigged:
        markets = rigged.feed.markets
        live = await rigged.past(WARM_DAYS)
        first_ms, started_ms = live[0].taken_at_ms, rigged.clock.venues_ms
        for n in range(BARS):
            await story.trouble(rigged, n)
            assert await rigged.next_bar() or story.may_be_late, f"bar {n} never came"
            notices += rigged.feed.notices()
        live += rigged.bars
        refused = sum(rigged.feed.refusals.values())
        prints = sum(len(one.prints) for one in rigged.bars)
        for venue in story.venues:
            rigged.venues[venue].faults.clear()
        rigged.clock.wrong_by_ms = 0
        await rigged.restart(0)
        replay = [one for one in await rigged.past(WARM_DAYS + 1, markets) if one.taken_at_ms >= first_ms]
    for market in markets:
        opened = [one.bar.opened_at_ms for one in live if one.market.base == market.base and one.bar is not None]
        assert opened == list(range(opened[0], opened[0] + len(opened) * BAR_MS, BAR_MS)), "a bar is missing"
    stated = gaps(notices)

    def outside(found: Told) -> Told:
        return {one for one in found if not any(since_ms <= one[2] <= until_ms for since_ms, until_ms in stated)}

    expected = outside(told(replay, markets))
    assert outside(told(live, markets)) == expected
    assert any(bar >= started_ms for _, _, bar in expected), "nothing happened: choose another seed"
    assert [said for said in story.said if not any(said in notice.text for notice in notices)] == []
    if story.trouble is small_troubles:
        assert refused >= BARS // 12 * 5
        assert prints >= 500 * (BARS // 12 + 1)
        assert not [one for one in notices if one.kind is NoticeKind.STALE]
