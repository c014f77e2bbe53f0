"""OKX v5 on the wire: USDT swaps under ``/api/v5``. Amounts are contracts, lists are newest first.

Formats and limits: www.okx.com/docs-v5, public data, market data and trading statistics.
"""

from collections.abc import Mapping, Sequence

from aiohttp import web

from bot.markets.local.grid import newest
from bot.markets.local.limits import Rule
from bot.markets.local.listing import LocalListing
from bot.markets.local.okx_candles import INTERVALS_MS, candle_row
from bot.markets.local.okx_stream import SETTLING_MS, OkxStreams
from bot.markets.local.query import Document, Query, Refusal
from bot.markets.local.server import Handler
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS

# fmt: off
PERIODS_MS = {
    "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS, "1H": HOUR_MS, "2H": 2 * HOUR_MS,
    "4H": 4 * HOUR_MS, "1D": DAY_MS, "1Dutc": DAY_MS,
}
_LIMITS = {
    "/api/v5/public/time": 10, "/api/v5/public/instruments": 20, "/api/v5/market/candles": 40,
    "/api/v5/market/history-candles": 20, "/api/v5/market/books": 40, "/api/v5/market/ticker": 20,
    "/api/v5/market/tickers": 20, "/api/v5/public/mark-price": 10, "/api/v5/public/funding-rate": 10,
    "/api/v5/public/funding-rate-history": 10, "/api/v5/public/open-interest": 20,
    "/api/v5/public/position-tiers": 10, "/api/v5/rubik/stat/contracts/open-interest-history": 10,
    "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract": 5,
    "/api/v5/rubik/stat/taker-volume-contract": 5,
}
"""Requests in two seconds, for each path and address."""
# fmt: on
RECENT_CANDLES = 1440
"""How many ``candles`` serves; older ones come from ``history-candles``, which has closed ones only."""


