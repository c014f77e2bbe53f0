"""The scorecard: how earlier alerts turned out, against chance, as a message and as a record for machines."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bot.message import NOT_ADVICE, SIMULATED, Message, Table
from detectors import figures
from detectors.claims import Claim
from detectors.odds import LEAST
from detectors.scoring import Record, Scored, Verdict, record_of

ALL = "all"
_VERDICTS = {Verdict.BETTER: "better", Verdict.WORSE: "worse", Verdict.LUCK: "luck", Verdict.TOO_FEW: "too few"}


@dataclass(frozen=True, slots=True)
class Row:
    """One group of alerts: ``market`` is `ALL` for those of every market."""

    group: str
    market: str
    record: Record


def rows_of(scored: Sequence[Scored], *, by_market: bool) -> list[Row]:
    """A row a group over all markets, and with ``by_market`` one a market after it, where there is more than one."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        groups[one.group].append(one)
    rows = []
    for group, ones in sorted(groups.items()):
        markets = sorted({one.market for one in ones})
        alone = len({one.market for one in scored}) == 1
        rows.append(Row(group, markets[0] if alone else ALL, record_of(ones)))
        if by_market and not alone:
            rows += [Row(group, base, record_of([one for one in ones if one.market == base])) for base in markets]
    return rows


def as_message(
    rows: Sequence[Row],
    waiting: Mapping[str, int],
    *,
    title: str,
    days: int,
    scored_as: Mapping[str, str],
    simulated: bool = False,
    claims: Sequence[Claim] = (),
    short: bool = False,
) -> Message:
    """``scored_as``: what each kind's alerts are scored by, in words. ``short``: the claims without their figures."""
    waits = sum(waiting.values())
    unjudged = sum(row.record.unjudged for row in rows if row.market == ALL or len({r.market for r in rows}) == 1)
    if not rows:
        text = f"Nothing is judged yet; {_wait(waits)}."
        return Message(title, (text,), _footer(simulated))
    asked = {row.group.partition("@")[0]: None for row in rows}
    lines = [
        f"Every alert decided in {figures.counted(days, 'day')}, delivered or not; {_wait(waits)}, {unjudged} could "
        "not be judged across a hole in the data."
    ]
    lines += [f"{_name(kind)}: {scored_as[kind]}" for kind in asked if kind in scored_as]
    lines += [_claim(claim, short=short) for claim in claims]
    with_market = len({row.market for row in rows}) > 1
    columns = (
        "alert",
        *(("market",) if with_market else ()),
        "n",
        "came true",
        "at least",
        "by chance",
        "lift",
        "verdict",
    )
    cells = [(_name(row.group), *((row.market,) if with_market else ()), *_cells(row.record)) for row in rows]
    return Message(title, tuple(lines), _footer(simulated), Table(columns, tuple(cells)))


def _wait(waits: int) -> str:
    return "1 alert waits for its horizon" if waits == 1 else f"{waits} alerts wait for their horizon"


def _claim(claim: Claim, *, short: bool) -> str:
    if not short:
        return f"{claim.asks} {claim.verdict.capitalize()}: {claim.says}."
    counts = ", ".join(f"{n} {name}" for name, n in claim.n.items())
    return f"{claim.asks} {claim.verdict.capitalize()} (n = {counts})."


def _cells(record: Record) -> tuple[str, ...]:
    unjudged = f" (+{record.unjudged} unjudged)" if record.unjudged else ""
    lift = "" if record.lift is None else f"x{record.lift:.2f}"
    verdict = _VERDICTS[record.verdict if record.n >= LEAST else Verdict.TOO_FEW]
    return (
        f"{record.n}{unjudged}",
        _percent(record.rate),
        _percent(record.at_least),
        _percent(record.chance),
        lift,
        verdict,
    )


def _footer(simulated: bool) -> tuple[str, ...]:
    said = (
        "At least: Wilson's bound (95 %). By chance: the same distance and side at the market's other times of similar "
        "volatility. Verdict: against chance, at 5 %, with days (or horizons) as single draws.",
        NOT_ADVICE,
    )
    return (SIMULATED, *said) if simulated else said


def _name(group: str) -> str:
    kind, _, rung = group.partition("@")
    return kind.removeprefix("cluster_").replace("_", " ") + (f" within {rung} %" if rung else "")


def _percent(fraction: float | None) -> str:
    return figures.NOT_KNOWN if fraction is None else f"{fraction * 100:.0f} %"


def as_record(
    scored: Sequence[Scored], waiting: Mapping[str, int], claims: Sequence[Claim], **about: Any
) -> dict[str, Any]:
    """For machines: every figure of the tables, unrounded."""
    return {
        **about,
        "records": [_record(row) for row in rows_of(scored, by_market=True)],
        "waiting": dict(waiting),
        "claims": [{**asdict(claim), "n": dict(claim.n), "figures": dict(claim.figures)} for claim in claims],
    }


def _record(row: Row) -> dict[str, Any]:
    record = row.record
    kind, _, rung = row.group.partition("@")
    derived = {"rate": record.rate, "lift": record.lift, "verdict": str(record.verdict)}
    return {
        "kind": kind,
        "within_pct": float(rung) if rung else None,
        "market": row.market,
        **asdict(record),
        **derived,
    }


def to_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)
