"""Gate futures on the wire: USDT contracts under ``/api/v4/futures/usdt``. Times are seconds, amounts contracts.

Formats and limits: www.gate.com/docs/developers/apiv4, futures. The websocket has tickers only: liquidations come from
``contract_stats``.
"""

import json
from collections.abc import Mapping

from aiohttp import web

from bot.markets.local.grid import newest, oldest
from bot.markets.local.limits import Rule
from bot.markets.local.listing import LocalListing
from bot.markets.local.query import Document, Query, Refusal
from bot.markets.local.server import Handler, News, Stream, VenueServer
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Side

# fmt: off
INTERVALS_MS = {
    "1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS, "1h": HOUR_MS,
    "4h": 4 * HOUR_MS, "8h": 8 * HOUR_MS, "1d": DAY_MS,
}
# fmt: on
STATISTICS_MS = {name: INTERVALS_MS[name] for name in ("5m", "15m", "30m", "1h", "4h", "1d")}
MOST_CANDLES = 2000
OLDEST_CANDLES = 10_000
"""How far back candles go, in candles."""
_SHOWN_AFTER_MS = 168_000
"""Of an interval of statistics, when its row appears; as measured on the real one (docs/venues.md)."""
_LIMIT = 200
_WINDOW_S = 10.0
_ROOT = "/api/v4/futures/usdt"
_TICKERS = "futures.tickers"


