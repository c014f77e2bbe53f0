"""One venue's work: prices every ten seconds, and at each bar's close the bars, open interest and rates.

A worker knows nothing of other venues, so that one venue's trouble stays its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bot.markets.ccxt_errors import VenueError
from bot.markets.live_types import (
    BAR_MS,
    BarBatch,
    Clock,
    Listing,
    LookBatch,
    MarketSeries,
    VenueClient,
    until_next,
)
from bot.markets.venues import Coverage
from detectors.market import HOUR_MS, MINUTE_MS, Bar, Funding, VenueSample

Batch = LookBatch | BarBatch
_T = TypeVar("_T")
_CLOCK_EVERY_MS = 10 * MINUTE_MS
_RATIOS_EVERY_MS = 15 * MINUTE_MS
_RETRIES = 3
_RETRY_AFTER_S = 1.5
_NOW_MEANS_CLOSE_MS = MINUTE_MS
"""Open interest asked for this soon after a close counts as taken at it."""
_LONGEST_FUNDING_MS = 8 * HOUR_MS


class VenueWorker:
    """``deliver`` takes every batch; ``failed`` every error, with the series it was about. The first bar asked for is
    the next that closes after ``after_ms`` (None: after now)."""

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
    ) -> None:
        self.client, self.listings = client, listings
        self._clock, self._deliver, self._failed = clock, deliver, failed
        self._look_every_ms = look_every_ms
        started_ms = (clock.now_ms() - client.rules.close_delay_ms) // BAR_MS * BAR_MS if after_ms is None else after_ms
        self._last_close_ms = started_ms
        self._closed_ms = dict.fromkeys(listings, started_ms)
        """The last bar close had, by base asset."""
        self._sampled_ms = dict.fromkeys(with_interest, started_ms)
        """The last bar close with open interest."""
        self._settled_ms = dict.fromkeys(listings, started_ms)
        self._due_ms: dict[str, int] = {}
        """When funding is settled next."""
        self._ratios: Mapping[str, float] = {}

    async def run(self) -> None:
        """For ever; what ends one of its tasks ends all."""
        async with asyncio.TaskGroup() as tasks:
            for task in (self._look_for_ever, self._close_for_ever, self._set_clock_for_ever):
                tasks.create_task(task())

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

    # --- a bar's close

    async def close(self, closed_at_ms: int) -> None:
        """Deliver what the venue says of the bars up to that close; markets without it are asked for again."""
        rates: Mapping[str, VenueSample] = {}
        for attempt in range(_RETRIES):
            no_bar = [one for base, one in self.listings.items() if self._closed_ms[base] < closed_at_ms]
            no_interest = [self.listings[base] for base, at_ms in self._sampled_ms.items() if at_ms < closed_at_ms]
            if not no_bar and not no_interest:
                break
            if attempt:
                await self._clock.sleep(_RETRY_AFTER_S * attempt)
            bars, interest, funding, told = await asyncio.gather(
                self._bars(no_bar, closed_at_ms),
                self._interest(no_interest, dict(self._closed_ms), closed_at_ms),
                self._funding(no_bar, closed_at_ms),
                _nothing() if rates else self._try("rates", lambda: self.client.rates(list(self.listings.values()))),
            )
            rates = rates or told or {}
            markets = {
                base: replace(
                    interest.get(base, MarketSeries()),
                    bars=bars.get(base, ()),
                    funding=funding.get(base, ()),
                    sample=self._sample(base, rates.get(base), interest.get(base, MarketSeries())),
                )
                for base in {**bars, **interest, **funding}
            }
            if markets:
                self._deliver(BarBatch(self.client.rules.name, closed_at_ms, markets))
        for base, sample in rates.items():
            if sample.next_funding_at_ms is not None and self._due_ms.get(base, closed_at_ms + 1) > closed_at_ms:
                self._due_ms[base] = sample.next_funding_at_ms
        if closed_at_ms % _RATIOS_EVERY_MS == 0:
            self._ratios = await self._try("ratios", lambda: self.client.ratios(list(self.listings.values()))) or {}

    def _sample(self, base: str, sample: VenueSample | None, told: MarketSeries) -> VenueSample | None:
        ratio = told.long_short_ratio or self._ratios.get(base)
        return sample and replace(sample, long_short_ratio=ratio, taker_buy_ratio=told.taker_buy_ratio)

    async def _bars(self, wanted: Sequence[Listing], closed_at_ms: int) -> dict[str, Sequence[Bar]]:
        async def ask(listing: Listing) -> Sequence[Bar]:
            since_ms = self._closed_ms[listing.base]
            return await self._try("bars", lambda: self.client.bars(listing, since_ms, closed_at_ms)) or ()

        told = await asyncio.gather(*(ask(listing) for listing in wanted))
        found = {listing.base: bars for listing, bars in zip(wanted, told, strict=True) if bars}
        for base, bars in found.items():
            self._closed_ms[base] = bars[-1].closed_at_ms
        return found

    async def _interest(
        self, wanted: Sequence[Listing], since_ms: Mapping[str, int], closed_at_ms: int
    ) -> dict[str, MarketSeries]:
        """Of this close from what is now, of closes whose bars were missed from history."""
        found: dict[str, MarketSeries] = {}
        late = self.client.now_ms() - closed_at_ms > _NOW_MEANS_CLOSE_MS
        # What liquidations come with the statistics are asked for at every bar.
        every = late or self.client.rules.coverage is Coverage.TOTALS
        missed = [one for one in wanted if every or since_ms[one.base] < closed_at_ms - BAR_MS]

        async def ask(listing: Listing) -> None:
            first_ms = min(since_ms[listing.base] + BAR_MS, closed_at_ms)
            told = await self._try("open interest", lambda: self.client.interest(listing, first_ms, closed_at_ms))
            if told is not None and (told.interest_base or told.totals):
                found[listing.base] = told

        now, *_ = await asyncio.gather(
            _nothing() if late or not wanted else self._try("open interest", lambda: self.client.interest_now(wanted)),
            *(ask(listing) for listing in missed),
        )
        for base, amount in (now or {}).items():
            told = found.get(base, MarketSeries())
            found[base] = replace(told, interest_base={**told.interest_base, closed_at_ms: amount})
        for base, told in found.items():
            self._sampled_ms[base] = max(self._sampled_ms[base], *told.interest_base, 0)
        return found

    async def _funding(self, wanted: Sequence[Listing], closed_at_ms: int) -> dict[str, Sequence[Funding]]:
        """Rates settled since the last time; asked for when one is due, or on the hour where that is not known."""
        found: dict[str, Sequence[Funding]] = {}

        async def ask(listing: Listing) -> None:
            # One rate more than needed tells the interval.
            since_ms = self._settled_ms[listing.base] - _LONGEST_FUNDING_MS
            told = await self._try("funding", lambda: self.client.funding(listing, since_ms)) or ()
            new = [rate for rate in told if rate.taken_at_ms > self._settled_ms[listing.base]]
            if new:
                self._settled_ms[listing.base] = new[-1].taken_at_ms
                self._due_ms.pop(listing.base, None)
                found[listing.base] = new

        due = [one for one in wanted if self._is_due(one.base, closed_at_ms)]
        await asyncio.gather(*(ask(listing) for listing in due))
        return found

    def _is_due(self, base: str, closed_at_ms: int) -> bool:
        due_ms = self._due_ms.get(base)
        return closed_at_ms % HOUR_MS == 0 if due_ms is None else closed_at_ms >= due_ms


async def _nothing() -> None:
    return None
