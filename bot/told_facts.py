"""What an alert states beside its event's own facts: its odds, and what is looked up as it goes out."""

from collections.abc import Callable, Sequence

from detectors.event import Event, Fact

LOOKED_UP = frozenset({"book", "book_usd", "book_reach_pct", "book_to_cluster"})
"""Names of the facts that `Watcher.look_up` adds."""
Odds = Callable[[Event], tuple[Fact, ...]]
"""What earlier alerts like this one say of it, as facts that go out with it."""


def no_odds(_event: Event) -> tuple[Fact, ...]:
    return ()


async def nothing_more(_event: Event) -> Sequence[Fact]:
    return ()
