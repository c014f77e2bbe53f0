"""What was told and how the bot is: ``/recent``, ``/status``, ``/help``, ``/start``."""

from collections import Counter

from bot import replies
from bot.commands.registry import Asked, Command
from bot.markets.live import LiveFeed
from bot.message import Message
from bot.platforms.seam import Choices, CommandSpec, Option

MOST_RECENT = 20
USUAL_RECENT = 5


async def recent(asked: Asked) -> Message:
    house, number, base = asked.house, USUAL_RECENT, None
    for word in asked.words[:2]:
        if word.isascii() and word.isdecimal():
            number = min(max(1, int(word[:4])), MOST_RECENT)
        else:
            base = await asked.base_of(word)
    alerts = await house.store.recent(number, chat=asked.chat, market=base)
    return replies.recent(alerts)


async def status(asked: Asked) -> Message:
    house, private = asked.house, asked.house.is_operator(asked.chat)
    engines = house.watcher.engines.values()
    refused = Counter(house.feed.refusals)
    for engine in engines:
        refused.update(engine.refused)
    live = house.feed if isinstance(house.feed, LiveFeed) else None
    now_ms = live.clock.now_ms() if live else None
    venues = [replies.venue_line(venue, live.gaps, live.clock.now_ms()) for venue in live.status()] if live else []
    return replies.status(
        house.feed.source,
        {engine.market: engine.view() for engine in engines},
        await house.store.counts(),
        refused,
        sum(engine.gaps for engine in engines),
        [*(house.private_faults() if private else ()), *house.faults()],
        venues=[*venues, *house.conditions()],
        now_ms=now_ms,
        private=private,
    )


COMMANDS = (
    Command(
        CommandSpec(
            "recent",
            "/recent [SYMBOL] [N]",
            "the last alerts of this chat",
            (
                Option("symbol", "one market; all without it", choices=Choices.MARKET),
                Option("number", f"how many, {MOST_RECENT} at most"),
            ),
        ),
        recent,
    ),
    Command(CommandSpec("status", "/status", "source, data age, refusals, queue"), status),
)
