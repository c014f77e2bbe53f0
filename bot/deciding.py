"""Asks the policy for every chat: gathers what each was told before and how it wants to be told.

One look into the store an event, however many chats there are.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from bot import policy
from bot.policy import HELD, Decision, ToldToday
from bot.quiet import day_began_ms
from detectors.event import Event
from storage.chat_settings import USUAL, ChatSettings
from storage.chats import Chat, LastAlert, Watch, set_size
from storage.store import NewDelivery, Silence, Store

Conversation = tuple[str, str, str, int]
"""Kind, market, subject, arming."""
Told = tuple[dict[Conversation, dict[Chat, LastAlert]], Counter[tuple[Chat, str, str]]]


class Decider:
    """``ranks``: markets by size, 1 the largest. Call ``forget`` once what was decided is committed: the store knows it
    from then on."""

    def __init__(
        self, store: Store, default_kinds: frozenset[str], ranks: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self._store, self._default_kinds, self._rank_now = store, default_kinds, ranks
        self._ranks: Mapping[str, int] = {}
        self._chats: dict[Chat, list[Watch]] = {}
        self._settings: Mapping[Chat, ChatSettings] = {}
        self._told: dict[Conversation, dict[Chat, LastAlert]] = defaultdict(dict)
        self._told_today: Counter[tuple[Chat, str, str]] = Counter()
        """Not committed yet, by chat, market and subject."""

    async def look(self) -> None:
        """Who watches what now; to be called before the events of a step. Raises StoreUnavailable."""
        self._chats = defaultdict(list)
        for watch in await self._store.subscriptions():
            self._chats[watch.chat].append(watch)
        self._settings = await self._store.chat_settings()
        sets = any(set_size(one.subscription.market) for watches in self._chats.values() for one in watches)
        self._ranks = self._rank_now() if sets else {}

    def told(self) -> Told:
        """What was decided and is not committed yet, for `go_back`."""
        return {key: dict(chats) for key, chats in self._told.items()}, self._told_today.copy()

    def go_back(self, told: Told | None) -> None:
        """Forget what was decided since then: it is going to be decided anew. None: nothing was."""
        if told is None:
            return
        self._told, self._told_today = defaultdict(dict, told[0]), told[1]

    def forget(self) -> None:
        self._told.clear()
        self._told_today.clear()

    async def decide(self, event: Event) -> tuple[list[NewDelivery], list[Silence]]:
        """What every chat is told of the event, and why others are not. Raises StoreUnavailable."""
        conversation = (event.kind, event.market, event.subject, event.arming)
        told: dict[Chat, LastAlert] | None = None
        deliveries: list[NewDelivery] = []
        silences: list[Silence] = []
        for chat, watches in self._chats.items():
            decision = self._ask(event, chat, watches, None, ToldToday())
            if decision.alert or decision.reason in HELD:
                if told is None:
                    told = {**await self._store.last_told_all(*conversation), **self._told[conversation]}
                today = await self._today(event, chat)
                decision = self._ask(event, chat, watches, told.get(chat), today)
            if decision.alert or decision.reason in HELD:
                deliveries.append(self._delivery(event, chat, decision))
                self._told[conversation][chat] = LastAlert(
                    decision.reason, event.taken_at_ms, event.rung, event.notional_usd
                )
                self._told_today[chat, event.market, event.subject] += decision.alert
            else:
                silences.append(Silence(chat, event.kind, decision.reason))
        return deliveries, silences

    def _delivery(self, event: Event, chat: Chat, decision: Decision) -> NewDelivery:
        expires_at_ms = None if decision.hold_until_ms is not None else policy.expires_at_ms(event)
        return NewDelivery(chat, decision.reason, expires_at_ms, decision.hold_until_ms)

    def _ask(
        self, event: Event, chat: Chat, watches: Sequence[Watch], last: LastAlert | None, today: ToldToday
    ) -> Decision:
        return policy.decide(
            event,
            policy.subscription_for(
                event.market, [watch.subscription for watch in watches], self._ranks.get(event.market)
            ),
            last,
            default_kinds=self._default_kinds,
            muted_until_ms=watches[0].muted_until_ms,
            settings=self._settings.get(chat, USUAL),
            told_today=today,
        )

    async def _today(self, event: Event, chat: Chat) -> ToldToday:
        """Nothing is counted for a chat without a cap."""
        settings = self._settings.get(chat, USUAL)
        if settings.daily_cap is None:
            return ToldToday()
        told = Counter(await self._store.told_since(chat, day_began_ms(settings.time_zone, event.taken_at_ms)))
        for (of_chat, market, subject), n in self._told_today.items():
            if of_chat == chat:
                told[market, subject] += n
        return ToldToday(sum(told.values()), told[event.market, event.subject])
