"""What each chat is sent next. All functions run inside the caller's transaction.

The number of statements does not depend on the number of chats: each is a round trip where the database is elsewhere.
"""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections.abc import Sequence
from dataclasses import dataclass, field

from detectors.event import Event
from storage import sql_queues
from storage.chats import Chat
from storage.outbox import STORM, Claim, Delivery, Storm, Task
from storage.sql import Connection, Cursor, listed, parts
from storage.sql_alerts import NEWEST
from storage.sql_queues import OPEN

_MOST_TOGETHER = 500
_PAGE = 64
_NEVER_MS = -(2**62)
_ALL = 2**62
_DIGESTED = "reason IN ('quiet', 'capped')"


@dataclass(frozen=True, slots=True)
class _Choice:
    """What one chat is to be sent."""

    chat_row: int
    task: Task
    ids: list[int]


@dataclass(slots=True)
class _Owed:
    """What one chat is owed: its oldest alert, those within the storm after it, those that are late."""

    chat_row: int
    head: int
    first_ms: int = 0
    told: int = 0
    """Alerts it was told within the storm before, up to as many as make one."""
    together: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    digest: list[int] = field(default_factory=list)
    tried: set[int] = field(default_factory=set)
    """Those of the last message that may have arrived; a chat never has two of them."""

    def again(self, ids: list[int]) -> list[int]:
        """Those of ``ids`` that were tried together, so that the same message is recognised; all where none was."""
        return [row for row in ids if row in self.tried] or ids


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
    hold_ms = None if flush else market_ms
    chosen: list[_Choice] = []
    after, page = -1, limit
    asked: Cursor | None = sql_queues.parked(connection)
    # A chat told to wait waits as a whole, or its alerts would overtake each other.
    while len(chosen) < limit:
        owed = _owed(connection, (now_ms, after, page), platform, market_ms, storm)
        if asked is not None and (parked := asked.fetchall()):
            sql_queues.bury(connection, parked)
            owed = _owed(connection, (now_ms, after, page), platform, market_ms, storm)
        asked = None
        choices = [_choose(one, hold_ms, storm) for one in owed]
        chosen += [choice for choice in choices if choice.ids][: limit - len(chosen)]
        if len(owed) < page:
            break
        after, page = owed[-1].head, max(limit, _PAGE)
    if len(chosen) < limit:
        chosen += _edits(connection, now_ms, limit - len(chosen), platform)
    return _take(connection, chosen)


def warm_up(connection: Connection) -> None:
    """Claim what was due before all time, which is nothing: a server plans what it has not been asked yet for
    milliseconds, and the first claim of a start is of all that waited for it."""
    claim(connection, _NEVER_MS, 1, None, STORM, flush=False, platform=None)


def _owed(
    connection: Connection, idle: tuple[int, int, int], platform: str | None, market_ms: int | None, storm: Storm
) -> list[_Owed]:
    """What the next chats are owed, oldest first. ``idle``: (now, behind which head, how many chats)."""
    now_ms, after, chats = idle
    query, of_platform = sql_queues.idle(platform)
    values = (now_ms, after, *of_platform, chats)
    late_ms = _NEVER_MS if market_ms is None else market_ms
    rows = connection.execute(
        f"WITH idle AS MATERIALIZED ({query}), page AS MATERIALIZED (SELECT i.chat, i.head, f.taken_at_ms AS first_ms, "
        "(SELECT count(*) FROM (SELECT 1 FROM deliveries s WHERE s.chat = i.chat AND s.taken_at_ms > f.taken_at_ms - ? "
        "AND s.taken_at_ms < f.taken_at_ms + ? AND s.state = 'sent' LIMIT ?) told) AS told, "
        "coalesce((SELECT l.id FROM deliveries l WHERE l.chat = i.chat "
        f"AND l.{OPEN} ORDER BY l.id LIMIT 1 OFFSET ?), ?) AS last "
        "FROM idle i JOIN deliveries f ON f.id = i.head) "
        "SELECT p.chat, p.head, p.first_ms, p.told, d.id, d.possible_repeat, d.taken_at_ms < p.first_ms + ?, "
        "d.expires_at_ms "
        f"FROM page p JOIN deliveries d ON d.chat = p.chat AND d.{OPEN} AND d.id <= p.last "
        "WHERE d.taken_at_ms < p.first_ms + ? OR d.expires_at_ms < ? ORDER BY p.head, d.id",
        (
            *values,
            storm.within_ms,
            storm.within_ms,
            storm.more_than,
            _MOST_TOGETHER - 1,
            _ALL,
            storm.within_ms,
            storm.within_ms,
            late_ms,
        ),
    )
    digests = connection.execute(
        f"SELECT i.chat, d.id, d.possible_repeat, d.reason FROM ({query}) i JOIN deliveries d ON d.chat = i.chat "
        f"WHERE d.state = 'pending' AND d.{_DIGESTED} ORDER BY i.chat, d.id",
        values,
    )
    found: dict[int, _Owed] = {}
    for chat_row, head, first_ms, told, row, was_tried, is_together, expires_at_ms in rows.fetchall():
        one = found.get(chat_row)
        if one is None:
            one = found[chat_row] = _Owed(chat_row, head, first_ms, told)
        one.tried |= {row} if was_tried else set()
        if is_together:
            one.together.append(row)
        if expires_at_ms is not None and expires_at_ms < late_ms:
            one.late.append(row)
    reasons: dict[int, str] = {}
    for chat_row, row, was_tried, reason in digests.fetchall():
        # All that was held back for one reason and is due now, whole even if it is much.
        if reasons.setdefault(chat_row, reason) == reason:
            found[chat_row].digest.append(row)
            found[chat_row].tried |= {row} if was_tried else set()
    return list(found.values())


