"""The store: whole use-cases, async, with no SQL above them. A backend implements `Store` and nothing else.

Every method that writes is one transaction, and a repeat of it adds nothing. A store is made for one kind of source
(recorded, simulated, live): its database takes the first kind it sees and refuses the others.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from detectors.chance import Chance
from detectors.event import Event
from detectors.market import MarketSnapshot, PrintGap
from detectors.scoring import Scored
from detectors.series import MarketSeries
from storage.chat_settings import ChatSettings
from storage.chats import Chat, LastAlert, Subscription, Watch
from storage.conversations import Context
from storage.fits import StoredFit
from storage.market_facts import StoredReach, StoredTiers
from storage.outbox import STORM, Claim, Delivery, Held, Settlement, Storm

ALWAYS_MS = 2**53
"""Later than any time in milliseconds."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """The decision to tell one chat, and why."""

    chat: Chat
    reason: str
    expires_at_ms: int | None = None
    """Market time after which telling is of no use; None: never."""
    hold_until_ms: int | None = None
    """Not to be sent before this market time, and then in one digest with all else that is held for this reason."""


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An event that at least one chat is told of. The event's evidence is kept with it."""

    event: Event
    deliveries: tuple[NewDelivery, ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """The decision not to tell a chat. Only counted, by day."""

    chat: Chat
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class TickCommit:
    """Everything that one snapshot of one market led to.

    ``events`` are all that were seen, alerts' events included. ``completed`` are events stored before, with the
    same key and newer facts: each becomes a revision, and messages about it are edited.
    """

    snapshot: MarketSnapshot
    state: bytes | None = None
    """Tracker and kinds' memory after this snapshot; None keeps the one stored."""
    events: tuple[Event, ...] = ()
    alerts: tuple[NewAlert, ...] = ()
    silences: tuple[Silence, ...] = ()
    completed: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """How many rows were new; all 0 for a repeat."""

    snapshots: int = 0
    events: int = 0
    alerts: int = 0
    deliveries: int = 0
    revisions: int = 0

    def __add__(self, other: "Committed") -> "Committed":
        return Committed(
            self.snapshots + other.snapshots,
            self.events + other.events,
            self.alerts + other.alerts,
            self.deliveries + other.deliveries,
            self.revisions + other.revisions,
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A market's map as it was after the bar that opened at ``bar_opened_at_ms``."""

    bar_opened_at_ms: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last snapshot committed, and the last bar (None before the first)."""

    taken_at_ms: int
    bar_opened_at_ms: int | None


@dataclass(frozen=True, slots=True)
class StoredMarket:
    """What a start-up finds. All None for a market never seen."""

    checkpoint: Checkpoint | None = None
    state: bytes | None = None
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert kept. ``event`` is as it was first seen; ``newest`` has what completed it later."""

    alert_id: str
    event: Event
    newest: Event
    reason: str
    """Why the chat asked about was told; without a chat, why the first one was."""


@dataclass(frozen=True, slots=True)
class Counts:
    """For ``/status``. ``refusals`` is by (market, reason), ``silences`` by reason."""

    by_platform: Mapping[str, Mapping[str, int]]
    """Deliveries by platform and state."""
    oldest_pending: Mapping[str, int]
    """By platform that owes something: market time of its oldest alert not settled yet."""
    last_alert_ms: int | None
    parked: Mapping[Chat, str]
    """With why; without those that have another id now."""
    refusals: Mapping[tuple[str, str], int]
    silences: Mapping[str, int]
    events: Mapping[str, int]
    """By kind."""
    heartbeat_at_ms: int | None

    @property
    def deliveries(self) -> Mapping[str, int]:
        """By state, over all platforms."""
        total: Counter[str] = Counter()
        for states in self.by_platform.values():
            total.update(states)
        return dict(total)

    @property
    def oldest_pending_ms(self) -> int | None:
        return min(self.oldest_pending.values(), default=None)


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening found and did; ``notes`` are sentences for the operator, empty when all was well."""

    created: bool
    returned: int
    """Deliveries that were being sent when the process ended; now pending, as possible repeats."""
    notes: tuple[str, ...] = ()


class Store(Protocol):
    """Errors: `storage.errors.StoreError` and its kinds; each method that can raise one says so."""

    standing_by: bool
    """Another process leads, and this one waits in `lead`."""

    async def lead(self) -> None:
        """Wait until no other process works with the database; nothing is made or changed. `open` does it too.

        Raises StoreUnavailable for a database that is not there at first; one that goes away while another process
        leads is waited for, and `condition` says so.
        """

    async def open(self) -> Opened:
        """Ready the store: check, restore, migrate, bind to the source, return unfinished deliveries.

        Raises WrongSource, DatabaseLost, NotOurs.
        """

    async def close(self) -> None:
        """Finish what is being written. Closing twice does nothing."""

    @property
    def condition(self) -> str | None:
        """What the operator should know of the store, for ``/status``; None when all is well."""

    async def backup(self) -> str | None:
        """Make a backup, keep the newest three; its place, or None where the store is temporary."""

    # -- markets

    async def commit_tick(self, tick: TickCommit) -> Committed:
        """One tick in one transaction. A snapshot stored before changes neither state, cursor nor silences.

        The first stored bar wins: one with the same open time is never stored again. Raises ValueError for a
        number that is not finite.
        """

    async def commit_ticks(self, ticks: Sequence[TickCommit]) -> Committed:
        """Several ticks in one transaction, in order, for replays. `last_told` sees only what is committed."""

    async def save_checkpoint(self, market: str, bar_opened_at_ms: int, blob: bytes) -> None:
        """Replace the market's map by that of a bar committed before. Raises ValueError for any other bar."""

    async def load_market(self, market: str) -> StoredMarket: ...

    async def snapshots_since(self, market: str, bar_opened_at_ms: int | None) -> Sequence[MarketSnapshot]:
        """The snapshots committed after the one with that bar, exactly as they were and in that order; None: all kept.

        Looks between bars that carried a price alone are kept back to the last checkpoint only.
        """

    async def snapshots_page(self, market: str, after_ms: int | None, limit: int) -> Sequence[MarketSnapshot]:
        """The same in parts: up to ``limit`` snapshots after the last bar that opened at or before that time, cut
        behind a bar; empty at the end of the last stored bar. None: from the first. ``limit``: more than the looks
        that may lie between two bars.
        """

    async def put_before(
        self, market: str, snapshots: Sequence[MarketSnapshot], *, asked_from_ms: int, state: bytes | None = None
    ) -> int:
        """Put bars before all that is stored of a market, oldest first; how many were new.

        The venues were asked from ``asked_from_ms`` on, which is kept even where they had nothing. ``state``, unless
        None, takes the stored one's place; the checkpoint, of the shorter series, goes where something was new. Raises
        ValueError for a snapshot that is no bar, or not older than the first one stored.
        """

    async def reach(self, market: str) -> StoredReach:
        """How far back a market's past goes."""

    async def note_tiers(self, market: str, tiers: StoredTiers) -> None:
        """Keep the leverage tiers a market's estimate is made with."""

    async def tiers(self) -> Mapping[str, StoredTiers]:
        """By market."""

    async def note_fit(self, market: str, fit: StoredFit) -> None:
        """Keep a fit of leverage weights for good; the same again only says from when on it applies."""

    async def fits(self, market: str) -> Sequence[StoredFit]:
        """Oldest first, those that are not used included."""

    async def note_refusals(self, market: str, counts: Mapping[str, int]) -> None:
        """Add to the counters of input refused, by reason."""

    async def note_gaps(self, gaps: Sequence[PrintGap]) -> None:
        """Keep when liquidations may have been missed; the same again adds nothing, and the first end stays.

        An open gap is ended by the next one of its venue (of its market there, where it is of one alone) where nobody
        ended it: the process was killed meanwhile.
        """

    async def gaps(self, since_ms: int = 0) -> Sequence[PrintGap]:
        """Those that last or ended after ``since_ms``, by their start."""

    # -- outcomes

    async def to_judge(self, market: str, taken_until_ms: Mapping[str, int]) -> Sequence[Event]:
        """A market's alerts, delivered or not, of which nothing is known yet; of each kind those taken until then."""

    async def series(
        self, market: str, since_ms: int, until_ms: int = ALWAYS_MS, *, observed_since_ms: int | None = None
    ) -> MarketSeries:
        """The bars stored that opened within the time, with what was seen liquidated since then; None: without it."""

    async def save_outcomes(self, scored: Sequence[Scored]) -> int:
        """Keep what came of alerts, for good: the first that is told of one stays. How many were new.

        Raises ValueError for one that is not decided, or of an alert that was never stored.
        """

    async def save_chances(self, chances: Mapping[str, Chance | None]) -> None:
        """The chance level of outcomes kept, by key of the alert."""

    async def outcomes(
        self, since_ms: int = 0, *, market: str | None = None, kind: str | None = None, with_alert: bool = False
    ) -> Sequence[Scored]:
        """What came of alerts since then, in order of time. ``with_alert``: with the facts measured and the alert."""

    async def waiting(self, market: str | None = None) -> Mapping[str, int]:
        """Alerts of which nothing is known yet, by kind."""

    # -- chats

    async def watch(self, chat: Chat, subscription: Subscription) -> None:
        """Add or replace a subscription; a parked chat is served again. Raises QuotaExceeded."""

    async def unwatch(self, chat: Chat, market: str | None) -> int:
        """Remove one subscription, or all; how many there were."""

    async def subscriptions(self, *chats: Chat) -> Sequence[Watch]:
        """Those of the chats named, parked or not; where none is, those of every chat that is not parked."""

    async def mute(self, chat: Chat, until_ms: int | None) -> None: ...

    async def park(self, chat: Chat, reason: str) -> None:
        """Send this chat nothing more: what it is owed becomes dead with that reason."""

    async def park_watching(self, chats: Sequence[Chat], reason: str) -> int:
        """As `park`, for those of a platform's chats, and their topics (``ID/...``), that watch something; how many."""

    async def unpark(self, *chats: Chat, topics: bool = True) -> bool:
        """Serve a platform's parked chats again, and with ``topics`` theirs (``ID/...``); False where none was."""

    async def migrate_chat(self, old: Chat, new: Chat) -> bool:
        """The chat has another id now: what it watches and what it is owed move; False where there was nothing."""

    async def note_owner(self, chat: Chat, user_id: str, most_chats: int) -> None:
        """Who first had something watched there. Raises QuotaExceeded where that user has so many chats already."""

    async def set_chat_settings(self, chat: Chat, settings: ChatSettings) -> None: ...

    async def chat_settings(self, chats: Collection[Chat] | None = None) -> Mapping[Chat, ChatSettings]:
        """Those that differ from the usual ones; None: of every chat."""

    async def held_due(self, market_ms: int) -> Sequence[Held]:
        """What falls due by then, with what is held for the same chat and reason."""

    async def release_held(self, held: Sequence[Held]) -> None:
        """Owe it, as one digest for each chat and reason."""

    async def drop_held(self, held: Sequence[Held], note: str) -> None:
        """Tell it no more: it is expired, with ``note`` for the reason."""

    async def put_off_held(self, chat: Chat, reason: str, until_ms: int) -> int:
        """What is held for the chat for that reason falls due then; how much that is."""

    async def told_since(self, chat: Chat, since_ms: int) -> Mapping[tuple[str, str], int]:
        """Alerts decided for the chat since then and not held back, by (market, subject)."""

    async def last_told_all(self, kind: str, market: str, subject: str, arming: int) -> Mapping[Chat, LastAlert]:
        """As `last_told`, of every chat."""

    async def contexts(self, claims: Sequence[Claim]) -> Sequence[Context]:
        """What each claim's message depends on beside its alerts."""

    async def last_told(self, chat: Chat, kind: str, market: str, subject: str, arming: int) -> LastAlert | None:
        """The newest alert decided for the chat in this conversation, whether or not it arrived."""

    # -- outbox

    async def claim(
        self,
        now_ms: int,
        limit: int,
        *,
        market_ms: int | None = None,
        storm: Storm = STORM,
        flush: bool = False,
        platform: str | None = None,
    ) -> Sequence[Claim]:
        """Take up to ``limit`` chats' next message, at most one in flight a chat, oldest first, edits last.

        ``platform``: of its chats only; None: of all.

        ``now_ms`` is for retries, by a clock that never steps back; a start forgets earlier due times. ``market_ms``
        is market time, for expiry and for holding a storm's later alerts back until its time is over; None: nothing
        expires or is held. ``flush``: hold nothing back.
        """

    async def settle_all(self, settled: Sequence[tuple[Sequence[Delivery], Settlement]]) -> None:
        """As `settle`, many in one transaction."""

    async def settle(self, deliveries: Sequence[Delivery], settlement: Settlement) -> None:
        """Say how claimed deliveries ended. Only what is still claimed changes."""

    # -- reading back

    async def recent(self, n: int, *, chat: Chat | None = None, market: str | None = None) -> Sequence[StoredAlert]:
        """The last ``n`` alerts, newest first, without evidence."""

    async def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert with its evidence."""

    async def counts(self) -> Counts: ...

    async def heartbeat(self, now_ms: int) -> None: ...
