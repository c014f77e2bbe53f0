"""Several venues' series of one base asset as one: the snapshots of a market view. Pure: no I/O, no clock.

- Price and candle: those of the *reference*, the venue with the largest open interest when the view began. It changes
  only when it has gone stale; a bar that it missed is the next largest venue's.
- Open interest: the sum over the counted venues, only where each of them has a sample of that very bar. A venue that
  misses two bars in a row is dropped from the count, which is said, and the sum of the others is scaled up to what
  the whole was, so that a silent venue never looks like positions being closed. When it is back, it is counted again.
  While nobody knows yet what the whole is, its snapshots name only the venues that are counted: the map then takes the
  sum for a change of scale, as it does when a venue joins.
- A venue that joins while running brings positions of unknown entry: the view then names it among the venues counted,
  from which the map knows that the level has changed and the positions have not (`LiquidationMap.rebase`).
- Volume: the sum; of a venue that missed the bar, its usual share is assumed.
- Funding: the average weighted by open interest of the rates settled at that moment, per eight hours. It goes with the
  bar that closes five minutes later, live and of the past alike: until then venues settle, and can be asked one market
  a call, without a bar that waits.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.markets.live_types import BAR_MS, VenueSeries, settled_at_ms
from bot.markets.merge_totals import Totals
from detectors.market import Bar, Funding, Market, MarketSnapshot, OpenInterest, Print
from detectors.market import VenueSample as Sample

DROPPED_AFTER_BARS = 2
_USUAL_WEIGHT = 0.05
"""Of a bar in a venue's usual volume."""
_RATE_DECIMALS = 12
"""More than any venue tells; the average of equal rates is then that rate."""


