"""What a venue would refuse is refused by its local twin, in the venue's own words, and so is too much of anything."""

import re
from collections.abc import Callable

import ccxt
import pytest

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.limits import Limiter, Rule
from bot.markets.local.venues import VENUES, LocalVenues
from detectors.market import DAY_MS
from tests.bot.markets.local.real_ccxt import BTC, connected, get
from tests.bot.markets.local.scripted_feed import flat

GATE = "/api/v4/futures/usdt"
RUBIK = "/api/v5/rubik/stat/contracts/open-interest-history"


@pytest.mark.parametrize(
    ("name", "path", "status", "code"),
    [
        ("binance", "/fapi/v1/nothing", 404, None),
        ("binance", "/fapi/v1/klines?symbol=NOUSDT&interval=5m", 400, -1121),
        ("binance", "/fapi/v1/klines?symbol=BTC/USDT&interval=5m", 400, -1121),
        ("binance", "/fapi/v1/klines?interval=5m", 400, -1102),
        ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=7m", 400, -1130),
        ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=1501", 400, -1130),
        ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&startTime=1.5e12", 400, -1130),
        ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&start=1", 400, -1104),
        ("binance", "/fapi/v1/depth?symbol=BTCUSDT&limit=7", 400, -1130),
        ("binance", "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&limit=501", 400, -1130),
        ("binance", "/futures/data/openInterestHist?symbol=BTCUSDT&period=1m", 400, -1130),
        ("bybit", "/v5/market/nothing", 404, None),
        ("bybit", "/v5/market/kline?category=linear&symbol=NOUSDT&interval=5", 200, 10001),
        ("bybit", "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=5&limit=1001", 200, 10001),
        ("bybit", "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5m", 200, 10001),
        ("bybit", "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5min&limit=201", 200, 10001),
        ("bybit", "/v5/market/account-ratio?category=linear&symbol=BTCUSDT&period=5m", 200, 10001),
        ("bybit", "/v5/market/funding/history?category=linear&symbol=BTCUSDT&startTime=1", 200, 10001),
        ("bybit", "/v5/market/tickers?category=spot", 200, 10001),
        ("okx", "/api/v5/nothing", 404, "404"),
        ("okx", "/api/v5/market/candles?instId=NO-USDT-SWAP", 200, "51001"),
        ("okx", "/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=5M", 400, "51000"),
        ("okx", "/api/v5/market/candles?instId=BTC-USDT-SWAP&limit=301", 400, "51000"),
        ("okx", "/api/v5/market/candles", 400, "50014"),
        ("okx", f"{RUBIK}?instId=BTC-USDT-SWAP&period=5m&limit=101", 400, "51000"),
        ("okx", "/api/v5/public/instruments?instType=PERP", 400, "51000"),
        ("gate", f"{GATE}/nothing", 404, "NOT_FOUND"),
        ("gate", f"{GATE}/contracts/NO_USDT", 400, "CONTRACT_NOT_FOUND"),
        ("gate", f"{GATE}/contract_stats?contract=BTC_USDT&limit=101", 400, "INVALID_PARAM_VALUE"),
        ("gate", f"{GATE}/candlesticks?contract=BTC_USDT&interval=7m", 400, "INVALID_PARAM_VALUE"),
        ("gate", f"{GATE}/candlesticks?contract=BTC_USDT&from=1&to=9000000", 400, "INVALID_PARAM_VALUE"),
        ("gate", f"{GATE}/candlesticks", 400, "MISSING_REQUIRED_PARAM"),
    ],
)
async def test_a_wrong_request_gets_the_venue_s_own_refusal(
    name: str, path: str, status: int, code: object, venues: LocalVenues
) -> None:
    got, body, _ = await get(venues[name], path)
    assert got == status
    told = {key: body.get(key) for key in ("code", "retCode", "label")} if isinstance(body, dict) else {}
    assert code is None or code in told.values()


@pytest.mark.parametrize("name", VENUES)
async def test_a_symbol_the_venue_does_not_know_is_a_bad_symbol_or_request_to_ccxt(
    name: str, venues: LocalVenues
) -> None:
    async with connected(venues, name) as exchange:
        exchange.market(BTC)["id"] = "NO"
        with pytest.raises(ccxt.BadRequest):
            await exchange.fetch_ohlcv(BTC, "5m")


async def test_binance_keeps_thirty_days_of_statistics() -> None:
    history = History(flat(32 * 288))
    clock = Clock(history.start_ms + 31 * DAY_MS)
    path = "/futures/data/openInterestHist?symbol=ABCUSDT&period=1d&limit=500"
    async with LocalVenues(history, clock, ["binance"]) as venues:
        _, rows, _ = await get(venues["binance"], path)
        status, body, _ = await get(venues["binance"], f"{path}&startTime={history.start_ms}")
    assert rows[0]["timestamp"] >= clock.now_ms - 30 * DAY_MS
    assert len(rows) in (30, 31)
    assert (status, body["code"]) == (400, -1130)


