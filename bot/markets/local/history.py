"""What happened on the market behind all local venues, as far as venue time has come."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from bot.markets.feed import ReplayableFeed
from detectors.market import DAY_MS, MINUTE_MS, Bar, Funding, Market, MarketSnapshot, OpenInterest, Print

_EARLY = 0.3
_LATE = 0.7
"""When inside a bar the first and the second of its extremes are reached."""
_LONGEST_BAR_MS = 15 * MINUTE_MS


class LocalMarket:
    """One base market's series. Prices and amounts are the feed's; a venue's `LocalListing` turns them into its own.

    Candles of any interval are cut from the feed's bars. Inside a bar the price goes in straight lines from the open
    over the nearer extreme and the other one to the close, so that parts of a bar add up to the bar again.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.bars: list[Bar] = []
        self.open_interest: list[OpenInterest] = []
        self.funding: list[Funding] = []
        self.prints: list[Print] = []
        self._opened: list[int] = []
        self._closed_day: tuple[int, Bar | None] = (0, None)
        self._interest_times: list[int] = []
        self._print_times: list[int] = []

    def add(self, snapshot: MarketSnapshot, shift_ms: int) -> None:
        """Keep what a snapshot brings, moved in time by ``shift_ms``."""
        if (bar := snapshot.bar) is not None:
            moved = Bar(
                bar.opened_at_ms + shift_ms,
                bar.interval_ms,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume_base,
                bar.taker_buy_volume_base,
            )
            self.bars.append(moved)
            self._opened.append(moved.opened_at_ms)
        if (interest := snapshot.open_interest) is not None:
            taken_at_ms = interest.taken_at_ms + shift_ms
            self.open_interest.append(OpenInterest(taken_at_ms, interest.base, interest.interval_ms))
            self._interest_times.append(taken_at_ms)
        for rate in snapshot.funding:
            self.funding.append(Funding(rate.taken_at_ms + shift_ms, rate.rate, rate.interval_hours))
        for seen in snapshot.prints:
            taken_at_ms = seen.taken_at_ms + shift_ms
            self.prints.append(Print(taken_at_ms, seen.side, seen.price, seen.amount_base, seen.notional_usd))
            self._print_times.append(taken_at_ms)

    @property
    def first_ms(self) -> int:
        """When its first bar opened."""
        return self._opened[0]

    @property
    def funding_hours(self) -> float:
        return self.funding[-1].interval_hours if self.funding else 8.0

    def candle(self, start_ms: int, interval_ms: int, now_ms: int) -> Bar | None:
        """The candle that opened at ``start_ms`` as it stands at ``now_ms``; None before it, or without bars."""
        end_ms = min(start_ms + interval_ms, now_ms)
        first = max(bisect_right(self._opened, start_ms) - 1, 0)
        pieces = []
        for bar in self.bars[first : bisect_left(self._opened, end_ms)]:
            low_ms, high_ms = max(start_ms, bar.opened_at_ms), min(end_ms, bar.closed_at_ms)
            if low_ms < high_ms:
                pieces.append(bar if high_ms - low_ms == bar.interval_ms else _part(bar, low_ms, high_ms, self._round))
        return _joined(pieces, start_ms, interval_ms) if pieces else None

    def last_day(self, now_ms: int) -> Bar | None:
        """24 hours up to now as one bar, from whole bars and the open one; None before the first."""
        end = bisect_right(self._opened, now_ms)
        closed_end, closed = self._closed_day
        if closed_end != end:
            # The closed bars are the same for every request until the next one opens.
            start = bisect_left(self._opened, now_ms - DAY_MS)
            closed = _joined(self.bars[start : end - 1], now_ms - DAY_MS, DAY_MS) if start < end - 1 else None
            self._closed_day = (end, closed)
        last = self.bars[end - 1]
        part = self.candle(last.opened_at_ms, last.interval_ms, now_ms) if end else None
        pieces = [piece for piece in (closed, part) if piece is not None]
        return _joined(pieces, now_ms - DAY_MS, DAY_MS) if pieces else None

    def price(self, now_ms: int) -> float:
        """The last price at that moment; before the first bar its open."""
        index = bisect_right(self._opened, now_ms) - 1
        if index < 0:
            return self.bars[0].open
        bar = self.bars[index]
        return bar.close if now_ms >= bar.closed_at_ms else self._round(_price_in(bar, now_ms))

    def open_interest_at(self, at_ms: int) -> OpenInterest | None:
        """The last sample taken by then."""
        index = bisect_right(self._interest_times, at_ms) - 1
        return self.open_interest[index] if index >= 0 else None

    def funding_between(self, from_ms: int, to_ms: int) -> Sequence[Funding]:
        """Settled rates, both ends included."""
        return [rate for rate in self.funding if from_ms <= rate.taken_at_ms <= to_ms]

    def prints_between(self, after_ms: int, to_ms: int) -> Sequence[Print]:
        """Liquidations after the first moment and up to the second."""
        return self.prints[bisect_right(self._print_times, after_ms) : bisect_right(self._print_times, to_ms)]

    def _round(self, price: float) -> float:
        return round(price, self.market.price_decimals)


