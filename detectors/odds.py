"""What earlier alerts of the same kind say of the one at hand: the odds line, with its evidence. Never a promise."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from detectors.event import Event, Fact, Label, Unit
from detectors.market import DAY_MS, HOUR_MS
from detectors.registry import EventKind
from detectors.scoring import Record, Scored, group_of, record_of

LEAST = 30
"""Fewer alerts than this say nothing."""
REMEMBERED_MS = 90 * DAY_MS
MARKED_MS = 30 * DAY_MS
"""A kind that did worse than chance for so long is marked."""
ANY_MARKET = "all markets"


@dataclass(frozen=True, slots=True)
class OddsTable:
    """Records of the last 90 days by group of alerts and market (`ANY_MARKET`: all), as of one moment.

    ``marked`` holds the last 30 days' records of groups that did worse than chance in them.
    """

    days: int = 0
    records: Mapping[tuple[str, str], Record] = field(default_factory=dict)
    marked: Mapping[str, Record] = field(default_factory=dict)

    def facts(self, event: Event, kind: EventKind, horizon_ms: int) -> tuple[Fact, ...]:
        """The odds line and what it rests on; nothing where fewer than 30 such alerts were judged.

        Those of the event's own market where there are enough of them, or else of all markets, and it says which.
        """
        group = group_of(event)
        return (*self._odds(event, group, kind, horizon_ms), *self._mark(group))

    def _odds(self, event: Event, group: str, kind: EventKind, horizon_ms: int) -> tuple[Fact, ...]:
        for market in (event.market, ANY_MARKET):
            record = self.records.get((group, market))
            if record is not None and record.n >= LEAST:
                return _facts(record, market, self.days, kind, horizon_ms)
        return ()

    def _mark(self, group: str) -> tuple[Fact, ...]:
        record = self.marked.get(group)
        if record is None or record.compared_rate is None or record.chance is None:
            return ()
        said = (
            f"worse than chance over the last {MARKED_MS // DAY_MS} days "
            f"({_percent(record.compared_rate)} against {_percent(record.chance)}, n = {record.compared})"
        )
        return (Fact("below_chance", said, Unit.TEXT, Label.CALCULATED, "such alerts did"),)


def odds_table(scored: Iterable[Scored], now_ms: int) -> OddsTable:
    """From what came of alerts, as known at ``now_ms``: nothing decided later counts."""
    groups: dict[tuple[str, str], list[Scored]] = defaultdict(list)
    recent: dict[str, list[Scored]] = defaultdict(list)
    first_ms = first_judged_ms = now_ms
    for one in scored:
        if one.decided_at_ms > now_ms or one.taken_at_ms < now_ms - REMEMBERED_MS:
            continue
        first_ms = min(first_ms, one.taken_at_ms)
        groups[one.group, one.market].append(one)
        groups[one.group, ANY_MARKET].append(one)
        if one.taken_at_ms >= now_ms - MARKED_MS:
            recent[one.group].append(one)
        first_judged_ms = min(first_judged_ms, one.decided_at_ms)
    marked = {}
    if first_judged_ms <= now_ms - MARKED_MS:
        marked = {group: record for group, ones in recent.items() if _worse(record := record_of(ones))}
    days = -(-(now_ms - first_ms) // DAY_MS)
    return OddsTable(int(days), {key: record_of(ones) for key, ones in groups.items()}, marked)


def _worse(record: Record) -> bool:
    if record.compared < LEAST or record.compared_rate is None or record.chance is None:
        return False
    return record.compared_rate < record.chance


def _facts(record: Record, market: str, days: int, kind: EventKind, horizon_ms: int) -> tuple[Fact, ...]:
    assert record.rate is not None
    assert record.at_least is not None
    where = f"{days} days and all markets" if market == ANY_MARKET else f"{days} days"
    said = (
        f"in {where}, {record.reached} of {record.n} such {kind.scored_as} within {horizon_ms / HOUR_MS:g} h "
        f"({_percent(record.rate)}, at least {_percent(record.at_least)})"
    )
    compared = record.compared >= LEAST and record.chance is not None
    if compared:
        said += f"; {kind.by_chance} by chance: {_percent(record.chance)}"
    return (
        Fact("odds", said, Unit.TEXT, Label.CALCULATED),
        _hidden("odds_n", record.n, Unit.COUNT),
        _hidden("odds_reached", record.reached, Unit.COUNT),
        _hidden("odds_rate", record.rate, Unit.FRACTION),
        _hidden("odds_at_least", record.at_least, Unit.FRACTION),
        _hidden("odds_chance", record.chance if compared else None, Unit.FRACTION),
        _hidden("odds_effective_n", record.effective_n if compared else None, Unit.COUNT),
        Fact("odds_verdict", str(record.verdict), Unit.TEXT, Label.CALCULATED, shown=False),
        Fact("odds_market", market, Unit.TEXT, Label.CALCULATED, shown=False),
    )


def _hidden(name: str, value: float | None, unit: Unit) -> Fact:
    return Fact(name, value if value is None else round(value, 4), unit, Label.CALCULATED, shown=False)


def is_odds(fact: Fact) -> bool:
    """Whether a fact was put on by an odds table rather than by the event's kind."""
    return fact.name in {"odds", "below_chance"} or fact.name.startswith("odds_")


def _percent(fraction: float | None) -> str:
    return "not known" if fraction is None else f"{fraction * 100:.0f} %"