async def test_binance_counts_weight_and_says_so(venues: LocalVenues) -> None:
    used = []
    for path in (
        "time",
        "klines?symbol=BTCUSDT&interval=5m&limit=1500",
        "depth?symbol=BTCUSDT&limit=1000",
        "ticker/24hr",
    ):
        _, _, headers = await get(venues["binance"], f"/fapi/v1/{path}")
        used.append(int(headers["X-MBX-USED-WEIGHT-1M"]))
    assert used == [1, 1 + 10, 1 + 10 + 20, 1 + 10 + 20 + 40]
    _, prices, headers = await get(venues["binance"], "/fapi/v2/ticker/price")
    assert headers["X-MBX-USED-WEIGHT-1M"] == "2400", "it is documented as wrong"
    _, _, headers = await get(venues["binance"], "/fapi/v1/time")
    assert headers["X-MBX-USED-WEIGHT-1M"] == str(used[-1] + 2 + 1)
    assert {"symbol", "price", "time"} == prices[0].keys()


async def test_binance_answers_429_over_its_weight_and_bans_who_goes_on(history: History, clock: Clock) -> None:
    async with LocalVenues(history, clock, ["binance"], limits_scale=5 / 2400) as venues:
        answers = [await get(venues["binance"], "/fapi/v1/time") for _ in range(17)]
        banned, _, _ = await get(venues["binance"], "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m")
        async with connected(venues, "binance", load=False) as exchange:
            with pytest.raises(ccxt.DDoSProtection, match="418"):
                await exchange.fetch_time()
            assert int(exchange.last_response_headers["Retry-After"]) > 60
    assert [status for status, _, _ in answers] == [200] * 5 + [429] * 10 + [418] * 2
    assert 0 < int(answers[5][2]["Retry-After"]) <= 61
    assert re.search(r"banned until \d{13}", answers[-1][1]["msg"])
    assert banned == 418


async def test_binance_s_statistics_have_a_limit_of_their_own(history: History, clock: Clock) -> None:
    path = "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m"
    async with LocalVenues(history, clock, ["binance"], limits_scale=0.003) as venues:
        statuses = [(await get(venues["binance"], path))[0] for _ in range(5)]
        other, _, _ = await get(venues["binance"], "/fapi/v1/time")
    assert statuses == [200, 200, 200, 429, 429]
    assert other == 200


async def test_okx_and_gate_count_each_endpoint_by_itself(history: History, clock: Clock) -> None:
    async with LocalVenues(history, clock, ["okx", "gate"], limits_scale=0.1) as venues:
        okx = [(await get(venues["okx"], "/api/v5/public/time"))[0] for _ in range(3)]
        okx_other, _, _ = await get(venues["okx"], "/api/v5/market/tickers?instType=SWAP")
        for _ in range(20):
            gate, _, headers = await get(venues["gate"], f"{GATE}/tickers")
        refused, body, _ = await get(venues["gate"], f"{GATE}/tickers")
        gate_other, _, _ = await get(venues["gate"], f"{GATE}/contracts")
        async with connected(venues, "gate", load=False) as exchange:
            with pytest.raises(ccxt.RateLimitExceeded):
                await exchange.publicFuturesGetSettleTickers({"settle": "usdt"})
    assert okx == [200, 429, 429]
    assert (okx_other, gate_other) == (200, 200)
    assert (gate, headers["X-Gate-RateLimit-Requests-Remain"]) == (200, "0")
    assert (refused, body["label"]) == (429, "TOO_MANY_REQUESTS")


async def test_bybit_bans_an_address_with_403(history: History, clock: Clock) -> None:
    async with LocalVenues(history, clock, ["bybit"], limits_scale=0.005) as venues:
        answers = [await get(venues["bybit"], "/v5/market/time") for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 403, 403]
    assert answers[-1][1] == "403, access too frequent"


def test_a_window_that_has_passed_is_forgotten() -> None:
    now_s = 0.0
    clock: Callable[[], float] = lambda: now_s  # noqa: E731 - reads the variable beside it
    limiter, rule = Limiter(monotonic_s=clock), Rule("weight", 2, 60.0)
    assert [limiter.use(rule).over for _ in range(3)] == [False, False, True]
    now_s = 59.9
    assert limiter.use(rule).resets_in_s == pytest.approx(0.1)
    now_s = 60.0
    assert not limiter.use(rule).over
