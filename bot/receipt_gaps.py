"""A receipt says so where liquidations may have been missed: a stream was down while they were added up."""

from collections import defaultdict
from collections.abc import Iterable

from detectors import figures
from detectors.event import Event, Fact, Label, Unit
from detectors.market import MINUTE_MS, Market, PrintGap
from storage.store import Store


async def with_gaps(store: Store, event: Event, market: Market) -> Event:
    """The completed event, marked incomplete where it is. Raises StoreUnavailable."""
    window = _window(event)
    return event if window is None else marked(event, await store.gaps(window[0]), market)


def marked(event: Event, gaps: Iterable[PrintGap], market: Market) -> Event:
    """``gaps`` in any order; those of other venues, markets or times say nothing."""
    window = _window(event)
    if window is None:
        return event
    since_ms, until_ms = window
    missed, heard_from_ms = defaultdict[str, int](int), dict[str, int]()
    for gap in sorted(gaps, key=lambda one: one.since_ms):
        if gap.concerns(market):  # gaps of a venue and of one market there overlap, and count once
            begun_ms = max(gap.since_ms, since_ms, heard_from_ms.get(gap.venue, 0))
            ended_ms = until_ms if gap.until_ms is None else min(gap.until_ms, until_ms)
            missed[gap.venue] += max(0, ended_ms - begun_ms)
            heard_from_ms[gap.venue] = max(begun_ms, ended_ms)
    said = [f"{venue} not heard for {figures.duration(ms)}" for venue, ms in sorted(missed.items()) if ms]
    if not said:
        return event
    text = f"{', '.join(said)}: more may have been liquidated"
    return event.with_facts((Fact("receipt_incomplete", text, Unit.TEXT, Label.OBSERVED, "incomplete"),))


def _window(event: Event) -> tuple[int, int] | None:
    """What its liquidations are added up over; None where it is no completed receipt."""
    before, after = (event.number(name) for name in ("watched_before_minutes", "receipt_after_minutes"))
    if before is None or after is None:
        return None
    return event.taken_at_ms - round(before * MINUTE_MS), event.taken_at_ms + round(after * MINUTE_MS)
