"""Events, alerts and silences: what a tick decided, and reading it back."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from detectors.event import Event, Evidence
from detectors.market import DAY_MS
from storage import totals
from storage.chats import MOVED, Chat
from storage.sql import Connection, Cursor, insert, listed, parts
from storage.sql_fan_out import EVENT_ID, Owed, add_deliveries, know_chats
from storage.sql_queues import OPEN
from storage.store import Committed, Counts, StoredAlert, TickCommit

# The newest revision of an event's spine; the one first seen when nothing completed it.
NEWEST = "coalesce((SELECT r.spine FROM revisions r WHERE r.event_id = e.id AND r.revision = e.revision), e.spine)"

Packed = Mapping[str, Future[str]]
"""Evidence as it is stored, by the key of its event."""


@dataclass(slots=True)
class Added:
    """What was told to be added. Whether it was new is known for certain, and without a wait, once it is committed."""

    events: list[Cursor] = field(default_factory=list)
    alerts: list[Cursor] = field(default_factory=list)
    deliveries: list[Cursor] = field(default_factory=list)
    revisions: int = 0

    def count(self, snapshots: int) -> Committed:
        def new(answers: Sequence[Cursor]) -> int:
            return sum(answer.rowcount for answer in answers)

        return Committed(snapshots, new(self.events), new(self.alerts), new(self.deliveries), self.revisions)


def add_decisions(
    connection: Connection,
    ticks: Sequence[TickCommit],
    silent: Sequence[TickCommit],
    chats: dict[Chat, int],
    packed: Packed,
) -> Added:
    """The ticks' events, alerts, deliveries and revisions, which are all keyed, so that a repeat adds nothing; and the
    silences of those in ``silent``. ``chats``: rows that are known, to which others are added.
    """
    alerts = [alert for tick in ticks for alert in tick.alerts]
    completed = [event for tick in ticks for event in tick.completed]
    events: dict[str, Event] = {}
    for tick in ticks:
        for event in (*tick.events, *(one.event for one in tick.alerts)):
            events.setdefault(event.key, event)
    added = Added(events=_add_events(connection, [*events.values()]))
    told = [delivery.chat for alert in alerts for delivery in alert.deliveries]
    know_chats(connection, told + [one.chat for tick in silent for one in tick.silences], chats)
    if alerts:
        owed = [Owed(one.event.key, one.event.taken_at_ms, one.deliveries) for one in alerts]
        added.deliveries = add_deliveries(connection, owed, chats)
    _add_silences(connection, silent, chats)
    if alerts:
        charts = [(one.event.key, packed[one.event.key].result() if one.event.evidence else None) for one in alerts]
        into = "alerts (event_id, evidence)"
        added.alerts = insert(connection, into, charts, "ON CONFLICT DO NOTHING", first=EVENT_ID)
    if completed:
        ids = _ids(connection, [event.key for event in completed])
        added.revisions = sum(_complete(connection, event, ids[event.key]) for event in completed)
    return added


def _add_silences(connection: Connection, ticks: Sequence[TickCommit], rows: Mapping[Chat, int]) -> None:
    counted = Counter(
        (tick.snapshot.taken_at_ms // DAY_MS, rows[one.chat], one.kind, one.reason)
        for tick in ticks
        for one in tick.silences
    )
    insert(
        connection,
        "silences (day, chat, kind, reason, n)",
        [(*key, n) for key, n in counted.items()],
        "ON CONFLICT (day, chat, kind, reason) DO UPDATE SET n = silences.n + excluded.n",
    )
    reasons: Counter[tuple[str, str]] = Counter()
    for (_, _, _, reason), n in counted.items():
        reasons[reason, ""] += n
    totals.add(connection, totals.SILENCES, reasons)


def recent(connection: Connection, n: int, chat: Chat | None, market: str | None) -> list[StoredAlert]:
    where, values = ["true"], []
    if market is not None:
        where, values = ["e.market = ?"], [market]
    if chat is not None:
        where.append("d.chat = (SELECT id FROM chats WHERE platform = ? AND chat_id = ?)")
        values += [chat.platform, chat.chat_id]
    rows = connection.execute(
        f"SELECT e.spine, {NEWEST}, (SELECT reason FROM deliveries WHERE id = told.id) "
        f"FROM (SELECT e.id AS event_id, min(d.id) AS id FROM events e JOIN deliveries d ON d.event_id = e.id "
        f"WHERE {' AND '.join(where)} GROUP BY e.id ORDER BY e.taken_at_ms DESC, e.id DESC LIMIT ?) told "
        "JOIN events e ON e.id = told.event_id ORDER BY e.taken_at_ms DESC, e.id DESC",
        (*values, n),
    )
    return [_alert(*row) for row in rows]


def alert(connection: Connection, alert_id: str) -> StoredAlert | None:
    found = connection.execute(
        f"SELECT e.spine, {NEWEST}, d.reason, a.evidence FROM events e JOIN alerts a ON a.event_id = e.id "
        "JOIN deliveries d ON d.event_id = e.id WHERE e.key = ? ORDER BY d.id LIMIT 1",
        (alert_id,),
    ).fetchone()
    return None if found is None else _alert(*found)


def counts(connection: Connection) -> Counts:
    def table(sql: str) -> dict[str, int]:
        return dict(connection.execute(sql).fetchall())

    def one(sql: str) -> int | None:
        found = connection.execute(sql).fetchone()
        return None if found is None or found[0] is None else int(found[0])

    by_platform = totals.deliveries(connection)
    lost = "SELECT platform, chat_id, parked FROM chats WHERE parked IS NOT NULL AND parked <> ?"
    parked = connection.execute(lost, (MOVED,)).fetchall()
    refused = connection.execute("SELECT market, reason, n FROM refusals").fetchall()
    return Counts(
        by_platform=by_platform,
        oldest_pending=table(
            "SELECT c.platform, min(d.taken_at_ms) FROM deliveries d JOIN chats c ON c.id = d.chat "
            f"WHERE d.{OPEN} AND d.state <> 'editing' GROUP BY c.platform"
        ),
        last_alert_ms=one(
            "SELECT max(taken_at_ms) FROM (SELECT taken_at_ms FROM deliveries ORDER BY id DESC LIMIT 100) newest"
        ),
        parked={Chat(platform, chat_id): reason for platform, chat_id, reason in parked},
        refusals={(market, reason): n for market, reason, n in refused},
        silences=totals.silences(connection),
        events=table("SELECT kind, count(*) FROM events GROUP BY kind"),
        heartbeat_at_ms=one("SELECT value FROM meta WHERE name = 'heartbeat_at_ms'"),
    )


def _add_events(connection: Connection, events: Sequence[Event]) -> list[Cursor]:
    return insert(
        connection,
        "events (key, kind, market, subject, arming, taken_at_ms, spine)",
        [(e.key, e.kind, e.market, e.subject, e.arming, e.taken_at_ms, e.to_json()) for e in events],
        "ON CONFLICT (key) DO NOTHING",
    )


def _ids(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts(keys):
        marks, values = listed([(key,) for key in part])
        asked = connection.execute(f"SELECT key, id FROM events WHERE key IN ({marks})", values)
        found.update({key: int(row) for key, row in asked.fetchall()})
    for key in keys:
        if key not in found:
            raise ValueError(f"{key} was never stored, so it cannot be completed")
    return found


def _complete(connection: Connection, event: Event, event_id: int) -> int:
    """A revision with text seen before is a repeat. Messages already out fall due for an edit."""
    spine = event.to_json()
    (known,) = connection.execute(
        "SELECT (SELECT count(*) FROM events WHERE id = ? AND spine = ?) "
        "+ (SELECT count(*) FROM revisions WHERE event_id = ? AND spine = ?)",
        (event_id, spine, event_id, spine),
    ).fetchone()
    if known:
        return 0
    connection.execute("UPDATE events SET revision = revision + 1 WHERE id = ?", (event_id,))
    connection.execute("INSERT INTO revisions SELECT id, revision, ? FROM events WHERE id = ?", (spine, event_id))
    connection.execute(
        "UPDATE deliveries SET edit_due_at_ms = 0 WHERE event_id = ? AND state = 'sent' AND editable = 1", (event_id,)
    )
    return 1


def _alert(spine: str, newest: str, reason: str, evidence: str | None = None) -> StoredAlert:
    first = Event.from_json(spine, Evidence.from_json(evidence) if evidence else None)
    return StoredAlert(first.key, first, replace(Event.from_json(newest), evidence=first.evidence), reason)
