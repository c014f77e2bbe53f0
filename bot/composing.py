"""From what a chat is owed to the words of one message, without charts."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from bot.message import POSSIBLE_REPEAT, Message, from_event, grouped
from bot.policy import Reason
from detectors.event import Event, Severity
from detectors.market import MINUTE_MS
from storage.chat_settings import Sound
from storage.conversations import Context
from storage.outbox import Delivery, Task

_DIGESTS = {Reason.QUIET: "While it was quiet", Reason.CAPPED: "Held back by the daily cap"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery as the composer sees it. ``event`` has its evidence where it goes out alone."""

    event: Event
    reason: str
    late_by_ms: int | None
    possible_repeat: bool


Compose = Callable[[Task, Sequence[Notice]], Awaitable[Message]]
"""SEND or EDIT of one notice: its message with its chart. SEND of several: one grouped message. EXPIRE, DIGEST: one
summary."""


def words(task: Task, notices: Sequence[Notice]) -> Message:
    """The message of a claim, without charts."""
    messages = [from_event(n.event, n.reason, n.late_by_ms, n.possible_repeat) for n in notices]
    if len(notices) == 1 and task in {Task.SEND, Task.EDIT}:
        return messages[0]
    times = [notice.event.taken_at_ms for notice in notices]
    group = grouped(messages, max(MINUTE_MS, max(times) - min(times)))
    if any(notice.possible_repeat for notice in notices):
        group = replace(group, footer=(POSSIBLE_REPEAT, *group.footer))
    alerts = f"{len(notices)} alert{'s' * (len(notices) > 1)}"
    if task is Task.EXPIRE:
        group = replace(group, title=f"Too late to send in full: {alerts}")
    if task is Task.DIGEST:
        why = _DIGESTS.get(Reason(notices[0].reason), "Held back")
        group = replace(group, title=f"{why}: {alerts}")
    return group


def in_context(message: Message, context: Context, notices: Sequence[Notice]) -> Message:
    """The message as one chat gets it: with or without a sound, and as an answer to what it was told before."""
    severe = max(notice.event.severity for notice in notices) >= Severity.WARNING
    silent = context.settings.sound is Sound.NONE or (context.settings.sound is Sound.SEVERE and not severe)
    return replace(message, silent=message.silent or silent, reply_to=context.earlier_message_id)


def nonce(deliveries: Sequence[Delivery]) -> str:
    """A hash of the deliveries (alert and chat), 24 characters, for platforms that refuse a repeat by themselves."""
    return hashlib.sha256("\n".join(delivery.key for delivery in deliveries).encode()).hexdigest()[:24]