class OkxVenue(OkxStreams):
    def routes(self) -> Mapping[str, Handler]:
        return {
            "/api/v5/public/time": lambda _: self._reply([{"ts": str(self.stamp_ms)}]),
            "/api/v5/public/instruments": self._instruments,
            "/api/v5/market/candles": self._candles,
            "/api/v5/market/history-candles": self._history_candles,
            "/api/v5/market/books": self._book,
            "/api/v5/market/ticker": lambda query: self._reply([self.ticker(self._instrument(query))]),
            "/api/v5/market/tickers": self._tickers,
            "/api/v5/public/mark-price": self._mark_price,
            "/api/v5/public/funding-rate": self._funding_rate,
            "/api/v5/public/funding-rate-history": self._funding_history,
            "/api/v5/public/open-interest": self._open_interest,
            "/api/v5/public/position-tiers": self._tiers,
            "/api/v5/rubik/stat/contracts/open-interest-history": self._open_interest_history,
            "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract": self._ratio,
            "/api/v5/rubik/stat/taker-volume-contract": self._taker_volume,
        }

    # --- limits and refusals

    def charge(self, request: web.Request) -> dict[str, str]:
        if request.path in _LIMITS and self.limiter.use(Rule(request.path, _LIMITS[request.path], 2.0)).over:
            raise self.fault_answer(429, 0.0)
        return {}

    def refuse(self, name: str, problem: str) -> Refusal:
        if problem == "path":
            return Refusal(404, {"code": "404", "msg": "Not Found", "data": []})
        if problem == "symbol":
            return self._error(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        if problem == "missing":
            return self._error(400, "50014", f"Parameter {name} cannot be empty.")
        return self._error(400, "51000", f"Parameter {name} error")

    def fault_answer(self, status: int, retry_after_s: float) -> Refusal:
        headers = {"Retry-After": str(int(retry_after_s) + 1)} if retry_after_s else {}
        if status == 429:
            return Refusal(429, {"code": "50011", "msg": "Too Many Requests", "data": []}, headers)
        if status == 503:
            return Refusal(503, {"code": "50001", "msg": "Service temporarily unavailable.", "data": []}, headers)
        return Refusal(status, "<html><head><title>Attention Required! | Cloudflare</title></head></html>", headers)

    def _error(self, status: int, code: str, text: str) -> Refusal:
        return Refusal(status, {"code": code, "msg": text, "data": []})

    def _reply(self, data: Sequence[object]) -> Document:
        return {"code": "0", "msg": "", "data": list(data)}

    # --- parameters

    def _instrument(self, query: Query) -> LocalListing:
        listing = self.by_instrument().get(query.text("instId"))
        if listing is None:
            raise self.refuse("instId", "symbol")
        return listing

    def _swaps(self, query: Query) -> list[LocalListing]:
        """Those that ``instType``, ``instFamily`` (or ``uly``) and ``instId`` leave."""
        query.choice("instType", ("SWAP",))
        family = query.text("instFamily", "") or query.text("uly", "")
        query.text("uly", "")
        chosen = [self._instrument(query)] if query.text("instId", "") else list(self.listed().values())
        return [listing for listing in chosen if family in ("", f"{listing.base}-USDT")]

    def _statistics(self, query: Query) -> tuple[LocalListing, int, list[int]]:
        """Times asked for, newest first: both bounds exclusive, the latest of them where there are more."""
        listing = self._instrument(query)
        step_ms = PERIODS_MS[query.choice("period", PERIODS_MS, "5m")]
        first_ms = max((query.optional("begin") or 0) + 1, listing.market.first_ms)
        end_ms = query.optional("end")
        last_ms = self.now_ms - self.faults.lag_ms
        last_ms = last_ms if end_ms is None else min(last_ms, end_ms - 1)
        return listing, step_ms, newest(first_ms, last_ms, step_ms, query.number("limit", 100, 1, 100))[::-1]

    # --- market data

    def _instruments(self, query: Query) -> Document:
        return self._reply([_instrument_info(listing) for listing in self._swaps(query)])

    def _candles(self, query: Query) -> Document:
        return self._candle_rows(query, self.now_ms, recent=True)

    def _history_candles(self, query: Query) -> Document:
        return self._candle_rows(query, self.now_ms, recent=False)

    def _candle_rows(self, query: Query, now_ms: int, *, recent: bool) -> Document:
        listing = self._instrument(query)
        step_ms = INTERVALS_MS[query.choice("bar", INTERVALS_MS, "1m")]
        limit = query.number("limit", 100, 1, 300)
        after_ms, before_ms = query.optional("after"), query.optional("before")
        last_ms = now_ms if recent else now_ms - step_ms
        if after_ms is not None:
            last_ms = min(last_ms, after_ms - 1)
        first_ms = max((before_ms or 0) + 1, listing.market.first_ms // step_ms * step_ms)
        if recent:
            first_ms = max(first_ms, now_ms - RECENT_CANDLES * step_ms)
        rows: list[object] = []
        for opened_at_ms in reversed(newest(first_ms, last_ms, step_ms, limit)):
            bar = listing.candle(opened_at_ms, step_ms, now_ms)
            if bar is not None:
                rows.append(candle_row(listing, bar, now_ms))
        return self._reply(rows)

    def _book(self, query: Query) -> Document:
        listing = self._instrument(query)
        bids, asks = listing.book(self.now_ms, query.number("sz", 1, 1, 400))
        rows = [
            [[listing.tick_text(price), f"{size / listing.contract_base:.2f}", "0", "1"] for price, size in side]
            for side in (bids, asks)
        ]
        return self._reply([{"asks": rows[1], "bids": rows[0], "ts": str(self.stamp_ms), "seqId": self.stamp_ms}])

    def _tickers(self, query: Query) -> Document:
        return self._reply([self.ticker(listing) for listing in self._swaps(query)])

    def _mark_price(self, query: Query) -> Document:
        query.choice("instType", ("SWAP",), "SWAP")
        chosen = [self._instrument(query)] if query.text("instId", "") else list(self.listed().values())
        return self._reply([self.mark_price(listing) for listing in chosen])

    def _funding_rate(self, query: Query) -> Document:
        if query.text("instId") == "ANY":
            return self._reply([self.funding(listing) for listing in self.listed().values()])
        return self._reply([self.funding(self._instrument(query))])

    def _funding_history(self, query: Query) -> Document:
        listing = self._instrument(query)
        after_ms = query.optional("after")
        last_ms = self.now_ms - SETTLING_MS
        last_ms = last_ms if after_ms is None else min(last_ms, after_ms - 1)
        rates = listing.market.funding_between((query.optional("before") or 0) + 1, last_ms)
        rows = [
            {
                "instType": "SWAP",
                "instId": f"{listing.base}-USDT-SWAP",
                "fundingRate": f"{rate.rate:.10f}",
                "realizedRate": f"{rate.rate:.10f}",
                "fundingTime": str(rate.taken_at_ms),
                "method": "current_period",
            }
            for rate in reversed(rates[-query.number("limit", 100, 1, 400) :])
        ]
        return self._reply(rows)

    def _open_interest(self, query: Query) -> Document:
        return self._reply([self.open_interest(listing) for listing in self._swaps(query)])

    def _open_interest_history(self, query: Query) -> Document:
        listing, _, times = self._statistics(query)
        rows: list[object] = []
        for at_ms in times:
            held = listing.open_interest(at_ms)
            if held is not None:
                units = listing.units(held)
                value = units * listing.price(listing.market.price(at_ms))
                rows.append([str(at_ms), listing.contracts_text(held, 4), f"{units:.6f}", f"{value:.4f}"])
        return self._reply(rows)

    def _ratio(self, query: Query) -> Document:
        listing, _, times = self._statistics(query)
        return self._reply([[str(at_ms), f"{listing.long_short_ratio(at_ms):.4f}"] for at_ms in times])

    def _taker_volume(self, query: Query) -> Document:
        """Sold, then bought; ``unit`` 0 is the coin, 1 contracts, 2 dollars."""
        unit = query.choice("unit", ("0", "1", "2"), "1")
        listing, step_ms, times = self._statistics(query)
        rows: list[object] = []
        for at_ms in times:
            bar = listing.candle(at_ms, step_ms, self.now_ms)
            if bar is not None and bar.taker_buy_volume_base is not None:
                scale = {"0": 1.0, "1": 1 / listing.contract_base, "2": bar.close}[unit]
                bought = listing.units(bar.taker_buy_volume_base) * scale
                sold = listing.units(bar.volume_base) * scale - bought
                rows.append([str(at_ms), f"{sold:.4f}", f"{bought:.4f}"])
        return self._reply(rows)

    def _tiers(self, query: Query) -> Document:
        """Sizes are contracts, though ccxt takes them for notional."""
        query.choice("tdMode", ("cross", "isolated"))
        rows = [tier for listing in self._swaps(query) for tier in self._position_tiers(listing)]
        return self._reply(rows)

    def _position_tiers(self, listing: LocalListing) -> list[dict[str, object]]:
        tiers = listing.tiers
        contract_usd = listing.price(listing.market.price(self.now_ms)) * listing.contract_base
        floors = [round(floor / contract_usd) for floor in (*tiers.floor_usd, 2 * tiers.floor_usd[-1])]
        return [
            {
                "instType": "SWAP",
                "instFamily": f"{listing.base}-USDT",
                "uly": f"{listing.base}-USDT",
                "instId": "",
                "tier": str(i + 1),
                "minSz": str(floors[i] + (i > 0)),
                "maxSz": str(floors[i + 1]),
                "mmr": f"{tiers.rate[i]:.4f}",
                "imr": f"{1 / tiers.max_leverage[i]:.4f}",
                "maxLever": f"{tiers.max_leverage[i]:.2f}",
                "baseMaxLoan": "",
                "quoteMaxLoan": "",
                "optMgnFactor": "0",
            }
            for i in range(len(tiers.rate))
        ]


def _instrument_info(listing: LocalListing) -> dict[str, object]:
    return {
        "instType": "SWAP",
        "instId": f"{listing.base}-USDT-SWAP",
        "instFamily": f"{listing.base}-USDT",
        "uly": f"{listing.base}-USDT",
        "baseCcy": "",
        "quoteCcy": "",
        "settleCcy": "USDT",
        "ctVal": f"{listing.contract_base:.10f}".rstrip("0").rstrip("."),
        "ctMult": "1",
        "ctValCcy": listing.base,
        "ctType": "linear",
        "expTime": "",
        "lever": f"{listing.tiers.max_leverage[0]:.0f}",
        "listTime": str(listing.market.first_ms),
        "lotSz": "0.01",
        "minSz": "0.01",
        "tickSz": listing.tick_size_text,
        "state": "live",
        "ruleType": "normal",
    }