class Merger:
    """One market view. Feed it with `add`, `look` and `add_prints`; take bars with `emit`, in order of time."""

    def __init__(self, market: Market, full_interest: Mapping[str, float] | None = None) -> None:
        self.market = market
        self.reference: str | None = None
        self.stale: set[str] = set()
        """Venues whose prices are not to be used. The feed keeps this."""
        self.late = 0
        """Bars and rates that came after their moment had been handed out."""
        self._notes: list[tuple[str, str]] = []
        self.closed_at_ms = 0
        """The last bar handed out."""
        self._counted = [v for v in market.open_interest_venues if not full_interest or v in full_interest]
        self._full_interest = dict(full_interest or {})
        """Open interest by venue when last all were counted, in base units."""
        self._missed: dict[str, int] = defaultdict(int)
        self._absent: dict[str, int] = defaultdict(int)
        """Bars in a row that a venue did not give in time."""
        self._tardy: dict[str, int] = defaultdict(int)
        """Of these, how many it gave when they had been handed out."""
        self._interest: dict[str, float] = dict(full_interest or {})
        self._bars: dict[int, dict[str, Bar]] = defaultdict(dict)
        self._samples: dict[int, dict[str, float]] = defaultdict(dict)
        self._funding: dict[int, dict[str, Funding]] = defaultdict(dict)
        self._settled_ms = 0
        self._totals = Totals()
        self._prints: list[Print] = []
        self._usual: dict[str, float] = {}
        self._looks: dict[str, Sample] = {}
        self._taken_at_ms = 0
        self.price: float | None = None
        """The last one handed out."""

    def alone(self, market: Market) -> "Merger":
        """The view of one of its venues, with what is known of that now; ``market`` names it."""
        [venue] = market.venues
        alone = Merger(market, {venue: self._interest[venue]} if venue in self._interest else None)
        alone.stale = self.stale & {venue}
        alone._looks = {name: sample for name, sample in self._looks.items() if name == venue}
        return alone

    # --- in

    def add(self, venue: str, series: VenueSeries) -> None:
        """What a venue says of bars. The first value of a moment stays; what comes after its moment is counted."""
        for bar in series.bars:
            if bar.closed_at_ms <= self.closed_at_ms:
                self.late += 1
                self._tardy[venue] += bar.closed_at_ms == self.closed_at_ms
            else:
                self._bars[bar.closed_at_ms].setdefault(venue, bar)
        if venue in self.market.open_interest_venues:
            for at_ms, base in series.interest_base.items():
                if at_ms > self.closed_at_ms:
                    self._samples[at_ms].setdefault(venue, base)
        for rate in series.funding:
            moment_ms = settled_at_ms(rate)
            if moment_ms <= self._settled_ms:
                self.late += 1
            else:
                self._funding[moment_ms].setdefault(venue, rate)
        self._totals.add(series.totals)
        if series.sample is not None:
            self.note(series.sample)

    def join(self, market: Market, venue: str, interest_base: float | None) -> None:
        """Take in a further venue; ``market`` is the view with it, ``interest_base`` what it holds open now."""
        self.market = market
        if interest_base is not None:
            self._counted.append(venue)
            self._interest[venue] = self._full_interest[venue] = interest_base

    def leave(self, market: Market, venue: str) -> None:
        """Go on without a venue; ``market`` is the view without it."""
        self.market = market
        if venue in self._counted:
            self._counted.remove(venue)
        self.reference = None if self.reference == venue else self.reference
        self.stale.discard(venue)
        known: list[dict[str, Any]] = [self._full_interest, self._interest, self._usual, self._looks]
        for kept in [*known, self._missed, self._absent, self._tardy]:
            kept.pop(venue, None)
        waiting: list[dict[int, dict[str, Any]]] = [self._bars, self._samples, self._funding]
        for series in waiting:
            for at_ms in list(series):
                series[at_ms].pop(venue, None)
                if not series[at_ms]:
                    del series[at_ms]

    def note(self, sample: Sample) -> None:
        """Keep the newest a venue said; what the new sample does not tell stays as it was."""
        before = self._looks.get(sample.venue)
        self._looks[sample.venue] = sample if before is None else _over(before, sample)

    def add_prints(self, prints: Sequence[Print]) -> None:
        self._prints += prints

    @property
    def by_size(self) -> list[str]:
        """Its venues, the largest open interest first."""
        return sorted(self.market.venues, key=lambda venue: -self._interest.get(venue, 0.0))

    @property
    def prices(self) -> dict[str, float]:
        """The newest of each venue."""
        return {venue: one.price for venue, one in self._looks.items() if one.price is not None}

    @property
    def pending(self) -> list[int]:
        """Bar closes that could be handed out, in order of time."""
        return sorted(at_ms for at_ms, bars in self._bars.items() if bars and at_ms > self.closed_at_ms)

    def lacks(self, closed_at_ms: int, venue: str) -> bool:
        """Whether the venue is still to be waited for: it is fresh, and has not said all that is counted of it.

        One that was given up and is back, only slower than the others, is waited for after its 1st, 2nd, 4th, 8th ...
        late bar: else it was never counted again, and one that is always late would hold up every bar.
        """
        tardy = self._tardy[venue]
        back = tardy > 0 and tardy & (tardy - 1) == 0
        if venue in self.stale or (self._absent[venue] >= DROPPED_AFTER_BARS and not back):
            return False
        if venue not in self._bars.get(closed_at_ms, ()):
            return True
        return venue in self._counted and venue not in self._samples.get(closed_at_ms, ())

    @property
    def full_interest(self) -> Mapping[str, float]:
        """Open interest by venue when last all were counted, in base units; empty where that is not known of all."""
        return self._full_interest if self._full_interest.keys() >= set(self.market.open_interest_venues) else {}

    def leads(self, venue: str) -> bool:
        """Whether the price now is that venue's."""
        return self._pick_reference(self._looks) == venue

    def go_on_after(self, snapshot: MarketSnapshot) -> None:
        """What is up to this snapshot's bar was handed out by somebody else."""
        if snapshot.bar is not None and snapshot.bar.closed_at_ms > self.closed_at_ms:
            self.closed_at_ms = snapshot.bar.closed_at_ms
            self._settled_ms = self.closed_at_ms - BAR_MS
            self._taken_at_ms, self.price = snapshot.taken_at_ms, snapshot.price
            self._forget(self.closed_at_ms)
            self._totals.pass_over(self.closed_at_ms)

    def take_notes(self) -> list[tuple[str, str]]:
        """(venue, sentence) about the count of open interest and the reference, since the last call."""
        taken, self._notes = self._notes, []
        return taken

    # --- out

    def look(self, taken_at_ms: int, *, with_prints: bool = False) -> MarketSnapshot | None:
        """The price now; None while the reference has none, or time has not moved on."""
        sample = self._looks.get(self._pick_reference(self._looks) or "")
        if sample is None or sample.price is None or taken_at_ms <= self._taken_at_ms:
            return None
        self._taken_at_ms, self.price = taken_at_ms, sample.price
        return MarketSnapshot(
            market=self._as_counted(),
            taken_at_ms=taken_at_ms,
            price=sample.price,
            low=sample.price,
            high=sample.price,
            prints=self._take_prints() if with_prints else (),
            by_venue=self._by_venue(),
        )

    def emit(self, closed_at_ms: int) -> MarketSnapshot | None:
        """The bar that closed then; None if no venue gave it. Earlier bars not taken by now are lost to the view."""
        bars = self._bars.get(closed_at_ms)
        reference = self._pick_reference(bars or {})
        if not bars or reference is None:
            return None
        self.closed_at_ms = closed_at_ms
        for venue in self.market.venues:
            self._absent[venue] = 0 if venue in bars else self._absent[venue] + 1
            self._tardy[venue] = 0 if venue in bars else self._tardy[venue]
        interest = self._sum_interest(closed_at_ms)
        bar = self._sum_volume(bars, bars[reference])
        self._taken_at_ms, self.price = max(self._taken_at_ms, closed_at_ms), bar.close
        self._forget(closed_at_ms)
        return MarketSnapshot(
            market=self._as_counted(),
            taken_at_ms=self._taken_at_ms,
            price=bar.close,
            low=bar.low,
            high=bar.high,
            bar=bar,
            open_interest=interest,
            funding=tuple(self._settle(closed_at_ms - BAR_MS)),
            prints=self._take_prints(),
            liquidations=self._totals.take(closed_at_ms),
            by_venue=self._by_venue(bars),
        )

    def _forget(self, until_ms: int) -> None:
        for waiting in (self._bars, self._samples):
            waiting.pop(until_ms, None)
            # What was added first is the oldest, or nearly: a month is not searched through at every bar.
            if waiting and next(iter(waiting)) <= until_ms:
                for at_ms in [at_ms for at_ms in waiting if at_ms <= until_ms]:
                    del waiting[at_ms]

    def _take_prints(self) -> tuple[Print, ...]:
        taken, self._prints = tuple(sorted(self._prints, key=lambda one: one.taken_at_ms)), []
        return taken

    def _pick_reference(self, given: Collection[str]) -> str | None:
        """The reference where it gave something, else the largest venue that did; a stale reference is replaced."""
        ranked = self.by_size
        fresh = [venue for venue in ranked if venue not in self.stale]
        if fresh and (self.reference is None or self.reference in self.stale):
            if self.reference is not None:
                self._notes.append((fresh[0], f"the price is {fresh[0]}'s now; {self.reference} is stale"))
            self.reference = fresh[0]
        if self.reference in given:
            return self.reference
        return next((venue for venue in (*fresh, *ranked) if venue in given), None)

    def _sum_interest(self, at_ms: int) -> OpenInterest | None:
        given = self._samples.get(at_ms, {})
        self._interest.update(given)
        for venue in self.market.open_interest_venues:
            self._missed[venue] = 0 if venue in given else self._missed[venue] + 1
            if venue in given and venue not in self._counted:
                self._counted.append(venue)
                self._notes.append((venue, f"{venue}'s open interest is counted again"))
            elif given and venue in self._counted and self._missed[venue] >= DROPPED_AFTER_BARS:
                self._counted.remove(venue)
                assumed = "its usual share is assumed" if self.full_interest else "and nobody knows its usual share"
                self._notes.append((venue, f"{venue}'s open interest is not counted, {assumed}"))
        if not self._counted or any(venue not in given for venue in self._counted):
            return None
        total = sum(given[venue] for venue in self.market.open_interest_venues if venue in self._counted)
        if len(self._counted) == len(self.market.open_interest_venues):
            self._full_interest = dict(given)
        elif self.full_interest:
            total *= _scale(self._full_interest, self._counted)
        return OpenInterest(at_ms, total, BAR_MS)

    def _as_counted(self) -> Market:
        """The view as its snapshots name it: open interest that is only a part, of a whole that nobody knows, is that
        of the venues counted."""
        venues = self.market.open_interest_venues
        if len(self._counted) in (0, len(venues)) or self.full_interest:
            return self.market
        return replace(self.market, open_interest_venues=tuple(venue for venue in venues if venue in self._counted))

    def _sum_volume(self, bars: Mapping[str, Bar], reference: Bar) -> Bar:
        for venue, bar in bars.items():
            usual = self._usual.get(venue, bar.volume_base)
            self._usual[venue] = usual + _USUAL_WEIGHT * (bar.volume_base - usual)
        # In the venues' own order, so that the order of arrival does not show in the last bit.
        given = [bars[venue] for venue in self.market.venues if venue in bars]
        volume = sum(bar.volume_base for bar in given) * _scale(self._usual, bars)
        told = [(bar.taker_buy_volume_base, bar.volume_base) for bar in given if bar.volume_base > 0]
        bought = sum(taker for taker, _ in told if taker is not None)
        known = sum(of for taker, of in told if taker is not None)
        return replace(reference, volume_base=volume, taker_buy_volume_base=bought / known * volume if known else None)

    def _settle(self, by_ms: int) -> Iterator[Funding]:
        for at_ms in sorted(moment for moment in self._funding if moment <= by_ms):
            rates = self._funding.pop(at_ms)
            self._settled_ms = at_ms
            leader = self.reference if self.reference in rates else max(rates, key=lambda v: self._interest.get(v, 0.0))
            hours = rates[leader].interval_hours
            weights = {venue: self._interest.get(venue, 0.0) for venue in rates}
            if not any(weights.values()):
                weights = dict.fromkeys(rates, 1.0)
            settled = [venue for venue in self.market.venues if venue in rates]
            weighted = sum(rates[v].rate * (hours / rates[v].interval_hours) * weights[v] for v in settled)
            yield Funding(at_ms, round(weighted / sum(weights.values()), _RATE_DECIMALS), hours)

    def _by_venue(self, bars: Mapping[str, Bar] | None = None) -> tuple[Sample, ...]:
        """With ``bars``, as of their close: the same whether they came live or are told of later."""
        told = []
        for venue in self.market.venues:
            sample, bar = self._looks.get(venue), (bars or {}).get(venue)
            if sample is None or venue in self.stale or (bar is None and _says_nothing(sample)):
                continue
            fresh = venue in self._counted or venue not in self.market.open_interest_venues
            told.append(
                replace(
                    sample,
                    happened_at_ms=bar.closed_at_ms if bar else sample.happened_at_ms,
                    price=bar.close if bar else sample.price,
                    volume_base=bar.volume_base if bar else None,
                    taker_buy_ratio=_taker_ratio(bar) or sample.taker_buy_ratio,
                    open_interest_base=self._interest.get(venue) if fresh else None,
                )
            )
        return tuple(told)


