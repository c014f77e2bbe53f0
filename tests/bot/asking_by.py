"""Commands over a short simulated market, asked by somebody in a chat."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.charting import ChartFolder
from bot.commands import Commands
from bot.markets.simulated import SimulatedFeed
from bot.message import Button, Message
from bot.platforms.seam import ALLOWED, Place, Request, Verdict
from detectors.registry import find_kinds
from storage.chats import Chat, Subscription
from storage.sqlite import SqliteStore
from tests.bot.played import standing

REFUSED = Verdict(allowed=False, why="Only admins of this group may: ask Alice.")


CHAT = Chat("telegram", "7")
FEED = SimulatedFeed(5, 1)
"""Asked for what it simulates, and never polled: making it costs more than most tests."""


@dataclass
class Asker:
    """Somebody in a chat. ``may`` is what the platform says of them; ``asked`` counts how often it was asked."""

    commands: Commands
    chat: Chat = CHAT
    may: Verdict = ALLOWED
    user_id: str | None = "user"
    others: Mapping[str, "Asker"] = field(default_factory=dict)
    asked: int = 0

    async def may_change(self) -> Verdict:
        self.asked += 1
        return self.may

    def request(self, text: str, *, pressed: bool = False) -> Request:
        async def elsewhere(name: str) -> Request | None:
            return self.others[name].request(text) if name in self.others else None

        return Request(self.chat, text, Place.GROUP, self.may_change, self.user_id, pressed, elsewhere)

    async def says(self, text: str) -> Message:
        return await self.commands.handle(self.request(text))

    async def presses(self, button: Button) -> Message:
        assert len(button.command.encode()) <= 64
        return await self.commands.handle(self.request(button.command, pressed=True))


def buttons(message: Message) -> dict[str, Button]:
    rows = [button for row in message.buttons for button in row]
    return {one.label: one for one in [*rows, *(choice for menu in message.menus for choice in menu.choices)]}


async def commands_over(store: SqliteStore, charts: ChartFolder | None = None, *, bars: int = 600) -> Commands:
    """Over BTC; time for the doorman stands still unless a test moves it, a second at each look."""
    watching = await standing(store, bars, evidence=True)
    clock = iter(range(0, 10**9, 60))
    return Commands(
        store,
        FEED,
        watching,
        find_kinds(),
        defaults=Subscription("*"),
        charts=charts,
        most_chats=3,
        now_s=lambda: float(next(clock)),
    )