class History:
    """All base markets of a feed, drawn from it only as far as venue time needs (which the open bars do).

    ``shift_ms`` moves everything in time, so that an old recording can happen now; use whole days, or funding times
    move. ``copies`` adds markets ``COPY1``, ``COPY2`` ... with the series of the feed's, for tests with many markets.
    """

    def __init__(self, feed: ReplayableFeed, shift_ms: int = 0, copies: int = 0) -> None:
        self._markets = {market.base: LocalMarket(market) for market in feed.load()}
        originals = list(self._markets.values())
        self.markets: Mapping[str, LocalMarket] = {
            **self._markets,
            **{f"COPY{i + 1}": originals[i % len(originals)] for i in range(copies)},
        }
        self._steps = feed.steps()
        self._shift_ms = shift_ms
        self._reached_ms = 0
        self._ended = False
        self._draw()
        self.start_ms = min(market.first_ms for market in self._markets.values() if market.bars)
        """When the first bar opened."""

    def reach(self, now_ms: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Draw every bar that has opened by then; when the feed ends, the market stands still."""
        while self._reached_ms <= now_ms + _LONGEST_BAR_MS and not self._ended and not is_stopped():
            self._draw()

    def _draw(self) -> None:
        moment = next(self._steps, None)
        if moment is None:
            self._ended = True
            return
        for snapshot in moment:
            self._markets[snapshot.market.base].add(snapshot, self._shift_ms)
            self._reached_ms = snapshot.taken_at_ms + self._shift_ms


def _joined(pieces: Sequence[Bar], start_ms: int, interval_ms: int) -> Bar:
    bought = [piece.taker_buy_volume_base for piece in pieces]
    return Bar(
        start_ms,
        interval_ms,
        pieces[0].open,
        max(piece.high for piece in pieces),
        min(piece.low for piece in pieces),
        pieces[-1].close,
        sum(piece.volume_base for piece in pieces),
        None if None in bought else sum(value for value in bought if value is not None),
    )


def _vertices(bar: Bar) -> list[tuple[float, float]]:
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    return list(zip((0.0, _EARLY, _LATE, 1.0), (bar.open, *extremes, bar.close), strict=True))


def _price_in(bar: Bar, at_ms: int) -> float:
    share = (at_ms - bar.opened_at_ms) / bar.interval_ms
    vertices = _vertices(bar)
    for (left, start), (right, end) in pairwise(vertices):
        if share <= right:
            return start + (end - start) * (share - left) / (right - left)
    return bar.close


def _part(bar: Bar, from_ms: int, to_ms: int, rounded: Callable[[float], float]) -> Bar:
    """The bar between two moments inside it."""
    shares = [(moment - bar.opened_at_ms) / bar.interval_ms for moment in (from_ms, to_ms)]
    ends = [rounded(_price_in(bar, moment)) for moment in (from_ms, to_ms)]
    passed = [price for share, price in _vertices(bar) if shares[0] <= share <= shares[1]]
    part = shares[1] - shares[0]
    bought = bar.taker_buy_volume_base
    return Bar(
        from_ms,
        to_ms - from_ms,
        ends[0],
        max(*ends, *passed),
        min(*ends, *passed),
        ends[1],
        bar.volume_base * part,
        None if bought is None else bought * part,
    )
