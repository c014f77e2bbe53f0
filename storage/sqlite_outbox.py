"""The outbox in SQLite. All functions run inside the caller's transaction."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

import sqlite3
from collections.abc import Sequence
from typing import assert_never

from detectors.event import Event
from storage.chats import Chat
from storage.outbox import Claim, Dead, Delivery, Expired, Later, Sent, Settlement, Storm, Task
from storage.sqlite_alerts import NEWEST

_OPEN = "state IN ('pending', 'sending', 'editing')"  # as in the partial index, or it is not used
_OF_PLATFORM = "chat IN (SELECT id FROM chats WHERE CAST(? AS TEXT) IS NULL OR platform = ?)"
_MOST_TOGETHER = 500
_DIGESTED = "reason IN ('quiet', 'capped')"


def return_claimed(connection: sqlite3.Connection) -> int:
    """At a start: what was being sent may have arrived; an edit can be made twice without harm; waiting is over."""
    connection.execute(f"UPDATE deliveries SET state = 'sent', edit_due_at_ms = 0 WHERE {_OPEN} AND state = 'editing'")
    connection.execute("UPDATE deliveries SET edit_due_at_ms = 0 WHERE edit_due_at_ms IS NOT NULL")
    connection.execute(f"UPDATE deliveries SET due_at_ms = 0 WHERE {_OPEN}")
    return connection.execute(
        f"UPDATE deliveries SET state = 'pending', possible_repeat = 1 WHERE {_OPEN} AND state = 'sending'"
    ).rowcount


def claim(
    connection: sqlite3.Connection,
    now_ms: int,
    limit: int,
    market_ms: int | None,
    storm: Storm,
    *,
    flush: bool,
    platform: str | None,
) -> list[Claim]:
    # The planner would walk all that a chat was ever sent; INDEXED BY keeps it to what is open.
    connection.execute(
        "UPDATE deliveries INDEXED BY deliveries_open SET state = 'dead', "
        "note = (SELECT parked FROM chats WHERE id = chat) "
        f"WHERE {_OPEN} AND state = 'pending' AND chat IN (SELECT id FROM chats WHERE parked IS NOT NULL)"
    )
    # A chat told to wait waits as a whole, or its alerts would overtake each other.
    waiting = connection.execute(
        f"SELECT chat FROM deliveries INDEXED BY deliveries_open WHERE {_OPEN} AND {_OF_PLATFORM} GROUP BY chat "
        "HAVING max(state != 'pending') = 0 AND max(due_at_ms) <= ? ORDER BY min(id)",
        (platform, platform, now_ms),
    ).fetchall()
    claims: list[Claim] = []
    for (chat_row,) in waiting:
        if len(claims) == limit:
            return claims
        task, ids = _choose(connection, chat_row, None if flush else market_ms, market_ms, storm)
        if ids:
            claims.append(_take(connection, task, ids))
    edits = connection.execute(
        "SELECT min(id) FROM deliveries d INDEXED BY deliveries_edits WHERE edit_due_at_ms <= ? "
        f"AND {_OF_PLATFORM} AND chat IN (SELECT id FROM chats WHERE parked IS NULL) "
        f"AND NOT EXISTS (SELECT 1 FROM deliveries o INDEXED BY deliveries_open WHERE o.chat = d.chat AND o.{_OPEN}) "
        "GROUP BY chat ORDER BY 1 LIMIT ?",
        (now_ms, platform, platform, limit - len(claims)),
    ).fetchall()
    return claims + [_take(connection, Task.EDIT, [delivery_id]) for (delivery_id,) in edits]


def settle(connection: sqlite3.Connection, deliveries: Sequence[Delivery], settlement: Settlement) -> None:
    for delivery in deliveries:
        found = connection.execute(
            f"SELECT state, e.revision FROM deliveries d JOIN events e ON e.id = event_id WHERE d.id = ? AND {_OPEN}",
            (delivery.delivery_id,),
        ).fetchone()
        if found is not None and found[0] == "sending":
            _settle_send(connection, delivery, settlement, found[1], grouped=len(deliveries) > 1)
        elif found is not None and found[0] == "editing":
            _settle_edit(connection, delivery, settlement, found[1])


def _settle_send(
    connection: sqlite3.Connection, delivery: Delivery, settlement: Settlement, newest: int, *, grouped: bool
) -> None:
    match settlement:
        case Sent(message_id):
            stale = delivery.revision < newest and not grouped
            _set(
                connection,
                delivery,
                "sent",
                message_id=message_id,
                editable=not grouped,
                edit_due_at_ms=0 if stale else None,
            )
        case Later(due_at_ms, reason, ambiguous):
            repeat = delivery.possible_repeat or ambiguous
            _set(connection, delivery, "pending", due_at_ms=due_at_ms, note=reason, possible_repeat=repeat)
        case Dead(reason):
            _set(connection, delivery, "dead", note=reason)
        case Expired(reason):
            _set(connection, delivery, "expired", note=reason)
        case _:
            assert_never(settlement)


def _settle_edit(connection: sqlite3.Connection, delivery: Delivery, settlement: Settlement, newest: int) -> None:
    match settlement:
        case Sent():
            again = 0 if delivery.revision < newest else None
            _set(connection, delivery, "sent", edit_due_at_ms=again)
        case Later(due_at_ms, reason):
            _set(connection, delivery, "sent", edit_due_at_ms=due_at_ms, note=reason)
        case Dead(reason) | Expired(reason):
            _set(connection, delivery, "sent", edit_due_at_ms=None, note=reason, editable=False)
        case _:
            assert_never(settlement)


def _set(connection: sqlite3.Connection, delivery: Delivery, state: str, **columns: str | int | None) -> None:
    assignments = "".join(f", {name} = ?" for name in columns)
    connection.execute(
        f"UPDATE deliveries SET state = ?{assignments} WHERE id = ?",
        (state, *columns.values(), delivery.delivery_id),
    )


def _choose(
    connection: sqlite3.Connection, chat_row: int, hold_ms: int | None, market_ms: int | None, storm: Storm
) -> tuple[Task, list[int]]:
    """What one chat is sent next; nothing while a storm's later alerts are held back."""
    pending = connection.execute(
        f"SELECT id, taken_at_ms, expires_at_ms FROM deliveries WHERE chat = ? AND {_OPEN} ORDER BY id LIMIT ?",
        (chat_row, _MOST_TOGETHER),
    ).fetchall()
    if market_ms is not None:
        late = [row for row, _, expires_at_ms in pending if expires_at_ms is not None and expires_at_ms < market_ms]
        if late:
            return Task.EXPIRE, late
    if digest := _digest(connection, chat_row):
        return Task.DIGEST, digest
    first_ms = pending[0][1]
    (told,) = connection.execute(
        "SELECT count(*) FROM deliveries WHERE chat = ? AND taken_at_ms > ? AND state = 'sent'",
        (chat_row, first_ms - storm.within_ms),
    ).fetchone()
    together = [row for row, taken_at_ms, _ in pending if taken_at_ms < first_ms + storm.within_ms]
    if told + len(together) <= storm.more_than:
        return Task.SEND, together[:1]
    if told >= storm.more_than and hold_ms is not None and hold_ms < first_ms + storm.within_ms:
        return Task.SEND, []
    return Task.SEND, together


