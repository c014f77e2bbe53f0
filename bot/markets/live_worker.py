"""One venue's work: prices every ten seconds, and at each bar's close the bars, open interest and rates.

A worker knows nothing of other venues, so that one venue's trouble stays its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from bot.markets.ccxt_errors import VenueError
from bot.markets.live_closing import ClosingCandles
from bot.markets.live_health import StreamTally
from bot.markets.live_settled import SettledRates
from bot.markets.live_types import (
    BAR_MS,
    BarBatch,
    Clock,
    Listing,
    LookBatch,
    VenueClient,
    VenueSeries,
    known_at_ms,
    until_next,
)
from bot.markets.venues import Coverage, InterestNow
from detectors.market import HOUR_MS, MINUTE_MS, Bar, VenueSample

Batch = LookBatch | BarBatch
_T = TypeVar("_T")
_CLOCK_EVERY_MS = 10 * MINUTE_MS
_RATIOS_EVERY_MS = 15 * MINUTE_MS
_RATIOS_AFTER_MS = MINUTE_MS
"""Well after a close: one call a market is as much work as the bars."""
_RATIOS_WITHIN_S = 180.0
_RATIOS_AT_ONCE = 5
_RETRIES = 3
_RETRY_AFTER_S = 1.5
_NOW_MEANS_CLOSE_MS = MINUTE_MS
"""Open interest asked for this soon after a close counts as taken at it."""
_SUMS_BACK_MS = HOUR_MS
"""So far back sums of liquidations that did not come are asked for again."""
_MARKETS_AT_ONCE = 10
"""Fewer than calls that may be in flight, so that prices never wait behind a line of markets."""


class VenueWorker:
    """``deliver`` takes every batch; ``failed`` every error, with the series it was about. The first bar asked for is
    the next that closes after ``after_ms`` (None: after now). ``stream_lead_s``: how long before a close the venue's
    stream of candles is opened, where it has one; None: never."""

    def __init__(
        self,
        client: VenueClient,
        listings: Mapping[str, Listing],
        clock: Clock,
        deliver: Callable[[Batch], None],
        failed: Callable[[VenueError, str], None],
        *,
        look_every_ms: int,
        with_interest: frozenset[str] = frozenset(),
        after_ms: int | None = None,
        stream_lead_s: float | None = None,
    ) -> None:
        self.client, self.listings = client, listings
        self._closing: ClosingCandles | None = None
        if client.rules.streams_closes and stream_lead_s is not None:
            self._closing = ClosingCandles(client, listings, clock, stream_lead_s)
        self._clock, self._deliver, self._failed = clock, deliver, failed
        self._look_every_ms = look_every_ms
        started_ms = self._latest_close_ms() if after_ms is None else after_ms
        self._last_close_ms = started_ms
        self._closed_ms = dict.fromkeys(listings, started_ms)
        """The last bar close had, by base asset."""
        self._sampled_ms = dict.fromkeys(with_interest, started_ms)
        """The last bar close with open interest."""
        self._settled = SettledRates(client, listings, clock, deliver, failed, started_ms)
        self._summed_ms = dict.fromkeys(listings, started_ms)
        """The last bar close by which all sums of liquidations are had, where the venue tells such."""
        self._ratios: dict[str, float] = {}
        self._complete: dict[str, VenueSeries] = {}
        """What goes out with the next turn of the loop."""

    def _latest_close_ms(self) -> int:
        return (self.client.now_ms() - self.client.rules.close_delay_ms) // BAR_MS * BAR_MS

    @property
    def stream_tally(self) -> StreamTally | None:
        """What its stream of closing candles told; None where it has none."""
        return None if self._closing is None else self._closing.tally

    def follow(self, base: str, *, with_interest: bool, after_ms: int | None = None) -> None:
        """Ask for a further one of ``listings`` too; ``after_ms`` as for the others."""
        after_ms = self._latest_close_ms() if after_ms is None else after_ms
        self._closed_ms[base] = self._summed_ms[base] = after_ms
        self._settled.follow(base, after_ms)
        if with_interest:
            self._sampled_ms[base] = self._closed_ms[base]

    async def run(self) -> None:
        """For ever; what ends one of its tasks ends all."""
        async with asyncio.TaskGroup() as tasks:
            for task in (self._look_for_ever, self._close_for_ever, self._set_clock_for_ever, self._ratios_for_ever):
                tasks.create_task(task())
            tasks.create_task(self._settled.run())
            if self._closing is not None:
                tasks.create_task(self._closing.run())

    async def _try(self, series: str, call: Callable[[], Awaitable[_T]]) -> _T | None:
        try:
            return await call()
        except VenueError as error:
            self._failed(error, series)
            return None

    async def _set_clock_for_ever(self) -> None:
        while True:
            await self._try("clock", self.client.ask_time)
            await self._clock.sleep(_CLOCK_EVERY_MS / 1000)

    async def _look_for_ever(self) -> None:
        last_ms = 0
        while True:
            # The first at once: a start is not to wait for the clock.
            looks = await self._try("prices", lambda: self.client.looks(list(self.listings.values())))
            if looks:
                self._deliver(LookBatch(self.client.rules.name, looks))
            # Halfway between two multiples, away from the calls at a bar's close.
            last_ms = await until_next(self._clock, self._look_every_ms, self._look_every_ms // 2, last_ms=last_ms)

    async def _close_for_ever(self) -> None:
        delay_ms, last_ms = self.client.rules.close_delay_ms, self._last_close_ms
        while True:
            last_ms = await until_next(self._clock, BAR_MS, delay_ms, last_ms, self.client.now_ms)
            await self.close(last_ms)

    async def _ratios_for_ever(self) -> None:
        last_ms = 0
        while self.client.rules.ratio_timeframe:
            last_ms = await until_next(self._clock, _RATIOS_EVERY_MS, _RATIOS_AFTER_MS, last_ms)
            await self.ask_ratios()

    async def ask_ratios(self) -> None:
        """A few markets at a time, so that no bar waits for it; what is not told now is not known any longer."""
        line = list(self.listings.values())
        for start in range(0, len(line), _RATIOS_AT_ONCE):
            if start:
                await self._clock.sleep(_RATIOS_WITHIN_S * _RATIOS_AT_ONCE / len(line))
            some = line[start : start + _RATIOS_AT_ONCE]
            told = await self._try("ratios", partial(self.client.ratios, some)) or {}
            for listing in some:
                self._ratios.pop(listing.base, None)
            self._ratios.update(told)

    # --- a bar's close

    async def close(self, closed_at_ms: int) -> None:
        """Deliver what the venue says of the bars up to that close, each market as soon as it is complete, in the order
        of ``listings``; markets without it are asked for again."""
        rates: Mapping[str, VenueSample] = {}
        for attempt in range(_RETRIES):
            line = [one for one in self.listings.values() if self._lacks(one.base, closed_at_ms)]
            if not line:
                break
            # Those with nothing left to wait for are not to stand in line behind the others.
            line.sort(key=lambda one: self._streamed(one.base, closed_at_ms) is None)
            if attempt:
                await self._clock.sleep(_RETRY_AFTER_S * attempt)
            rates = await self._ask_line(line, closed_at_ms, rates)
        self._settled.note(rates, closed_at_ms)

    def _lacks(self, base: str, closed_at_ms: int) -> bool:
        return self._closed_ms[base] < closed_at_ms or self._lacks_interest(base, closed_at_ms)

    def _lacks_interest(self, base: str, closed_at_ms: int) -> bool:
        return self._sampled_ms.get(base, closed_at_ms) < closed_at_ms

    async def _ask_line(
        self, line: Sequence[Listing], closed_at_ms: int, rates: Mapping[str, VenueSample]
    ) -> Mapping[str, VenueSample]:
        """Ask for a line of markets, so many at once; returns the rates, which come in one call."""
        waiting = iter(line)

        async def work(all_rates: Awaitable[Mapping[str, VenueSample]], now: Awaitable[Mapping[str, float]]) -> None:
            for listing in waiting:
                series = await self._series(listing, closed_at_ms, now)
                sample = self._sample(listing.base, (await all_rates).get(listing.base), series)
                self._hand_over_soon(closed_at_ms, listing.base, replace(series, sample=sample))

        async with asyncio.TaskGroup() as tasks:
            told = tasks.create_task(self._rates(rates))
            now = tasks.create_task(self._interest_in_bulk(line, closed_at_ms))
            for _ in range(min(len(line), _MARKETS_AT_ONCE)):
                tasks.create_task(work(told, now))
        self._hand_over(closed_at_ms)
        return told.result()

    def _hand_over_soon(self, closed_at_ms: int, base: str, series: VenueSeries) -> None:
        """Deliver it with whatever else is complete in the same turn of the loop."""
        self._complete[base] = series
        if len(self._complete) == 1:
            asyncio.get_running_loop().call_soon(self._hand_over, closed_at_ms)

    def _hand_over(self, closed_at_ms: int) -> None:
        complete, self._complete = self._complete, {}
        if complete:
            self._deliver(BarBatch(self.client.rules.name, closed_at_ms, complete))

    def _sample(self, base: str, sample: VenueSample | None, told: VenueSeries) -> VenueSample | None:
        ratio = told.long_short_ratio or self._ratios.get(base)
        return sample and replace(sample, long_short_ratio=ratio, taker_buy_ratio=told.taker_buy_ratio)

    # --- what is asked at a close

    async def _rates(self, known: Mapping[str, VenueSample]) -> Mapping[str, VenueSample]:
        listings = list(self.listings.values())
        return known or await self._try("rates", lambda: self.client.rates(listings)) or {}

    async def _interest_in_bulk(self, line: Sequence[Listing], closed_at_ms: int) -> Mapping[str, float]:
        """Open interest now of all that lack it, where the venue tells it so."""
        wanted = [one for one in line if self._lacks_interest(one.base, closed_at_ms)]
        if not wanted or self._asks_each or self._is_late(closed_at_ms):
            return {}
        return await self._try("open interest", lambda: self.client.interest_now(wanted)) or {}

    @property
    def _asks_each(self) -> bool:
        return self.client.rules.interest_now is InterestNow.EACH

    def _is_late(self, closed_at_ms: int) -> bool:
        """Whether open interest now no longer counts as that of the close."""
        return self.client.now_ms() - closed_at_ms > _NOW_MEANS_CLOSE_MS

    async def _series(self, listing: Listing, closed_at_ms: int, now: Awaitable[Mapping[str, float]]) -> VenueSeries:
        """One market's bars and open interest; what could not be had is missing in it."""
        since_ms = self._closed_ms[listing.base]
        if since_ms >= closed_at_ms:
            return await self._interest(listing, since_ms, closed_at_ms, now)
        if self._asks_each:
            bars, told = await asyncio.gather(
                self._bars(listing, since_ms, closed_at_ms), self._interest(listing, since_ms, closed_at_ms, now)
            )
        else:
            bars = await self._bars(listing, since_ms, closed_at_ms)
            told = await self._interest(listing, since_ms, closed_at_ms, now)
        return replace(told, bars=bars)

    def _streamed(self, base: str, closed_at_ms: int) -> Bar | None:
        """The bar that closed then, if the stream has told it and it is the only one that lacks."""
        if self._closing is None or self._closed_ms[base] != closed_at_ms - BAR_MS:
            return None
        return self._closing.of(base, closed_at_ms)

    async def _bars(self, listing: Listing, since_ms: int, closed_at_ms: int) -> Sequence[Bar]:
        streamed = self._streamed(listing.base, closed_at_ms)
        if streamed is not None:
            bars: Sequence[Bar] = [streamed]
        else:
            bars = await self._try("bars", lambda: self.client.bars(listing, since_ms, closed_at_ms)) or ()
        if bars:
            self._closed_ms[listing.base] = bars[-1].closed_at_ms
        return bars

    async def _interest(
        self, listing: Listing, since_ms: int, closed_at_ms: int, now: Awaitable[Mapping[str, float]]
    ) -> VenueSeries:
        """Of this close from what is now, of closes whose bars were missed from history."""
        base = listing.base
        if not self._lacks_interest(base, closed_at_ms):
            return VenueSeries()
        late = self._is_late(closed_at_ms)
        found: VenueSeries | None = None
        # What liquidations come with the statistics are asked for at every bar, and again where the venue had not made
        # them final; what comes twice the view tells apart.
        has_sums = self.client.rules.coverage is Coverage.TOTALS
        if late or has_sums or since_ms < closed_at_ms - BAR_MS:
            first_ms = min(since_ms + BAR_MS, closed_at_ms)
            if has_sums:
                first_ms = min(first_ms, max(self._summed_ms[base] + BAR_MS, closed_at_ms - _SUMS_BACK_MS))
            found = await self._try("open interest", lambda: self.client.interest(listing, first_ms, closed_at_ms))
            if found is not None:
                self._summed_ms[base] = max([self._summed_ms[base], *map(known_at_ms, found.totals)])
        told = found or VenueSeries()
        amounts = await now
        if self._asks_each and not late:
            amounts = await self._try("open interest", lambda: self.client.interest_now([listing])) or {}
        if base in amounts:
            interest = {**told.interest_base, closed_at_ms: amounts[base]}
            told = VenueSeries(interest_base=interest) if found is None else replace(found, interest_base=interest)
        self._sampled_ms[base] = max(self._sampled_ms[base], *told.interest_base, 0)
        return told
