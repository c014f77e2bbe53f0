"""Events, alerts and silences in SQLite: what a tick decided, and reading it back."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

import sqlite3
from dataclasses import replace

from detectors.event import Event, Evidence
from detectors.market import DAY_MS
from storage.chats import Chat
from storage.holds import hold
from storage.sqlite_chats import chat_row
from storage.store import Committed, Counts, Silence, StoredAlert, TickCommit

# The newest revision of an event's spine; the one first seen when nothing completed it.
NEWEST = "coalesce((SELECT r.spine FROM revisions r WHERE r.event_id = e.id AND r.revision = e.revision), e.spine)"


def add_decisions(connection: sqlite3.Connection, tick: TickCommit) -> Committed:
    """The tick's events, alerts, deliveries and revisions; all are keyed, so a repeat adds nothing."""
    new = Committed(events=sum(_add_event(connection, event) for event in tick.events))
    for alert in tick.alerts:
        new += Committed(events=_add_event(connection, alert.event))
        event_id = _event_id(connection, alert.event.key)
        evidence = alert.event.evidence.to_json() if alert.event.evidence else None
        inserted = connection.execute("INSERT OR IGNORE INTO alerts VALUES (?, ?)", (event_id, evidence)).rowcount
        deliveries = 0
        for delivery in alert.deliveries:
            chat = chat_row(connection, delivery.chat)
            inserted_here = connection.execute(
                "INSERT INTO deliveries (event_id, chat, taken_at_ms, reason, expires_at_ms) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (event_id, chat) DO NOTHING",
                (
                    event_id,
                    chat,
                    alert.event.taken_at_ms,
                    delivery.reason,
                    delivery.expires_at_ms,
                ),
            ).rowcount
            if inserted_here and delivery.hold_until_ms is not None:
                hold(connection, event_id, chat, delivery.reason, delivery.hold_until_ms)
            deliveries += inserted_here
        new += Committed(alerts=inserted, deliveries=deliveries)
    return new + Committed(revisions=sum(_complete(connection, event) for event in tick.completed))


def add_silences(connection: sqlite3.Connection, silences: tuple[Silence, ...], taken_at_ms: int) -> None:
    for silence in silences:
        connection.execute(
            "INSERT INTO silences VALUES (?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1",
            (taken_at_ms // DAY_MS, chat_row(connection, silence.chat), silence.kind, silence.reason),
        )


def recent(connection: sqlite3.Connection, n: int, chat: Chat | None, market: str | None) -> list[StoredAlert]:
    rows = connection.execute(
        f"SELECT e.spine, {NEWEST}, d.reason, min(d.id) FROM events e JOIN deliveries d ON d.event_id = e.id "
        "JOIN chats c ON c.id = d.chat "
        "WHERE (?1 IS NULL OR e.market = ?1) AND (?2 IS NULL OR (c.platform = ?2 AND c.chat_id = ?3)) "
        "GROUP BY e.id ORDER BY e.taken_at_ms DESC, e.id DESC LIMIT ?4",
        (market, chat.platform if chat else None, chat.chat_id if chat else None, n),
    )
    return [_alert(*row[:3]) for row in rows]  # the reason stands in the row of min(d.id)


def alert(connection: sqlite3.Connection, alert_id: str) -> StoredAlert | None:
    found = connection.execute(
        f"SELECT e.spine, {NEWEST}, d.reason, a.evidence FROM events e JOIN alerts a ON a.event_id = e.id "
        "JOIN deliveries d ON d.event_id = e.id WHERE e.key = ? ORDER BY d.id LIMIT 1",
        (alert_id,),
    ).fetchone()
    return None if found is None else _alert(*found)


def counts(connection: sqlite3.Connection) -> Counts:
    def table(sql: str) -> dict[str, int]:
        return dict(connection.execute(sql).fetchall())

    def one(sql: str) -> int | None:
        found = connection.execute(sql).fetchone()
        return found[0] if found else None

    parked = connection.execute("SELECT platform, chat_id, parked FROM chats WHERE parked IS NOT NULL").fetchall()
    refused = connection.execute("SELECT market, reason, n FROM refusals").fetchall()
    return Counts(
        deliveries=table("SELECT state, count(*) FROM deliveries GROUP BY state"),
        oldest_pending_ms=one("SELECT min(taken_at_ms) FROM deliveries WHERE state IN ('pending', 'sending')"),
        last_alert_ms=one("SELECT max(taken_at_ms) FROM deliveries"),
        parked={Chat(platform, chat_id): reason for platform, chat_id, reason in parked},
        refusals={(market, reason): n for market, reason, n in refused},
        silences=table("SELECT reason, sum(n) FROM silences GROUP BY reason"),
        events=table("SELECT kind, count(*) FROM events GROUP BY kind"),
        heartbeat_at_ms=one("SELECT value FROM meta WHERE name = 'heartbeat_at_ms'"),
    )


def _add_event(connection: sqlite3.Connection, event: Event) -> int:
    return connection.execute(
        "INSERT INTO events (key, kind, market, subject, arming, taken_at_ms, spine) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO NOTHING",
        (event.key, event.kind, event.market, event.subject, event.arming, event.taken_at_ms, event.to_json()),
    ).rowcount


def _event_id(connection: sqlite3.Connection, key: str) -> int:
    found = connection.execute("SELECT id FROM events WHERE key = ?", (key,)).fetchone()
    if found is None:
        raise ValueError(f"{key} was never stored, so it cannot be completed")
    return int(found[0])


def _complete(connection: sqlite3.Connection, event: Event) -> int:
    """A revision with text seen before is a repeat. Messages already out fall due for an edit."""
    event_id, spine = _event_id(connection, event.key), event.to_json()
    (known,) = connection.execute(
        "SELECT (SELECT count(*) FROM events WHERE id = ?1 AND spine = ?2) "
        "+ (SELECT count(*) FROM revisions WHERE event_id = ?1 AND spine = ?2)",
        (event_id, spine),
    ).fetchone()
    if known:
        return 0
    connection.execute("UPDATE events SET revision = revision + 1 WHERE id = ?", (event_id,))
    connection.execute("INSERT INTO revisions SELECT id, revision, ? FROM events WHERE id = ?", (spine, event_id))
    connection.execute(
        "UPDATE deliveries SET edit_due_at_ms = 0 WHERE event_id = ? AND state = 'sent' AND editable", (event_id,)
    )
    return 1


def _alert(spine: str, newest: str, reason: str, evidence: str | None = None) -> StoredAlert:
    first = Event.from_json(spine, Evidence.from_json(evidence) if evidence else None)
    return StoredAlert(first.key, first, replace(Event.from_json(newest), evidence=first.evidence), reason)
