"""The whole bot on a simulated market that a test plays by hand, with a platform that is real to its socket."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bot.app import App, make_feed
from bot.chats import configured
from bot.platforms.console import Printer
from tests.bot.played import SEED, config

_WARM_BARS = 300


@dataclass
class Bot:
    app: App
    out: io.StringIO

    async def play_until_alert(self) -> str:
        """Bars until one brings an alert or would bring one; the headline of the newest alert kept."""
        before = await self._decided()
        while await self._decided() == before:
            assert await self.app.tick(), "the market has ended"
        recent = await self.app.store.recent(1)
        return recent[0].event.headline if recent else ""

    async def _decided(self) -> int:
        counts = await self.app.store.counts()
        silent = sum(n for reason, n in counts.silences.items() if reason in {"muted", "market_muted"})
        return sum(counts.deliveries.values()) + silent


@asynccontextmanager
async def whole_bot(folder: Path, environ: Mapping[str, str], *, store: str = "") -> AsyncIterator[Bot]:
    """Its platforms run and are connected. ``store``: the database's file; in memory without."""
    settings = config(
        source={"seed": SEED, "days": 60.0, "markets": ["BTC"], "warm_up_days": 0.0},
        charts={"folder": str(folder / "charts")},
        console={"watch": []},
        store={"path": store},
    )
    out = io.StringIO()
    platforms = configured(settings, environ)
    async with App(
        settings, make_feed(settings), printer=Printer(Console(file=out, width=200)), platforms=platforms
    ) as app:
        for _ in range(_WARM_BARS):
            await app.tick()
        await app.open_chats()
        talking = asyncio.create_task(app.chats.run())
        delivering = asyncio.create_task(app.deliverer.run())
        try:
            async with asyncio.timeout(20):
                while not all(": connected" in one for one in app.chats.conditions()):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            yield Bot(app, out)
        finally:
            talking.cancel()
            await app.deliverer.stop()
            await asyncio.gather(talking, delivering, return_exceptions=True)
