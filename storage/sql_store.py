"""The store's use-cases in SQL, one text for every backend; what differs is in `storage.sqlite`, `storage.postgres`."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from detectors.chance import Chance
from detectors.event import Event
from detectors.market import MarketSnapshot, PrintGap
from detectors.scoring import Scored
from detectors.series import MarketSeries
from storage import (
    chat_owners,
    chat_settings,
    chat_upkeep,
    conversations,
    holds,
    outcomes,
    sql_alerts,
    sql_chats,
    sql_claim,
    sql_fits,
    sql_gaps,
    sql_outbox,
    sql_past,
)
from storage.chat_settings import ChatSettings
from storage.chats import Chat, LastAlert, Subscription, Watch
from storage.conversations import Context
from storage.fits import StoredFit
from storage.market_facts import StoredReach, StoredTiers
from storage.origin import GetOrigin, no_origin
from storage.outbox import STORM, Claim, Delivery, Held, Settlement, Storm
from storage.sql import Connection
from storage.sql_writer import SqlWriter, set_meta
from storage.store import ALWAYS_MS, Committed, Counts, StoredAlert, StoredMarket, TickCommit


class SqlStore(SqlWriter):
    """A `Store` but for `backup`, which a backend adds."""

    def __init__(
        self,
        source: str,
        *,
        origin: GetOrigin = no_origin,
        max_subscriptions: int = 50,
        on_wait: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(source, origin=origin, on_wait=on_wait)
        self._max_subscriptions = max_subscriptions
        self._packer: ThreadPoolExecutor | None = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pack")

    @abstractmethod
    async def backup(self) -> str | None: ...

    async def close(self) -> None:
        await super().close()
        if self._packer is not None:
            self._packer.shutdown()
        self._packer = None

    # -- markets

    async def commit_tick(self, tick: TickCommit) -> Committed:
        return await self.commit_ticks((tick,))

    async def commit_ticks(self, ticks: Sequence[TickCommit]) -> Committed:
        counted = Committed()

        def count(added: tuple[int, sql_alerts.Added]) -> None:
            nonlocal counted
            counted = added[1].count(added[0])

        packed = self._pack(ticks)
        await self._write(lambda connection: self._commit(connection, ticks, packed), count)
        return counted

    def _pack(self, ticks: Sequence[TickCommit]) -> sql_alerts.Packed:
        """What the alerts' charts draw is packed in a thread beside the transaction, which needs it last: a millisecond
        an alert, most of it outside of Python's lock."""
        pack = self._opened(self._packer).submit
        alerts = [alert.event for tick in ticks for alert in tick.alerts]
        return {one.key: pack(one.evidence.to_json) for one in alerts if one.evidence is not None}

    def _commit(
        self, connection: Connection, ticks: Sequence[TickCommit], packed: sql_alerts.Packed
    ) -> tuple[int, sql_alerts.Added]:
        """How many snapshots are new, and what else was added."""
        new = self._stored_series.add([tick.snapshot for tick in ticks])
        states: dict[str, bytes | None] = {}
        for tick, is_new in zip(ticks, new, strict=True):
            if is_new:
                base = tick.snapshot.market.base
                states[base] = states.get(base) if tick.state is None else tick.state
        silent = [tick for tick, is_new in zip(ticks, new, strict=True) if is_new and tick.silences]
        if states:  # first, for they are a server's longest work, and the rest is ours
            self._stored_series.save_positions(states)
        added = sql_alerts.add_decisions(connection, ticks, silent, self._stored_series.chats, packed)
        return sum(new), added

    async def save_checkpoint(self, market: str, bar_opened_at_ms: int, blob: bytes) -> None:
        await self._write(lambda _: self._stored_series.save_checkpoint(market, bar_opened_at_ms, blob))

    async def load_market(self, market: str) -> StoredMarket:
        return await self._read(lambda _: self._stored_series.load(market))

    async def snapshots_since(self, market: str, bar_opened_at_ms: int | None) -> Sequence[MarketSnapshot]:
        return await self._read(lambda _: self._stored_series.since(market, bar_opened_at_ms))

    async def snapshots_page(self, market: str, after_ms: int | None, limit: int) -> Sequence[MarketSnapshot]:
        return await self._read(lambda _: self._stored_series.page(market, after_ms, limit))

    async def put_before(
        self, market: str, snapshots: Sequence[MarketSnapshot], *, asked_from_ms: int, state: bytes | None = None
    ) -> int:
        def put(connection: Connection) -> int:
            sql_past.note_asked(connection, market, asked_from_ms)
            added = self._stored_series.add_before(market, snapshots)
            if added or state is not None:
                self._stored_series.save_positions({market: state})
            return added

        return await self._write(put)

    async def reach(self, market: str) -> StoredReach:
        return await self._read(lambda connection: sql_past.reach(connection, market))

    async def note_tiers(self, market: str, tiers: StoredTiers) -> None:
        await self._write(lambda connection: sql_past.note_tiers(connection, market, tiers))

    async def tiers(self) -> Mapping[str, StoredTiers]:
        return await self._read(lambda connection: sql_past.tiers(connection))

    async def note_fit(self, market: str, fit: StoredFit) -> None:
        await self._write(lambda connection: sql_fits.note(connection, market, fit))

    async def fits(self, market: str) -> Sequence[StoredFit]:
        return await self._read(lambda connection: sql_fits.load(connection, market))

    async def note_refusals(self, market: str, counts: Mapping[str, int]) -> None:
        rows = [(market, reason, n) for reason, n in counts.items()]
        upsert = (
            "INSERT INTO refusals VALUES (?, ?, ?) "
            "ON CONFLICT (market, reason) DO UPDATE SET n = refusals.n + excluded.n"
        )
        await self._write(lambda connection: connection.executemany(upsert, rows))

    async def note_gaps(self, gaps: Sequence[PrintGap]) -> None:
        await self._write(lambda connection: sql_gaps.note(connection, gaps))

    async def gaps(self, since_ms: int = 0) -> Sequence[PrintGap]:
        return await self._read(lambda connection: sql_gaps.since(connection, since_ms))

    # -- outcomes

    async def to_judge(self, market: str, taken_until_ms: Mapping[str, int]) -> Sequence[Event]:
        return await self._read(lambda connection: outcomes.to_judge(connection, market, taken_until_ms))

    async def series(
        self, market: str, since_ms: int, until_ms: int = ALWAYS_MS, *, observed_since_ms: int | None = None
    ) -> MarketSeries:
        return await self._read(
            lambda connection: outcomes.series(connection, market, since_ms, until_ms, observed_since_ms)
        )

    async def save_outcomes(self, scored: Sequence[Scored]) -> int:
        return await self._write(lambda connection: outcomes.save(connection, scored))

    async def save_chances(self, chances: Mapping[str, Chance | None]) -> None:
        await self._write(lambda connection: outcomes.save_chances(connection, chances))

    async def outcomes(
        self, since_ms: int = 0, *, market: str | None = None, kind: str | None = None, with_alert: bool = False
    ) -> Sequence[Scored]:
        return await self._read(
            lambda connection: outcomes.load(connection, since_ms, market, kind, with_alert=with_alert)
        )

    async def waiting(self, market: str | None = None) -> Mapping[str, int]:
        return await self._read(lambda connection: outcomes.waiting(connection, market))

    # -- chats

    async def watch(self, chat: Chat, subscription: Subscription) -> None:
        limit = self._max_subscriptions
        await self._write(lambda connection: sql_chats.watch(connection, chat, subscription, limit))

    async def unwatch(self, chat: Chat, market: str | None) -> int:
        return await self._write(lambda connection: sql_chats.unwatch(connection, chat, market))

    async def subscriptions(self, *chats: Chat) -> Sequence[Watch]:
        return await self._read(lambda connection: sql_chats.subscriptions(connection, chats))

    async def mute(self, chat: Chat, until_ms: int | None) -> None:
        await self._write(lambda connection: sql_chats.mute(connection, chat, until_ms))

    async def park(self, chat: Chat, reason: str) -> None:
        await self._write(lambda connection: sql_chats.park(connection, chat, reason))

    async def park_watching(self, chats: Sequence[Chat], reason: str) -> int:
        return await self._write(lambda connection: chat_upkeep.park_watching(connection, chats, reason))

    async def unpark(self, *chats: Chat, topics: bool = True) -> bool:
        return await self._write(lambda connection: chat_upkeep.unpark(connection, chats, topics=topics))

    async def migrate_chat(self, old: Chat, new: Chat) -> bool:
        return await self._write(
            lambda connection: chat_upkeep.migrate(connection, old, new),
            lambda _: self._stored_series.chats.clear(),  # a row has another name now
        )

    async def note_owner(self, chat: Chat, user_id: str, most_chats: int) -> None:
        await self._write(
            lambda connection: chat_owners.note(
                connection, chat, user_id, most_chats, lambda: sql_chats.chat_row(connection, chat)
            )
        )

    async def set_chat_settings(self, chat: Chat, settings: ChatSettings) -> None:
        await self._write(
            lambda connection: chat_settings.save(connection, sql_chats.chat_row(connection, chat), settings)
        )

    async def chat_settings(self, chats: Collection[Chat] | None = None) -> Mapping[Chat, ChatSettings]:
        return await self._read(lambda connection: chat_settings.load(connection, chats))

    async def held_due(self, market_ms: int) -> Sequence[Held]:
        return await self._read(lambda connection: holds.due(connection, market_ms))

    async def release_held(self, held: Sequence[Held]) -> None:
        await self._write(lambda connection: holds.release(connection, held))

    async def drop_held(self, held: Sequence[Held], note: str) -> None:
        await self._write(lambda connection: holds.drop(connection, held, note))

    async def put_off_held(self, chat: Chat, reason: str, until_ms: int) -> int:
        return await self._write(lambda connection: holds.put_off(connection, chat, reason, until_ms))

    async def told_since(self, chat: Chat, since_ms: int) -> Mapping[tuple[str, str], int]:
        return await self._read(lambda connection: holds.told_since(connection, chat, since_ms))

    async def last_told_all(self, kind: str, market: str, subject: str, arming: int) -> Mapping[Chat, LastAlert]:
        return await self._read(
            lambda connection: conversations.last_told_all(connection, kind, market, subject, arming)
        )

    async def contexts(self, claims: Sequence[Claim]) -> Sequence[Context]:
        return await self._read(lambda connection: conversations.contexts(connection, claims))

    async def last_told(self, chat: Chat, kind: str, market: str, subject: str, arming: int) -> LastAlert | None:
        conversation = (kind, market, subject, arming)
        return await self._read(lambda connection: sql_chats.last_told(connection, chat, conversation))

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
        return await self._write(
            lambda connection: sql_claim.claim(
                connection, now_ms, limit, market_ms, storm, flush=flush, platform=platform
            ),
            lambda claims: self._heard.update(d.delivery_id for claim in claims for d in claim.deliveries),
        )

    async def settle_all(self, settled: Sequence[tuple[Sequence[Delivery], Settlement]]) -> None:
        done = [delivery.delivery_id for deliveries, _ in settled for delivery in deliveries]
        await self._write(
            lambda connection: sql_outbox.settle(connection, settled), lambda _: self._heard.difference_update(done)
        )

    async def settle(self, deliveries: Sequence[Delivery], settlement: Settlement) -> None:
        await self.settle_all([(deliveries, settlement)])

    # -- reading back

    async def recent(self, n: int, *, chat: Chat | None = None, market: str | None = None) -> Sequence[StoredAlert]:
        return await self._read(lambda connection: sql_alerts.recent(connection, n, chat, market))

    async def alert(self, alert_id: str) -> StoredAlert | None:
        return await self._read(lambda connection: sql_alerts.alert(connection, alert_id))

    async def counts(self) -> Counts:
        return await self._read(lambda connection: sql_alerts.counts(connection))

    async def heartbeat(self, now_ms: int) -> None:
        await self._write(lambda connection: set_meta(connection, "heartbeat_at_ms", str(now_ms)))
