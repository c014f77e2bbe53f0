"""Platform-neutral messages: what is said, not how a chat prints it.

An alert has one fixed shape, whatever its kind: the headline, where, how big, the kind's own facts, and last
the labels. Nothing here knows an event kind; what it says comes from the event's spine and facts alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors import figures
from detectors.event import Event, Fact, Label, Severity
from detectors.market import MINUTE_MS, Side

TITLE_LIMIT = 60
"""What a phone's lock screen shows of the first line, in characters."""
GROUP_LIMIT = 20
WICK_PCT = 0.1
"""A wick that came nearer by less needs no words."""
POSSIBLE_REPEAT = "Possible repeat: an earlier attempt may have arrived"
"""The footer's line of a message that may be there already."""
SIMULATED = "SIMULATED market"
GROUP_ESTIMATED = "Cluster prices and sizes are estimated"
NOT_ADVICE = "A probability map, not a promise. Not financial advice."

_SIGNS = {Side.LONG: "🟢", Side.SHORT: "🔴", None: "🔵"}
_WHY = {
    "first": "first alert about it",
    "rearmed": "again, after it had moved away",
    "escalated": "has doubled since it was last told",
}
# Facts that the lines about where and how big have said already.
_WHERE = frozenset({"low", "high", "centre", "distance", "distance_bps", "distance_pct"})
_HOW_BIG = frozenset({"notional_usd", "share_of_open_interest"})


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column titles; every row is as long as ``columns``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    by_importance: tuple[int, ...] = ()
    """The numbers of all rows, those first that stay where there is not room for all; empty: the rows' own order."""


@dataclass(frozen=True, slots=True)
class Button:
    """Pressing it is typing ``command`` in that chat: at most 64 bytes, and permission is asked for again."""

    label: str
    command: str


@dataclass(frozen=True, slots=True)
class Menu:
    """One of several choices, each a button; a platform that has menus shows it as one. At most 25."""

    label: str
    choices: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What every platform shows alike: a title line, lines, a table, a small footer and a chart."""

    title: str
    lines: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    table: Table | None = None
    chart: bytes | Path | None = None
    """PNG bytes, or the path of a PNG file."""
    reply_to: str | None = None
    """The platform's id of the earlier message in that chat that this one answers. Where that message is gone, this
    one goes out without."""
    alert_id: str | None = None
    buttons: tuple[tuple[Button, ...], ...] = ()
    """Rows under the message, at most 5 of at most 5; a menu takes one of the 5."""
    menus: tuple[Menu, ...] = ()
    private: bool = False
    """Of use to who asked alone; a platform that can shows it to nobody else."""
    silent: bool = False
    """Arrives without a sound."""
    in_place: bool = False
    """A page of a menu: where a button was pressed, it takes the place of that button's message."""
    chart_as_file: bool = False
    """The chart in full size, as a file."""


def why_in_words(reason: str) -> str:
    """Why the policy told a chat, for people."""
    return _WHY.get(reason.lower(), reason.replace("_", " ").lower())


def handle_of(alert_id: str) -> str:
    """The short name of an alert for people: ``#1a2b3c4d``."""
    return f"#{hashlib.sha256(alert_id.encode()).hexdigest()[:8]}"


def is_label(line: str) -> bool:
    """Whether a footer's line says what the message is worth: such a line is never cut."""
    known = line in {SIMULATED, NOT_ADVICE, POSSIBLE_REPEAT, GROUP_ESTIMATED}
    return known or line.startswith((f"{figures.ESTIMATED_SIGN} estimated", "All observed"))


def alert_buttons(event: Event) -> tuple[tuple[Button, ...], ...]:
    """What can be done about an alert: look closer, ask why, be left alone with its market."""
    handle, market = handle_of(event.key), event.market
    look = (Button("Chart larger", f"/chart {handle}"), Button("Why this alert", f"/why {handle}"))
    return look, (Button(f"Mute {market} 24 h", f"/mute {market} 24h"), Button("Unwatch", f"/unwatch {market}"))


def from_event(event: Event, reason: str, late_by_ms: int | None = None, possible_repeat: bool = False) -> Message:
    """The message of one alert, without its chart.

    ``reason`` is why the policy told this chat; words joined by ``_`` are taken apart. ``late_by_ms`` is how long
    after the event the message goes out; under a minute is not late. ``possible_repeat`` says that an earlier
    attempt may have reached the chat.
    """
    said = {"price"} | (_WHERE if event.level else set()) | (_HOW_BIG if event.notional_usd is not None else set())
    own = [fact for fact in event.facts if fact.shown and fact.name not in said]
    lines = [_where(event, late_by_ms), *_how_big(event), *(_line(event, fact) for fact in own)]
    why = why_in_words(reason)
    footer = [f"Why now: {why}" if why else "", _labels(event, own), NOT_ADVICE]
    if possible_repeat:
        footer.insert(0, POSSIBLE_REPEAT)
    if event.simulated:
        footer.insert(0, SIMULATED)
    footer.append(f"{event.venue} {event.symbol} · {figures.moment(event.taken_at_ms)} · {handle_of(event.key)}")
    return Message(
        title=_title(event),
        lines=tuple(lines),
        footer=tuple(line for line in footer if line),
        alert_id=event.key,
        buttons=alert_buttons(event),
    )


