"""A platform that takes every message at once."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bot.message import Message
from bot.pacing import Limits, Rate
from bot.platforms.seam import CheckRow, CommandSpec, Handle, Suggest, Upkeep


@dataclass
class Instant:
    """``first_s``: when the first message came since `begin`, by the monotonic clock."""

    name: str = "instant"
    per_second: float = 1e6
    condition: str = "connected"
    invite: str | None = None
    first_s: float | None = None
    sent: int = 0

    def begin(self) -> None:
        self.first_s = None

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id, (Rate(1e6),))

    async def start(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest, upkeep: Upkeep) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None: ...

    async def check(self) -> Sequence[CheckRow]:
        return ()

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
        self.first_s = self.first_s or time.monotonic()
        self.sent += 1
        return nonce

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None: ...
