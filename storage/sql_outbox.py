"""The outbox. All functions run inside the caller's transaction."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from detectors.event import Event
from storage import sql_queues
from storage.chats import Chat
from storage.outbox import Claim, Dead, Delivery, Expired, Later, Sent, Settlement, Storm, Task
from storage.sql import Connection
from storage.sql_alerts import NEWEST
from storage.sql_queues import CLAIMED, OPEN

_MOST_TOGETHER = 500
_DIGESTED = "reason IN ('quiet', 'capped')"


@dataclass(frozen=True, slots=True)
class _Choice:
    """What one chat is to be sent."""

    chat_row: int
    task: Task
    ids: list[int]


def return_claimed(connection: Connection) -> int:
    """At a start: what was being sent may have arrived; an edit can be made twice without harm; waiting is over."""
    connection.execute(
        f"UPDATE deliveries SET state = 'sent', edit_due_at_ms = 0 WHERE {CLAIMED} AND state = 'editing'"
    )
    connection.execute("UPDATE deliveries SET edit_due_at_ms = 0 WHERE edit_due_at_ms > 0")
    returned = connection.execute(
        f"UPDATE deliveries SET state = 'pending', possible_repeat = 1 WHERE {CLAIMED} AND state = 'sending'"
    ).rowcount
    sql_queues.rebuild(connection)
    return returned


def return_unheard(connection: Connection, heard: Collection[int]) -> None:
    """Give back claims that were committed while the connection broke, so that nobody heard of them. None was sent."""
    claimed = connection.execute(f"SELECT id, chat, state FROM deliveries WHERE {CLAIMED}").fetchall()
    for delivery_id, chat_row, state in claimed:
        if delivery_id in heard:
            continue
        back = "'pending'" if state == "sending" else "'sent', edit_due_at_ms = 0"
        connection.execute(
            f"UPDATE deliveries SET state = {back}, attempts = attempts - 1 WHERE id = ?", (delivery_id,)
        )
        sql_queues.refresh(connection, chat_row)


def claim(
    connection: Connection,
    now_ms: int,
    limit: int,
    market_ms: int | None,
    storm: Storm,
    *,
    flush: bool,
    platform: str | None,
) -> list[Claim]:
    sql_queues.bury_parked(connection)
    chosen: list[_Choice] = []
    after = -1
    # A chat told to wait waits as a whole, or its alerts would overtake each other.
    while len(chosen) < limit and (page := sql_queues.idle(connection, now_ms, after, platform)):
        after = page[-1][0]
        for _, chat_row in page:
            choice = _choose(connection, chat_row, None if flush else market_ms, market_ms, storm)
            if choice.ids:
                chosen.append(choice)
            if len(chosen) == limit:
                break
    if len(chosen) < limit:
        chosen += _edits(connection, now_ms, limit - len(chosen), platform)
    return _take(connection, chosen)


def _edits(connection: Connection, now_ms: int, limit: int, platform: str | None) -> list[_Choice]:
    """One edit a chat, of chats that are owed nothing else."""
    where, values = sql_queues.of_platform("d.chat", platform)
    due = connection.execute(
        "SELECT d.chat, d.id FROM deliveries d WHERE d.edit_due_at_ms <= ? "
        "AND NOT EXISTS (SELECT 1 FROM queues q WHERE q.chat = d.chat) "
        "AND NOT EXISTS (SELECT 1 FROM chats c WHERE c.id = d.chat AND c.parked IS NOT NULL) "
        f"{where}ORDER BY d.edit_due_at_ms, d.id LIMIT ?",
        (now_ms, *values, limit),
    ).fetchall()
    first = dict(reversed(due))
    return [_Choice(chat_row, Task.EDIT, [first[chat_row]]) for chat_row in dict(due)]


def settle(connection: Connection, deliveries: Sequence[Delivery], settlement: Settlement) -> None:
    chats: set[int] = set()
    for delivery in deliveries:
        found = connection.execute(
            "SELECT d.chat, d.state, e.revision FROM deliveries d JOIN events e ON e.id = d.event_id "
            f"WHERE d.id = ? AND d.{CLAIMED}",
            (delivery.delivery_id,),
        ).fetchone()
        if found is None:
            continue
        chat_row, state, newest = found
        if state == "sending":
            _settle_send(connection, delivery, settlement, newest, grouped=len(deliveries) > 1)
            chats.add(chat_row)
        else:
            _settle_edit(connection, delivery, settlement, newest)
            sql_queues.refresh(connection, chat_row)  # an edit told to wait holds no alert back
    for chat_row in chats:
        sql_queues.refresh(connection, chat_row, settlement.due_at_ms if isinstance(settlement, Later) else 0)


def _settle_send(
    connection: Connection, delivery: Delivery, settlement: Settlement, newest: int, *, grouped: bool
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


def _settle_edit(connection: Connection, delivery: Delivery, settlement: Settlement, newest: int) -> None:
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


def _set(connection: Connection, delivery: Delivery, state: str, **columns: str | int | None) -> None:
    assignments = "".join(f", {name} = ?" for name in columns)
    connection.execute(
        f"UPDATE deliveries SET state = ?{assignments} WHERE id = ?",
        (state, *(int(v) if isinstance(v, bool) else v for v in columns.values()), delivery.delivery_id),
    )


def _choose(connection: Connection, chat_row: int, hold_ms: int | None, market_ms: int | None, storm: Storm) -> _Choice:
    """What one chat is sent next; nothing while a storm's later alerts are held back."""
    pending = connection.execute(
        f"SELECT id, taken_at_ms, expires_at_ms FROM deliveries WHERE chat = ? AND {OPEN} ORDER BY id LIMIT ?",
        (chat_row, _MOST_TOGETHER),
    ).fetchall()
    if market_ms is not None:
        late = [row for row, _, expires_at_ms in pending if expires_at_ms is not None and expires_at_ms < market_ms]
        if late:
            return _Choice(chat_row, Task.EXPIRE, late)
    if digest := _digest(connection, chat_row):
        return _Choice(chat_row, Task.DIGEST, digest)
    first_ms = pending[0][1]
    (told,) = connection.execute(
        "SELECT count(*) FROM "
        "(SELECT 1 FROM deliveries WHERE chat = ? AND taken_at_ms > ? AND state = 'sent' LIMIT ?) told",
        (chat_row, first_ms - storm.within_ms, storm.more_than),
    ).fetchone()
    together = [row for row, taken_at_ms, _ in pending if taken_at_ms < first_ms + storm.within_ms]
    if told + len(together) <= storm.more_than:
        return _Choice(chat_row, Task.SEND, together[:1])
    if told >= storm.more_than and hold_ms is not None and hold_ms < first_ms + storm.within_ms:
        return _Choice(chat_row, Task.SEND, [])
    return _Choice(chat_row, Task.SEND, together)


