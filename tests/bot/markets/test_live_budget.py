"""A venue's limits are met by slowing down before them, and a 429 slows what follows."""

import asyncio
from typing import Any

import aiohttp
import pytest

from bot.markets.ccxt_errors import VenueError, VenueFatal, VenueRetry
from bot.markets.live_budget import CallGate, Weights, is_for_good, load_of
from bot.markets.live_exchange import OwnCalls, make_exchange
from bot.markets.live_types import WallClock
from bot.markets.local.limits import Limiter, Rule
from bot.markets.venues import VENUES
from tests.bot.markets.live_rig import rig
from tests.bot.markets.test_live_parts import Steady

GATE = Rule("requests", 200, 10.0)
BINANCE = Rule("weight", 2_400, 60.0)
PACE = 20.0


async def calls_for(minutes: int, rule: Rule, limits_scale: float, *, told: bool) -> tuple[int, int]:
    """(answered, refused with 429) by a venue with ``limits_scale`` of its limit; ``told``: it says what is left."""
    steady = Steady()
    limiter = Limiter(limits_scale, steady)
    gate = CallGate(steady, PACE)
    answered = refused = 0
    while steady.now_s < 1_000 + 60 * minutes:
        await gate.enter(steady.sleep)
        await steady.sleep(1 / PACE)
        usage = limiter.use(rule)
        if usage.over:
            refused += 1
            gate.failed(VenueRetry("slow down (429)", wait_s=usage.resets_in_s))
        else:
            answered += 1
            names = ("X-Gate-RateLimit-Requests-Remain", "X-Gate-RateLimit-Limit")
            left = dict(zip(names, (str(usage.left), str(usage.rule.limit)), strict=True))
            gate.succeeded(left if told else {})
    return answered, refused


async def test_what_the_headers_say_slows_calls_before_the_limit_so_that_none_is_refused() -> None:
    answered, refused = await calls_for(10, GATE, 0.25, told=True)
    assert refused == 0
    assert answered > 0.8 * 10 * 6 * 50, "far slower than the venue allows"
    _, unheeded = await calls_for(10, GATE, 0.25, told=False)
    assert unheeded > 0, "nothing was there to be avoided"


async def test_a_429_halves_the_pace_for_a_while_and_it_recovers() -> None:
    steady = Steady()
    gate = CallGate(steady, 10)
    assert gate.pace == 1
    gate.failed(VenueRetry("slow down (429)", wait_s=1))
    assert gate.pace == 0.5
    steady.now_s += 150
    assert 0.5 < gate.pace < 1
    steady.now_s += 150
    assert gate.pace == 1


async def test_a_limit_that_nobody_tells_is_met_a_few_times_an_hour_and_not_every_minute() -> None:
    answered, refused = await calls_for(30, BINANCE, 0.25, told=False)
    assert 0 < refused < 30 / 3
    assert answered > 0.7 * 30 * 600, "far slower than the venue allows"


async def test_calls_at_a_slow_pace_are_spread_and_none_overtakes() -> None:
    steady = Steady()
    gate = CallGate(steady, 10)
    gate.failed(VenueRetry("slow down (429)", wait_s=1))
    steady.now_s += 1
    began_s, times = steady.now_s, []
    for _ in range(20):
        await gate.enter(steady.sleep)
        times.append(steady.now_s)
    assert times == sorted(times)
    assert 19 / 10 < times[-1] - began_s < 20 / 5


def test_a_machine_that_has_been_up_for_years_changes_no_pace() -> None:
    steady = Steady()
    steady.now_s = 1e9
    gate = CallGate(steady)
    assert gate.pace == 1
    gate.failed(VenueRetry("slow down (429)", wait_s=1))
    assert gate.pace == 0.5
    steady.now_s = 2e9
    assert gate.pace == 1


async def test_a_paused_venue_that_was_stopped_refuses_at_once() -> None:
    gate = CallGate(Steady())
    gate.failed(VenueRetry("slow down (429)", wait_s=30))
    gate.failed(VenueFatal("banned (418)", wait_s=60))
    with pytest.raises(VenueFatal):
        await gate.enter(Steady().sleep)


