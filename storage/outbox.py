"""Rows of the outbox: what is owed to which chat, and how it was settled.

held ──release──> pending (quiet hours, a daily cap); ──drop──> expired (watched no more)

pending ──claim──> sending ──Sent──> sent ──(event revised)──> editing ──> sent
   ^                  ├──Later──> pending again, at a later time
   └──(crash: back,   ├──Dead──> dead
       possible       └──Expired──> expired
       repeat)
"""

from dataclasses import dataclass
from enum import StrEnum

from detectors.event import Event
from storage.chats import Chat


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    EDITING = "editing"
    HELD = "held"
    DEAD = "dead"
    EXPIRED = "expired"


class Task(StrEnum):
    """What a claim asks for."""

    SEND = "send"
    """One message; more than one delivery: one grouped message."""
    DIGEST = "digest"
    """One message for what was held back for one reason."""
    EXPIRE = "expire"
    """Too late to be of use: say so once for all of them, then settle each as expired."""
    EDIT = "edit"
    """The event was completed after the message went out."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert owed to one chat. ``event`` is its newest revision, without the evidence."""

    delivery_id: int
    chat: Chat
    event: Event
    reason: str
    attempts: int
    """How often it was claimed, this time included."""
    possible_repeat: bool
    """An earlier attempt may have reached the chat."""
    revision: int
    message_id: str | None
    expires_at_ms: int | None
    late_by_ms: int | None = None
    """How long after its event the message went out, as the message said; None: it did not, or has not gone out."""

    @property
    def alert_id(self) -> str:
        return self.event.key

    @property
    def key(self) -> str:
        """The same in every run over the same data, unlike ``delivery_id``."""
        return f"{self.alert_id}>{self.chat}"


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """What one chat is to be told of one market in a digest, for one reason."""

    chat: Chat
    reason: str
    market: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What one chat is to be sent now, as one message. Nothing else of that chat is claimed until it is settled."""

    chat: Chat
    task: Task
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Storm:
    """More than ``more_than`` alerts for a chat within ``within_ms`` of market time become one grouped message."""

    more_than: int = 5
    within_ms: int = 60_000


STORM = Storm()


@dataclass(frozen=True, slots=True)
class Sent:
    message_id: str
    late_by_ms: int | None = None
    """See `Delivery`; an edit changes nothing of it."""


@dataclass(frozen=True, slots=True)
class Later:
    """Not before ``due_at_ms`` by the clock that `Store.claim` is given.

    ``ambiguous``: the message may have arrived all the same.
    """

    due_at_ms: int
    reason: str
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Never: the chat or the platform refuses this message for good. For an edit, the message stays as it was."""

    reason: str


@dataclass(frozen=True, slots=True)
class Expired:
    reason: str


Settlement = Sent | Later | Dead | Expired
