"""A venue that goes silent is one outage, however many of its series go stale one after the other. Pure.

Of an outage chats hear once when it begins, and once when everything is back. Liquidations are no part of it: a stream
that breaks is a gap, which is stored and shown, and not told; so its end is not told either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bot.markets.live_types import Notice, NoticeKind
from detectors import figures
from detectors.market import MINUTE_MS

_GAPS = "prints"
"""The series whose loss is a gap."""
_ON_ITS_WAY_MS = MINUTE_MS
"""What was asked for before a venue was stopped may come after."""


@dataclass
class _Outage:
    missing: set[str] = field(default_factory=set)
    back: list[Notice] = field(default_factory=list)
    is_told: bool = False
    stopped_at_ms: int | None = None
    """When chats were told that the venue is stopped as a whole."""

    def is_known(self, stale: Notice) -> bool:
        """Whether chats know already why this series is missing."""
        return self.stopped_at_ms is not None and (stale.since_ms or 0) <= self.stopped_at_ms + _ON_ITS_WAY_MS


class Outages:
    def __init__(self) -> None:
        self._by_venue: dict[str, _Outage] = {}

    def worth_telling(self, notices: Sequence[Notice], is_news: Callable[[Notice], bool]) -> list[Notice]:
        """What chats are told of the notices of one moment; what goes stale together is told together."""
        found: list[Notice] = []
        begun: set[str] = set()
        for notice in notices:
            if notice.series == _GAPS and notice.kind in {NoticeKind.GAP, NoticeKind.RECOVERED}:
                continue
            outage = self._by_venue.setdefault(notice.venue, _Outage())
            if notice.kind is NoticeKind.STALE:
                outage.missing.add(notice.series)
                outage.is_told = outage.is_told or outage.is_known(notice)
                if is_news(notice) and (not outage.is_told or notice.venue in begun):
                    outage.is_told = True
                    begun.add(notice.venue)
                    found.append(notice)
            elif notice.kind is NoticeKind.RECOVERED:
                outage.missing.discard(notice.series)
                outage.back.append(notice)
                if not outage.missing:
                    del self._by_venue[notice.venue]
                    found += [one for one in (_all_back(outage.back),) if is_news(one)]
            elif is_news(notice):
                found.append(notice)
                if notice.stopped:
                    outage.stopped_at_ms = notice.at_ms
        return found


def _all_back(back: Sequence[Notice]) -> Notice:
    last = back[-1]
    if len(back) == 1:
        return last
    since_ms = min(one.at_ms if one.since_ms is None else one.since_ms for one in back)
    series = ", ".join(dict.fromkeys(one.series for one in back))
    text = f"{last.venue}: {series} again, after {figures.duration(last.at_ms - since_ms)}"
    return replace(last, text=text, since_ms=since_ms)
