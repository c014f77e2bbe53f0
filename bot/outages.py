"""A venue that goes silent is one outage, however many of its series go stale one after the other. Pure.

Of an outage chats hear once when it begins, and once when everything is back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bot.markets.live_types import Notice, NoticeKind
from detectors import figures


@dataclass
class _Outage:
    missing: set[str] = field(default_factory=set)
    back: list[Notice] = field(default_factory=list)
    is_told: bool = False


class Outages:
    def __init__(self) -> None:
        self._by_venue: dict[str, _Outage] = {}

    def worth_telling(self, notices: Sequence[Notice], is_news: Callable[[Notice], bool]) -> list[Notice]:
        """What chats are told of the notices of one moment; what goes stale together is told together."""
        found: list[Notice] = []
        begun: set[str] = set()
        for notice in notices:
            outage = self._by_venue.setdefault(notice.venue, _Outage())
            if notice.kind is NoticeKind.STALE:
                outage.missing.add(notice.series)
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
        return found


def _all_back(back: Sequence[Notice]) -> Notice:
    last = back[-1]
    if len(back) == 1:
        return last
    since_ms = min(one.at_ms if one.since_ms is None else one.since_ms for one in back)
    series = ", ".join(dict.fromkeys(one.series for one in back))
    text = f"{last.venue}: {series} again, after {figures.duration(last.at_ms - since_ms)}"
    return replace(last, text=text, since_ms=since_ms)
