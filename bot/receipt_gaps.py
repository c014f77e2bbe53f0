"""A receipt says so where liquidations may have been missed: a stream was down while they were added up."""

from collections import defaultdict
from collections.abc import Iterable

from detectors import figures
from detectors.event import Event, Fact, Label, Unit
from detectors.market import Market, PrintGap
from detectors.realised import Receipt, counted_ms
from storage.store import Store


async def with_gaps(store: Store, event: Event, market: Market) -> Event:
    """The completed event, marked incomplete where it is. Raises StoreUnavailable."""
    window = counted_ms(event)
    return event if window is None else marked(event, await store.gaps(window[0]), market)


def marked(event: Event, gaps: Iterable[PrintGap], market: Market) -> Event:
    """``gaps`` in any order; those of other venues, markets or times say nothing."""
    window = counted_ms(event)
    if window is None:
        return event
    since_ms, until_ms = window
    missed, heard_from_ms = defaultdict[str, int](int), defaultdict[str, int](lambda: since_ms)
    for gap in sorted(gaps, key=lambda one: one.since_ms):
        if gap.concerns(market):  # gaps of a venue and of one market there overlap, and count once
            missed[gap.venue] += gap.missed_ms(heard_from_ms[gap.venue], until_ms)
            ended_ms = until_ms if gap.until_ms is None else gap.until_ms
            heard_from_ms[gap.venue] = max(heard_from_ms[gap.venue], ended_ms)
    said = [f"{venue} not heard for {figures.duration(ms)}" for venue, ms in sorted(missed.items()) if ms]
    if not said:
        return event
    text = f"{', '.join(said)}: more may have been liquidated"
    return event.with_facts((Fact("receipt_incomplete", text, Unit.TEXT, Label.OBSERVED, "incomplete"),))


def is_whole(receipt: Receipt, gaps: Iterable[PrintGap]) -> bool:
    """Whether none of these gaps, which are of its own market's venues, touches what is added up in it."""
    return receipt.counted_ms is None or not any(gap.missed_ms(*receipt.counted_ms) for gap in gaps)