def grouped(messages: Sequence[Message], span_ms: int = MINUTE_MS) -> Message:
    """One message for a storm: a line for each alert, in the order given, at most ``GROUP_LIMIT`` of them.

    ``span_ms`` is the time in which they came. The group carries no chart: one of many would mislead.
    Raises ValueError when there is nothing to group.
    """
    if not messages:
        raise ValueError("nothing to group: give at least one message")
    span = "1 minute" if span_ms == MINUTE_MS else figures.duration(span_ms)
    lines = [message.title for message in messages[:GROUP_LIMIT]]
    if len(messages) > GROUP_LIMIT:
        lines.append(f"and {len(messages) - GROUP_LIMIT} more: see /recent")
    footer = [SIMULATED] if any(SIMULATED in message.footer for message in messages) else []
    return Message(
        title=f"{len(messages)} alert{'s' if len(messages) > 1 else ''} in {span}",
        lines=tuple(lines),
        footer=(*footer, GROUP_ESTIMATED, NOT_ADVICE),
    )


def as_text(message: Message) -> str:
    """The message as plain text: parts one under another, the table in columns, the footer after an empty line."""
    parts = [message.title, *message.lines]
    if message.table is not None:
        parts += ["", *_columns(message.table)]
    if message.footer:
        parts += ["", *message.footer]
    return "\n".join(parts)


def _title(event: Event) -> str:
    sign = _SIGNS[event.side] + ("❗" if event.severity is Severity.CRITICAL else "")
    headline = event.headline
    # Colour alone tells a colour-blind reader nothing.
    if event.side is not None and event.side.value not in headline.lower():
        headline = f"{event.side.value} · {headline}"
    return _shortened(f"{sign} {headline}", TITLE_LIMIT)


def _shortened(text: str, limit: int) -> str:
    """``text`` cut at a word so that it fits, with an ellipsis."""
    if len(text) <= limit:
        return text
    kept = text[:limit]
    head, _, _ = kept.rpartition(" ")
    return (head if len(head) > limit // 2 else kept[: limit - 1]).rstrip(" ,;:·-") + "…"


def _where(event: Event, late_by_ms: int | None) -> str:
    parts = [f"Price {figures.price(event.price, event.price_decimals)} at {figures.clock(event.taken_at_ms)}"]
    if event.level is not None:
        low, high = (figures.level(edge, event.price_decimals) for edge in (event.level.low, event.level.high))
        parts.append(f"band {figures.ESTIMATED_SIGN}{low} to {high}")
        parts.append(_away(event, event.level.centre))
    if late_by_ms is not None and late_by_ms >= MINUTE_MS:
        parts.append(f"late by {figures.duration(late_by_ms)}")
    return " · ".join(part for part in parts if part)


def _away(event: Event, centre: float) -> str:
    """How far now, and at the nearest where a wick had come clearly nearer, as the headline says then."""
    now, nearest_pct = distance(event.price, centre), event.number("distance_pct")
    if not now or not nearest_pct or abs(centre / event.price - 1) * 100 - nearest_pct < WICK_PCT:
        return now
    return f"{now} now, {figures.percent(nearest_pct / 100)} at the nearest"


def distance(price: float, level: float) -> str:
    """Where ``level`` lies from ``price``: ``2.0% below``; ``at the price`` when nothing lies between."""
    if not price > 0:
        return ""
    share = level / price - 1
    return "at the price" if abs(share) < 5e-5 else f"{figures.percent(abs(share))} {'above' if share > 0 else 'below'}"


def _how_big(event: Event) -> list[str]:
    if event.notional_usd is None:
        return []
    sign = figures.ESTIMATED_SIGN if _notional_label(event) is Label.ESTIMATED else ""
    share = event.number("share_of_open_interest")
    of_all = "" if share is None else f" · {sign}{figures.percent(share)} of open interest"
    return [f"Size {sign}{figures.usd(event.notional_usd)}{of_all}"]


def _notional_label(event: Event) -> Label:
    """Estimated unless the event has a fact of that name that says otherwise."""
    return next((fact.label for fact in event.facts if fact.name == "notional_usd"), Label.ESTIMATED)


def _line(event: Event, fact: Fact) -> str:
    title = fact.title or fact.name.replace("_", " ")
    value = figures.fact_value(fact, base=event.market, price_decimals=event.price_decimals)
    # A text says numbers too: these are labelled as any other, unless it has done so itself.
    if isinstance(fact.value, str) and fact.label is Label.ESTIMATED and any(map(str.isdigit, value)):
        value = value if figures.ESTIMATED_SIGN in value else figures.ESTIMATED_SIGN + value
    return f"{title[:1].upper()}{title[1:]}: {value}"


def _labels(event: Event, own: Sequence[Fact]) -> str:
    labels = {fact.label for fact in own if fact.value is not None}
    if event.level is not None:
        labels.add(Label.ESTIMATED)
    if event.notional_usd is not None:
        labels.add(_notional_label(event))
    # The price in the second line is always an observation.
    others = "observed or calculated" if Label.CALCULATED in labels or event.level is not None else "observed"
    if Label.ESTIMATED not in labels:
        return f"All {others}"
    # The first line has no room for the sign.
    too = ", as is the cluster in the first line" if event.level is not None else ""
    return f"{figures.ESTIMATED_SIGN} estimated{too} · others {others}"


def _columns(table: Table) -> list[str]:
    grid = [table.columns, *table.rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(table.columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid]
