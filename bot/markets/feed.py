"""What every source of market data looks like to the rest of the bot: recorded, simulated or live."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

from detectors.market import Market, MarketSnapshot
from storage.origin import GetOrigin, Origin, no_origin


class Source(StrEnum):
    """Where snapshots come from. A database holds one kind only, and one origin of it."""

    RECORDED = "recorded"
    SIMULATED = "simulated"
    LIVE = "live"
    LOCAL = "local"
    """Local venues that trade a simulated market, through the live path."""

    @property
    def label(self) -> str:
        """For people, who must never take a simulated market for a real one."""
        return "SIMULATED (local venues)" if self is Source.LOCAL else self.value.upper()


class NoVenue(Exception):  # noqa: N818 - reads as what it says to the user
    """No venue can be used. The message says why for each, and the fix."""


class Feed(Protocol):
    """Yields snapshots, one moment at a time."""

    @property
    def source(self) -> Source: ...

    @property
    def refusals(self) -> Mapping[str, int]:
        """How often input was refused, by ``reason where``, such as ``row_not_a_number binance/BTCUSDT/funding``."""

    async def start(self) -> tuple[Market, ...]:
        """Make the feed ready and say which markets it carries."""

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        """All snapshots of the next moment, over all markets, in time order; None when the feed has ended."""

    async def close(self) -> None: ...


@runtime_checkable
class OneOfMany(Protocol):
    """A feed of which there are many of its kind."""

    def origin(self) -> Origin:
        """Which of the recordings or simulations it is, for the database; once the feed is ready."""


def origin_of(feed: Feed) -> GetOrigin:
    return feed.origin if isinstance(feed, OneOfMany) else no_origin


class ReplayableFeed(Feed, Protocol):
    """A feed that need not wait for the world: it can be stepped through without an event loop."""

    def load(self) -> tuple[Market, ...]:
        """As `Feed.start`, at once."""

    def steps(self) -> Iterator[tuple[MarketSnapshot, ...]]:
        """As `Feed.poll`, as fast as they are taken."""


class Refusals(Counter[str]):
    """Counts refused input by reason and place, so that ``/status`` can show it."""

    def add(self, reason: str, where: str, count: int = 1) -> None:
        """Count ``count`` refusals of ``reason`` (a short name) at ``where`` (a file of the recording, a venue ...)."""
        if count:
            self[f"{reason} {where}"] += count
