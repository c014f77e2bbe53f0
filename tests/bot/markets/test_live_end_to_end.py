"""The whole live path, real ccxt included, against local venues: faults change nothing but what is said of them."""

from collections.abc import Iterable
from dataclasses import replace

from bot.config import Config
from bot.markets.live_types import NoticeKind
from detectors.engine import MarketEngine
from detectors.event import Event
from detectors.market import MarketSnapshot
from detectors.registry import find_kinds
from tests.bot.markets.live_rig import Rig, rig

BARS = 48
WARM_DAYS = 3.5


def told(snapshots: Iterable[MarketSnapshot], rigged: Rig) -> set[tuple[str, str, int]]:
    """(kind, cluster, bar) of every event. Prints stream only to who listens, so a replay has none to compare."""
    events: list[Event] = []
    kinds = find_kinds()
    engines = {m.base: MarketEngine(m, Config().engine_settings(), kinds) for m in rigged.feed.markets}
    for snapshot in snapshots:
        step = engines[snapshot.market.base].step(replace(snapshot, prints=(), by_venue=()))
        events += step.events if step is not None else ()
    return {(event.kind, f"{event.market} {event.subject}", event.bar_opened_at_ms) for event in events}


async def test_alerts_with_faults_on_equal_those_of_a_replay_without() -> None:
    async with rig(["binance", "okx"], ["ETH", "DOGE"], days=WARM_DAYS, seed=5) as rigged:
        before = await rigged.past(WARM_DAYS)
        for n in range(BARS):
            binance, okx = rigged.venues["binance"].faults, rigged.venues["okx"].faults
            binance_server = rigged.venues["binance"]
            match n % 12:
                case 0:
                    await binance_server.burst("ETH", 500)
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
            assert await rigged.next_bar(), f"bar {n} never came"
        replay = await rigged.past(WARM_DAYS + 1)
        live = [*before, *rigged.bars]
        first_ms = before[0].taken_at_ms
        replay = [one for one in replay if one.taken_at_ms >= first_ms]
        expected = told(sorted(replay, key=lambda one: one.taken_at_ms), rigged)
        assert told(sorted(live, key=lambda one: one.taken_at_ms), rigged) == expected
        assert any(bar >= rigged.bars[0].taken_at_ms for _, _, bar in expected), "nothing happened: choose another seed"
        assert sum(rigged.feed.refusals.values()) >= BARS // 12 * 5
        assert not [one for one in rigged.feed.notices() if one.kind is NoticeKind.STALE]
