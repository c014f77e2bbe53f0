"""Watching by menu: which market, then what of it. Every page takes the place of the one before."""

from dataclasses import replace

from bot import asking
from bot.asking import NotUnderstood
from bot.commands.registry import Asked, Command, House
from bot.message import Button, Menu, Message
from bot.platforms.seam import CommandSpec
from bot.policy import own_rung
from detectors import figures
from storage.chats import EVERY_MARKET, Subscription, Watch

MOST_CHOICES = 25
_OFFERED = 10
"""Markets that have a button of their own, the largest first."""
_A_ROW = 5
_DISTANCES = (5.0, 3.0, 2.0, 1.0, 0.5)
_SIZES = ("0", "$1M", "$5M", "$20M", "$50M", "$100M")
_BUILDS = ("any", "fast", "medium", "slow")


def choose_market(house: House) -> Message:
    """The page of ``/watch`` without a word."""
    ranks = house.watcher.ranks()
    bases = sorted((market.base for market in house.markets), key=lambda base: (ranks.get(base, len(ranks) + 1), base))
    buttons = [Button(base, f"/watch {base}") for base in bases[:_OFFERED]]
    rows = [tuple(buttons[start : start + _A_ROW]) for start in range(0, len(buttons), _A_ROW)]
    rows.append(
        (Button("Top 10", "/watch top10"), Button("All", "/watch all"), Button("All over $50M", "/watch all $50M"))
    )
    rest = tuple(Button(base, f"/watch {base}") for base in bases[_OFFERED : _OFFERED + MOST_CHOICES])
    menus = (Menu("More markets", rest),) if rest else ()
    lines = (f"Or type it: {asking.WATCH_EXAMPLE}",)
    return Message("Which market?", lines, buttons=tuple(rows), menus=menus, in_place=True)


def options_page(house: House, one: Subscription, title: str = "") -> Message:
    """What is told of one market or set, with everything that can be changed about it."""
    name = word_of(one.market)
    on = kinds_of(house, one)
    lines = (
        f"Kinds: {', '.join(kind.replace('_', ' ') for kind in house.kinds if kind in on) or 'none'}",
        f"Approaches within {own_rung(one.within_pct) or one.within_pct:g}%",
        f"Clusters of at least {figures.usd(one.min_notional_usd) if one.min_notional_usd else 'any size'}",
        f"Build: {one.build_class or 'any'}",
    )
    kinds = tuple(
        Button(
            f"{'✓' if kind in on else '✗'} {kind.replace('_', ' ')}",
            f"/adjust {name} {'-' if kind in on else '+'}{kind}",
        )
        for kind in house.kinds
    )
    row = (Button("Stop", f"/unwatch {name}"), Button("What is watched", "/watching"))
    menus = (
        # A menu of its own: with a button for each of them no platform of five rows would have room for the others.
        Menu("Kinds", kinds[:MOST_CHOICES]),
        Menu("Distance", tuple(Button(f"within {n:g}%", f"/adjust {name} within {n:g}%") for n in _DISTANCES)),
        Menu(
            "Least size",
            tuple(
                Button("any size" if size == "0" else f"min {size}", f"/adjust {name} min {size}") for size in _SIZES
            ),
        ),
        Menu("Build", tuple(Button(f"build {build}", f"/adjust {name} {build}") for build in _BUILDS)),
    )
    return Message(title or f"Watching {told(one.market)}", lines, buttons=(row,), menus=menus, in_place=True)


async def adjust(asked: Asked) -> Message:
    """``/adjust BTC within 3%``: the subscription with that changed; ``+kind`` and ``-kind`` add one and take one away.

    Raises NotUnderstood, StoreUnavailable, QuotaExceeded.
    """
    house = asked.house
    base = await asked.one_or_all(asked.words[:1], "/adjust BTC within 3%")
    watches = await house.store.subscriptions(asked.chat)
    one = next((watch.subscription for watch in watches if watch.subscription.market == base), None)
    if one is None:
        raise NotUnderstood(f"{told(base).capitalize()} is not watched here.", f"/watch {word_of(base)}")
    words = asked.words[1:]
    signed = [word for word in words if word[:1] in {"+", "-"}]
    changed = asking.with_options(one, [word for word in words if word not in signed], house.kinds)
    kinds = set(kinds_of(house, changed))
    for word in signed:
        kind = asking.kind(word[1:].lower(), house.kinds)
        kinds = kinds | {kind} if word[0] == "+" else kinds - {kind}
    if signed:
        changed = replace(changed, kinds=None if kinds == _usual(house) else frozenset(kinds))
    if changed != one:
        await house.store.watch(asked.chat, changed)
    return options_page(house, changed)


def change_menu(watches: tuple[Watch, ...]) -> tuple[Menu, ...]:
    """Which of the subscriptions to change."""
    names = [word_of(watch.subscription.market) for watch in watches]
    choices = tuple(Button(name, f"/adjust {name}") for name in names)
    return tuple(
        Menu("Change, more" if start else "Change", choices[start : start + MOST_CHOICES])
        for start in range(0, len(choices), MOST_CHOICES)
    )


def kinds_of(house: House, one: Subscription) -> frozenset[str]:
    return _usual(house) if one.kinds is None else one.kinds


def _usual(house: House) -> frozenset[str]:
    return frozenset(name for name, kind in house.kinds.items() if kind.by_default)


def word_of(market: str) -> str:
    """As it is typed."""
    return "all" if market == EVERY_MARKET else market


def told(market: str) -> str:
    return "every market" if market == EVERY_MARKET else market


COMMANDS = (
    Command(
        CommandSpec("adjust", "/adjust SYMBOL OPTIONS", "change what is watched", changes=True), adjust, hidden=True
    ),
)