def merged_history(
    market: Market, series: Mapping[str, VenueSeries], now: Mapping[str, float] | None = None
) -> Iterator[MarketSnapshot]:
    """The snapshots of a stretch of the past, oldest first, with the stretch's own first full count as the level.

    Before the moment from which every venue has open interest, those that have it stand for the whole. Where there is
    no such moment, for a venue failed to tell, they stand for a whole of which each has the share that it has ``now``
    (open interest by venue, as `Merger.full_interest`); without that, the snapshots name only the venues that are
    counted.
    """
    shared = [set(series[v].interest_base) for v in market.open_interest_venues if v in series]
    if len(shared) < len(market.open_interest_venues):
        shared = []
    first = min(set.intersection(*shared), default=None) if shared else None
    full_interest = (
        {v: series[v].interest_base[first] for v in market.open_interest_venues} if first is not None else now
    )
    merger = Merger(market, full_interest)
    for venue in market.venues:
        if venue in series:
            merger.add(venue, series[venue])
    snapshots = (merger.emit(closed_at_ms) for closed_at_ms in merger.pending)
    return (snapshot for snapshot in snapshots if snapshot is not None)


def _scale(usual: Mapping[str, float], given: Collection[str]) -> float:
    """What the part must be multiplied by to stand for the whole; 1 where that is not known."""
    part = sum(amount for venue, amount in usual.items() if venue in given)
    return sum(usual.values()) / part if part > 0 else 1.0


