"""What was told and how the bot is: ``/recent``, ``/status``, ``/help``, ``/start``."""

from collections import Counter
from dataclasses import replace

from bot import replies
from bot.asking import NotUnderstood
from bot.asking_times import whole_number
from bot.commands.registry import Asked, Command
from bot.markets.live import LiveFeed
from bot.message import Button, Message
from bot.platforms.seam import Choices, CommandSpec, Option

MOST_RECENT = 20
USUAL_RECENT = 5
OLDEST_RECENT = 1000


async def recent(asked: Asked) -> Message:
    """``/recent``, ``/recent BTC 10``, ``/recent 20 from 21``: a page of them, and a button to the next."""
    number, first, base = USUAL_RECENT, 1, None
    words = iter(asked.words[:4])
    for word in words:
        if word.lower() == "from":
            wanted = whole_number(next(words, ""), OLDEST_RECENT)
            if wanted is None:
                raise NotUnderstood(f"From which one? The newest is 1, at most {OLDEST_RECENT}.", "/recent 20 from 21")
            first = wanted
        elif word.isascii() and word.isdecimal():
            number = min(max(1, int(word[:4])), MOST_RECENT)
        else:
            base = await asked.base_of(word)
    alerts = await asked.house.store.recent(first + number, chat=asked.chat, market=base)
    page, more = alerts[first - 1 : first - 1 + number], len(alerts) == first + number
    name = f"{base} " if base else ""
    older = Button("Older", f"/recent {name}{number} from {first + number}")
    newer = Button("Newer", f"/recent {name}{number} from {max(1, first - number)}")
    row = (*((newer,) if first > 1 else ()), *((older,) if more else ()))
    return replace(replies.recent(page, first), buttons=(row,) if row else (), in_place=True)


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
            "/recent [SYMBOL] [N] [from K]",
            "the last alerts of this chat",
            (
                Option("symbol", "one market; all without it", choices=Choices.MARKET),
                Option("number", f"how many, {MOST_RECENT} at most"),
                Option("first", "with which one to begin; the newest is 1", prefix="from"),
            ),
        ),
        recent,
    ),
    Command(CommandSpec("status", "/status", "source, data age, refusals, queue"), status),
)
