"""What chats were told about one subject: for deciding and for answering earlier messages.

All functions run inside the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.event import Event
from storage.chat_settings import USUAL, ChatSettings, load_one
from storage.chats import Chat, LastAlert
from storage.outbox import Claim
from storage.sql import Connection


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
    """One for each claim, in their order."""
    return [Context(load_one(connection, claim.chat), _earlier(connection, claim)) for claim in claims]


def _earlier(connection: Connection, claim: Claim) -> str | None:
    if len(claim.deliveries) != 1:
        return None
    delivery = claim.deliveries[0]
    event = delivery.event
    found = connection.execute(
        "SELECT o.message_id FROM events e JOIN deliveries o ON o.event_id = e.id "
        "JOIN deliveries own ON own.chat = o.chat "
        "WHERE e.market = ? AND e.subject = ? AND e.kind <> ? AND e.taken_at_ms <= ? AND own.id = ? "
        "AND o.state = 'sent' AND o.message_id IS NOT NULL ORDER BY e.taken_at_ms DESC, e.id DESC LIMIT 1",
        (event.market, event.subject, event.kind, event.taken_at_ms, delivery.delivery_id),
    ).fetchone()
    return str(found[0]) if found else None