@pytest.mark.parametrize(
    ("headers", "load"),
    [
        ({"X-MBX-USED-WEIGHT-1M": "1200"}, 0.5),
        ({"X-Bapi-Limit": "120", "X-Bapi-Limit-Status": "30"}, 0.75),
        ({"X-Gate-RateLimit-Limit": "200", "X-Gate-RateLimit-Requests-Remain": "0"}, 1.0),
        ({"X-Bapi-Limit": "0", "X-Bapi-Limit-Status": "0"}, None),
        ({"X-MBX-USED-WEIGHT-1M": "many"}, None),
        ({}, None),
    ],
)
def test_what_each_venue_says_is_used(headers: dict[str, str], load: float | None) -> None:
    assert load_of(headers) == load


@pytest.mark.parametrize(
    ("error", "for_good"),
    [
        (VenueFatal("geo-block (451)"), True),
        (VenueFatal("ccxt has no venue called x"), True),
        (VenueFatal("banned (418)", wait_s=60), False),
        (VenueFatal("PermissionDenied (401)"), False),
        (VenueRetry("cannot be reached"), False),
    ],
)
def test_only_what_the_user_must_change_is_for_good(error: VenueError, for_good: bool) -> None:
    assert is_for_good(error) is for_good


async def test_a_stop_without_a_reason_for_good_is_tried_again() -> None:
    steady = Steady()
    gate = CallGate(steady)
    gate.failed(VenueFatal("PermissionDenied (401)"))
    assert gate.stopped is not None
    steady.now_s += 300
    assert gate.stopped is None


async def test_a_real_429_slows_the_venue_and_its_bars_come_all_the_same() -> None:
    async with rig(["gate"], ["BTC"], days=0.2) as rigged:
        server = rigged.venues["gate"]
        server.faults.answer(429, path="candlesticks", times=1, retry_after_s=1)
        assert not await rigged.next_bar(2_500)
        assert await rigged.next_bar()
        [part] = rigged.feed._parts.values()
        assert part.client.gate.pace < 1  # type: ignore[attr-defined]


async def test_no_window_holds_more_than_the_venue_s_weight_and_none_is_left_unused() -> None:
    steady, given = Steady(), list[tuple[float, float]]()
    weights = Weights(50.0, 60_000, steady, steady.sleep)  # 1,200 a minute
    for n in range(4_000):
        cost = (1.0, 2.5, 0.1, 20.0)[n % 4]
        await weights.enter(cost)
        given.append((steady.now_s, cost))
    first = 0
    for last, (at_s, _) in enumerate(given):
        while given[first][0] <= at_s - 60.0:
            first += 1
        assert sum(cost for _, cost in given[first : last + 1]) <= 1_200 + 1e-6
    whole_minutes = sum(cost for _, cost in given) / 1_200
    assert steady.now_s - 1_000.0 <= 60 * whole_minutes


async def test_who_asked_first_goes_first_however_small_what_comes_after() -> None:
    steady, order = Steady(), list[str]()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        steady.now_s += seconds

    weights = Weights(100.0, 1_000, steady, sleep)  # ten a second
    await weights.enter(8.0)

    async def ask(name: str, cost: float) -> None:
        await weights.enter(cost)
        order.append(name)

    await asyncio.gather(ask("large", 9.0), ask("small", 1.0), ask("too large at all", 30.0), ask("last", 1.0))
    assert order == ["large", "small", "too large at all", "last"]


async def test_ccxt_s_own_calls_and_ours_share_one_window() -> None:
    spent: list[float] = []

    async def throttle(cost: float) -> None:
        spent.append(cost)

    async def fetch(*_: Any) -> Any:
        return {"code": "0", "data": [{"ts": "1765022400000"}]}

    async with aiohttp.ClientSession() as session:
        exchange = make_exchange(VENUES["okx"], session, WallClock(), None)
        weights = exchange.throttle.__self__
        assert isinstance(weights, Weights)
        assert weights.most == 100  # of twenty milliseconds each in two seconds
        close, exchange.timeout_on_exit = exchange.close, 1
        exchange.throttle, exchange.fetch = throttle, fetch
        await exchange.fetch_time()
        await OwnCalls(exchange)("publicGetMarketCandles", {"instId": "BTC-USDT-SWAP"})
        await close()
    assert len(spent) == 2
