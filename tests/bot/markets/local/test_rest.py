"""What the real ccxt reads from the local venues is the market behind them, in each venue's names and units."""

from itertools import pairwise
from typing import Any

import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.listing import DEFAULT_TERMS
from bot.markets.local.venues import VENUES, LocalVenues
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS
from tests.bot.markets.local.real_ccxt import BTC, connected
from tests.bot.markets.local.scripted_feed import flat

BAR_MS = 5 * MINUTE_MS
every_venue = pytest.mark.parametrize("name", VENUES)


async def paged(fetch: Any, since_ms: int, now_ms: int, size: int) -> dict[int, Any]:
    """Rows by time, page after page from ``since_ms`` on; each page starts one row early."""
    rows: dict[int, Any] = {}
    while since_ms < now_ms:
        for row in await fetch(since_ms - BAR_MS, size):
            rows[row[0] if isinstance(row, list) else row["timestamp"]] = row
        since_ms += (size - 1) * BAR_MS
    return rows


async def test_each_venue_lists_the_markets_under_its_own_names_and_contract_sizes(venues: LocalVenues) -> None:
    sizes = {}
    for name in VENUES:
        async with connected(venues, name) as exchange:
            sizes[name] = {symbol: market["contractSize"] for symbol, market in exchange.markets.items()}
            assert all(market["swap"] and market["linear"] and market["active"] for market in exchange.markets.values())
    assert sizes == {
        "binance": {BTC: 1, "1000PEPE/USDT:USDT": 1},
        "bybit": {BTC: 1, "1000PEPE/USDT:USDT": 1},
        "okx": {BTC: 0.01, "PEPE/USDT:USDT": 1e7},
        "gate": {BTC: 0.0001, "PEPE/USDT:USDT": 1e6},
    }


@every_venue
async def test_candles_page_without_a_hole_and_are_those_of_the_market_behind(
    name: str, venues: LocalVenues, history: History, clock: Clock
) -> None:
    async with connected(venues, name) as exchange:

        async def fetch(since_ms: int, size: int) -> Any:
            return await exchange.fetch_ohlcv(BTC, "5m", since=since_ms, limit=size)

        rows = await paged(fetch, history.start_ms, clock.now_ms, 200)
        size = exchange.market(BTC)["contractSize"] if name == "gate" else 1.0
    closed = [bar for bar in history.markets["BTC"].bars if bar.closed_at_ms <= clock.now_ms]
    opened = [bar.opened_at_ms for bar in closed]
    assert sorted(rows) == [*opened, opened[-1] + BAR_MS]
    factor, share = 1 + DEFAULT_TERMS[name].price_offset_bps / 1e4, DEFAULT_TERMS[name].share
    for bar in closed:
        _, *prices, volume = rows[bar.opened_at_ms]
        assert prices == pytest.approx(
            [bar.open * factor, bar.high * factor, bar.low * factor, bar.close * factor], abs=0.06
        )
        assert volume * size == pytest.approx(bar.volume_base * share, abs=0.001)


async def test_on_binance_prices_are_exactly_the_market_s_own(venues: LocalVenues, history: History) -> None:
    async with connected(venues, "binance") as exchange:
        rows = await exchange.fetch_ohlcv(BTC, "5m", since=history.start_ms, limit=300)
    bars = history.markets["BTC"].bars[:300]
    assert [row[1:5] for row in rows] == [[bar.open, bar.high, bar.low, bar.close] for bar in bars]


@every_venue
async def test_the_open_bar_is_served_and_grows(name: str, venues: LocalVenues, clock: Clock) -> None:
    async with connected(venues, name) as exchange:
        first = (await exchange.fetch_ohlcv(BTC, "5m", limit=2))[-1]
        clock.advance(MINUTE_MS)
        second = (await exchange.fetch_ohlcv(BTC, "5m", limit=2))[-1]
        clock.advance(2 * MINUTE_MS)
        closed, third = await exchange.fetch_ohlcv(BTC, "5m", limit=2)
    assert first[0] == second[0] == closed[0] == third[0] - BAR_MS
    assert first[0] == clock.now_ms // BAR_MS * BAR_MS - BAR_MS
    assert first[5] < second[5] < closed[5]


