"""A chat's line of text to the message that answers it.

A reply comes only after the store has committed, so no reply means not accepted; every command can be repeated without
harm.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

from bot import asking
from bot.asking import NotUnderstood
from bot.charting import ChartFolder
from bot.commands import about, alerts, elsewhere, market, menus, scorecard, settings, watching
from bot.commands.doorman import TERMINAL, Doorman
from bot.commands.registry import Asked, Command, House
from bot.commands.suggesting import suggestions
from bot.errors import PlatformError
from bot.following import Following
from bot.markets import names
from bot.markets.feed import Feed
from bot.message import NOT_ADVICE, Button, Message, Table
from bot.platforms.seam import Choices, CommandSpec, Request
from bot.watch import Watcher
from detectors.registry import EventKind
from storage.chats import Chat, Subscription
from storage.errors import QuotaExceeded, StoreUnavailable
from storage.store import Store


async def show_help(asked: Asked) -> Message:
    # From the terminal no other chat can be reached.
    specs = [spec for spec in SPECS if spec is not elsewhere.SPEC or asked.chat.platform != TERMINAL]
    commands = Table(("command", "what it does"), tuple((spec.usage, spec.says) for spec in specs))
    kinds = tuple(f"{kind.kind}: {kind.summary}" for kind in asked.house.kinds.values())
    return Message("Commands", ("Kinds of alert:", *kinds), (f"Example: {asking.WATCH_EXAMPLE}",), commands)


async def _welcome(asked: Asked) -> Message:
    bases = sorted(asked.house.watcher.ranks().items(), key=lambda item: item[1])
    first = bases[0][0] if bases else "BTC"
    watch = (Button(f"Watch {first}", f"/watch {first}"), Button("Choose a market", "/watch"))
    return Message(
        "Clusterwatch: alerts on estimated liquidation clusters and funding shocks, with charts.",
        (
            "Watch a market and this chat is told when a cluster forms, comes near, is swept or dissolves.",
            "In a group or channel only admins change what is watched.",
        ),
        (NOT_ADVICE,),
        buttons=(watch, (Button("Settings", "/settings"), Button("Test alert", "/test"), Button("Help", "/help"))),
    )


async def _elsewhere(_asked: Asked) -> Message:
    raise NotUnderstood("One chat at a time.")  # `Commands.handle` answers it


_HELP = (
    Command(elsewhere.SPEC, _elsewhere),
    Command(CommandSpec("help", "/help", "this list"), show_help),
    Command(CommandSpec("start", "/start", "what this is, and the first steps"), _welcome, hidden=True),
)
FAMILIES: tuple[tuple[Command, ...], ...] = (
    watching.COMMANDS,
    menus.COMMANDS,
    market.COMMANDS,
    settings.COMMANDS,
    alerts.COMMANDS,
    scorecard.COMMANDS,
    about.COMMANDS,
    _HELP,
)
COMMANDS: Mapping[str, Command] = {command.spec.name: command for family in FAMILIES for command in family}
SPECS: tuple[CommandSpec, ...] = tuple(command.spec for command in COMMANDS.values() if not command.hidden)
LONGEST_BUTTON = 64
_MOST_SUGGESTED = 3


class Commands:
    """``faults``: sentences for ``/status`` about what goes wrong in the background, ``private_faults`` those that are
    for ``operators`` alone. ``conditions``: of the chats."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        watcher: Watcher,
        kinds: Mapping[str, EventKind],
        *,
        defaults: Subscription,
        charts: ChartFolder | None = None,
        faults: Callable[[], Sequence[str]] = tuple,
        conditions: Callable[[], Sequence[str]] = tuple,
        waiting_for: Callable[[str], str | None] = lambda _: None,
        following: Following | None = None,
        most_chats: int = 20,
        private_faults: Callable[[], Sequence[str]] = tuple,
        operators: Collection[Chat] = (),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._house = House(
            store,
            feed,
            watcher,
            kinds,
            defaults,
            charts,
            faults,
            conditions,
            waiting_for,
            following,
            most_chats,
            private_faults,
            operators,
        )
        self._doorman, self._now_s = Doorman(), now_s
        self._lanes: WeakValueDictionary[Chat, asyncio.Lock] = WeakValueDictionary()
        """Of chats that something is being changed in: what is read and then written must not meet another change."""

    @property
    def specs(self) -> tuple[CommandSpec, ...]:
        return SPECS

    @property
    def now_ms(self) -> int:
        """Market time."""
        return self._house.now_ms

    @property
    def words(self) -> tuple[str, ...]:
        """For completion: commands, markets, kinds and options."""
        commands = tuple(f"/{spec.name}" for spec in SPECS)
        markets = (market.base for market in self._house.markets)
        return (*commands, *markets, "all", *self._house.kinds, "within", "min")

    async def suggest(self, chat: Chat, choices: Choices, typed: str) -> Sequence[str]:
        """Words that complete what was typed so far, best first, at most 25. Never raises for what a user typed."""
        return await suggestions(self._house, chat, choices, typed)

    async def handle(self, request: Request) -> Message:
        """The answer to one request. Never raises for what a user typed."""
        wait_s = self._doorman.wait_s(request, self._now_s())
        if wait_s > 0:
            return Message(f"Too many commands: again in {max(1, round(wait_s))} s.", private=True)
        try:
            return await self._answer(request)
        except NotUnderstood as error:
            example = (f"Like this: {error.example}",) if error.example else ()
            return Message(str(error), example, buttons=_instead(request.text, *error.instead))
        except QuotaExceeded as error:
            return Message(str(error))
        except PlatformError:
            platform = request.chat.platform.capitalize()
            return Message(f"{platform} does not answer just now: try again in a minute.", private=True)
        except StoreUnavailable:
            return Message("Not accepted: the store cannot be written just now. Try again in a minute.")

    async def _answer(self, request: Request) -> Message:
        if (base := self._market_alone(request.text)) is not None:
            return _about_market(base)
        asked = asking.command(request.text, tuple(COMMANDS))
        if asked.name == elsewhere.NAME:
            return await elsewhere.answer_elsewhere(request, asked.words, self.handle)
        command = COMMANDS[asked.name]
        if not command.spec.changes:
            return await self._answer_with(command, request, asked.words)
        verdict = await request.may_change()
        if not verdict.allowed:
            why = (verdict.why,) if verdict.why else ()
            return Message("Not changed: only admins may do that here.", why, private=True)
        lane = self._lanes.setdefault(request.chat, asyncio.Lock())
        async with lane:
            return await self._answer_with(command, request, asked.words)

    async def _answer_with(self, command: Command, request: Request, words: tuple[str, ...]) -> Message:
        served_again = await self._unpark(request.chat)
        answer = await command.answer(Asked(self._house, request, words))
        if served_again:
            answer = replace(answer, lines=(*answer.lines, "Alerts go out here again: they had been stopped."))
        return answer

    def _market_alone(self, text: str) -> str | None:
        """The market of a line that is nothing but its name, which is no command."""
        words = asking.printable(text[: asking.LONGEST_COMMAND]).split()
        if len(words) != 1 or words[0].lstrip("/").partition("@")[0].lower() in COMMANDS:
            return None
        try:
            return names.resolve(words[0].lstrip("/"), self._house.markets).base
        except names.UnknownMarket:
            return None

    async def _unpark(self, chat: Chat) -> bool:
        """Whoever asks is there: a chat that was given up is served again."""
        try:
            # A topic that was deleted is not back because somebody writes beside it.
            return await self._house.store.unpark(chat, topics=False)
        except StoreUnavailable:
            return False  # a question can be answered all the same


def _about_market(base: str) -> Message:
    row = (Button(f"Watch {base}", f"/watch {base}"), Button("Map", f"/map {base}"))
    return Message(f"{base}: what of it?", buttons=((*row, Button("Clusters", f"/clusters {base}")),))


def _instead(text: str, word: str, meant: Sequence[str]) -> tuple[tuple[Button, ...], ...]:
    """A button for each word that may have been meant: the same line with that word."""
    if not word or word not in text:
        return ()
    lines = [(one, asking.printable(text.replace(word, one, 1))) for one in meant[:_MOST_SUGGESTED]]
    row = tuple(Button(one, line) for one, line in lines if len(line.encode()) <= LONGEST_BUTTON)
    return (row,) if row else ()
