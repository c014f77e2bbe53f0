"""What is asked of every market goes evenly, below each path's limit, however many markets there are."""

import asyncio
from dataclasses import replace
from typing import cast

import aiohttp
import pytest

from bot.markets.feed import Refusals
from bot.markets.live_budget import EvenPace
from bot.markets.live_client import CcxtClient
from bot.markets.live_exchange import make_exchange
from bot.markets.live_types import Listing, WallClock
from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.okx import _LIMITS as OKX_LIMITS
from bot.markets.local.venues import LocalVenues
from bot.markets.venues import VENUES
from tests.bot.markets.local.scripted_feed import flat
from tests.bot.markets.test_live_parts import SetClock

TIMES_AS_FAST = 40.0
"""As the real limits and paces, which take 125 s for 500 tables."""
OKX_PATHS = {
    "publicGetMarketCandles": "market/candles",
    "fetch_ohlcv": "market/history-candles",
    "fetch_open_interest_history": "rubik/stat/contracts/open-interest-history",
    "fetch_funding_rate_history": "public/funding-rate-history",
    "fetch_market_leverage_tiers": "public/position-tiers",
    "fetch_long_short_ratio_history": "rubik/stat/contracts/long-short-account-ratio-contract",
}
WINDOW_S = 2.0


async def test_the_tier_questions_of_500_markets_at_okx_draw_no_429() -> None:
    history = History(flat(400), copies=499)
    usual = VENUES["okx"]
    rules = replace(
        usual,
        paces={method: pace * TIMES_AS_FAST for method, pace in usual.paces.items()},
        rate_limit_ms=(usual.rate_limit_ms or 0) / TIMES_AS_FAST,
    )
    async with (
        LocalVenues(history, Clock(history.start_ms + 86_400_000), ["okx"], limits_scale=TIMES_AS_FAST) as venues,
        aiohttp.ClientSession() as session,
    ):
        clock = WallClock()
        client = CcxtClient(rules, make_exchange(rules, session, clock, venues.rewrite), clock, Refusals())
        listings = await client.load()
        assert len(listings) == 500
        told = await client.tiers(list(listings.values()))
        await client.close()
        assert len(told) == 500
        assert venues["okx"].requests["/api/v5/public/position-tiers"] == 500
        assert venues["okx"].refused == 0


def test_every_pace_at_okx_leaves_room_for_half_a_second_that_calls_were_late() -> None:
    assert set(VENUES["okx"].paces) == set(OKX_PATHS)
    for method, pace in VENUES["okx"].paces.items():
        limit = OKX_LIMITS[f"/api/v5/{OKX_PATHS[method]}"]
        late_s = 0.5 if limit <= 10 else 0.2
        assert pace * (WINDOW_S + late_s) <= limit, method


async def test_calls_that_waited_while_the_loop_was_held_up_do_not_go_all_at_once() -> None:
    clock = SetClock()
    pace = EvenPace(4.0, clock.steady_s)
    gone_s: list[float] = []

    async def call() -> None:
        await pace.enter(held_up)
        gone_s.append(clock.slept_s)

    async def held_up(seconds: float) -> None:
        await clock.sleep(seconds if gone_s[1:] else 2.0)
        await asyncio.sleep(0)

    await asyncio.gather(*(call() for _ in range(4)))
    assert gone_s == [0.0, 2.0, 2.25, 2.5]


async def test_calls_go_one_after_the_other_and_more_slowly_near_a_limit() -> None:
    clock = SetClock()
    pace = EvenPace(4.0, clock.steady_s)
    gone_s = []
    for _ in range(3):
        await pace.enter(clock.sleep)
        gone_s.append(clock.slept_s)
    assert gone_s == [0.0, 0.25, 0.5]
    await pace.enter(clock.sleep, 0.5)
    assert clock.slept_s == 1.0
    await clock.sleep(60.0)
    await pace.enter(clock.sleep)
    assert clock.slept_s == 61.0, "what was not used is not made up for"


@pytest.mark.parametrize("is_paced", [True, False])
async def test_nothing_is_paced_where_ccxt_keeps_no_pace_either(is_paced: bool) -> None:
    class Exchange:
        enableRateLimit = is_paced  # noqa: N815 - ccxt's name
        last_response_headers = None

        async def fetch_long_short_ratio_history(self, *_: object) -> list[dict[str, float]]:
            return [{"longShortRatio": 1.5}]

    client = CcxtClient(VENUES["okx"], Exchange(), SetClock(), Refusals())
    clock = SetClock()
    turns = EvenPace(2.0, clock.steady_s)

    class Turns:
        async def enter(self, part: float) -> None:
            await turns.enter(clock.sleep, part)

    client._paces = {"fetch_long_short_ratio_history": cast("EvenPace", Turns())}
    btc = Listing("okx", "BTC", "BTC/USDT:USDT")
    for _ in range(3):
        assert await client.ratios([btc]) == {"BTC": 1.5}
    assert clock.slept_s == (1.0 if is_paced else 0.0)
