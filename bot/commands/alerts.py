"""About one alert, by its handle: ``/why``, ``/chart``; and ``/test``, an alert made for trying."""

import re
from dataclasses import replace

from bot import asking, replies
from bot.asking import NotUnderstood, shortened
from bot.commands.registry import Asked, Command
from bot.fit_words import weights_in_words
from bot.message import NOT_ADVICE, SIMULATED, Message, from_event, handle_of
from bot.platforms.seam import Choices, CommandSpec, Option
from detectors import figures
from detectors.cluster_facts import below_or_above
from detectors.event import Event, Fact, Label, Severity, Unit
from detectors.view import MarketView
from storage.store import StoredAlert

_SEARCHED = 500
"""Alerts of the chat, the newest first, in which a handle is looked for."""
_HANDLE = re.compile(r"#?([0-9a-f]{8})")
_LABELS = {Label.ESTIMATED: "estimated", Label.OBSERVED: "observed", Label.CALCULATED: "calculated"}
_REASONS = {
    "first": "It was the first alert about this, and it passed this chat's settings.",
    "rearmed": "It had moved away and came back, so it counts as new.",
    "escalated": "It has at least doubled since it was last told, more than six hours before.",
    "quiet": "It came in this chat's quiet hours and was kept for the digest.",
    "capped": "It was over this chat's daily cap and was kept for the digest.",
}


async def why(asked: Asked) -> Message:
    """The policy's reason and the evidence in words."""
    alert = await _found(asked, "/why")
    event = alert.newest
    lines = [
        _REASONS.get(alert.reason, alert.reason.replace("_", " ")),
        f"Seen at {figures.moment(event.taken_at_ms)}, price {figures.price(event.price, event.price_decimals)}, "
        f"on {event.venue} {event.symbol}.",
    ]
    if event.level is not None:
        low, high = (figures.level(edge, event.price_decimals) for edge in (event.level.low, event.level.high))
        lines.append(f"The band, estimated: {low} to {high}.")
    lines += [_fact(event, fact) for fact in event.facts if fact.shown]
    made_with = asked.house.watcher.assumptions
    if event.market not in asked.house.watcher.engines:
        await made_with.load_fits(asked.house.store, event.market)
    lines += weights_in_words(made_with.fits(event.market), made_with.configured, event.taken_at_ms)
    lines += await _what_came(asked, event)
    footer = (
        *((SIMULATED,) if event.simulated else ()),
        f"{event.kind.replace('_', ' ')} · {handle_of(event.key)}",
        NOT_ADVICE,
    )
    return Message(f"Why: {event.headline}", tuple(lines), footer)


async def _what_came(asked: Asked, event: Event) -> list[str]:
    """The alert's own outcome, once its horizon has passed."""
    kept = await asked.house.store.outcomes(event.taken_at_ms, market=event.market, kind=event.kind, with_alert=True)
    found = next((one for one in kept if one.key == event.key), None)
    if found is None:
        return ["What came of it is judged when its horizon has passed."]
    level = f"; by chance {found.chance.share * 100:.0f} % ({found.chance.n} other times)" if found.chance else ""
    came = f"What came of it: {found.outcome.value}, judged {figures.moment(found.decided_at_ms)}{level}."
    return [came, *(_fact(event, fact) for fact in found.facts)]


def _fact(event: Event, fact: Fact) -> str:
    value = figures.fact_value(fact, base=event.market, price_decimals=event.price_decimals)
    title = (fact.title or fact.name.replace("_", " ")).capitalize()
    return f"{title}: {value} ({_LABELS[fact.label]})"


async def chart(asked: Asked) -> Message:
    """The alert's chart in full size."""
    alert = await _found(asked, "/chart")
    whole = await asked.house.store.alert(alert.alert_id)
    charts = asked.house.charts
    path = await charts.save(whole.event) if whole is not None and charts is not None else None
    if path is None:
        return Message("There is no chart of that alert.")
    return Message(alert.event.headline, chart=path, chart_as_file=True)


async def test(asked: Asked) -> Message:
    """The nearest cluster of a market now, as an alert would tell it, with its chart."""
    house = asked.house
    if asked.words:
        view = house.view(asked.words[:1], "/test BTC")
    else:
        views = [one for engine in house.watcher.engines.values() if (one := engine.view()) is not None]
        if not views:
            raise NotUnderstood("Nothing is known yet: the first data are still to come.")
        view = max(views, key=lambda one: (len(one.clusters) > 0, one.open_interest_usd or 0.0))
    event = _sample(view)
    message = from_event(event, "")
    path = None if house.charts is None else await house.charts.save(view.with_evidence(event))
    return replace(
        message,
        title=f"TEST {message.title}",
        footer=("A test: nothing has happened, and this is how alerts arrive here.", *message.footer[:-1]),
        chart=path,
        buttons=(),
        alert_id=None,
    )


def _sample(view: MarketView) -> Event:
    if not view.clusters:
        return replies.map_event(view)
    near = min(view.clusters, key=lambda cluster: cluster.distance)
    centre = figures.level(near.level.centre, view.market.price_decimals)
    share = Fact("share_of_open_interest", near.share_of_open_interest, Unit.FRACTION, Label.ESTIMATED, shown=False)
    return view.event(
        "test",
        subject=f"test-{view.taken_at_ms}",
        headline=f"{view.market.base} {near.side.value} cluster {figures.usd(near.notional_usd)} at {centre}, "
        f"{figures.percent(near.distance)} {below_or_above(near)}",
        side=near.side,
        severity=Severity.NOTICE,
        facts=(share,),
        level=near.level,
        notional_usd=near.notional_usd,
    )


async def _found(asked: Asked, command: str) -> StoredAlert:
    """The alert of this chat that the words name; without a word its last one. Raises NotUnderstood."""
    example = f"{command} #1a2b3c4d"
    alerts = await asked.house.store.recent(_SEARCHED if asked.words else 1, chat=asked.chat)
    if not asked.words:
        if not alerts:
            raise NotUnderstood("No alert yet.")
        return alerts[0]
    match = _HANDLE.fullmatch(asked.words[0].lower())
    if match is None:
        raise NotUnderstood(
            f'"{shortened(asking.printable(asked.words[0]))}" names no alert: the handle stands in its last line.',
            example,
        )
    for alert in alerts:
        if handle_of(alert.alert_id) == f"#{match[1]}":
            return alert
    raise NotUnderstood("There is no such alert among the last ones of this chat.", example)


_ALERT = Option("alert", "its handle, such as #1a2b3c4d; the last alert without it")
COMMANDS = (
    Command(CommandSpec("why", "/why [#1a2b3c4d]", "why an alert came, with its evidence", (_ALERT,)), why),
    Command(CommandSpec("chart", "/chart [#1a2b3c4d]", "an alert's chart in full size", (_ALERT,)), chart),
    Command(
        CommandSpec(
            "test",
            "/test [SYMBOL]",
            "a sample alert with a chart, to see how it looks here",
            (Option("symbol", "one market", choices=Choices.MARKET),),
        ),
        test,
    ),
)
