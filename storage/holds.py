"""Alerts held back for a digest: recorded in the outbox as ``held``, each with the time at which it falls due.

All functions run inside the caller's transaction.
"""
# ruff: noqa: S608 - only words of this file and marks are formatted into a statement; every value is bound

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from storage import sql_queues, totals
from storage.chat_rows import find, find_all
from storage.chats import Chat
from storage.outbox import Held
from storage.sql import Connection, Cursor, listed, parts


def hold_new(connection: Connection, rows: Sequence[tuple[str, int | None, str, int]]) -> None:
    """Note until when deliveries are held that were just added as such, or were before: (reason, until, the event's
    key, chat).
    One that was released meanwhile is not held again."""
    connection.executemany(
        "INSERT INTO holds (reason, until_ms, event_id, chat) SELECT ?, ?, event_id, chat FROM deliveries "
        "WHERE event_id = (SELECT id FROM events WHERE key = ?) AND chat = ? AND state = 'held' ON CONFLICT DO NOTHING",
        rows,
    )


def due(connection: Connection, market_ms: int) -> list[Held]:
    """What is due by ``market_ms``. What is held for the same reason comes with it even if it falls due later (the
    hours were changed meanwhile), or a chat would get two digests."""
    rows = connection.execute(
        "SELECT DISTINCT c.platform, c.chat_id, h.reason, e.market "
        "FROM (SELECT DISTINCT chat, reason FROM holds WHERE until_ms <= ?) due "
        "JOIN holds h ON h.chat = due.chat AND h.reason = due.reason JOIN chats c ON c.id = h.chat "
        "JOIN events e ON e.id = h.event_id ORDER BY c.platform, c.chat_id, h.reason, e.market",
        (market_ms,),
    ).fetchall()
    return [Held(Chat(platform, name), reason, market) for platform, name, reason, market in rows]


def release(connection: Connection, held: Sequence[Held]) -> None:
    """Owe it, as one digest for each chat and reason."""
    for chat_row, _, reason, markets in _by_reason(connection, held):
        _end(connection, chat_row, reason, markets, "state = 'pending', due_at_ms = 0")
        sql_queues.renew(connection, chat_row)


def drop(connection: Connection, held: Sequence[Held], note: str) -> None:
    """It is told no more, for the reason in ``note``."""
    ended = [
        (platform, _end(connection, chat_row, reason, markets, "state = 'expired', note = ?", note))
        for chat_row, platform, reason, markets in _by_reason(connection, held)
    ]
    expired: Counter[tuple[str, str]] = Counter()
    for platform, answer in ended:
        expired[platform, "expired"] += answer.rowcount
    totals.add(connection, totals.DELIVERIES, expired)


def _by_reason(connection: Connection, held: Sequence[Held]) -> Iterator[tuple[int, str, str, Sequence[tuple[str]]]]:
    """(chat's row, platform, reason, markets), as many markets as `listed` takes, of chats that are known."""
    rows = find_all(connection, sorted({one.chat for one in held}))
    markets: defaultdict[tuple[Chat, str], list[tuple[str]]] = defaultdict(list)
    for one in held:
        if one.chat in rows:
            markets[one.chat, one.reason].append((one.market,))
    for (chat, reason), names in markets.items():
        yield from ((rows[chat], chat.platform, reason, some) for some in parts(names))


def _end(
    connection: Connection, chat_row: int, reason: str, markets: Sequence[tuple[str]], becomes: str, *values: str
) -> Cursor:
    """Held no longer; its `rowcount` is how many that were."""
    marks, names = listed(markets)
    which = (
        "(SELECT h.event_id FROM holds h JOIN events e ON e.id = h.event_id "
        f"WHERE h.chat = ? AND h.reason = ? AND e.market IN ({marks}))"
    )
    changed = connection.execute(
        f"UPDATE deliveries SET {becomes} WHERE chat = ? AND state = 'held' AND event_id IN {which}",
        (*values, chat_row, chat_row, reason, *names),
    )
    connection.execute(
        f"DELETE FROM holds WHERE chat = ? AND event_id IN {which}", (chat_row, chat_row, reason, *names)
    )
    return changed


def put_off(connection: Connection, chat: Chat, reason: str, until_ms: int) -> int:
    """What is held for ``reason`` falls due then; how many there are."""
    update = "UPDATE holds SET until_ms = ? WHERE chat = ? AND reason = ?"
    return int(connection.execute(update, (until_ms, find(connection, chat), reason)).rowcount)


def told_since(connection: Connection, chat: Chat, since_ms: int) -> Mapping[tuple[str, str], int]:
    """Alerts decided for the chat since then and not held back, by (market, subject)."""
    rows = connection.execute(
        "SELECT e.market, e.subject, count(*) FROM deliveries d JOIN events e ON e.id = d.event_id "
        "WHERE d.chat = ? AND d.taken_at_ms >= ? AND d.reason NOT IN ('quiet', 'capped') GROUP BY e.market, e.subject",
        (find(connection, chat), since_ms),
    ).fetchall()
    return {(market, subject): int(n) for market, subject, n in rows}
