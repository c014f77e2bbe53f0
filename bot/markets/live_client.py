"""One venue through ccxt: what it says, checked, in base units and the project's own types."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from bot.markets import live_closing, live_depth, live_interest, live_own, live_prints, live_rates, live_tiers
from bot.markets.ccxt_errors import VenueError, VenueRetry, classify
from bot.markets.feed import Refusals
from bot.markets.live_budget import CallGate, EvenPace, Window
from bot.markets.live_exchange import Exchange, OwnCalls
from bot.markets.live_types import BAR_MS, Book, CandleSink, Clock, Listing, PrintSink, VenueSeries, number, whole_ms
from bot.markets.symbols import QUOTES
from bot.markets.venue_calls import CandlesCall, OwnCall
from bot.markets.venues import InterestNow, TierUnit, VenueRules, split_multiplier
from detectors.leverage import MarginTier
from detectors.market import HOUR_MS, Bar, Funding, VenueSample

_TIMEFRAME = "5m"
_AT_ONCE = 12
"""Calls in flight. More finish no sooner, but their replies come all at once and hold up the loop; and after a 429 or
418 no more than these are still on their way."""
_OF_ONE_KIND = _AT_ONCE - 2
"""Of them for one question about every market, so that prices never wait behind five hundred tables."""

_RATES_KEPT = 100
"""Of a limit on funding rates, for those that are just settled: the past can wait."""


class CcxtClient:
    """The `VenueClient` of a real venue."""

    def __init__(self, rules: VenueRules, exchange: Exchange, clock: Clock, refusals: Refusals) -> None:
        self.rules = rules
        self.exchange = exchange
        self.gate = CallGate(clock.steady_s, rules.calls_a_second)
        self._clock, self._refusals = clock, refusals
        self._extra = Window(rules.interest_budget) if rules.interest_budget else None
        self._rates_left = Window(rules.funding_budget) if rules.funding_budget else None
        self._own = OwnCalls(exchange)
        self._paces = {method: EvenPace(pace) for method, pace in rules.paces.items()}
        self._in_flight = asyncio.Semaphore(_AT_ONCE)
        self._ids: dict[str, str] = {}
        """The venue's own names, by ccxt's symbol."""
        self._settled_ms: dict[str, int] = {}
        """The newest settled rate told, by base."""
        self._apart_ms: int | None = None
        """The venue's time less our steady clock's."""

    # --- calls

    async def _ask(self, method: str, *args: Any, extra: bool = False) -> Any:
        """One call of ccxt inside the venue's budget; an ``extra`` one counts against `interest_budget` too."""
        await self._turn_of(method)
        if extra and self._extra is not None:
            await self._extra.enter()
        return await self._within_limits(lambda: getattr(self.exchange, method)(*args))

    async def _turn_of(self, method: str) -> None:
        """Wait outside of what is in flight, so that prices never wait behind a line of slow questions."""
        pace = self._paces.get(method)
        if pace is not None and self.exchange.enableRateLimit:
            await pace.enter(part=self.gate.pace)  # of real time, like ccxt's

    async def _within_limits(self, call: Callable[[], Awaitable[Any]], *, tells_load: bool = True) -> Any:
        async with self._in_flight:
            await self.gate.enter(self._clock.sleep)
            try:
                reply = await call()
            except Exception as error:
                fault = self._classify(error, self.exchange.last_response_headers)
                self.gate.failed(fault)
                raise fault from error
            self.gate.succeeded(self.exchange.last_response_headers if tells_load else None)
            return reply

    def _classify(self, error: Exception, headers: Mapping[str, str] | None = None) -> VenueError:
        return classify(error, headers, self._clock.now_ms(), has_answered=self.gate.has_answered)

    def _refuse(self, reason: str, series: str, count: int = 1) -> None:
        self._refusals.add(reason, f"{self.rules.name}/{series}", count)

    async def _each(
        self, listings: Sequence[Listing], ask: Callable[[Listing], Awaitable[Any]], series: str
    ) -> dict[str, Any]:
        """``ask`` for every listing, some at once; one that fails is left out and counted. Raises if all failed."""
        free = asyncio.Semaphore(_OF_ONE_KIND)

        async def when_free(listing: Listing) -> Any:
            async with free:
                return await ask(listing)

        replies = await asyncio.gather(*(when_free(listing) for listing in listings), return_exceptions=True)
        told: dict[str, Any] = {}
        failed: VenueError | None = None
        for listing, reply in zip(listings, replies, strict=True):
            if isinstance(reply, VenueError):
                self._refuse("call_failed", series)
                failed = reply
            elif isinstance(reply, BaseException):
                raise reply
            elif reply is not None:
                told[listing.base] = reply
        if failed is not None and not told:
            raise failed
        return told

    # --- markets

    async def load(self) -> Mapping[str, Listing]:
        await self._ask("load_markets", True)
        found: dict[str, Listing] = {}
        ranked = [
            (QUOTES.index(market["settle"]), market)
            for market in self.exchange.markets.values()
            if market.get("swap") and market.get("linear") and market.get("active") and market.get("settle") in QUOTES
        ]
        for _, market in sorted(ranked, key=lambda pair: (pair[0], pair[1]["symbol"])):
            listing = self._listing(market)
            if listing is not None:
                found.setdefault(listing.base, listing)
        return found

    def _listing(self, market: Mapping[str, Any]) -> Listing | None:
        base, multiplier = split_multiplier(str(market["base"]))
        size, tick = number(market.get("contractSize")), number((market.get("precision") or {}).get("price"))
        if size is None or tick is None:
            self._refuse("contract_size_or_tick_missing", "markets")
            return None
        step = Decimal(str(tick)) / Decimal(str(multiplier))
        decimals = max(0, -int(step.normalize().as_tuple().exponent))
        listed_at_ms = whole_ms(market.get("created"))
        return Listing(self.rules.name, base, market["symbol"], size, multiplier, decimals, listed_at_ms)

    def now_ms(self) -> int:
        if self._apart_ms is None:
            return self._clock.now_ms()
        return round(self._clock.steady_s() * 1000) + self._apart_ms

    async def ask_time(self) -> None:
        before_s = self._clock.steady_s()
        told = whole_ms(await self._ask("fetch_time"))
        after_s = self._clock.steady_s()
        if told is None:
            return
        apart_ms, doubt_ms = round(told - (before_s + after_s) * 500), (after_s - before_s) * 500
        # What may be only the way there and back must not move the close that was gone by so far.
        if self._apart_ms is None or abs(apart_ms - self._apart_ms) > doubt_ms:
            self._apart_ms = apart_ms

    async def volumes_usd(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        tickers = await self._ask("fetch_tickers")
        volumes = {}
        for listing in listings:
            ticker = (tickers.get(listing.symbol) if isinstance(tickers, dict) else None) or {}
            usd = number(ticker.get("quoteVolume"))
            if usd is None and self.rules.ticker_volume_usd_key:
                base = number((ticker.get("info") or {}).get(self.rules.ticker_volume_usd_key))
                last = number(ticker.get("last"))
                usd = base * last if base and last else None
            if usd is not None:
                volumes[listing.base] = usd
        return volumes

    # --- prices and rates

    async def _rows(self, call: OwnCall, series: str) -> live_own.Rows:
        reply = await self._within_limits(lambda: self._own(call.method, call.params), tells_load=call.tells_load)
        told = live_own.rows(call, reply)
        if told is None:
            self._refuse("reply_not_understood", series)
        return told or {}

    def _name(self, call: OwnCall, listing: Listing) -> str:
        """What the call's rows call the market."""
        return self._id(listing) if call.id_key else listing.symbol

    def _id(self, listing: Listing) -> str:
        if listing.symbol not in self._ids:
            self._ids[listing.symbol] = str(self.exchange.market(listing.symbol)["id"])
        return self._ids[listing.symbol]

    async def looks(self, listings: Sequence[Listing]) -> Mapping[str, VenueSample]:
        call = self.rules.prices_call
        rows = await self._rows(call, "prices")
        now_ms = self._clock.now_ms()
        told = {}
        for listing in listings:
            sample = live_own.look(call, rows.get(self._name(call, listing)) or {}, listing, now_ms)
            if sample is None:
                self._refuse("price_not_a_number", "prices")
            else:
                told[listing.base] = sample
        return told

    async def rates(self, listings: Sequence[Listing]) -> Mapping[str, VenueSample]:
        rates = await self._ask("fetch_funding_rates")
        now_ms = self._clock.now_ms()
        told = {}
        for listing in listings:
            rate = (rates.get(listing.symbol) if isinstance(rates, dict) else None) or {}
            funding, mark = number(rate.get("fundingRate"), signed=True), number(rate.get("markPrice"))
            if funding is None and mark is None:
                self._refuse("rate_not_a_number", "rates")
                continue
            told[listing.base] = VenueSample(
                venue=self.rules.name,
                symbol=listing.symbol,
                happened_at_ms=whole_ms(rate.get("timestamp")) or now_ms,
                seen_at_ms=now_ms,
                mark_price=None if mark is None else listing.price(mark),
                funding_rate=funding,
                funding_interval_hours=live_rates.hours(rate.get("interval")),
                next_funding_at_ms=whole_ms(rate.get("fundingTimestamp")),
            )
        return told

    async def ratios(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        timeframe = self.rules.ratio_timeframe
        if not timeframe:
            return {}

        async def ask(listing: Listing) -> float | None:
            rows = await self._ask("fetch_long_short_ratio_history", listing.symbol, timeframe, None, 1, extra=True)
            return number(rows[-1].get("longShortRatio")) if isinstance(rows, list) and rows else None

        return await self._each(listings, ask, "long_short_ratio")

    async def tiers(self, listings: Sequence[Listing]) -> Mapping[str, tuple[MarginTier, ...]]:
        unit = self.rules.tiers_unit
        if unit is None:
            return {}
        # Contracts are worth what they cost now, so floors in dollars are as of today.
        looks = await self.looks(listings) if unit is TierUnit.CONTRACTS else {}

        async def ask(listing: Listing) -> tuple[MarginTier, ...] | None:
            price = looks[listing.base].price if listing.base in looks else None
            rows = await self._ask("fetch_market_leverage_tiers", listing.symbol, dict(self.rules.tiers_params))
            told = live_tiers.read(rows, listing, unit, price)
            if told is None:
                self._refuse("tiers_not_understood", "tiers")
            return told

        return await self._each(listings, ask, "tiers")

    async def book(self, listing: Listing) -> Book | None:
        unit, levels = self.rules.book_unit, self.rules.book_levels
        if unit is None or not levels:
            return None
        call = self.rules.book_call
        if call is None:
            rows = await self._ask("fetch_order_book", listing.symbol, levels)
        else:
            query = {**call.params, call.id_key: self._id(listing), call.limit_key: levels}
            rows = live_own.book(call, await self._within_limits(lambda: self._own(call.method, query)))
        book = live_depth.read(rows, listing, unit, levels)
        if book is None:
            self._refuse("book_not_understood", "book")
        return book

    # --- series

    async def bars(self, listing: Listing, since_ms: int, until_ms: int) -> Sequence[Bar]:
        found: dict[int, Bar] = {}
        until_ms = min(until_ms, self.now_ms() // BAR_MS * BAR_MS)
        step = self.rules.bars_page * BAR_MS
        for start_ms in range(since_ms, until_ms, step):
            end_ms = min(start_ms + step, until_ms)
            call = self.rules.candles_call
            if call and call.newest and start_ms < self.now_ms() - call.newest * BAR_MS:
                call = None
            for row in await self._candle_rows(call, listing, start_ms, end_ms):
                bar = live_own.bar(call, row, listing, self.rules.volume_unit) if isinstance(row, list) else None
                if bar is None:
                    self._refuse("bar_not_a_number" if isinstance(row, list) else "reply_not_understood", "bars")
                elif start_ms <= bar.opened_at_ms and bar.closed_at_ms <= end_ms:
                    found.setdefault(bar.opened_at_ms, bar)
        return [found[opened] for opened in sorted(found)]

    async def _candle_rows(self, call: CandlesCall | None, listing: Listing, start_ms: int, end_ms: int) -> list[Any]:
        if call is None:
            limit = (end_ms - start_ms) // BAR_MS
            told = await self._ask("fetch_ohlcv", listing.symbol, _TIMEFRAME, start_ms, limit, {"until": end_ms - 1})
        else:
            query = live_own.candles_query(call, self._id(listing), start_ms, end_ms)
            await self._turn_of(call.method)
            reply = await self._within_limits(lambda: self._own(call.method, query))
            told = live_own.candle_rows(call, reply)
        if not isinstance(told, list):
            self._refuse("reply_not_understood", "bars")
            return []
        return told

    async def interest_now(self, listings: Sequence[Listing]) -> Mapping[str, float]:
        unit = self.rules.interest_now_unit
        if unit is None:
            return {}
        amounts = await self._amounts_now(listings)
        told = {}
        for listing in listings:
            amount = number(amounts.get(listing.base))
            if amount is None:
                self._refuse("open_interest_not_a_number", "open_interest")
            else:
                told[listing.base] = listing.amount_base(amount, unit)
        return told

    async def _amounts_now(self, listings: Sequence[Listing]) -> Mapping[str, Any]:
        call = self.rules.interest_call
        if call is None:
            return {}
        if self.rules.interest_now is InterestNow.BULK:
            rows = await self._rows(call, "open_interest")
            return {one.base: (rows.get(self._name(call, one)) or {}).get(call.interest_key) for one in listings}

        async def ask(listing: Listing) -> Any:
            query = {"symbol": self._id(listing)}
            reply = await self._within_limits(lambda: self._own(call.method, query))
            return reply.get(call.interest_key) if isinstance(reply, dict) else None

        if len(listings) == 1:
            return {listings[0].base: await ask(listings[0])}
        return await self._each(listings, ask, "open_interest")

    async def interest(self, listing: Listing, since_ms: int, until_ms: int) -> VenueSeries:
        unit = self.rules.interest_history_unit
        if unit is None or not self.rules.interest_window_ms:
            return VenueSeries()
        # A sample at the very edge of the window is refused by some, with all the rest of the call.
        edge_ms = self.now_ms() - self.rules.interest_window_ms + HOUR_MS
        since_ms = max(since_ms, -(-edge_ms // BAR_MS) * BAR_MS)
        first_ms, last_ms = live_interest.stamps(self.rules, since_ms, until_ms)
        told: list[Any] = []
        step = self.rules.interest_page * BAR_MS
        for start_ms in range(first_ms, last_ms + 1, step):
            end_ms = min(start_ms + step - BAR_MS, last_ms)
            limit = (end_ms - start_ms) // BAR_MS + 1
            args = (listing.symbol, _TIMEFRAME, start_ms, limit)
            if self.rules.interest_until:
                args += ({"until": end_ms},)  # type: ignore[assignment]
            rows = await self._ask("fetch_open_interest_history", *args, extra=True)
            if isinstance(rows, list):
                told += rows
            else:
                self._refuse("reply_not_understood", "open_interest")
        refuse = partial(self._refuse, "open_interest_not_a_number", "open_interest")
        return live_interest.read(self.rules, told, listing, unit, (since_ms, until_ms), self.now_ms(), refuse)

    async def funding(self, listing: Listing, since_ms: int, *, wait: bool = True, to_ms: int = 0) -> Sequence[Funding]:
        if self._rates_left is not None and wait:
            await self._rates_left.enter(spare=_RATES_KEPT)
        elif self._rates_left is not None and not self._rates_left.try_enter():
            raise VenueRetry("its limit on funding rates is used up")
        rows = await self._ask("fetch_funding_rate_history", *live_rates.page(self.rules, listing, since_ms, to_ms))
        told = live_rates.history(rows, since_ms, partial(self._refuse, series="funding"))
        self._keep_newest(listing.base, told)
        return told

    async def settled(self, listings: Sequence[Listing], since_ms: int) -> Mapping[str, Sequence[Funding]]:
        call = self.rules.settled_call
        if call is None:
            return {}

        async def ask(query: Mapping[str, str | int]) -> Any:
            if self._rates_left is not None and not self._rates_left.try_enter():
                raise VenueRetry("its limit on funding rates is used up")
            return await self._within_limits(lambda: self._own(call.method, query))

        rows = await live_rates.ask(call, ask, since_ms)
        refuse, ids = partial(self._refuse, series="funding"), {one.base: self._id(one) for one in listings}
        told = live_rates.read(call, rows, ids, self._settled_ms, refuse)
        for base, rates in told.items():
            self._keep_newest(base, rates)
        return told

    def _keep_newest(self, base: str, rates: Sequence[Funding]) -> None:
        if rates:
            self._settled_ms[base] = max(rates[-1].taken_at_ms, self._settled_ms.get(base, 0))

    async def watch_prints(self, listings: Collection[Listing], sink: PrintSink) -> None:
        await self.gate.enter(self._clock.sleep)
        try:
            await live_prints.stream(self.rules, self.exchange, listings, sink)
        except Exception as error:
            raise self._classify(error) from error

    async def watch_candles(self, listings: Sequence[Listing], sink: CandleSink, begin: asyncio.Future[None]) -> None:
        refuse = partial(self._refuse, series="closing")
        try:
            by_id = {self._id(listing): listing for listing in listings}
            await self.gate.enter(self._clock.sleep)
            await live_closing.stream(self.rules, self.exchange, by_id, sink, refuse, begin)
        except Exception as error:
            self._refuse("stream_broke", "closing")
            raise self._classify(error) from error

    async def close(self) -> None:
        await self.exchange.close()
