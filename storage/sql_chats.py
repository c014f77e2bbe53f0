"""Chats and subscriptions. All functions run inside the caller's transaction."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from detectors.event import Event, Severity
from storage.chat_rows import find
from storage.chats import Chat, LastAlert, Subscription, Watch
from storage.errors import QuotaExceeded
from storage.sql import Connection, listed, parts


def chat_row(connection: Connection, chat: Chat) -> int:
    """The chat's row, made on first sight."""
    found = find(connection, chat)
    if found is None:
        insert = "INSERT INTO chats (platform, chat_id) VALUES (?, ?) RETURNING id"
        (found,) = connection.execute(insert, (chat.platform, chat.chat_id)).fetchone()
    return int(found)


def watch(connection: Connection, chat: Chat, subscription: Subscription, limit: int) -> None:
    row = chat_row(connection, chat)
    connection.execute("UPDATE chats SET parked = NULL WHERE id = ?", (row,))
    connection.execute(
        "INSERT INTO subscriptions VALUES (?, ?, ?) "
        "ON CONFLICT (chat, market) DO UPDATE SET document = excluded.document",
        (row, subscription.market, _pack(subscription)),
    )
    (n,) = connection.execute("SELECT count(*) FROM subscriptions WHERE chat = ?", (row,)).fetchone()
    if n > limit:
        raise QuotaExceeded(limit)


def unwatch(connection: Connection, chat: Chat, market: str | None) -> int:
    which, values = ("AND market = ?", (market,)) if market is not None else ("", ())
    return connection.execute(
        f"DELETE FROM subscriptions WHERE chat = ? {which}", (find(connection, chat), *values)
    ).rowcount


def subscriptions(connection: Connection, chats: Sequence[Chat]) -> list[Watch]:
    select = "SELECT platform, chat_id, document, muted_until_ms FROM subscriptions JOIN chats ON chats.id = chat WHERE"
    rows: list[tuple[str, str, str, int | None]] = []
    if not chats:
        rows = connection.execute(f"{select} parked IS NULL ORDER BY chats.id").fetchall()
    for part in parts([(chat.platform, chat.chat_id) for chat in chats]):
        marks, values = listed(part)
        named = f"{select} (platform, chat_id) IN ({marks}) ORDER BY chats.id"
        rows += connection.execute(named, values).fetchall()
    watches = [Watch(Chat(platform, name), _unpack(document), muted) for platform, name, document, muted in rows]
    order = {chat: n for n, chat in enumerate(dict.fromkeys(watch.chat for watch in watches))}
    # Databases sort text by their own rules.
    return sorted(watches, key=lambda watch: (order[watch.chat], watch.subscription.market))


def mute(connection: Connection, chat: Chat, until_ms: int | None) -> None:
    connection.execute("UPDATE chats SET muted_until_ms = ? WHERE id = ?", (until_ms, chat_row(connection, chat)))


def park(connection: Connection, chat: Chat, reason: str) -> None:
    connection.execute("UPDATE chats SET parked = ? WHERE id = ?", (reason, chat_row(connection, chat)))


def last_told(connection: Connection, chat: Chat, conversation: tuple[str, str, str, int]) -> LastAlert | None:
    """``conversation`` is (kind, market, subject, arming)."""
    found = connection.execute(
        "SELECT reason, spine FROM deliveries JOIN events ON events.id = event_id "
        "WHERE chat = ? AND kind = ? AND market = ? AND subject = ? AND arming = ? "
        "ORDER BY events.taken_at_ms DESC, events.id DESC LIMIT 1",
        (find(connection, chat), *conversation),
    ).fetchone()
    if found is None:
        return None
    event = Event.from_json(found[1])
    return LastAlert(found[0], event.taken_at_ms, event.rung, event.notional_usd)


def _pack(subscription: Subscription) -> str:
    document = asdict(subscription)
    document["kinds"] = None if subscription.kinds is None else sorted(subscription.kinds)
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _unpack(text: str) -> Subscription:
    document: dict[str, Any] = json.loads(text)
    document["kinds"] = None if document["kinds"] is None else frozenset(document["kinds"])
    document["min_severity"] = Severity(document["min_severity"])
    return Subscription(**document)
