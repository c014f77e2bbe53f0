"""Local venues on one simulated market, stepped by the test, and the real ccxt pointed at them."""

import time
from collections.abc import AsyncIterator

import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.venues import LocalVenues
from bot.markets.simulated import SimulatedFeed
from bot.markets.simulated_exchange import START_MS
from detectors.market import DAY_MS
from tests.bot.markets.local.real_ccxt import HISTORY_DAYS, INTO_BAR_MS


@pytest.fixture(scope="session")
def history() -> History:
    """Shared, since it only grows and venues serve no more of it than their clock allows.

    Moved to the last days, since ccxt asks OKX and Gate by the real clock (see docs/local-venues.md).
    """
    now_ms = time.time_ns() // 1_000_000
    shift_ms = (now_ms - START_MS - (HISTORY_DAYS + 1) * DAY_MS) // DAY_MS * DAY_MS
    return History(SimulatedFeed(7, markets=["BTC", "PEPE"]), shift_ms)


@pytest.fixture
def clock(history: History) -> Clock:
    """Two days into the history, two and a half minutes into a bar."""
    clock = Clock(history.start_ms + HISTORY_DAYS * DAY_MS + INTO_BAR_MS)
    history.reach(clock.now_ms)
    return clock


@pytest.fixture
async def venues(history: History, clock: Clock) -> AsyncIterator[LocalVenues]:
    async with LocalVenues(history, clock) as running:
        yield running
