"""The seam between the bot and its chats: what a platform is, what it asks, and what it may be told.

A platform turns what people type or press into a `Request` with one line of text, and shows the `Message` that answers
it in its own manner. It knows no command; `bot.commands` knows no platform.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from bot.deliver import Platform
from bot.message import Message
from storage.chats import Chat


class Place(StrEnum):
    """What kind of chat a request comes from, and so who may change its subscriptions."""

    PRIVATE = "private"
    """Whoever is there."""
    GROUP = "group"
    """Its admins."""
    CHANNEL = "channel"
    """Its admins: only they can post there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether somebody may change a chat's subscriptions; ``why`` says why not, with what would help."""

    allowed: bool
    why: str = ""


ALLOWED = Verdict(allowed=True)


@dataclass(frozen=True, slots=True)
class Request:
    """One command, typed or pressed.

    ``may_change`` asks the platform, anew each time, and is called only for a command that changes something.
    ``user_id`` is the platform's own name for who asks; None where it does not say (a post in a channel).
    ``elsewhere`` finds another chat by what its admin calls it (``@channel``, a link, an id) and gives the request
    with that chat in place of this one, permission included; None where the platform has no such thing or nothing
    was found. Both raise PlatformError where the platform cannot be asked.
    """

    chat: Chat
    text: str
    place: Place
    may_change: Callable[[], Awaitable[Verdict]]
    user_id: str | None = None
    pressed: bool = False
    """A button or menu was pressed: the answer may take the place of the message it belongs to."""
    elsewhere: Callable[[str], Awaitable["Request | None"]] | None = None


Handle = Callable[[Request], Awaitable[Message]]
"""A request to its answer, which comes after the commit. Never raises for what a user typed."""


class Choices(StrEnum):
    """Where the words come from that an option can be completed with."""

    MARKET = "market"
    WATCHED = "watched"
    KIND = "kind"
    BUILD_CLASS = "build_class"
    VENUE = "venue"
    TIME_ZONE = "time_zone"


@dataclass(frozen=True, slots=True)
class Option:
    """One part of a command. A platform with forms (Discord) asks for it by ``name`` and writes ``prefix`` and value
    into the line of text; where everything is typed (Telegram), ``usage`` shows it."""

    name: str
    says: str
    required: bool = False
    prefix: str = ""
    """Such as ``within``: ``within 3%``."""
    choices: Choices | None = None


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """What a platform needs to offer a command: its menu entry, its form, its permission."""

    name: str
    usage: str
    says: str
    options: tuple[Option, ...] = ()
    changes: bool = False
    """It changes what the chat gets: a platform may offer it to admins alone. `Request.may_change` decides."""


Suggest = Callable[[Chat, Choices, str], Awaitable[Sequence[str]]]
"""Words that complete what was typed so far, best first, at most 25."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of ``python -m bot check``."""

    what: str
    ok: bool
    says: str
    fix: str = ""


class Upkeep(Protocol):
    """What a platform tells of its chats by itself. Each returns after the commit; a repeat does nothing.

    Raises StoreUnavailable.
    """

    async def gone(self, chats: Sequence[Chat], reason: str) -> None:
        """The bot was removed or the chats deleted: they are parked, with their topics (``ID/...``). ``reason`` says
        what happened. A chat that never asked for anything leaves no trace. All are of one platform."""

    async def back(self, chats: Sequence[Chat]) -> None:
        """The bot was added again: parked chats are served again, with their topics. All are of one platform."""

    async def moved(self, old: Chat, new: Chat) -> None:
        """The chat has another id now: what it watches and what it is owed move with it."""


class ChatPlatform(Platform, Protocol):
    """A platform with people in it. Its life: ``start``, ``run`` until cancelled or Fatal, ``stop``.

    Trouble that may pass (no network, a platform that is down) never leaves ``start`` or ``run``: it is retried with
    growing waits and told by ``condition``. Fatal (a token refused, a fatal close code) does, and ends the process.
    """

    async def start(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest, upkeep: Upkeep) -> None:
        """Be ready to send. Returns at once; connecting goes on in ``run``."""

    async def run(self) -> None:
        """Receive until cancelled. Raises Fatal."""

    async def stop(self) -> None:
        """Stop receiving, finish answering, close; within 3 seconds. Twice does nothing."""

    @property
    def condition(self) -> str:
        """One sentence for ``/status``: connected, or since when and why not."""

    async def check(self) -> Sequence[CheckRow]:
        """Token, rights and what the bot can reach, without starting. Never raises."""

    @property
    def invite(self) -> str | None:
        """The link by which the bot is added, printed at the start; None until it is known."""


@runtime_checkable
class ChecksChats(Protocol):
    """A platform that can say of chats whether the bot can still write there."""

    async def check_chats(self, chat_ids: Sequence[str]) -> Sequence[CheckRow]:
        """One row for all that is well, and one for each that is not, without starting. Never raises."""