def _choose(owed: _Owed, hold_ms: int | None, storm: Storm) -> _Choice:
    """What one chat is sent next; nothing while a storm's later alerts are held back."""
    if owed.late:
        return _Choice(owed.chat_row, Task.EXPIRE, owed.again(owed.late))
    if owed.digest:
        return _Choice(owed.chat_row, Task.DIGEST, owed.again(owed.digest))
    if owed.tried.intersection(owed.together):
        return _Choice(owed.chat_row, Task.SEND, owed.again(owed.together))
    if owed.told + len(owed.together) <= storm.more_than:
        return _Choice(owed.chat_row, Task.SEND, owed.together[:1])
    if owed.told >= storm.more_than and hold_ms is not None and hold_ms < owed.first_ms + storm.within_ms:
        return _Choice(owed.chat_row, Task.SEND, [])
    return _Choice(owed.chat_row, Task.SEND, owed.together)


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


def _take(connection: Connection, chosen: Sequence[_Choice]) -> list[Claim]:
    """All chats at once."""
    if not chosen:
        return []
    ids = [row for choice in chosen for row in choice.ids]
    for state, tasks in (("sending", (Task.SEND, Task.DIGEST, Task.EXPIRE)), ("editing", (Task.EDIT,))):
        for part in parts([row for choice in chosen if choice.task in tasks for row in choice.ids]):
            marks, values = listed([(row,) for row in part])
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, edit_due_at_ms = NULL, "
                f"revision = (SELECT revision FROM events e WHERE e.id = event_id) WHERE id IN ({marks})",
                (state, *values),
            )
    sql_queues.occupy(connection, [(choice.chat_row, choice.ids[0]) for choice in chosen])
    deliveries: dict[int, Delivery] = {}
    events: dict[str, Event] = {}
    for part in parts(ids):
        marks, values = listed([(row,) for row in part])
        rows = connection.execute(
            f"SELECT d.id, platform, chat_id, {NEWEST}, reason, attempts, possible_repeat, d.revision, message_id, "
            "expires_at_ms, late_by_ms "
            "FROM deliveries d JOIN chats c ON c.id = d.chat JOIN events e ON e.id = d.event_id "
            f"WHERE d.id IN ({marks})",
            values,
        )
        for row, platform, name, spine, reason, attempts, repeat, *rest in rows:
            if (event := events.get(spine)) is None:  # many chats are owed one event: ten kilobytes each time
                event = events[spine] = Event.from_json(spine)
            deliveries[row] = Delivery(row, Chat(platform, name), event, reason, attempts, bool(repeat), *rest)
    claims = []
    for choice in chosen:
        taken = tuple(deliveries[row] for row in choice.ids)
        claims.append(Claim(taken[0].chat, choice.task, taken))
    return claims