def _says_nothing(sample: Sample) -> bool:
    return sample.price is None and sample.mark_price is None and sample.funding_rate is None


def _taker_ratio(bar: Bar | None) -> float | None:
    if bar is None or bar.taker_buy_volume_base is None or bar.taker_buy_volume_base >= bar.volume_base:
        return None
    return bar.taker_buy_volume_base / (bar.volume_base - bar.taker_buy_volume_base)


def _over(before: Sample, after: Sample) -> Sample:
    # Spelled out: for five hundred markets every ten seconds, `replace` takes four times as long.
    return Sample(
        after.venue,
        after.symbol,
        after.happened_at_ms,
        after.seen_at_ms,
        before.price if after.price is None else after.price,
        before.mark_price if after.mark_price is None else after.mark_price,
        after.volume_base,
        after.open_interest_base,
        before.funding_rate if after.funding_rate is None else after.funding_rate,
        before.funding_interval_hours if after.funding_interval_hours is None else after.funding_interval_hours,
        before.next_funding_at_ms if after.next_funding_at_ms is None else after.next_funding_at_ms,
        before.long_short_ratio if after.long_short_ratio is None else after.long_short_ratio,
        before.taker_buy_ratio if after.taker_buy_ratio is None else after.taker_buy_ratio,
    )
