"""How earlier alerts turned out: ``/scorecard``."""

import asyncio
from collections.abc import Sequence

from bot import asking
from bot.asking import NotUnderstood
from bot.chart import draw_reliability
from bot.commands.registry import Asked, Command
from bot.message import Message
from bot.platforms.seam import Choices, CommandSpec, Option
from bot.scorecard import as_message, rows_of
from detectors.claims import claims_of
from detectors.market import DAY_MS
from detectors.odds import REMEMBERED_MS
from detectors.scoring import Scored

_EXAMPLE = "/scorecard BTC approached"


async def scorecard(asked: Asked) -> Message:
    """The record of every alert decided, for all markets or one, all kinds or one, with a reliability chart."""
    house, base, kind = asked.house, None, None
    if len(asked.words) > 2:
        raise NotUnderstood("A market and a kind at most.", _EXAMPLE)
    for word in asked.words:
        try:
            kind = asking.kind(word.lower(), house.kinds)
        except NotUnderstood:
            base = await asked.base_of(word)
    now_ms = house.now_ms
    whole = kind is None  # a claim compares kinds by their facts
    scored = await house.store.outcomes(now_ms - REMEMBERED_MS, market=base, kind=kind, with_alert=whole)
    waiting = await house.store.waiting(base)
    waiting = {name: n for name, n in waiting.items() if kind in {None, name}}
    named = " ".join(part for part in (base, kind and house.kinds[kind].title) if part)
    title = f"Scorecard of {named or 'all markets'}"
    begins_ms = min((one.taken_at_ms for one in scored), default=now_ms)
    simulated = any(market.simulated for market in house.markets)
    rows = await asyncio.to_thread(rows_of, scored, by_market=False)
    message = as_message(
        rows,
        waiting,
        title=title,
        days=max(1, -(-(now_ms - begins_ms) // DAY_MS)),
        scored_as={name: one.scored_as for name, one in house.kinds.items()},
        simulated=simulated,
        claims=await asyncio.to_thread(claims_of, scored) if whole else (),
        short=True,
    )
    if house.charts is None or not any(one.judged and one.chance for one in scored):
        return message
    return Message(message.title, message.lines, message.footer, message.table, await _chart(scored, title, simulated))


async def _chart(scored: Sequence[Scored], title: str, simulated: bool) -> bytes:
    return await asyncio.to_thread(draw_reliability, scored, title, simulated=simulated)


COMMANDS = (
    Command(
        CommandSpec(
            "scorecard",
            "/scorecard [SYMBOL] [KIND]",
            "how earlier alerts turned out, against chance",
            (
                Option("symbol", "one market; all without it", choices=Choices.MARKET),
                Option("kind", "one kind of alert; all without it", choices=Choices.KIND),
            ),
        ),
        scorecard,
    ),
)
