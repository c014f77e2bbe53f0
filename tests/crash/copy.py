"""One copy of the bot, as its own process and by its own command line; only the market is the story's.

python -m tests.crash.copy STORY COME_TO CONFIG      # SQLite or DATABASE_URL, tokens, PORT: as ever
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from bot import cli, run
from bot.config import Config
from detectors.market import Market, MarketSnapshot
from tests.crash import parts
from tests.crash.child import kept
from tests.crash.points import Points

BETWEEN_BARS_S = 0.1
ASKED = "asked for the market"
"""What a copy says when it begins to follow venues."""


class SlowFeed(parts.StoryFeed):
    """Brings as many bars as the file ``gate`` beside ``come_to`` says, one after another."""

    async def start(self) -> tuple[Market, ...]:
        print(ASKED, flush=True)
        return await super().start()

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        gate = self._come_to.with_name("gate")
        while not self._left.is_set() and int(gate.read_text()) <= self._next < len(self._story.live):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.sleep(BETWEEN_BARS_S)
        return await super().poll()


def main(story_file: str, come_to: str, config: str) -> None:
    def make_feed(_: Config) -> SlowFeed:
        return SlowFeed(kept(Path(story_file)), Points(), Path(come_to))

    vars(run)["make_feed"] = make_feed
    parts.unpaced()
    cli.main(["--config", config])


if __name__ == "__main__":
    main(*sys.argv[1:])
