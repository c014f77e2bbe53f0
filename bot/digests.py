"""Digests: what was held back for quiet hours or a cap, told once these are over and the chat wants to hear of it."""

from collections import defaultdict
from collections.abc import Sequence

from bot.policy import covers
from bot.quiet import quiet_until_ms
from storage.chat_settings import USUAL, ChatSettings
from storage.chats import Chat, Watch
from storage.store import Store

NOT_WATCHED = "not watched any more when its digest was due"


async def release_due(store: Store, now_ms: int) -> bool:
    """Owe what has fallen due by ``now_ms``, market time; whether there was any. Raises StoreUnavailable.

    While a chat is quiet or muted, as a whole or for that market, it goes on being held. What a chat has stopped
    watching is dropped.
    """
    due = await store.held_due(now_ms)
    if not due:
        return False
    chats = {one.chat for one in due}
    settings, watches = await store.chat_settings(chats), await _watches(store, chats)
    unwatched = {one for one in due if not _is_watched(one.market, watches[one.chat])}
    if unwatched:
        await store.drop_held(sorted(unwatched), NOT_WATCHED)
    told = [
        one
        for one in due
        if one not in unwatched
        and not silent_until_ms(settings.get(one.chat, USUAL), watches[one.chat], now_ms, one.market)
    ]
    if told:
        await store.release_held(told)
    return bool(told)


def silent_until_ms(settings: ChatSettings, watches: Sequence[Watch], now_ms: int, market: str = "") -> int | None:
    """When the mute of a chat, or that of a market, and its quiet hours are over; None: it can be told now."""
    ends_ms = [settings.muted_markets.get(market, 0), *(one.muted_until_ms or 0 for one in watches)]
    ends_ms.append(quiet_until_ms(settings.quiet, settings.time_zone, now_ms) or 0)
    return max(ends_ms) if max(ends_ms) > now_ms else None


def _is_watched(market: str, watches: Sequence[Watch]) -> bool:
    """A set may have had it in it, whatever it has now."""
    return any(covers(one.subscription.market, market) for one in watches)


async def _watches(store: Store, chats: set[Chat]) -> dict[Chat, list[Watch]]:
    found: defaultdict[Chat, list[Watch]] = defaultdict(list)
    for one in await store.subscriptions(*sorted(chats)):
        found[one.chat].append(one)
    return found
