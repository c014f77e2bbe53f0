"""The live feed's small parts: pauses and bans, clocks that are set, what is fresh, what is a number."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markets.ccxt_errors import VenueFatal, VenueRetry
from bot.markets.feed import Refusals
from bot.markets.live_budget import CallGate, Window
from bot.markets.live_choice import choose, impostors, view
from bot.markets.live_client import CcxtClient
from bot.markets.live_health import Freshness
from bot.markets.live_types import Listing, NoticeKind, number, until_next, whole_ms
from bot.markets.names import UnknownMarket
from bot.markets.venues import Budget, rules_for
from detectors.market import HOUR_MS

NOON_MS = 1_765_022_400_000
FIVE_MS = 300_000


class SetClock:
    """Time passes only by sleeping; ``set_to`` is what somebody does to it after that many sleeps."""

    def __init__(self, now_ms: int = NOON_MS, set_to: dict[int, int] | None = None) -> None:
        self.wall_ms, self.slept_s, self._naps, self._set_to = now_ms, 0.0, 0, set_to or {}

    def now_ms(self) -> int:
        return self.wall_ms

    def steady_s(self) -> float:
        return self.slept_s

    async def sleep(self, seconds: float) -> None:
        self.wall_ms += round(seconds * 1000)
        self.slept_s += seconds
        self._naps += 1
        self.wall_ms = self._set_to.get(self._naps, self.wall_ms)


async def test_the_venue_s_time_goes_on_whatever_somebody_does_to_our_clock() -> None:
    class Venue:
        last_response_headers = None

        async def fetch_time(self) -> int:
            return NOON_MS + 7_000

    clock, venue = SetClock(), cast(Any, Venue())
    client = CcxtClient(rules_for("okx"), venue, clock, Refusals())
    assert client.now_ms() == NOON_MS
    await client.ask_time()
    assert client.now_ms() == NOON_MS + 7_000
    clock.wall_ms -= HOUR_MS
    assert client.now_ms() == NOON_MS + 7_000
    await clock.sleep(60)
    assert client.now_ms() == NOON_MS + 67_000


async def test_the_venue_s_time_does_not_jump_by_what_may_be_the_way_there_and_back() -> None:
    clock, told = SetClock(), [NOON_MS, NOON_MS + 3_000, NOON_MS + 20_000]

    class Venue:
        last_response_headers = None

        async def fetch_time(self) -> int:
            clock.slept_s += 4.0
            return told.pop(0)

    client = CcxtClient(rules_for("okx"), cast(Any, Venue()), clock, Refusals())
    seen = []
    for _ in range(3):
        await client.ask_time()
        seen.append(client.now_ms() - round(clock.slept_s * 1000))
    assert seen == [NOON_MS - 2_000, NOON_MS - 2_000, NOON_MS + 20_000 - 10_000]


@pytest.mark.parametrize("set_to_ms", [NOON_MS - HOUR_MS, NOON_MS + HOUR_MS, NOON_MS - 1])
async def test_a_clock_that_is_set_delays_the_next_bar_by_one_interval_at_most(set_to_ms: int) -> None:
    clock = SetClock(NOON_MS + 60_000, set_to={3: set_to_ms})
    at_ms = await until_next(clock, FIVE_MS, 2_000)
    assert clock.slept_s >= 3, "the clock was set meanwhile"
    assert at_ms % FIVE_MS == 0
    assert clock.slept_s <= 2 * FIVE_MS / 1000
    assert clock.wall_ms >= at_ms + 2_000


async def test_a_bar_that_passed_while_we_were_busy_is_not_skipped() -> None:
    clock = SetClock(NOON_MS + 4_000)
    assert await until_next(clock, FIVE_MS, 2_000, last_ms=NOON_MS - FIVE_MS) == NOON_MS
    assert clock.slept_s == 0
    assert await until_next(clock, FIVE_MS, 2_000, last_ms=NOON_MS) == NOON_MS + FIVE_MS


async def test_the_venue_s_clock_says_when_a_bar_has_closed() -> None:
    clock = SetClock(NOON_MS + 60_000)
    assert await until_next(clock, FIVE_MS, 2_000, now_ms=lambda: clock.now_ms() - 90_000) == NOON_MS
    assert clock.wall_ms == NOON_MS + 92_000


class Steady:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


async def test_a_429_makes_calls_wait_and_twice_as_long_when_it_comes_again() -> None:
    steady = Steady()
    gate = CallGate(steady)
    waits = []
    for _ in range(3):
        gate.failed(VenueRetry("slow down (429)", wait_s=10))
        before = steady.now_s
        await gate.enter(steady.sleep)
        waits.append(steady.now_s - before)
    assert waits == [10, 20, 40]
    gate.succeeded({})
    gate.failed(VenueRetry("slow down (429)", wait_s=10))
    assert gate.pause_s == 10


async def test_a_ban_ends_by_itself_and_a_geo_block_does_not() -> None:
    steady = Steady()
    gate = CallGate(steady)
    gate.failed(VenueFatal("banned (418)", wait_s=60))
    with pytest.raises(VenueFatal, match="banned"):
        await gate.enter(steady.sleep)
    steady.now_s += 60
    await gate.enter(steady.sleep)
    gate.failed(VenueFatal("geo-block (451)"))
    steady.now_s += 1e9
    with pytest.raises(VenueFatal, match="geo-block"):
        await gate.enter(steady.sleep)


def test_calls_wait_before_binance_s_weight_is_used_up() -> None:
    gate = CallGate(Steady())
    gate.succeeded({"X-MBX-USED-WEIGHT-1M": "1999"})
    assert gate.pause_s == 0
    gate.succeeded({"X-MBX-USED-WEIGHT-1M": "2000"})
    assert 0 < gate.pause_s <= 60


async def test_no_window_ever_holds_more_calls_than_it_may() -> None:
    steady = Steady()
    window = Window(Budget(calls=5, window_ms=10_000), steady)
    times = []

    async def call() -> None:
        await window.enter(steady.sleep)
        times.append(steady.now_s)

    await asyncio.gather(*(call() for _ in range(23)))
    assert all(later - earlier >= 10 for earlier, later in zip(times, times[5:], strict=False))


async def test_of_a_window_a_part_can_be_kept_for_those_that_cannot_wait() -> None:
    steady = Steady()
    window = Window(Budget(calls=5, window_ms=10_000), steady)
    begun_s = steady.now_s
    for _ in range(3):
        await window.enter(steady.sleep, spare=2)
    assert steady.now_s == begun_s
    waiting = asyncio.create_task(window.enter(steady.sleep, spare=2))
    assert [window.try_enter() for _ in range(3)] == [True, True, False]
    await waiting
    assert steady.now_s >= begun_s + 10, "what can wait took what was kept"
    assert window.try_enter()


def test_stale_is_said_once_after_two_missed_intervals_and_recovered_once() -> None:
    clock = SetClock()
    fresh = Freshness("okx", clock, 10.0)
    clock.slept_s = 30
    assert not fresh.check()
    clock.slept_s = 40
    clock.wall_ms += 40_000
    assert [(notice.kind, notice.series) for notice in fresh.check()] == [(NoticeKind.STALE, "prices")]
    assert not fresh.check()
    assert fresh.stale == ("prices",)
    recovered = fresh.seen("prices")
    assert recovered is not None
    assert recovered.text == "okx: prices again, after 40 s without"
    assert fresh.seen("prices") is None


def test_a_clock_that_is_set_makes_nothing_stale() -> None:
    clock = SetClock()
    fresh = Freshness("okx", clock, 10.0)
    clock.wall_ms += 24 * HOUR_MS
    assert not fresh.check()


@given(st.none() | st.booleans() | st.text() | st.floats() | st.integers() | st.lists(st.integers()))
def test_a_number_is_finite_and_positive_or_nothing(value: Any) -> None:
    found = number(value)
    assert found is None or 0 < found < float("inf")
    at_ms = whole_ms(value)
    assert at_ms is None or 1_230_768_000_000 <= at_ms <= 4_102_444_800_000


@pytest.mark.parametrize("value", ["NaN", "1e309", "-5", "0", "", None, float("nan"), True, [1]])
def test_what_venues_send_in_place_of_numbers_is_refused(value: Any) -> None:
    assert number(value) is None


def listings(**venues: str) -> dict[str, dict[str, Listing]]:
    return {
        venue: {base: Listing(venue, base, f"{base}/USDT:USDT") for base in bases.split()}
        for venue, bases in venues.items()
    }


def test_the_default_is_the_largest_by_turnover_over_all_venues_and_nmr() -> None:
    known = listings(binance="BTC ETH DOGE NMR", okx="BTC ETH XRP")
    volumes = {"binance": {"BTC": 5.0, "ETH": 2.0, "DOGE": 3.0, "NMR": 0.1}, "okx": {"ETH": 2.0, "XRP": 1.0}}
    assert choose(None, known, volumes, largest=2) == ["BTC", "ETH", "NMR"]


def test_markets_are_named_as_users_name_them() -> None:
    known = listings(binance="BTC ETH", okx="BTC")
    assert choose(["btcusdt", "BTC/USDT:USDT", "eth"], known, {}) == ["BTC", "ETH"]
    with pytest.raises(UnknownMarket, match=r"btx.*BTC"):
        choose(["btx"], known, {})
    assert view("ETH", known, {"binance", "okx"}).venues == ("binance",)


@pytest.mark.parametrize(
    ("prices", "out"),
    [
        ({"binance": 1.0, "okx": 1.02, "bybit": 0.99}, set()),
        ({"binance": 1.0, "okx": 1.0, "bybit": 7.0}, {"bybit"}),
        ({"binance": 1.0, "okx": 0.001}, {"okx"}),
        ({"binance": 1.0}, set()),
    ],
)
def test_an_asset_that_only_shares_the_name_is_left_out(prices: dict[str, float], out: set[str]) -> None:
    assert impostors(prices) == out
