"""What came of alerts, and the series they are judged on. All functions run inside the caller's transaction.

An outcome is written once and never removed or changed; only its chance level is told anew as more of the market's
other times become known.
"""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

import json
from collections.abc import Mapping, Sequence
from typing import Any

from detectors.chance import Chance
from detectors.event import Event, OutcomeClass, Question, facts_from_json, facts_to_json
from detectors.market import LiquidationTotal, Print, Side
from detectors.scoring import Scored
from detectors.series import MarketSeries
from storage.sql import Connection

_COLUMNS = (
    "event_id, kind, market, grouped, side, taken_at_ms, outcome, decided_at_ms, question_side, needed, horizon_ms, "
    "wanted, chance, chance_n, facts"
)
_INSERT = (
    f"INSERT INTO outcomes ({_COLUMNS}) VALUES ((SELECT id FROM events WHERE key = ?), {', '.join('?' * 14)}) "
    "ON CONFLICT (event_id) DO NOTHING"
)
_CHANCE = "UPDATE outcomes SET chance = ?, chance_n = ? WHERE event_id = (SELECT id FROM events WHERE key = ?)"
_TO_JUDGE = (
    "SELECT e.spine FROM events e JOIN alerts a ON a.event_id = e.id LEFT JOIN outcomes o ON o.event_id = e.id "
    "WHERE o.event_id IS NULL AND e.market = ? AND e.kind = ? AND e.taken_at_ms <= ? ORDER BY e.taken_at_ms, e.id"
)
_BARS = (
    "SELECT bar_opened_at_ms, bar_opened_at_ms + bar_interval_ms, bar_high, bar_low, bar_close FROM snapshots "
    "WHERE market_id = (SELECT id FROM markets WHERE base = ?) AND bar_opened_at_ms >= ? AND bar_opened_at_ms < ? "
    "ORDER BY bar_opened_at_ms"
)
_OBSERVED = (
    "SELECT extra FROM snapshots WHERE market_id = (SELECT id FROM markets WHERE base = ?) "
    "AND extra IS NOT NULL AND taken_at_ms >= ? AND taken_at_ms < ?"
)


def to_judge(connection: Connection, market: str, taken_until_ms: Mapping[str, int]) -> list[Event]:
    found: list[Event] = []
    for kind, until_ms in taken_until_ms.items():
        rows = connection.execute(_TO_JUDGE, (market, kind, until_ms))
        found += [Event.from_json(spine) for (spine,) in rows]
    return found


def waiting(connection: Connection, market: str | None) -> dict[str, int]:
    where, values = ("AND e.market = ? ", (market,)) if market is not None else ("", ())
    rows = connection.execute(
        "SELECT e.kind, count(*) FROM events e JOIN alerts a ON a.event_id = e.id "
        f"LEFT JOIN outcomes o ON o.event_id = e.id WHERE o.event_id IS NULL {where}GROUP BY e.kind",
        values,
    )
    return dict(rows.fetchall())


def series(
    connection: Connection, market: str, since_ms: int, until_ms: int, observed_since_ms: int | None
) -> MarketSeries:
    bars = connection.execute(_BARS, (market, since_ms, until_ms)).fetchall()
    prints: list[Print] = []
    totals: list[LiquidationTotal] = []
    if observed_since_ms is not None:
        for (extra,) in connection.execute(_OBSERVED, (market, observed_since_ms, until_ms)):
            _, told, summed = json.loads(extra)
            prints += [Print(one[0], Side(one[1]), *one[2:]) for one in told]
            totals += [LiquidationTotal(*one) for one in summed]
    return MarketSeries.of_rows(bars, prints, totals)


def save(connection: Connection, scored: Sequence[Scored]) -> int:
    """How many were new. Raises ValueError for one that is not decided, or whose alert was never stored."""
    for one in scored:
        if one.outcome is OutcomeClass.UNDECIDED:
            raise ValueError(f"{one.key} is not decided yet: keep it until it is")
        if connection.execute("SELECT 1 FROM events WHERE key = ?", (one.key,)).fetchone() is None:
            raise ValueError(f"{one.key} was never stored, so nothing can come of it")
    return sum(connection.execute(_INSERT, _row(one)).rowcount for one in scored)


def save_chances(connection: Connection, chances: Mapping[str, Chance | None]) -> None:
    rows = [(one.share if one else None, one.n if one else None, key) for key, one in chances.items()]
    connection.executemany(_CHANCE, rows)


def load(
    connection: Connection, since_ms: int, market: str | None, kind: str | None, *, with_alert: bool
) -> list[Scored]:
    """By the time of the alert. ``with_alert``: with the facts measured and the alert itself."""
    wanted = {"o.market = ?": market, "o.kind = ?": kind}
    given = {where: value for where, value in wanted.items() if value is not None}
    where = "".join(f" AND {condition}" for condition in given)
    more = "o.facts, e.spine" if with_alert else "'[]', NULL"
    rows = connection.execute(
        "SELECT e.key, o.kind, o.market, o.grouped, o.side, o.taken_at_ms, o.outcome, o.decided_at_ms, "
        f"o.question_side, o.needed, o.horizon_ms, o.wanted, o.chance, o.chance_n, {more} "
        f"FROM outcomes o JOIN events e ON e.id = o.event_id WHERE o.taken_at_ms >= ?{where} "
        "ORDER BY o.taken_at_ms, o.event_id",
        (since_ms, *given.values()),
    )
    return [_scored(row) for row in rows]


def _row(one: Scored) -> tuple[Any, ...]:
    question, chance = one.question, one.chance
    asked: tuple[Any, ...] = (None,) * 4
    if question is not None:
        asked = (question.side, question.needed, question.horizon_ms, int(question.wanted))
    level = (chance.share, chance.n) if chance else (None, None)
    side = one.side.value if one.side else None
    known = (one.key, one.kind, one.market, one.group, side, one.taken_at_ms, one.outcome.value, one.decided_at_ms)
    return (
        *known,
        *(str(part) if isinstance(part, Side) else part for part in asked),
        *level,
        facts_to_json(one.facts),
    )


def _scored(row: Sequence[Any]) -> Scored:
    key, kind, market, grouped, side, taken_at_ms, outcome, decided_at_ms, *asked, chance, chance_n, facts, spine = row
    question_side, needed, horizon_ms, wanted = asked
    return Scored(
        key=key,
        kind=kind,
        market=market,
        group=grouped,
        side=Side(side) if side else None,
        taken_at_ms=taken_at_ms,
        outcome=OutcomeClass(outcome),
        decided_at_ms=decided_at_ms,
        question=Question(Side(question_side), needed, horizon_ms, bool(wanted)) if question_side else None,
        chance=None if chance is None else Chance(chance, chance_n),
        facts=facts_from_json(facts),
        event=Event.from_json(spine) if spine else None,
    )