def _digest(connection: Connection, chat_row: int) -> list[int]:
    """All that was held back for one reason and is due now, whole even if it is much."""
    held = connection.execute(
        f"SELECT id, reason FROM deliveries WHERE chat = ? AND state = 'pending' AND {_DIGESTED} ORDER BY id",
        (chat_row,),
    ).fetchall()
    return [row for row, reason in held if reason == held[0][1]]


def _take(connection: Connection, chosen: Sequence[_Choice]) -> list[Claim]:
    """All chats at once: each statement is a round trip where the database is elsewhere."""
    if not chosen:
        return []
    for state, tasks in (("sending", (Task.SEND, Task.DIGEST, Task.EXPIRE)), ("editing", (Task.EDIT,))):
        ids = [row for choice in chosen if choice.task in tasks for row in choice.ids]
        for part in _parts(ids):
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, edit_due_at_ms = NULL, "
                f"revision = (SELECT revision FROM events e WHERE e.id = event_id) WHERE id IN ({_marks(part)})",
                (state, *part),
            )
    sql_queues.occupy(connection, [(choice.chat_row, choice.ids[0]) for choice in chosen])
    deliveries: dict[int, Delivery] = {}
    for part in _parts([row for choice in chosen for row in choice.ids]):
        rows = connection.execute(
            f"SELECT d.id, platform, chat_id, {NEWEST}, reason, attempts, possible_repeat, d.revision, message_id, "
            "expires_at_ms FROM deliveries d JOIN chats c ON c.id = d.chat JOIN events e ON e.id = d.event_id "
            f"WHERE d.id IN ({_marks(part)})",
            part,
        )
        for row, platform, name, spine, reason, attempts, repeat, *rest in rows:
            event = Event.from_json(spine)
            deliveries[row] = Delivery(row, Chat(platform, name), event, reason, attempts, bool(repeat), *rest)
    claims = []
    for choice in chosen:
        taken = tuple(deliveries[row] for row in choice.ids)
        claims.append(Claim(taken[0].chat, choice.task, taken))
    return claims


def _marks(values: Sequence[int]) -> str:
    return ", ".join("?" * len(values))


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """A statement can have so many parameters."""
    return (ids[start : start + _MOST_TOGETHER] for start in range(0, len(ids), _MOST_TOGETHER))
