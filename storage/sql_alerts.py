"""Events, alerts and silences: what a tick decided, and reading it back."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from dataclasses import replace

from detectors.event import Event, Evidence
from detectors.market import DAY_MS
from storage.chats import Chat
from storage.sql import Connection
from storage.sql_chats import chat_row
from storage.sql_fan_out import add_deliveries
from storage.store import Committed, Counts, Silence, StoredAlert, TickCommit

# The newest revision of an event's spine; the one first seen when nothing completed it.
NEWEST = "coalesce((SELECT r.spine FROM revisions r WHERE r.event_id = e.id AND r.revision = e.revision), e.spine)"


def add_decisions(connection: Connection, tick: TickCommit) -> Committed:
    """The tick's events, alerts, deliveries and revisions; all are keyed, so a repeat adds nothing."""
    new = Committed(events=sum(_add_event(connection, event) for event in tick.events))
    for alert in tick.alerts:
        new += Committed(events=_add_event(connection, alert.event))
        event_id = _event_id(connection, alert.event.key)
        evidence = alert.event.evidence.to_json() if alert.event.evidence else None
        inserted = connection.execute(
            "INSERT INTO alerts VALUES (?, ?) ON CONFLICT DO NOTHING", (event_id, evidence)
        ).rowcount
        new += Committed(alerts=inserted)
        added = add_deliveries(connection, event_id, alert.event.taken_at_ms, alert.deliveries)
        new += Committed(deliveries=added)
    return new + Committed(revisions=sum(_complete(connection, event) for event in tick.completed))


def add_silences(connection: Connection, silences: tuple[Silence, ...], taken_at_ms: int) -> None:
    for silence in silences:
        connection.execute(
            "INSERT INTO silences VALUES (?, ?, ?, ?, 1) "
            "ON CONFLICT (day, chat, kind, reason) DO UPDATE SET n = silences.n + 1",
            (taken_at_ms // DAY_MS, chat_row(connection, silence.chat), silence.kind, silence.reason),
        )


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

    parked = connection.execute("SELECT platform, chat_id, parked FROM chats WHERE parked IS NOT NULL").fetchall()
    refused = connection.execute("SELECT market, reason, n FROM refusals").fetchall()
    return Counts(
        deliveries=table("SELECT state, count(*) FROM deliveries GROUP BY state"),
        oldest_pending_ms=one("SELECT min(taken_at_ms) FROM deliveries WHERE state IN ('pending', 'sending')"),
        last_alert_ms=one("SELECT max(taken_at_ms) FROM deliveries"),
        parked={Chat(platform, chat_id): reason for platform, chat_id, reason in parked},
        refusals={(market, reason): n for market, reason, n in refused},
        silences=table("SELECT reason, CAST(sum(n) AS BIGINT) FROM silences GROUP BY reason"),
        events=table("SELECT kind, count(*) FROM events GROUP BY kind"),
        heartbeat_at_ms=one("SELECT value FROM meta WHERE name = 'heartbeat_at_ms'"),
    )


def _add_event(connection: Connection, event: Event) -> int:
    return connection.execute(
        "INSERT INTO events (key, kind, market, subject, arming, taken_at_ms, spine) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO NOTHING",
        (event.key, event.kind, event.market, event.subject, event.arming, event.taken_at_ms, event.to_json()),
    ).rowcount


def _event_id(connection: Connection, key: str) -> int:
    found = connection.execute("SELECT id FROM events WHERE key = ?", (key,)).fetchone()
    if found is None:
        raise ValueError(f"{key} was never stored, so it cannot be completed")
    return int(found[0])


def _complete(connection: Connection, event: Event) -> int:
    """A revision with text seen before is a repeat. Messages already out fall due for an edit."""
    event_id, spine = _event_id(connection, event.key), event.to_json()
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
