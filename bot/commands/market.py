"""What a market looks like now: ``/map``, ``/clusters``, ``/funding``."""

from dataclasses import replace

from bot import replies
from bot.commands.registry import Asked, Command
from bot.fit_words import weights_in_words
from bot.message import Message
from bot.platforms.seam import Choices, CommandSpec, Option

_SYMBOL = Option("symbol", "the market, such as BTC", required=True, choices=Choices.MARKET)


async def show_map(asked: Asked) -> Message:
    view = asked.house.view(asked.words, "/map BTC")
    message = replies.liquidation_map(view)
    watcher, base = asked.house.watcher, view.market.base
    made_with = weights_in_words(watcher.assumptions.fits(base), watcher.assumptions.configured, view.taken_at_ms)
    if (tiers := watcher.tiers(base)) is not None:
        made_with.append(f"Maintenance margin: {tiers.source}")
    # Not in the footer: under a picture there is room for its labels, and not for all of this.
    message = replace(message, lines=(*message.lines, *made_with))
    if asked.house.charts is None or view.open_interest_usd is None:
        return message
    return replace(message, chart=await asked.house.charts.save(replies.map_event(view)))


async def clusters(asked: Asked) -> Message:
    return replies.clusters(asked.house.view(asked.words, "/clusters BTC"))


async def funding(asked: Asked) -> Message:
    house = asked.house
    if asked.words:
        return replies.funding([house.view(asked.words, "/funding BTC")])
    return replies.funding([view for engine in house.watcher.engines.values() if (view := engine.view()) is not None])


COMMANDS = (
    Command(CommandSpec("map", "/map SYMBOL", "the estimated liquidation map, with a chart", (_SYMBOL,)), show_map),
    Command(CommandSpec("clusters", "/clusters SYMBOL", "the clusters tracked now", (_SYMBOL,)), clusters),
    Command(
        CommandSpec(
            "funding",
            "/funding [SYMBOL]",
            "funding rates, and who pays",
            (Option("symbol", "one market; all without it", choices=Choices.MARKET),),
        ),
        funding,
    ),
)
