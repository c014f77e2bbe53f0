"""Binance USD-M futures on the wire: ``/fapi/v1`` and ``/futures/data``, with their weights and bans.

Formats and limits: developers.binance.com, USD-M futures, market data and general information.
"""

from collections.abc import Mapping

from aiohttp import web

from bot.markets.local.binance_stream import BinanceStreams
from bot.markets.local.grid import newest, oldest
from bot.markets.local.limits import Rule, Usage
from bot.markets.local.listing import LocalListing
from bot.markets.local.query import Document, Query, Refusal
from bot.markets.local.server import Handler
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Bar

# fmt: off
INTERVALS_MS = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS, "2h": 2 * HOUR_MS, "4h": 4 * HOUR_MS, "6h": 6 * HOUR_MS, "8h": 8 * HOUR_MS, "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}
# fmt: on
PERIODS_MS = {name: INTERVALS_MS[name] for name in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")}
STATISTICS_DAYS = 30
DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
"""Levels and what they weigh."""
_PRICES = "/fapi/v2/ticker/price"
_WEIGHT = Rule("weight", 2400, 60.0)
_STATISTICS = Rule("statistics", 1000, 300.0)
_FUNDING = Rule("funding", 500, 300.0)
_BANNED_AFTER = 10
"""How many requests after a 429, unheeded, bring a ban."""
_BAN_S = 120.0
_PROBLEMS = {
    "missing": (-1102, "Mandatory parameter '{0}' was not sent, was empty/null, or malformed."),
    "bad": (-1130, "Data sent for parameter '{0}' is not valid."),
    "unknown": (-1104, "Not all sent parameters were read; '{0}' was not."),
    "symbol": (-1121, "Invalid symbol."),
}


class BinanceVenue(BinanceStreams):
    _unheeded = 0
    _banned_until_s = 0.0

    def routes(self) -> Mapping[str, Handler]:
        return {
            "/fapi/v1/ping": lambda _: {},
            "/fapi/v1/time": lambda _: {"serverTime": self.stamp_ms},
            "/fapi/v1/exchangeInfo": self._exchange_info,
            "/fapi/v1/klines": self._klines,
            "/fapi/v1/depth": self._depth,
            "/fapi/v1/premiumIndex": self._premium_index,
            "/fapi/v1/fundingRate": self._funding_rate,
            "/fapi/v1/fundingInfo": self._funding_info,
            "/fapi/v1/openInterest": self._open_interest,
            "/fapi/v1/ticker/24hr": self._tickers,
            _PRICES: self._prices,
            "/futures/data/openInterestHist": self._open_interest_history,
            "/futures/data/globalLongShortAccountRatio": self._ratio,
            "/futures/data/topLongShortAccountRatio": self._ratio,
            "/futures/data/topLongShortPositionRatio": self._ratio,
            "/futures/data/takerlongshortRatio": self._taker_ratio,
        }

    # --- limits and refusals

    def charge(self, request: web.Request) -> dict[str, str]:
        path = request.path
        now_s = self.limiter.now_s()
        if now_s < self._banned_until_s:
            raise self._ban(self._banned_until_s - now_s)
        if path.startswith("/futures/data"):
            self._check(self.limiter.use(_STATISTICS))
            return {}
        if path in ("/fapi/v1/fundingRate", "/fapi/v1/fundingInfo"):
            self._check(self.limiter.use(_FUNDING))
            return {}
        usage = self.limiter.use(_WEIGHT, _weight(path, request.query))
        self._check(usage)
        if path == _PRICES:
            # Documented as not accurate, to be ignored: here as wrong as can be.
            return {"X-MBX-USED-WEIGHT-1M": str(_WEIGHT.limit)}
        # Of the real limit: who goes by this header knows no other.
        return {"X-MBX-USED-WEIGHT-1M": str(usage.used * _WEIGHT.limit // usage.rule.limit)}

    def _check(self, usage: Usage) -> None:
        if not usage.over:
            self._unheeded = 0
            return
        self._unheeded += 1
        if self._unheeded > _BANNED_AFTER:
            self._banned_until_s = self.limiter.now_s() + _BAN_S
            raise self._ban(_BAN_S)
        raise self.fault_answer(429, usage.resets_in_s)

    def _ban(self, for_s: float) -> Refusal:
        until_ms = self.stamp_ms + int(for_s * 1000)
        text = f"Way too many requests; IP(127.0.0.1) banned until {until_ms}. "
        advice = "Please use the websocket for live updates to avoid bans."
        return Refusal(418, {"code": -1003, "msg": text + advice}, {"Retry-After": str(int(for_s) + 1)})

    def refuse(self, name: str, problem: str) -> Refusal:
        if problem == "path":
            return Refusal(404, "<html><body><h2>404 Not found</h2></body></html>")
        code, text = _PROBLEMS[problem]
        return Refusal(400, {"code": code, "msg": text.format(name)})

    def fault_answer(self, status: int, retry_after_s: float) -> Refusal:
        if status == 418:
            return self._ban(retry_after_s or _BAN_S)
        headers = {"Retry-After": str(int(retry_after_s) + 1)} if retry_after_s or status == 429 else {}
        bodies: dict[int, Document] = {
            429: {
                "code": -1003,
                "msg": "Too many requests; current limit of IP(127.0.0.1) is 2400 requests per minute.",
            },
            403: "<html><head><title>403 Forbidden</title></head><body>WAF limit violated</body></html>",
            451: {
                "code": 0,
                "msg": "Service unavailable from a restricted location according to 'b. Eligibility' in the terms.",
            },
            500: {"code": -1000, "msg": "An unknown error occured while processing the request."},
            503: {
                "code": -1008,
                "msg": "Server is currently overloaded with other requests. Please try again in a few minutes.",
            },
        }
        return Refusal(status, bodies.get(status, "<html><body>error</body></html>"), headers)

    # --- parameters

    def _symbol(self, query: Query) -> LocalListing:
        listing = self.by_symbol().get(query.text("symbol"))
        if listing is None:
            raise self.refuse("symbol", "symbol")
        return listing

    def _chosen(self, query: Query) -> list[LocalListing] | LocalListing:
        """One where the request names it, all where it does not."""
        return list(self.by_symbol().values()) if query.text("symbol", "") == "" else self._symbol(query)

    def _window(self, query: Query, first_ms: int, last_ms: int) -> tuple[int, int, bool]:
        """From when to when the request asks within these bounds, and whether it names the start."""
        start_ms, end_ms = query.optional("startTime"), query.optional("endTime")
        if start_ms is not None and end_ms is not None and end_ms < start_ms:
            raise self.refuse("endTime", "bad")
        last_ms = last_ms if end_ms is None else min(last_ms, end_ms)
        return first_ms if start_ms is None else max(first_ms, start_ms), last_ms, start_ms is not None

    # --- market data

    def _exchange_info(self, _: Query) -> Document:
        rates = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": _WEIGHT.limit},
        ]
        symbols = [_symbol_info(symbol, listing) for symbol, listing in self.by_symbol().items()]
        return {"timezone": "UTC", "serverTime": self.stamp_ms, "rateLimits": rates, "assets": [], "symbols": symbols}

    def _klines(self, query: Query) -> Document:
        listing = self._symbol(query)
        step_ms = INTERVALS_MS[query.choice("interval", INTERVALS_MS)]
        limit = query.number("limit", 500, 1, 1500)
        now_ms = self.now_ms
        first_ms, last_ms, from_start = self._window(query, listing.market.first_ms // step_ms * step_ms, now_ms)
        times = (oldest if from_start else newest)(first_ms, last_ms, step_ms, limit)
        bars = (listing.candle(opened_at_ms, step_ms, now_ms) for opened_at_ms in times)
        return [_kline(listing, bar) for bar in bars if bar is not None]

    def _depth(self, query: Query) -> Document:
        listing = self._symbol(query)
        limit = int(query.choice("limit", map(str, DEPTHS), "500"))
        bids, asks = listing.book(self.now_ms, limit)
        rows = [[[listing.tick_text(price), f"{size:.3f}"] for price, size in side] for side in (bids, asks)]
        stamp_ms = self.stamp_ms
        return {"lastUpdateId": stamp_ms, "E": stamp_ms, "T": stamp_ms, "bids": rows[0], "asks": rows[1]}

    def _premium_index(self, query: Query) -> Document:
        chosen = self._chosen(query)
        return self._premium(chosen) if isinstance(chosen, LocalListing) else [self._premium(one) for one in chosen]

    def _premium(self, listing: LocalListing) -> dict[str, object]:
        price = listing.price_text(listing.market.price(self.now_ms))
        return {
            "symbol": f"{listing.base}USDT",
            "markPrice": price,
            "indexPrice": price,
            "estimatedSettlePrice": price,
            "lastFundingRate": f"{listing.funding_rate(self.now_ms):.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": listing.next_funding_ms(self.now_ms),
            "time": self.stamp_ms,
        }

    def _funding_rate(self, query: Query) -> Document:
        """Of one symbol or of all, in ascending order."""
        listings = [self._symbol(query)] if query.text("symbol", "") else list(self.by_symbol().values())
        limit = query.number("limit", 100, 1, 1000)
        start_ms = query.optional("startTime")
        end_ms = min(query.optional("endTime") or self.now_ms, self.now_ms)
        settled = [(one, rate) for one in listings for rate in one.market.funding_between(start_ms or 0, end_ms)]
        settled.sort(key=lambda pair: pair[1].taken_at_ms)
        return [
            {
                "symbol": f"{listing.base}USDT",
                "fundingTime": rate.taken_at_ms,
                "fundingRate": f"{rate.rate:.8f}",
                "markPrice": listing.price_text(listing.market.price(rate.taken_at_ms)),
            }
            for listing, rate in (settled[-limit:] if start_ms is None else settled[:limit])
        ]

    def _funding_info(self, _: Query) -> Document:
        return [
            {
                "symbol": symbol,
                "adjustedFundingRateCap": "0.00300000",
                "adjustedFundingRateFloor": "-0.00300000",
                "fundingIntervalHours": round(listing.market.funding_hours),
                "disclaimer": False,
            }
            for symbol, listing in self.by_symbol().items()
        ]

    def _open_interest(self, query: Query) -> Document:
        listing = self._symbol(query)
        held = listing.open_interest(self.now_ms) or 0.0
        return {"symbol": f"{listing.base}USDT", "openInterest": listing.units_text(held), "time": self.stamp_ms}

    def _tickers(self, query: Query) -> Document:
        chosen = self._chosen(query)
        return self._ticker(chosen) if isinstance(chosen, LocalListing) else [self._ticker(one) for one in chosen]

    def _prices(self, query: Query) -> Document:
        chosen = self._chosen(query)
        return self._price(chosen) if isinstance(chosen, LocalListing) else [self._price(one) for one in chosen]

    def _price(self, listing: LocalListing) -> dict[str, object]:
        price = listing.tick_text(listing.last_day(self.now_ms).close)
        return {"symbol": f"{listing.base}USDT", "price": price, "time": self.stamp_ms}

    def _ticker(self, listing: LocalListing) -> dict[str, object]:
        day = listing.last_day(self.now_ms)
        mean = (day.open + day.close) / 2
        return {
            "symbol": f"{listing.base}USDT",
            "priceChange": listing.tick_text(day.close - day.open),
            "priceChangePercent": f"{100 * (day.close / day.open - 1):.3f}",
            "weightedAvgPrice": listing.tick_text(mean),
            "lastPrice": listing.tick_text(day.close),
            "lastQty": listing.units_text(0.0),
            "openPrice": listing.tick_text(day.open),
            "highPrice": listing.tick_text(day.high),
            "lowPrice": listing.tick_text(day.low),
            "volume": listing.units_text(day.volume_base),
            "quoteVolume": f"{listing.units(day.volume_base) * mean:.2f}",
            "openTime": self.stamp_ms - DAY_MS,
            "closeTime": self.stamp_ms,
            "firstId": 1,
            "lastId": 2,
            "count": 2,
        }

    # --- statistics of /futures/data

    def _statistics(self, query: Query) -> tuple[LocalListing, int, list[int]]:
        """The listing, the period, and the times asked for, within the last 30 days."""
        listing = self._symbol(query)
        step_ms = PERIODS_MS[query.choice("period", PERIODS_MS)]
        limit = query.number("limit", 30, 1, 500)
        last_ms = self.now_ms - self.faults.lag_ms
        oldest_ms = self.now_ms - STATISTICS_DAYS * DAY_MS
        if (query.optional("startTime") or self.now_ms) < oldest_ms:
            raise self.refuse("startTime", "bad")
        first_ms, last_ms, _ = self._window(query, max(oldest_ms, listing.market.first_ms), last_ms)
        return listing, step_ms, newest(first_ms, last_ms, step_ms, limit)

    def _open_interest_history(self, query: Query) -> Document:
        listing, _, times = self._statistics(query)
        rows: list[object] = []
        for at_ms in times:
            held = listing.open_interest(at_ms)
            if held is not None:
                value = listing.units(held) * listing.price(listing.market.price(at_ms))
                rows.append(
                    {
                        "symbol": f"{listing.base}USDT",
                        "sumOpenInterest": f"{float(listing.units_text(held)):.8f}",
                        "sumOpenInterestValue": f"{value:.8f}",
                        "timestamp": at_ms,
                    }
                )
        return rows

    def _ratio(self, query: Query) -> Document:
        listing, _, times = self._statistics(query)
        rows: list[object] = []
        for at_ms in times:
            ratio = listing.long_short_ratio(at_ms)
            rows.append(
                {
                    "symbol": f"{listing.base}USDT",
                    "longAccount": f"{ratio / (1 + ratio):.4f}",
                    "longShortRatio": f"{ratio:.4f}",
                    "shortAccount": f"{1 / (1 + ratio):.4f}",
                    "timestamp": at_ms,
                }
            )
        return rows

    def _taker_ratio(self, query: Query) -> Document:
        listing, step_ms, times = self._statistics(query)
        rows: list[object] = []
        for at_ms in times:
            bar = listing.candle(at_ms - step_ms, step_ms, self.now_ms)
            if bar is not None and bar.taker_buy_volume_base is not None:
                bought, sold = bar.taker_buy_volume_base, bar.volume_base - bar.taker_buy_volume_base
                rows.append(
                    {
                        "buySellRatio": f"{bought / sold if sold else 1.0:.4f}",
                        "buyVol": listing.units_text(bought),
                        "sellVol": listing.units_text(sold),
                        "timestamp": at_ms,
                    }
                )
        return rows


def _weight(path: str, params: Mapping[str, str]) -> int:
    limit = params.get("limit", "")
    if path.endswith("/klines"):
        count = int(limit) if limit.isdecimal() else 500
        return 1 if count < 100 else 2 if count < 500 else 5 if count <= 1000 else 10
    if path.endswith("/depth"):
        return DEPTHS.get(int(limit) if limit.isdecimal() else 500, 20)
    if path.endswith("/ticker/24hr"):
        return 1 if "symbol" in params else 40
    if path == _PRICES:
        return 1 if "symbol" in params else 2
    if path.endswith("/premiumIndex"):
        return 1 if "symbol" in params else 10
    return 1


def _symbol_info(symbol: str, listing: LocalListing) -> dict[str, object]:
    tick_text = listing.tick_size_text
    size = {"minQty": listing.lot_text, "maxQty": "1000000000", "stepSize": listing.lot_text}
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": listing.market.first_ms,
        "status": "TRADING",
        "baseAsset": listing.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick_text, "maxPrice": "100000000", "tickSize": tick_text},
            {"filterType": "LOT_SIZE", **size},
            {"filterType": "MARKET_LOT_SIZE", **size},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC"],
    }


def _kline(listing: LocalListing, bar: Bar) -> list[object]:
    mean = (bar.open + bar.high + bar.low + bar.close) / 4
    volume, bought = listing.units(bar.volume_base), listing.units(bar.taker_buy_volume_base or 0.0)
    decimals = listing.lot_decimals
    return [
        bar.opened_at_ms,
        *(listing.tick_text(price) for price in (bar.open, bar.high, bar.low, bar.close)),
        f"{volume:.{decimals}f}",
        bar.closed_at_ms - 1,
        f"{volume * mean:.2f}",
        1,
        f"{bought:.{decimals}f}",
        f"{bought * mean:.2f}",
        "0",
    ]
