"""What ``check`` tries of a source that needs no venue, of the terminal's markets and of the folder for charts."""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.app import make_feed
from bot.config import Config
from bot.markets.check import Row, why_not_made
from bot.markets.feed import Source
from bot.markets.live import LiveFeed
from bot.markets.names import UnknownMarket
from bot.markets.recorded import RecordedFeed
from bot.markets.recording import RecordingError
from bot.stores import is_new
from bot.terminal import terminal_watches
from detectors import figures
from detectors.market import Market

GO_LIVE = 'to go live, write kind = "live" under [source] of a config.toml'
VENUE_SOURCES = (Source.LIVE, Source.LOCAL)
_MOST_NAMED = 8


async def rows_without_venues(config: Config, environ: Mapping[str, str]) -> list[Row]:
    """The recording or simulation as a start would take it up."""
    kind = config.source.kind
    hint = GO_LIVE if kind is Source.SIMULATED else ""
    venues = Row("venues", True, f"not needed for {kind.value} markets", hint, is_needed=False)
    try:
        feed = make_feed(config)
        assert not isinstance(feed, LiveFeed)
        markets = await asyncio.to_thread(feed.load)
    except UnknownMarket as error:
        return [Row("markets", False, str(error), "mend source.markets"), venues]
    except RecordingError as error:
        return [Row("recording", False, str(error), "mend source.path"), venues]
    rows = [Row("markets", True, f"{kind.value}: {figures.some_of([market.base for market in markets], _MOST_NAMED)}")]
    if isinstance(feed, RecordedFeed):
        rows.insert(0, Row("recording", True, str(feed.path)))
    return [*rows, *await asyncio.to_thread(watch_rows, config, environ, markets), venues]


def watch_rows(config: Config, environ: Mapping[str, str], markets: Sequence[Market]) -> list[Row]:
    """What is wrong with ``console.watch``, which a start reads where the database is a new one."""
    _, faults = terminal_watches(config.console.watch, markets)
    if not faults or not is_new(config, environ):
        return []
    return [Row("terminal", False, said, fix) for said, _, fix in (fault.rpartition("; ") for fault in faults)]


def charts_rows(config: Config) -> list[Row]:
    folder = Path(config.charts.folder)
    if not config.charts.draw:
        return []
    if why := why_not_made(folder / "chart.png"):
        fix = "give the account that runs the bot the right to write there, or change charts.folder"
        return [Row("charts", False, f"nothing can be written to {folder} ({why})", fix)]
    return [Row("charts", True, f"into {folder}")]


def kind_of(path: Path) -> Source:
    """The kind of source that a config asks for which has faults."""
    try:
        return Source(tomllib.loads(path.read_text("utf-8"))["source"]["kind"])
    except (OSError, ValueError, LookupError, TypeError):
        return Source.SIMULATED