class GateVenue(VenueServer):
    name = "gate"
    stream_roots = ("/v4/ws/usdt",)

    def routes(self) -> Mapping[str, Handler]:
        return {
            "/api/v4/spot/time": lambda _: {"server_time": self.stamp_ms},
            f"{_ROOT}/contracts": lambda _: [self._contract(listing) for listing in self.listed().values()],
            # ccxt asks for the contracts settled in BTC too; there are none here.
            "/api/v4/futures/btc/contracts": lambda _: [],
            f"{_ROOT}/tickers": self._tickers,
            f"{_ROOT}/candlesticks": self._candles,
            f"{_ROOT}/order_book": self._book,
            f"{_ROOT}/funding_rate": self._funding,
            f"{_ROOT}/contract_stats": self._statistics,
            f"{_ROOT}/risk_limit_tiers": self._tiers,
        }

    def handler(self, path: str) -> Handler | None:
        name = path.removeprefix(f"{_ROOT}/contracts/")
        if name == path:
            return super().handler(path)
        return lambda _: self._contract(self._named(name))

    # --- limits and refusals

    def charge(self, request: web.Request) -> dict[str, str]:
        """200 requests in 10 seconds, for each endpoint and address."""
        endpoint = request.path.partition(f"{_ROOT}/contracts/")[0] or f"{_ROOT}/contracts/*"
        usage = self.limiter.use(Rule(endpoint, _LIMIT, _WINDOW_S))
        headers = {
            "X-Gate-RateLimit-Limit": str(usage.rule.limit),
            "X-Gate-RateLimit-Requests-Remain": str(usage.left),
            "X-Gate-RateLimit-Reset-Timestamp": str(int(self.stamp_ms / 1000 + usage.resets_in_s)),
        }
        if usage.over:
            refusal = self.fault_answer(429, 0.0)
            raise Refusal(refusal.status, refusal.body, headers)
        return headers

    def refuse(self, name: str, problem: str) -> Refusal:
        if problem == "path":
            return self._error(404, "NOT_FOUND", "path not found")
        if problem == "symbol":
            return self._error(400, "CONTRACT_NOT_FOUND", "contract not found")
        if problem == "missing":
            return self._error(400, "MISSING_REQUIRED_PARAM", f"Missing required parameter: {name}")
        return self._error(400, "INVALID_PARAM_VALUE", f"Invalid parameter `{name}`")

    def fault_answer(self, status: int, retry_after_s: float) -> Refusal:
        headers = {"Retry-After": str(int(retry_after_s) + 1)} if retry_after_s else {}
        if status == 429:
            return self._error(429, "TOO_MANY_REQUESTS", "Request Rate limit Exceeded", headers)
        if status in (403, 451):
            return self._error(status, "FORBIDDEN", "Your region is restricted", headers)
        if status in (500, 503):
            return self._error(status, "SERVER_ERROR", "Internal server error", headers)
        return Refusal(status, "<html><body>error</body></html>", headers)

    def _error(self, status: int, label: str, text: str, headers: Mapping[str, str] | None = None) -> Refusal:
        return Refusal(status, {"label": label, "message": text}, headers)

    # --- parameters

    def _named(self, name: str) -> LocalListing:
        for listing in self.listed().values():
            if name == f"{listing.base}_USDT":
                return listing
        raise self.refuse("contract", "symbol")

    def _window(self, query: Query, first_ms: int, last_ms: int) -> tuple[int, int, bool]:
        """``from`` and ``to`` within these bounds, in milliseconds, and whether the request names the start."""
        from_s, to_s = query.optional("from"), query.optional("to")
        if from_s is not None and to_s is not None and to_s < from_s:
            raise self.refuse("to", "bad")
        first_ms = first_ms if from_s is None else max(first_ms, from_s * 1000)
        return first_ms, last_ms if to_s is None else min(last_ms, to_s * 1000), from_s is not None

    # --- market data

    def _contract(self, listing: LocalListing) -> dict[str, object]:
        price = listing.price_text(listing.market.price(self.now_ms))
        tiers = listing.tiers
        return {
            "name": f"{listing.base}_USDT",
            "type": "direct",
            "status": "trading",
            "quanto_multiplier": f"{listing.contract_base:.10f}".rstrip("0").rstrip("."),
            "order_price_deviate": "0.5",
            "order_price_round": listing.tick_size_text,
            "mark_price_round": listing.tick_size_text,
            "order_size_min": 1,
            "order_size_max": 1_000_000,
            "leverage_min": "1",
            "leverage_max": f"{tiers.max_leverage[0]:.0f}",
            "maintenance_rate": f"{tiers.rate[0]:.4f}",
            "mark_type": "index",
            "mark_price": price,
            "index_price": price,
            "last_price": price,
            "funding_rate": f"{listing.funding_rate(self.now_ms):.6f}",
            "funding_rate_indicative": f"{listing.funding_rate(self.now_ms):.6f}",
            "funding_interval": round(listing.market.funding_hours * 3600),
            "funding_next_apply": listing.next_funding_ms(self.now_ms) // 1000,
            "interest_rate": "0.0003",
            "position_size": round(listing.contracts(listing.open_interest(self.now_ms) or 0.0)),
            "in_delisting": False,
            "create_time": listing.market.first_ms // 1000,
        }

    def _tickers(self, query: Query) -> Document:
        query.text("timezone", "")
        name = query.text("contract", "")
        return [self._ticker(one) for one in ([self._named(name)] if name else self.listed().values())]

    def _ticker(self, listing: LocalListing) -> dict[str, object]:
        day = listing.last_day(self.now_ms)
        last = listing.tick_text(day.close)
        volume = listing.units(day.volume_base)
        turnover = f"{volume * (day.open + day.close) / 2:.0f}"
        return {
            "contract": f"{listing.base}_USDT",
            "last": last,
            "low_24h": listing.tick_text(day.low),
            "high_24h": listing.tick_text(day.high),
            "change_percentage": f"{100 * (day.close / day.open - 1):.2f}",
            "total_size": f"{listing.contracts(listing.open_interest(self.now_ms) or 0.0):.0f}",
            "volume_24h": f"{volume / listing.contract_base:.0f}",
            "volume_24h_base": f"{volume:.0f}",
            "volume_24h_quote": turnover,
            "volume_24h_settle": turnover,
            "mark_price": last,
            "index_price": last,
            "highest_bid": last,
            "lowest_ask": last,
            "funding_rate": f"{listing.funding_rate(self.now_ms):.6f}",
            "funding_rate_indicative": f"{listing.funding_rate(self.now_ms):.6f}",
            "quanto_multiplier": f"{listing.contract_base:.10f}".rstrip("0").rstrip("."),
        }

    def _candles(self, query: Query) -> Document:
        listing = self._named(query.text("contract"))
        step_ms = INTERVALS_MS[query.choice("interval", INTERVALS_MS, "5m")]
        limit = query.number("limit", 100, 1, MOST_CANDLES)
        opened_ms = listing.market.first_ms // step_ms * step_ms
        first_ms, last_ms, from_start = self._window(query, 0, self.now_ms)
        if from_start:
            if (last_ms - first_ms) // step_ms >= MOST_CANDLES:
                text = "Candlestick range too broad. Maximum 2000 data points are allowed per request"
                raise self._error(400, "INVALID_PARAM_VALUE", text)
            if (self.now_ms - first_ms) // step_ms > OLDEST_CANDLES:
                text = "Candlestick too long ago. Maximum 10000 points ago are allowed"
                raise self._error(400, "INVALID_PARAM_VALUE", text)
            limit = MOST_CANDLES
        rows: list[object] = []
        for at_ms in newest(max(first_ms, opened_ms), last_ms, step_ms, limit):
            bar = listing.candle(at_ms, step_ms, self.now_ms)
            if bar is not None:
                prices = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close}
                rows.append(
                    {
                        "t": at_ms // 1000,
                        **{key: listing.tick_text(price) for key, price in prices.items()},
                        "v": round(listing.contracts(bar.volume_base)),
                        "sum": f"{listing.units(bar.volume_base) * bar.close:.4f}",
                    }
                )
        return rows

    def _book(self, query: Query) -> Document:
        listing = self._named(query.text("contract"))
        query.choice("with_id", ("true", "false", "True", "False"), "false")
        bids, asks = listing.book(self.now_ms, query.number("limit", 10, 1, 300))
        rows = [
            [{"p": listing.tick_text(price), "s": round(size / listing.contract_base)} for price, size in side]
            for side in (bids, asks)
        ]
        stamp_s = self.stamp_ms / 1000
        return {"id": self.stamp_ms, "current": stamp_s, "update": stamp_s, "asks": rows[1], "bids": rows[0]}

    def _funding(self, query: Query) -> Document:
        listing = self._named(query.text("contract"))
        limit = query.number("limit", 100, 1, 1000)
        first_ms, last_ms, _ = self._window(query, 0, self.now_ms)
        rates = listing.market.funding_between(first_ms, last_ms)[-limit:]
        return [{"t": rate.taken_at_ms // 1000, "r": f"{rate.rate:.6f}"} for rate in reversed(rates)]

    def _statistics(self, query: Query) -> Document:
        """Rows of the intervals that start at ``time``: what is held at their end, what was liquidated in them.

        The newest appears while its interval lasts, with what happened so far, and is rewritten when the next appears.
        """
        listing = self._named(query.text("contract"))
        step_ms = STATISTICS_MS[query.choice("interval", STATISTICS_MS, "5m")]
        limit = query.number("limit", 30, 1, 100)
        last_ms = self.now_ms - self.faults.lag_ms - _SHOWN_AFTER_MS
        first_ms, last_ms, from_start = self._window(query, listing.market.first_ms, last_ms)
        times = (oldest if from_start else newest)(first_ms, last_ms, step_ms, limit)
        return [self._statistic(listing, at_ms, step_ms) for at_ms in times]

    def _statistic(self, listing: LocalListing, at_ms: int, step_ms: int) -> dict[str, object]:
        is_final = at_ms + step_ms + _SHOWN_AFTER_MS <= self.now_ms - self.faults.lag_ms
        until_ms = at_ms + (step_ms if is_final else _SHOWN_AFTER_MS)
        held = listing.open_interest(until_ms) or 0.0
        price = listing.price(listing.market.price(until_ms))
        seen = listing.market.prints_between(at_ms - 1, until_ms - 1)
        mine = self.mine(listing.key, seen)
        row: dict[str, object] = {
            "time": at_ms // 1000,
            "mark_price": listing.tick_text(price),
            "open_interest": round(listing.contracts(held)),
            "open_interest_usd": f"{listing.units(held) * price:.4f}",
            "lsr_taker": f"{self._taker_ratio(listing, at_ms, step_ms):.6f}",
            "lsr_account": f"{listing.long_short_ratio(at_ms):.6f}",
            "top_lsr_account": f"{listing.long_short_ratio(at_ms):.6f}",
            "top_lsr_size": f"{listing.long_short_ratio(at_ms):.6f}",
        }
        for side in Side:
            amount = sum(one.amount_base for one in mine if one.side is side)
            row[f"{side.value}_liq_size"] = round(listing.contracts(amount))
            row[f"{side.value}_liq_amount"] = f"{listing.units(amount):.6f}"
            row[f"{side.value}_liq_usd"] = f"{sum(one.notional_usd for one in mine if one.side is side):.4f}"
        return row

    def _taker_ratio(self, listing: LocalListing, at_ms: int, step_ms: int) -> float:
        bar = listing.candle(at_ms, step_ms, self.now_ms)
        if bar is None or bar.taker_buy_volume_base is None or bar.taker_buy_volume_base >= bar.volume_base:
            return 1.0
        return bar.taker_buy_volume_base / (bar.volume_base - bar.taker_buy_volume_base)

    def _tiers(self, query: Query) -> Document:
        name = query.text("contract", "")
        limit, offset = query.number("limit", 100, 1, 1000), query.number("offset", 0, 0, 1_000_000)
        chosen = [self._named(name)] if name else list(self.listed().values())[offset : offset + limit]
        return [tier for listing in chosen for tier in _risk_limits(listing)]

    # --- websocket

    async def on_text(self, stream: Stream, text: str) -> None:
        try:
            message = json.loads(text)
            channel, event, names = message["channel"], message.get("event"), message.get("payload", [])
        except (ValueError, TypeError, KeyError, AttributeError):
            channel, event, names, message = "", None, [], {}
        if channel == "futures.ping":
            await self.send(stream, [self._frame("futures.pong", "", None)])
            return
        known = {f"{listing.base}_USDT" for listing in self.listed().values()}
        right = channel == _TICKERS and event in ("subscribe", "unsubscribe") and known.issuperset(names)
        error = None if right else {"code": 2, "message": "unknown channel, event or contract"}
        answer = self._frame(channel, event or "", {"status": "success"} if right else None)
        await self.send(stream, [{**answer, "id": message.get("id"), "error": error, "payload": names}])
        if right and event == "subscribe":
            stream.topics.update(dict.fromkeys(names))
        elif right:
            for name in names:
                stream.topics.pop(name, None)

    def liquidation_frames(self, stream: Stream, news: News) -> list[object]:  # noqa: ARG002 - see the module
        return []

    def price_frames(self, stream: Stream) -> list[object]:
        tickers = [self._ticker(one) for one in self.listed().values() if f"{one.base}_USDT" in stream.topics]
        return [self._frame(_TICKERS, "update", tickers)] if tickers else []

    def _frame(self, channel: str, event: str, result: object) -> dict[str, object]:
        stamp_ms = self.stamp_ms
        return {"time": stamp_ms // 1000, "time_ms": stamp_ms, "channel": channel, "event": event, "result": result}


def _risk_limits(listing: LocalListing) -> list[dict[str, object]]:
    tiers = listing.tiers
    tops = [*tiers.floor_usd[1:], 2 * tiers.floor_usd[-1]]
    return [
        {
            "contract": f"{listing.base}_USDT",
            "tier": i + 1,
            "risk_limit": f"{top:.0f}",
            "initial_rate": f"{1 / tiers.max_leverage[i]:.6f}",
            "maintenance_rate": f"{tiers.rate[i]:.6f}",
            "leverage_max": f"{tiers.max_leverage[i]:.0f}",
            "deduction": f"{tiers.amount_usd[i]:.2f}",
        }
        for i, top in enumerate(tops)
    ]