def _digest(connection: sqlite3.Connection, chat_row: int) -> list[int]:
    """All that was held back for one reason and is due now, whole even if it is much."""
    held = connection.execute(
        f"SELECT id, reason FROM deliveries WHERE chat = ? AND {_OPEN} AND state = 'pending' AND {_DIGESTED} "
        "ORDER BY id",
        (chat_row,),
    ).fetchall()
    return [row for row, reason in held if reason == held[0][1]]


def _take(connection: sqlite3.Connection, task: Task, ids: list[int]) -> Claim:
    state = "editing" if task is Task.EDIT else "sending"
    marks = ", ".join("?" * len(ids))
    connection.execute(
        "UPDATE deliveries SET state = ?, attempts = attempts + 1, edit_due_at_ms = NULL, "
        f"revision = (SELECT revision FROM events e WHERE e.id = event_id) WHERE id IN ({marks})",
        (state, *ids),
    )
    rows = connection.execute(
        f"SELECT d.id, platform, chat_id, {NEWEST}, reason, attempts, possible_repeat, d.revision, message_id, "
        "expires_at_ms FROM deliveries d JOIN chats c ON c.id = d.chat JOIN events e ON e.id = d.event_id "
        f"WHERE d.id IN ({marks}) ORDER BY d.id",
        ids,
    )
    deliveries = tuple(
        Delivery(row, Chat(platform, name), Event.from_json(spine), reason, attempts, bool(repeat), *rest)
        for row, platform, name, spine, reason, attempts, repeat, *rest in rows
    )
    return Claim(deliveries[0].chat, task, deliveries)