@every_venue
@pytest.mark.parametrize(("long", "short", "parts"), [("5m", "1m", 5), ("1h", "5m", 12), ("4h", "1h", 4)])
async def test_short_candles_add_up_to_the_long_one(
    name: str, long: str, short: str, parts: int, venues: LocalVenues, clock: Clock
) -> None:
    since_ms = (clock.now_ms - 8 * HOUR_MS) // (4 * HOUR_MS) * (4 * HOUR_MS)
    async with connected(venues, name) as exchange:
        whole = (await exchange.fetch_ohlcv(BTC, long, since=since_ms, limit=1))[0]
        rows = await exchange.fetch_ohlcv(BTC, short, since=since_ms, limit=parts)
    assert len(rows) == parts
    assert (rows[0][1], rows[-1][4]) == (whole[1], whole[4])
    assert (max(row[2] for row in rows), min(row[3] for row in rows)) == (whole[2], whole[3])
    assert sum(row[5] for row in rows) == pytest.approx(whole[5], rel=1e-3)


@every_venue
async def test_open_interest_pages_without_a_hole_and_is_the_venue_s_share(
    name: str, venues: LocalVenues, history: History, clock: Clock
) -> None:
    samples = {sample.taken_at_ms: sample.base for sample in history.markets["BTC"].open_interest}
    async with connected(venues, name) as exchange:

        async def fetch(since_ms: int, size: int) -> Any:
            return await exchange.fetch_open_interest_history(BTC, "5m", since=since_ms, limit=size)

        rows = await paged(fetch, min(samples), clock.now_ms, 100)
        size = exchange.market(BTC)["contractSize"]
    # Gate's rows begin at their stamp and tell what is held at their end; the last one is still being made.
    lasts_ms, shown_after_ms = (5 * MINUTE_MS, 168_000) if name == "gate" else (0, 0)
    stamps = [at for at in sorted(samples) if at + shown_after_ms <= clock.now_ms]
    assert sorted(at_ms for at_ms in rows if at_ms in samples) == stamps
    for at_ms in stamps if name != "gate" else stamps[:-1]:
        held = samples[at_ms + lasts_ms] * DEFAULT_TERMS[name].share
        assert rows[at_ms]["openInterestAmount"] * size == pytest.approx(held, rel=1e-4)


async def test_gate_shows_a_row_while_it_lasts_and_rewrites_it_when_the_next_one_appears(
    venues: LocalVenues, clock: Clock
) -> None:
    async with connected(venues, "gate") as exchange:

        async def newest() -> Any:
            return (await exchange.fetch_open_interest_history(BTC, "5m", limit=2))[-2:]

        before = await newest()
        opened_ms = before[-1]["timestamp"]
        clock.advance(opened_ms + 5 * MINUTE_MS + 167_000 - clock.now_ms)
        assert (await newest())[-1] == before[-1], "its interval is over, and it says what it said"
        clock.advance(2_000)
        rewritten, after = await newest()
    assert [rewritten["timestamp"], after["timestamp"]] == [opened_ms, opened_ms + 5 * MINUTE_MS]
    assert rewritten["openInterestAmount"] != before[-1]["openInterestAmount"]


async def test_bybit_s_cursor_leads_through_all_open_interest(venues: LocalVenues, history: History) -> None:
    async with connected(venues, "bybit") as exchange:
        params = {"paginate": True, "paginationCalls": 10}
        rows = await exchange.fetch_open_interest_history(BTC, "5m", params=params)
    times = sorted(row["timestamp"] for row in rows)
    assert times == list(range(times[0], times[-1] + 1, BAR_MS))
    assert times[0] <= history.markets["BTC"].open_interest[0].taken_at_ms


async def test_current_open_interest_is_the_last_sample(venues: LocalVenues, history: History, clock: Clock) -> None:
    sample = history.markets["BTC"].open_interest_at(clock.now_ms)
    assert sample is not None
    for name in ("binance", "okx"):
        async with connected(venues, name) as exchange:
            held = await exchange.fetch_open_interest(BTC)
            amount = held["openInterestAmount"] * exchange.market(BTC)["contractSize"]
            assert amount == pytest.approx(sample.base * DEFAULT_TERMS[name].share, rel=1e-5)


