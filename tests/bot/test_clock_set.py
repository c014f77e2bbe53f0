"""P13, on the whole app: somebody sets the machine's clock an hour forward or back, and the next scan comes in time."""

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from bot import run
from bot.app import App, make_feed
from bot.markets.live_types import BAR_MS, WallClock
from bot.markets.local import feed as local
from bot.markets.local.clock import Clock as VenueTime
from bot.markets.local.feed import LocalFeed
from bot.markets.simulated_exchange import START_MS
from bot.platforms.console import Printer
from bot.playback import Moment
from bot.run_live import serve_live
from bot.schedule import Schedule
from detectors.market import DAY_MS, HOUR_MS
from tests.bot.played import SEED, config
from tests.bot.set_clock import MachineClock

NOW_MS = START_MS + 2 * DAY_MS
BARS_A_S = 1.0
SLACK_S = 4.0
"""For a machine that has other things to do. An hour would be twelve seconds at this speed."""


class SetClock(WallClock):
    """The clock of a live bot on a machine whose clock can be set, in the venues' time."""

    made: "list[SetClock]" = []  # noqa: RUF012 - the test's way to what the feed made

    def __init__(self, venues: VenueTime) -> None:
        self.set_ms, self._venues, start_ms = 0, venues, venues.now_ms
        super().__init__(lambda: venues.now_ms + self.set_ms, lambda: (venues.now_ms - start_ms) / 1000)
        self.made.append(self)

    @property
    def venues_ms(self) -> int:
        return self._venues.now_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / max(self._venues.speed, 1.0))


def test_only_small_corrections_of_the_machine_s_clock_are_followed() -> None:
    wall_ms, steady_s = NOW_MS, 100.0
    clock = WallClock(lambda: wall_ms, lambda: steady_s)
    wall_ms, steady_s = wall_ms + 10_200, steady_s + 10
    assert clock.now_ms() == NOW_MS + 10_200
    for set_ms in (-HOUR_MS, HOUR_MS, 30 * DAY_MS):
        wall_ms = NOW_MS + 10_200 + set_ms
        assert clock.now_ms() == NOW_MS + 10_200
    wall_ms = NOW_MS + 10_100
    assert clock.now_ms() == NOW_MS + 10_100


@pytest.mark.parametrize("set_ms", [-HOUR_MS, HOUR_MS], ids=["an hour back", "an hour forward"])
async def test_live_the_next_bar_and_the_next_price_come_within_two_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_ms: int
) -> None:
    monkeypatch.setattr(local, "VenueClock", SetClock)
    feed = LocalFeed(6, ("binance",), ["BTC"], speed=BARS_A_S, history_days=1.5, now_ms=NOW_MS)
    clock = SetClock.made[-1]
    settings = config(
        source={"kind": "local", "venues": ["binance"], "history_days": 1.0},
        charts={"draw": False},
        store={"path": str(tmp_path / "bot.db")},
    )
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    bars: list[tuple[float, int]] = []
    prices: list[tuple[float, int]] = []
    async with App(settings, feed, printer=Printer(Console(file=io.StringIO(), width=160))) as app:
        take = app.take

        async def noting(moment: Moment) -> None:
            await take(moment)
            for one in moment:
                (prices if one.bar is None else bars).append((loop.time(), one.taken_at_ms))

        monkeypatch.setattr(app, "take", noting)
        serving = asyncio.create_task(serve_live(app, feed, stopping, interactive=False))
        try:
            async with asyncio.timeout(30):
                while not (app.caught_up and bars and prices):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.02)
            clock.set_ms, set_at_s = set_ms, loop.time()
            before_ms = max(at_ms for _, at_ms in (*bars, *prices))
            bars.clear()
            prices.clear()
            async with asyncio.timeout(2 / BARS_A_S + SLACK_S):
                while len(bars) < 1 or len(prices) < 2:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.02)
            apart_ms = app.commands.now_ms - clock.venues_ms
        finally:
            stopping.set()
            async with asyncio.timeout(10):
                await serving
        assert min(at_s for at_s, _ in (*bars, *prices)) >= set_at_s
        times = [at_ms for _, at_ms in sorted((*bars, *prices))]
        assert times == sorted(times)
        assert before_ms < times[-1] < before_ms + 8 * BAR_MS, "the market's time jumped with the machine's clock"
        assert abs(apart_ms) < BAR_MS, "how late alerts are and when mutes end is told by a clock that was set"


@pytest.mark.parametrize("set_s", [-3600.0, 3600.0], ids=["an hour back", "an hour forward"])
async def test_the_market_that_is_played_goes_on_within_two_ticks(
    monkeypatch: pytest.MonkeyPatch, set_s: float
) -> None:
    clock = MachineClock(monkeypatch)
    settings = config(
        source={"seed": SEED, "days": 60.0, "markets": ["BTC"], "warm_up_days": 0.1, "speed": 2.0},
        charts={"draw": False},
        schedule={"heartbeat_seconds": 0.5},
    )
    printer = Printer(Console(file=io.StringIO(), width=160))
    schedule = Schedule(wall_s=clock.time, look_every_s=0.05)
    stopping = asyncio.Event()
    async with App(settings, make_feed(settings), printer=printer, schedule=schedule) as app:
        serving = asyncio.create_task(run.serve(app, stopping, interactive=False))

        async def ticks_and_beats(after: int, within_s: float) -> None:
            beat_s = app.beat_s
            async with asyncio.timeout(within_s):
                while app.ticks <= after or app.beat_s == beat_s:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)

        try:
            await ticks_and_beats(app.ticks, 20)
            clock.set_s = set_s
            ticks = app.ticks
            await ticks_and_beats(ticks, 2 * 0.5 + SLACK_S)
            assert app.ticks < ticks + 20, "an hour's ticks are not made up for"
        finally:
            stopping.set()
            await serving
    assert schedule.clock_jumps == 1
    assert "The clock jumped 1 time" in app._faults()
