"""Scores alerts: those whose horizon has passed get their outcome and chance level from the stored series.

What is decided depends on the data alone, never on when this runs: live, a job does it now and then; a replay does it
as market time goes on.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectors.chance import Chance, chances
from detectors.event import Event, Fact, OutcomeClass
from detectors.judging import AFTER_MS
from detectors.market import DAY_MS
from detectors.odds import REMEMBERED_MS, OddsTable, odds_table
from detectors.registry import EventKind
from detectors.scoring import Scored, group_of
from detectors.series import MarketSeries
from storage.store import Store

ANEW_MS = 7 * DAY_MS
CHANCE_MOVED = 0.002
"""A chance level that has changed by less is not written anew."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look at a market came to."""

    outcomes: tuple[Scored, ...]
    chances: Mapping[str, Chance | None]


class Scorer:
    """``settings`` by kind, as configured; a kind that is missing uses its defaults.

    ``keep_bars``: read each bar once, for replays, which score often; a live bot reads them when it needs them.
    """

    def __init__(
        self, store: Store, kinds: Mapping[str, EventKind], settings: Mapping[str, Any], *, keep_bars: bool = False
    ) -> None:
        self._store, self._kinds = store, kinds
        self._kept: dict[str, MarketSeries] | None = {} if keep_bars else None
        self._settings = {name: settings.get(name, kind.settings) for name, kind in kinds.items()}
        self._table = OddsTable()
        self._told_anew: dict[str, int] = {}
        """The week in which a market's chance levels were told anew."""
        self._busy = asyncio.Lock()

    def odds(self, event: Event) -> tuple[Fact, ...]:
        """What earlier alerts like this one say of it, as of the last `score` or `refresh`."""
        kind = self._kinds.get(event.kind)
        if kind is None:
            return ()
        return self._table.facts(event, kind, kind.horizon_ms(self._settings[event.kind]))

    async def score(self, markets_ms: Mapping[str, int], *, anew: bool = False) -> int:
        """Judge what is due, by market and its market time; how many alerts got their outcome.

        Chance levels of earlier alerts are told anew once a week, or now with ``anew``: more is known of other times.

        Raises StoreUnavailable; nothing is lost then, and the next run decides the same.
        """
        async with self._busy:
            decided = 0
            for market, now_ms in markets_ms.items():
                decided += await self._score(market, now_ms, anew=anew)
            if decided or anew or not self._table.days:
                await self._refresh(max(markets_ms.values(), default=0))
        return decided

    async def refresh(self, now_ms: int) -> None:
        """Read the odds anew; after a start."""
        async with self._busy:
            await self._refresh(now_ms)

    async def _refresh(self, now_ms: int) -> None:
        scored = await self._store.outcomes(now_ms - REMEMBERED_MS)
        self._table = await asyncio.to_thread(odds_table, scored, now_ms)

    async def _score(self, market: str, now_ms: int, *, anew: bool) -> int:
        due_ms = {name: now_ms - kind.horizon_ms(self._settings[name]) - AFTER_MS for name, kind in self._kinds.items()}
        due = await self._store.to_judge(market, due_ms)
        anew = anew or now_ms // ANEW_MS > self._told_anew.get(market, -1)
        if not due and not anew:
            return 0
        since_ms = min((event.taken_at_ms for event in due), default=now_ms)
        series = await self._series(market, min(since_ms, now_ms - REMEMBERED_MS), since_ms)
        known = await self._store.outcomes(now_ms - REMEMBERED_MS, market=market) if anew else ()
        found = await asyncio.to_thread(self._judge, due, known, series)
        if found.outcomes:
            await self._store.save_outcomes(found.outcomes)
        if found.chances:
            await self._store.save_chances(found.chances)
        if anew:
            self._told_anew[market] = now_ms // ANEW_MS
        return len(found.outcomes)

    async def _series(self, market: str, since_ms: int, observed_since_ms: int) -> MarketSeries:
        kept = self._kept.get(market) if self._kept is not None else None
        if kept is not None:
            since_ms = kept.known_until_ms
        series = await self._store.series(market, since_ms, observed_since_ms=observed_since_ms)
        series = kept.then(series) if kept is not None else series
        if self._kept is not None:
            self._kept[market] = series
        return series

    def _judge(self, due: Sequence[Event], known: Sequence[Scored], series: MarketSeries) -> _Found:
        scored = [one for name in self._kinds for one in self._judge_kind(name, due, series)]
        decided = [one for one in scored if one.outcome is not OutcomeClass.UNDECIDED]
        asked = [(one.taken_at_ms, one.question) for one in (*decided, *known) if one.question is not None]
        levels = iter(chances(asked, series))
        decided = [replace(one, chance=next(levels)) if one.question is not None else one for one in decided]
        anew = {one.key: level for one in known if one.question and _moved(one.chance, level := next(levels))}
        return _Found(tuple(decided), anew)

    def _judge_kind(self, name: str, due: Iterable[Event], series: MarketSeries) -> list[Scored]:
        events = [event for event in due if event.kind == name]
        if not events:
            return []
        outcomes = self._kinds[name].judge(events, series, self._settings[name])
        return [
            Scored(
                key=event.key,
                kind=name,
                market=event.market,
                group=group_of(event),
                side=event.side,
                taken_at_ms=event.taken_at_ms,
                outcome=outcome.outcome,
                decided_at_ms=outcome.decided_at_ms,
                question=outcome.question,
                facts=outcome.facts,
            )
            for event, outcome in zip(events, outcomes, strict=True)
        ]


def _moved(before: Chance | None, now: Chance | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(before.share - now.share) >= CHANCE_MOVED
