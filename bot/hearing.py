"""When nobody listened for liquidations: before the first start, while the bot was down, before a market was followed.

Streams never tell what was missed, so each such time is a gap in the store. Receipts that fall into one say so, and
neither a market's realised share nor a fit takes it for a time in which nothing was liquidated.
"""

from collections.abc import Iterable, Iterator, Sequence

from bot.markets.live import LiveFeed
from bot.markets.live_types import BAR_MS
from bot.markets.live_watch import OLDEST_MS
from bot.markets.venues import rules_for
from bot.reliving import PAGE, Resumed
from detectors.market import MINUTE_MS, PrintGap
from storage.store import Store

HEARD_AFTER_MS = 5_000
"""A market that comes while running is heard so soon at the latest: what is asked for is not heard at once."""


async def note_unheard_before(store: Store, feed: LiveFeed, resumed: Sequence[Resumed]) -> None:
    """Store the time before this run, in which nobody listened, and what the venues miss now. Raises StoreUnavailable.

    A bar's liquidations are committed with the bar, so what came after the last one was lost with the process.
    """
    stored = await store.gaps()
    last_ms = max(map(_heard_until_ms, resumed), default=0)
    gaps: list[PrintGap] = []
    until_ms = {name: heard_until_ms(stored, name, last_ms) for name in _streaming(feed.venue_names)}
    for name, heard_ms in until_ms.items():
        first_ms = min((gap.since_ms for gap in stored if gap.venue == name and not gap.market), default=0)
        gaps += [PrintGap(name, 0, first_ms)] if first_ms else []
        gaps.append(PrintGap(name, heard_ms, feed.started_ms))
        # What is out now begins to miss things now; its own first gap has the same start when it joins.
        gaps += [PrintGap(name, feed.started_ms)] if name not in {watch.venue for watch in feed.watches} else []
    for found in resumed:
        since_ms, market = _heard_until_ms(found), found.market
        gaps += [
            PrintGap(name, since_ms, until_ms[name], market.base)
            for name in _streaming(market.venues)
            if since_ms < until_ms[name]
        ]
    await store.note_gaps([*feed.gaps, *(gap for gap in gaps if gap.until_ms is None or gap.since_ms < gap.until_ms)])


async def know_stored_prints(store: Store, feed: LiveFeed, resumed: Sequence[Resumed]) -> None:
    """After a short break, tell the feed which liquidations are stored already. Raises StoreUnavailable."""
    oldest_ms = feed.started_ms - OLDEST_MS - MINUTE_MS
    for found in resumed:
        cursor, market = found.cursor, found.market
        if cursor is None or cursor.bar_opened_at_ms is None or cursor.taken_at_ms < oldest_ms or market.is_alone:
            continue
        # Liquidations are stored with their bar.
        last = await store.snapshots_page(market.base, cursor.bar_opened_at_ms - 1, PAGE)
        prints = [one for snapshot in last for one in snapshot.prints if one.taken_at_ms >= oldest_ms]
        for watch in feed.watches:
            watch.know(market.base, prints)


def heard_until_ms(stored: Iterable[PrintGap], venue: str, last_bar_closed_at_ms: int) -> int:
    """When an earlier run was last sure to have heard the venue; 0: never, for then it has no gap of its own."""
    known = [gap for gap in stored if gap.venue == venue and not gap.market]
    if not known:
        return 0
    # Without a bar of any market that is followed now, only the end of a gap tells.
    return last_bar_closed_at_ms or max(gap.since_ms if gap.until_ms is None else gap.until_ms for gap in known)


async def note_unheard_market(store: Store, feed: LiveFeed, found: Resumed) -> None:
    """Store the time in which a market that comes while running was not followed. Raises StoreUnavailable."""
    since_ms, until_ms = _heard_until_ms(found), feed.now_ms() + HEARD_AFTER_MS
    market = found.market
    await store.note_gaps([PrintGap(name, since_ms, until_ms, market.base) for name in _streaming(market.venues)])


def _streaming(venues: Iterable[str]) -> Iterator[str]:
    return (name for name in venues if rules_for(name).streams_prints)


def _heard_until_ms(found: Resumed) -> int:
    """Close of the market's last bar; 0 where there is none."""
    cursor = found.cursor
    return 0 if cursor is None or cursor.bar_opened_at_ms is None else cursor.bar_opened_at_ms + BAR_MS