@every_venue
async def test_funding_is_the_market_s_with_its_interval_and_next_time(
    name: str, venues: LocalVenues, history: History, clock: Clock
) -> None:
    settled = history.markets["BTC"].funding_between(0, clock.now_ms)
    async with connected(venues, name) as exchange:
        now = await exchange.fetch_funding_rate(BTC)
        past = await exchange.fetch_funding_rate_history(BTC, since=history.start_ms, limit=100)
        if name == "binance":
            now["interval"] = (await exchange.fetch_funding_intervals())[BTC]["interval"]
    assert [rate["timestamp"] for rate in past] == [rate.taken_at_ms for rate in settled]
    assert [rate["fundingRate"] for rate in past] == pytest.approx([rate.rate for rate in settled], abs=1e-6)
    assert now["fundingRate"] == pytest.approx(settled[-1].rate, abs=1e-6)
    assert now["fundingTimestamp"] == settled[-1].taken_at_ms + 8 * HOUR_MS
    assert now["interval"] == "8h"


@pytest.mark.parametrize(("name", "period"), [("binance", "5m"), ("bybit", "5min"), ("okx", "5m")])
async def test_the_long_short_ratio_has_a_history(name: str, period: str, venues: LocalVenues, clock: Clock) -> None:
    async with connected(venues, name) as exchange:
        rows = await exchange.fetch_long_short_ratio_history(BTC, period, limit=30)
    assert len(rows) == 30
    assert max(row["timestamp"] for row in rows) == clock.now_ms // BAR_MS * BAR_MS
    assert all(0.3 < float(row["longShortRatio"]) < 4 for row in rows)
    assert len({row["longShortRatio"] for row in rows}) > 5


@pytest.mark.parametrize("name", ["bybit", "okx", "gate"])
async def test_leverage_tiers_are_public_and_get_stricter(name: str, venues: LocalVenues) -> None:
    async with connected(venues, name) as exchange:
        tiers = await exchange.fetch_market_leverage_tiers(BTC)
    assert [tier["maxLeverage"] for tier in tiers] == [125, 100, 75, 50, 25, 20]
    assert [tier["maintenanceMarginRate"] for tier in tiers] == [0.004, 0.005, 0.0065, 0.01, 0.02, 0.025]
    assert all(one["maxNotional"] < other["maxNotional"] for one, other in pairwise(tiers))


@every_venue
async def test_the_order_book_surrounds_the_price(name: str, venues: LocalVenues) -> None:
    async with connected(venues, name) as exchange:
        book = await exchange.fetch_order_book(BTC, 20)
        last = (await exchange.fetch_tickers())[BTC]["last"]
    bids, asks = [[level[0] for level in book[side]] for side in ("bids", "asks")]
    assert len(bids) == len(asks) == 20
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert asks[0] == pytest.approx(last, rel=1e-4)
    assert all(level[1] > 0 for level in [*book["bids"], *book["asks"]])


async def test_gate_s_statistics_carry_its_liquidations_in_dollars(
    venues: LocalVenues, history: History, clock: Clock
) -> None:
    async with connected(venues, "gate") as exchange:
        rows = await paged(
            lambda since, size: exchange.fetch_open_interest_history(BTC, "5m", since=since, limit=size),
            history.start_ms,
            clock.now_ms,
            100,
        )
    told = sum(float(row["info"]["long_liq_usd"]) + float(row["info"]["short_liq_usd"]) for row in rows.values())
    prints = history.markets["BTC"].prints_between(0, clock.now_ms)
    mine = venues["gate"].mine("BTC", prints)
    assert 0 < len(mine) < len(prints)
    assert told == pytest.approx(sum(seen.notional_usd for seen in mine), rel=1e-6)


async def test_binance_klines_carry_what_takers_bought(venues: LocalVenues, history: History) -> None:
    async with connected(venues, "binance") as exchange:
        rows = await exchange.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "5m", "limit": 3})
    bars = {bar.opened_at_ms: bar for bar in history.markets["BTC"].bars}
    bar = bars[int(rows[0][0])]
    assert bar.taker_buy_volume_base is not None
    assert float(rows[0][9]) == pytest.approx(bar.taker_buy_volume_base * 0.5, abs=0.001)


async def test_okx_s_recent_candles_end_where_its_history_begins() -> None:
    history = History(flat(7 * 288))
    clock = Clock(history.start_ms + 6 * DAY_MS)
    async with LocalVenues(history, clock, ["okx"]) as venues, connected(venues, "okx") as exchange:
        order = {"instId": "ABC-USDT-SWAP", "bar": "5m", "after": str(history.start_ms + HOUR_MS)}
        recent = await exchange.publicGetMarketCandles(order)
        older = await exchange.publicGetMarketHistoryCandles(order)
    assert recent["data"] == []
    assert len(older["data"]) == 12
    assert all(row[8] == "1" for row in older["data"])
