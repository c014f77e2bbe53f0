"""Views of one venue alone, such as ``BTC@okx``: beside the merged view of BTC, from the same samples.

Such a view is a market of its own, with a base of its own; so everything that is kept by base holds for it as well.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace

from bot.markets.live_choice import over
from bot.markets.merge import Merger
from detectors.market import Market

MOST_VIEWS = 20
"""Over all chats: each costs an estimate of its own."""


class NoView(LookupError):  # noqa: N818 - reads as what it says to the user
    """The message is ready for the user."""


class Views:
    """``mergers``: all views by base, which this adds to. Views of one venue end before the market that they are of."""

    def __init__(self, mergers: MutableMapping[str, Merger]) -> None:
        self._mergers = mergers

    def fed_by(self, asset: str, venue: str) -> Iterator[Merger]:
        """What a sample of ``venue`` goes into: the merged view, then its own if somebody watches that."""
        merged = self._mergers.get(asset)  # None: what came just before its end
        if merged is not None and venue in merged.market.venues:
            yield merged
        if (alone := self._mergers.get(f"{asset}@{venue}")) is not None:
            yield alone

    def closed_at_ms(self, base: str) -> int:
        """Close of the last bar that was handed out; 0 before the first. Raises KeyError for an unknown market."""
        return self._mergers[base].closed_at_ms

    def full_interest_now(self, base: str) -> Mapping[str, float]:
        """As `Merger.full_interest`; empty for a view that has ended."""
        merger = self._mergers.get(base)
        return merger.full_interest if merger is not None else {}

    def find(self, base: str) -> Market:
        """The market that ``BTC@okx`` is, begun or not. Raises `NoView`."""
        if (begun := self._mergers.get(base)) is not None:
            return begun.market
        asset, _, venue = base.partition("@")
        if asset not in self._mergers:
            raise NoView(f"{asset} is not watched here.")
        merged = self._mergers[asset].market
        if venue not in merged.venues:
            raise NoView(f"{asset} is not on {venue} here, only on {', '.join(merged.venues)}.")
        if sum(merger.market.is_alone for merger in self._mergers.values()) >= MOST_VIEWS:
            raise NoView(f"Not accepted: {MOST_VIEWS} single venues are watched already. Leave the venue out.")
        counted = tuple(one for one in merged.open_interest_venues if one == venue)
        return over(replace(merged, base=base), (venue,), counted)

    def begin(self, market: Market) -> None:
        """From now on ``poll`` hands out snapshots of the view."""
        if market.base not in self._mergers:
            self._mergers[market.base] = self._mergers[market.asset].alone(market)

    def alone(self) -> list[str]:
        """The views of one venue that have begun."""
        return [base for base, merger in self._mergers.items() if merger.market.is_alone]

    def end(self, base: str) -> None:
        """``poll`` hands out nothing more of the view of one venue. Raises KeyError where it has not begun."""
        del self._mergers[base]
