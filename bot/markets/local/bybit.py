"""Bybit v5 on the wire: linear perpetuals under ``/v5/market`` and ``/v5/public/linear``.

Formats and limits: bybit-exchange.github.io, v5, market. Every list is newest first.
"""

import json
from collections.abc import Container, Mapping, Sequence

from aiohttp import web

from bot.markets.local.grid import newest, oldest
from bot.markets.local.limits import Rule
from bot.markets.local.listing import LocalListing
from bot.markets.local.query import Document, Query, Refusal
from bot.markets.local.server import Handler, News, Stream, VenueServer
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Side

# fmt: off
INTERVALS_MS = {
    **{str(n): n * MINUTE_MS for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}, "D": DAY_MS,
}
PERIODS_MS = {
    "5min": 5 * MINUTE_MS, "15min": 15 * MINUTE_MS, "30min": 30 * MINUTE_MS,
    "1h": HOUR_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS,
}
# fmt: on
MOST_TOPIC_CHARACTERS = 21_000
"""In one subscription."""
_RISK_LIMITS_A_PAGE = 15
_REQUESTS = Rule("requests", 600, 5.0)
_BAN_S = 600.0
_TOPICS = ("allLiquidation", "tickers")


class BybitVenue(VenueServer):
    name = "bybit"
    stream_roots = ("/v5/public/linear",)
    _banned_until_s = 0.0

    def routes(self) -> Mapping[str, Handler]:
        return {
            "/v5/market/time": lambda _: self._reply({"timeSecond": str(self.stamp_ms // 1000)}),
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/kline": self._klines,
            "/v5/market/tickers": self._tickers,
            "/v5/market/orderbook": self._book,
            "/v5/market/open-interest": self._open_interest,
            "/v5/market/funding/history": self._funding,
            "/v5/market/account-ratio": self._ratio,
            "/v5/market/risk-limit": self._risk_limit,
        }

    def by_symbol(self) -> dict[str, LocalListing]:
        return {f"{listing.base}USDT": listing for listing in self.listed().values()}

    # --- limits and refusals

    def charge(self, request: web.Request) -> dict[str, str]:  # noqa: ARG002 - one limit for all paths
        """600 requests in 5 seconds for each address; beyond it a ban of ten minutes."""
        now_s = self.limiter.now_s()
        usage = self.limiter.use(_REQUESTS)
        if usage.over:
            self._banned_until_s = now_s + _BAN_S
        if now_s < self._banned_until_s:
            raise Refusal(403, "403, access too frequent")
        return {}

    def refuse(self, name: str, problem: str) -> Refusal:
        if problem == "path":
            return Refusal(404, "<html><body>404 page not found</body></html>")
        text = "params error: symbol invalid" if problem == "symbol" else f"params error: {name} {problem}"
        return self._error(200, 10001, text)

    def fault_answer(self, status: int, retry_after_s: float) -> Refusal:
        headers = {"Retry-After": str(int(retry_after_s) + 1)} if retry_after_s else {}
        if status == 429:
            return self._error(429, 10006, "Too many visits. Exceeded the API Rate Limit.", headers)
        if status in (403, 451):
            text = "The Amazon CloudFront distribution is configured to block access from your country."
            return Refusal(status, f"<html><body>{text}</body></html>", headers)
        if status == 503:
            return self._error(503, 10016, "Service is restarting", headers)
        return Refusal(status, "<html><body>error</body></html>", headers)

    def _error(self, status: int, code: int, text: str, headers: Mapping[str, str] | None = None) -> Refusal:
        body: Document = {"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": self.stamp_ms}
        return Refusal(status, body, headers)

    def _reply(self, result: Mapping[str, object]) -> Document:
        return {"retCode": 0, "retMsg": "OK", "result": dict(result), "retExtInfo": {}, "time": self.stamp_ms}

    # --- parameters

    def _linear(self, query: Query) -> None:
        query.choice("category", ("linear",))

    def _symbol(self, query: Query) -> LocalListing:
        self._linear(query)
        listing = self.by_symbol().get(query.text("symbol"))
        if listing is None:
            raise self.refuse("symbol", "symbol")
        return listing

    def _chosen(self, query: Query) -> Sequence[LocalListing]:
        if query.text("symbol", "") != "":
            return [self._symbol(query)]
        self._linear(query)
        return list(self.by_symbol().values())

    def _page(self, query: Query, listing: LocalListing, step_ms: int, limit: int) -> tuple[list[int], str]:
        """Times asked for, rising, and the cursor to the page before them (empty where there is none)."""
        first_ms = max(query.optional("startTime") or 0, listing.market.first_ms)
        last_ms = min(query.optional("endTime") or self.now_ms, self.now_ms - self.faults.lag_ms)
        if cursor := query.text("cursor", ""):
            if not cursor.removeprefix("before-").isdecimal():
                raise self.refuse("cursor", "bad")
            last_ms = int(cursor.removeprefix("before-")) - 1
        times = newest(first_ms, last_ms, step_ms, limit)
        return times, f"before-{times[0]}" if times and times[0] - step_ms >= first_ms else ""

    # --- market data

    def _instruments(self, query: Query) -> Document:
        status = query.choice("status", ("Trading", "PreLaunch"), "Trading")
        chosen = self._chosen(query) if status == "Trading" else []
        self._linear(query)
        query.number("limit", 500, 1, 1000)
        rows = [self._instrument(listing) for listing in chosen]
        return self._reply({"category": "linear", "list": rows, "nextPageCursor": ""})

    def _instrument(self, listing: LocalListing) -> dict[str, object]:
        tick, lot = listing.tick_size_text, listing.lot_text
        return {
            "symbol": f"{listing.base}USDT",
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": listing.base,
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "launchTime": str(listing.market.first_ms),
            "deliveryTime": "0",
            "priceScale": str(listing.price_decimals),
            "leverageFilter": {
                "minLeverage": "1",
                "maxLeverage": f"{listing.tiers.max_leverage[0]:.2f}",
                "leverageStep": "0.01",
            },
            "priceFilter": {"minPrice": tick, "maxPrice": "100000000", "tickSize": tick},
            "lotSizeFilter": {"maxOrderQty": "1000000000", "minOrderQty": lot, "qtyStep": lot},
            "unifiedMarginTrade": True,
            "fundingInterval": round(listing.market.funding_hours * 60),
        }

    def _klines(self, query: Query) -> Document:
        listing = self._symbol(query)
        step_ms = INTERVALS_MS[query.choice("interval", INTERVALS_MS)]
        limit = query.number("limit", 200, 1, 1000)
        start_ms, end_ms = query.optional("start"), query.optional("end")
        first_ms = max(start_ms or 0, listing.market.first_ms // step_ms * step_ms)
        last_ms = self.now_ms if end_ms is None else min(end_ms, self.now_ms)
        choose = oldest if start_ms is not None and end_ms is None else newest
        rows: list[object] = []
        for opened_at_ms in reversed(choose(first_ms, last_ms, step_ms, limit)):
            bar = listing.candle(opened_at_ms, step_ms, self.now_ms)
            if bar is not None:
                volume = listing.units(bar.volume_base)
                prices = [listing.tick_text(price) for price in (bar.open, bar.high, bar.low, bar.close)]
                rows.append([str(opened_at_ms), *prices, f"{volume:.3f}", f"{volume * bar.close:.4f}"])
        return self._reply({"symbol": f"{listing.base}USDT", "category": "linear", "list": rows})

    def _tickers(self, query: Query) -> Document:
        rows = [self._ticker(listing) for listing in self._chosen(query)]
        return self._reply({"category": "linear", "list": rows})

    def _ticker(self, listing: LocalListing) -> dict[str, object]:
        day = listing.last_day(self.now_ms)
        held = float(listing.units_text(listing.open_interest(self.now_ms) or 0.0))
        volume = listing.units(day.volume_base)
        price = listing.tick_text(day.close)
        return {
            "symbol": f"{listing.base}USDT",
            "lastPrice": price,
            "indexPrice": price,
            "markPrice": price,
            "prevPrice24h": listing.tick_text(day.open),
            "price24hPcnt": f"{day.close / day.open - 1:.6f}",
            "highPrice24h": listing.tick_text(day.high),
            "lowPrice24h": listing.tick_text(day.low),
            "prevPrice1h": price,
            "openInterest": f"{held:.3f}",
            "openInterestValue": f"{held * day.close:.2f}",
            "turnover24h": f"{volume * (day.open + day.close) / 2:.4f}",
            "volume24h": f"{volume:.3f}",
            "fundingRate": f"{listing.funding_rate(self.now_ms):.8f}",
            "nextFundingTime": str(listing.next_funding_ms(self.now_ms)),
            "deliveryTime": "0",
            "bid1Price": price,
            "ask1Price": price,
            "bid1Size": listing.lot_text,
            "ask1Size": listing.lot_text,
        }

    def _book(self, query: Query) -> Document:
        listing = self._symbol(query)
        bids, asks = listing.book(self.now_ms, query.number("limit", 25, 1, 1000))
        rows = [[[listing.tick_text(price), f"{size:.3f}"] for price, size in side] for side in (bids, asks)]
        stamp_ms = self.stamp_ms
        return self._reply({"s": f"{listing.base}USDT", "b": rows[0], "a": rows[1], "ts": stamp_ms, "u": stamp_ms})

    def _open_interest(self, query: Query) -> Document:
        listing = self._symbol(query)
        step_ms = PERIODS_MS[query.choice("intervalTime", PERIODS_MS)]
        times, cursor = self._page(query, listing, step_ms, query.number("limit", 50, 1, 200))
        samples = [(at_ms, listing.open_interest(at_ms)) for at_ms in reversed(times)]
        rows = [
            {"openInterest": f"{float(listing.units_text(held)):.8f}", "timestamp": str(at_ms)}
            for at_ms, held in samples
            if held is not None
        ]
        symbol = f"{listing.base}USDT"
        return self._reply({"symbol": symbol, "category": "linear", "list": rows, "nextPageCursor": cursor})

    def _funding(self, query: Query) -> Document:
        listing = self._symbol(query)
        start_ms, end_ms = query.optional("startTime"), query.optional("endTime")
        if start_ms is not None and end_ms is None:
            raise self.refuse("endTime", "missing")
        limit = query.number("limit", 200, 1, 200)
        rates = listing.market.funding_between(start_ms or 0, min(end_ms or self.now_ms, self.now_ms))
        rows = [
            {
                "symbol": f"{listing.base}USDT",
                "fundingRate": f"{rate.rate:.8f}",
                "fundingRateTimestamp": str(rate.taken_at_ms),
            }
            for rate in reversed(rates[-limit:])
        ]
        return self._reply({"category": "linear", "list": rows})

    def _ratio(self, query: Query) -> Document:
        listing = self._symbol(query)
        step_ms = PERIODS_MS[query.choice("period", PERIODS_MS)]
        times, cursor = self._page(query, listing, step_ms, query.number("limit", 50, 1, 500))
        rows = []
        for at_ms in reversed(times):
            ratio = listing.long_short_ratio(at_ms)
            shares = {"buyRatio": f"{ratio / (1 + ratio):.4f}", "sellRatio": f"{1 / (1 + ratio):.4f}"}
            rows.append({"symbol": f"{listing.base}USDT", **shares, "timestamp": str(at_ms)})
        return self._reply({"list": rows, "nextPageCursor": cursor})

    def _risk_limit(self, query: Query) -> Document:
        chosen = self._chosen(query)
        cursor = ""
        if len(chosen) > 1:
            skipped = int(query.text("cursor", "0") or 0)
            if skipped + _RISK_LIMITS_A_PAGE < len(chosen):
                cursor = str(skipped + _RISK_LIMITS_A_PAGE)
            chosen = chosen[skipped : skipped + _RISK_LIMITS_A_PAGE]
        rows = [tier for listing in chosen for tier in _risk_limits(listing)]
        return self._reply({"category": "linear", "list": rows, "nextPageCursor": cursor})

    # --- websocket

    async def on_text(self, stream: Stream, text: str) -> None:
        try:
            message = json.loads(text)
            operation, topics = message["op"], message.get("args", [])
        except (ValueError, TypeError, KeyError, AttributeError):
            await self.send(stream, [self._answer(False, "Request not authorized", "", "")])
            return
        identity = message.get("req_id", "")
        if operation == "ping":
            await self.send(stream, [self._answer(True, "pong", "ping", identity)])
            return
        problem = self._problem(operation, topics)
        await self.send(stream, [self._answer(not problem, problem, operation, identity)])
        if problem:
            return
        if operation == "unsubscribe":
            for topic in topics:
                stream.topics.pop(topic, None)
            return
        stream.topics.update(dict.fromkeys(topics))
        await self.send(stream, self._tickers_of(topics))
        await self.replay_prints(stream)

    def _problem(self, operation: str, topics: Sequence[str]) -> str:
        if operation not in ("subscribe", "unsubscribe"):
            return f"error:unknown op {operation}"
        if sum(map(len, topics)) > MOST_TOPIC_CHARACTERS:
            return "args size > 21000"
        symbols = self.by_symbol()
        for topic in topics:
            kind, _, symbol = topic.partition(".")
            if kind not in _TOPICS or symbol not in symbols:
                return f"error:handler not found,topic:{topic}"
        return ""

    def _answer(self, success: bool, text: str, operation: str, identity: str) -> dict[str, object]:
        return {"success": success, "ret_msg": text, "conn_id": "local", "req_id": identity, "op": operation}

    def liquidation_frames(self, stream: Stream, news: News) -> list[object]:
        """One frame a symbol with all of its new liquidations; ``S`` is the position's side (Buy: a long)."""
        frames: list[object] = []
        for base, listing in self.listed().items():
            symbol = f"{listing.base}USDT"
            if base in news and f"allLiquidation.{symbol}" in stream.topics:
                data = [
                    {
                        "T": seen.taken_at_ms,
                        "s": symbol,
                        "S": "Buy" if seen.side is Side.LONG else "Sell",
                        "v": listing.print_units_text(seen),
                        "p": listing.bankruptcy_text(seen),
                    }
                    for seen in news[base]
                ]
                topic = f"allLiquidation.{symbol}"
                frames.append({"topic": topic, "type": "snapshot", "ts": self.stamp_ms, "data": data})
        return frames

    def price_frames(self, stream: Stream) -> list[object]:
        return self._tickers_of(stream.topics)

    def _tickers_of(self, topics: Container[str]) -> list[object]:
        return [
            {
                "topic": f"tickers.{symbol}",
                "type": "snapshot",
                "data": self._ticker(listing),
                "cs": self.stamp_ms,
                "ts": self.stamp_ms,
            }
            for symbol, listing in self.by_symbol().items()
            if f"tickers.{symbol}" in topics
        ]


def _risk_limits(listing: LocalListing) -> list[dict[str, object]]:
    """Value up to which a tier holds; the last one's is twice its floor."""
    tiers = listing.tiers
    tops = [*tiers.floor_usd[1:], 2 * tiers.floor_usd[-1]]
    return [
        {
            "id": i + 1,
            "symbol": f"{listing.base}USDT",
            "riskLimitValue": f"{top:.0f}",
            "maintenanceMargin": f"{tiers.rate[i]:.5f}",
            "initialMargin": f"{1 / tiers.max_leverage[i]:.5f}",
            "isLowestRisk": int(i == 0),
            "maxLeverage": f"{tiers.max_leverage[i]:.2f}",
            "mmDeduction": f"{tiers.amount_usd[i]:.2f}",
        }
        for i, top in enumerate(tops)
    ]
