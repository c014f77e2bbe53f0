"""What stands in order books between price and a cluster (M3): behind a thin book price falls further.

Looked up when an event becomes an alert, and left out where it is not there in time.
"""

from collections.abc import Sequence

from bot.markets.live import LiveFeed
from bot.markets.live_depth import DepthTowards
from bot.markets.live_types import BAR_MS
from detectors import figures
from detectors.event import Event, Fact, Label, Unit
from detectors.market import Side

THIN = 0.5
"""A book is called thin that holds less than this part of what would be liquidated, as estimated. Our own choice."""


class DepthFacts:
    """Bids down to a cluster of longs, asks up to one of shorts, as far as the books of ``feed`` reach."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed

    async def __call__(self, event: Event) -> Sequence[Fact]:
        if event.level is None or event.side is None or not event.notional_usd:
            return ()
        level = event.level.centre
        ahead = level < event.price if event.side is Side.LONG else level > event.price
        if not ahead or event.bar_opened_at_ms + BAR_MS < self._feed.views.closed_at_ms(event.market):
            # Of a moment that has passed, such as one of the time that the bot was down, no book tells any more.
            return ()
        depth = await self._feed.depth_towards(event.market, event.price, level)
        return () if depth is None else _facts(event, depth, event.notional_usd)


def _facts(event: Event, depth: DepthTowards, notional_usd: float) -> Sequence[Fact]:
    orders = "bids" if event.side is Side.LONG else "asks"
    if not depth.complete:
        reach = abs(depth.until / event.price - 1)
        said = f"{figures.usd(depth.usd)} of {orders} in the next {figures.percent(reach)}, where the books end"
        return (
            Fact("book", said, Unit.TEXT, Label.OBSERVED, "order book"),
            Fact("book_usd", round(depth.usd, 2), Unit.USD, Label.OBSERVED, shown=False),
            Fact("book_reach_pct", round(reach * 100, 4), Unit.RATIO, Label.CALCULATED, shown=False),
        )
    ratio = depth.usd / notional_usd
    thin = "thin, " if ratio < THIN else ""
    said = f"{thin}{figures.usd(depth.usd)} of {orders} on the way to its centre"
    return (
        Fact("book", said, Unit.TEXT, Label.OBSERVED, "order book"),
        Fact("book_usd", round(depth.usd, 2), Unit.USD, Label.OBSERVED, shown=False),
        Fact("book_to_cluster", round(ratio, 4), Unit.RATIO, Label.CALCULATED, shown=False),
    )
