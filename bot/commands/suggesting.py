"""Words that complete what is being typed, for platforms that ask while it is."""

from collections.abc import Sequence
from functools import cache

from bot.asking_times import zone_names
from bot.commands.registry import House
from bot.platforms.seam import Choices
from detectors.cluster import BuildClass
from storage.chats import EVERY_MARKET, Chat
from storage.errors import StoreError

MOST = 25


async def suggestions(house: House, chat: Chat, choices: Choices, typed: str) -> Sequence[str]:
    """At most `MOST`: those that begin with what was typed, then those that hold it."""
    wanted = typed.strip().lstrip("$").lower()
    offered = await _offered(house, chat, choices)
    begin = [word for word in offered if word.lower().startswith(wanted)]
    hold = [word for word in offered if wanted in word.lower() and word not in begin]
    return (begin + hold)[:MOST]


async def _offered(house: House, chat: Chat, choices: Choices) -> Sequence[str]:
    match choices:
        case Choices.MARKET:
            further = house.following.offered() if house.following else []
            return [*(market.base for market in house.markets), "top10", "all", *further]
        case Choices.WATCHED:
            return await _watched(house, chat)
        case Choices.KIND:
            return list(house.kinds)
        case Choices.BUILD_CLASS:
            return [str(one) for one in BuildClass]
        case Choices.VENUE:
            return sorted({venue for market in house.markets for venue in market.venues})
        case Choices.TIME_ZONE:
            return _time_zones()


async def _watched(house: House, chat: Chat) -> Sequence[str]:
    try:
        watches = await house.store.subscriptions(chat)
    except StoreError:
        return []
    return ["all" if one.subscription.market == EVERY_MARKET else one.subscription.market for one in watches]


@cache
def _time_zones() -> tuple[str, ...]:
    """Places before the old abbreviations."""
    return tuple(sorted(zone_names(), key=lambda name: ("/" not in name, name)))
