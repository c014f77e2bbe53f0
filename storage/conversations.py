"""What chats were told about one subject: for deciding and for answering earlier messages.

All functions run inside the caller's transaction.
"""
# ruff: noqa: S608 - only marks are formatted into a statement; every value is bound

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.event import Event
from storage.chat_settings import USUAL, ChatSettings, load
from storage.chats import Chat, LastAlert
from storage.outbox import Claim
from storage.sql import Connection, listed, parts


@dataclass(frozen=True, slots=True)
class Context:
    """What a message depends on beside its alert: the chat's settings, and the message it answers."""

    settings: ChatSettings = USUAL
    earlier_message_id: str | None = None
    """The last message in that chat about the same subject from another kind."""


def last_told_all(connection: Connection, kind: str, market: str, subject: str, arming: int) -> dict[Chat, LastAlert]:
    """Of every chat: the newest alert decided for it in this conversation, whether or not it arrived."""
    rows = connection.execute(
        "SELECT c.platform, c.chat_id, d.reason, e.spine FROM events e JOIN deliveries d ON d.event_id = e.id "
        "JOIN chats c ON c.id = d.chat WHERE e.kind = ? AND e.market = ? AND e.subject = ? AND e.arming = ? "
        "ORDER BY e.taken_at_ms, e.id",
        (kind, market, subject, arming),
    ).fetchall()
    events: dict[str, Event] = {}
    found: dict[Chat, LastAlert] = {}
    for platform, name, reason, spine in rows:
        event = events.setdefault(spine, Event.from_json(spine)) if spine not in events else events[spine]
        found[Chat(platform, name)] = LastAlert(reason, event.taken_at_ms, event.rung, event.notional_usd)
    return found


def contexts(connection: Connection, claims: Sequence[Claim]) -> list[Context]:
    """One for each claim, in their order. The number of statements does not depend on the number of claims."""
    settings = load(connection, [claim.chat for claim in claims])
    earlier = _earlier(connection, [claim.deliveries[0].delivery_id for claim in claims if len(claim.deliveries) == 1])
    return [
        Context(
            settings.get(one.chat, USUAL),
            earlier.get(one.deliveries[0].delivery_id) if len(one.deliveries) == 1 else None,
        )
        for one in claims
    ]


def _earlier(connection: Connection, delivery_ids: Sequence[int]) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for part in parts(delivery_ids):
        marks, values = listed([(one,) for one in part])
        rows = connection.execute(
            "SELECT own.id, (SELECT o.message_id FROM events e JOIN deliveries o ON o.event_id = e.id "
            "WHERE e.market = mine.market AND e.subject = mine.subject AND e.kind <> mine.kind "
            "AND e.taken_at_ms <= mine.taken_at_ms AND o.chat = own.chat AND o.state = 'sent' "
            "AND o.message_id IS NOT NULL ORDER BY e.taken_at_ms DESC, e.id DESC LIMIT 1) "
            f"FROM deliveries own JOIN events mine ON mine.id = own.event_id WHERE own.id IN ({marks})",
            values,
        )
        found.update(rows.fetchall())
    return found
