"""A chat's line of text to the message that answers it.

A reply comes only after the store has committed, so no reply means not accepted; every command can be repeated without
harm.
"""

from collections.abc import Callable, Mapping, Sequence

from bot import asking
from bot.asking import NotUnderstood
from bot.charting import ChartFolder
from bot.commands import about, market, watching
from bot.commands.registry import Asked, Command, House
from bot.commands.suggesting import suggestions
from bot.markets.feed import Feed
from bot.message import Message, Table
from bot.platforms.seam import Choices, CommandSpec, Request
from bot.watch import Watcher
from detectors.registry import EventKind
from storage.chats import Chat, Subscription
from storage.errors import QuotaExceeded, StoreUnavailable
from storage.store import Store


async def show_help(asked: Asked) -> Message:
    commands = Table(("command", "what it does"), tuple((spec.usage, spec.says) for spec in SPECS))
    kinds = tuple(f"{kind.kind}: {kind.summary}" for kind in asked.house.kinds.values())
    return Message("Commands", ("Kinds of alert:", *kinds), (f"Example: {asking.WATCH_EXAMPLE}",), commands)


_HELP = (
    Command(CommandSpec("help", "/help", "this list"), show_help),
    Command(CommandSpec("start", "/start", "this list"), show_help, hidden=True),
)
FAMILIES: tuple[tuple[Command, ...], ...] = (watching.COMMANDS, market.COMMANDS, about.COMMANDS, _HELP)
COMMANDS: Mapping[str, Command] = {command.spec.name: command for family in FAMILIES for command in family}
SPECS: tuple[CommandSpec, ...] = tuple(command.spec for command in COMMANDS.values() if not command.hidden)


class Commands:
    """``faults``: sentences for ``/status`` about what goes wrong in the background. ``conditions``: of the chats."""

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
    ) -> None:
        self._house = House(store, feed, watcher, kinds, defaults, charts, faults, conditions, waiting_for)

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
        try:
            asked = asking.command(request.text, tuple(COMMANDS))
            command = COMMANDS[asked.name]
            if command.spec.changes:
                verdict = await request.may_change()
                if not verdict.allowed:
                    return Message("Not changed: only admins may do that here.", (verdict.why,), private=True)
            return await command.answer(Asked(self._house, request, asked.words))
        except NotUnderstood as error:
            return Message(str(error), (f"Like this: {error.example}",) if error.example else ())
        except QuotaExceeded as error:
            return Message(str(error))
        except StoreUnavailable:
            return Message("Not accepted: the store cannot be written just now. Try again in a minute.")
