"""What a chat watches: ``/watch``, ``/unwatch``, ``/watching``."""

from bot import asking, replies
from bot.commands.registry import Asked, Command
from bot.message import Message
from bot.platforms.seam import Choices, CommandSpec, Option
from storage.chats import EVERY_MARKET


async def watch(asked: Asked) -> Message:
    house = asked.house
    wanted = asking.subscription(asked.words, house.markets, house.kinds, house.defaults)
    await house.store.watch(asked.chat, wanted)
    whole = await watching(asked)
    what = "every market" if wanted.market == EVERY_MARKET else wanted.market
    return Message(f"Watching {what}.", whole.lines, whole.footer, whole.table)


async def unwatch(asked: Asked) -> Message:
    store = asked.house.store
    base = asking.one_or_all(asked.words, asked.house.markets, "/unwatch BTC")
    everything = base == EVERY_MARKET
    removed = await store.unwatch(asked.chat, None if everything else base)
    if everything:
        return Message("You watch nothing now." if removed else "You watched nothing.")
    rest = await store.subscriptions(asked.chat)
    if any(watch.subscription.market == EVERY_MARKET for watch in rest):
        text = "You still watch all markets, and so this one: /unwatch all, then /watch those you want."
        return Message(f"{base} has no settings of its own now.", (text,))
    return Message(f"No more of {base}." if removed else f"You did not watch {base}.")


async def watching(asked: Asked) -> Message:
    return replies.watching(await asked.house.store.subscriptions(asked.chat))


COMMANDS = (
    Command(
        CommandSpec(
            "watch",
            "/watch SYMBOL [kinds] [within N%] [min $5M] [fast|medium|slow]",
            "alerts on a market, or on all",
            (
                Option("symbol", "a market such as BTC, or all", required=True, choices=Choices.MARKET),
                Option("kinds", "kinds of alert, such as formed; the usual ones without it", choices=Choices.KIND),
                Option("within", "approaches are told within this distance, such as 2%", prefix="within"),
                Option("min", "no cluster smaller than this, such as $5M", prefix="min"),
                Option("build", "only clusters that built up so", choices=Choices.BUILD_CLASS),
            ),
            changes=True,
        ),
        watch,
    ),
    Command(
        CommandSpec(
            "unwatch",
            "/unwatch SYMBOL",
            "no more of a market, or of all",
            (Option("symbol", "a market that is watched, or all", required=True, choices=Choices.WATCHED),),
            changes=True,
        ),
        unwatch,
    ),
    Command(CommandSpec("watching", "/watching", "what this chat watches"), watching),
)
