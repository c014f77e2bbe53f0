"""What ``check``, ``markets`` and ``record`` ask of live venues, and how it is printed."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot import config as configs
from bot.app import make_feed
from bot.chats import DISCORD_TOKEN, TELEGRAM_TOKEN, configured
from bot.check_source import VENUE_SOURCES, charts_rows, kind_of, rows_without_venues, watch_rows
from bot.check_store import database_row, place_of
from bot.config import Config, ConfigError
from bot.ending import cancelled, stop_signals
from bot.errors import Fatal
from bot.markets import check as checks
from bot.markets.check import Offers, Row
from bot.markets.feed import Source
from bot.markets.live import LiveFeed
from bot.markets.local.feed import LocalFeed
from bot.markets.local.venues import VENUES
from bot.markets.venues import rules_for
from bot.platforms.seam import ChecksChats
from detectors import figures
from detectors.market import MINUTE_MS, MarketSnapshot
from storage.chats import EVERY_MARKET, Chat
from storage.known_chats import subscribed

_LOCAL_SEED = 3
_LOCAL_DAYS = 0.5
_LOCAL_SPEED = 1.0
_MOST_OFFERS = 60
_MOST_CHATS = 20
"""The latest chats that each platform is asked about."""
_LINE_EVERY_MS = 15 * MINUTE_MS


async def check(path: Path, *, named: bool, local: bool) -> list[Row]:
    """A row each for the config at ``path``, database, source, charts and chats. ``named``: the user gave the path."""
    config, rows = _config_rows(path, named=named, local=local)
    database = await database_row(place_of(config, os.environ, local=local))
    if _is_local(config, local) or config.source.kind in VENUE_SOURCES:
        rows += await _venue_rows(config, database, local=local)
    else:
        rows += [database, *await rows_without_venues(config, os.environ)]
    return [*rows, *charts_rows(config), _chats_row(config), *await _platform_rows(config)]


async def _venue_rows(config: Config, database: Row, *, local: bool) -> list[Row]:
    source, names = config.source, set(config.console.watch) - {EVERY_MARKET}
    watched = partial(watch_rows, config, os.environ) if names and not local else None
    async with _local_venues(source.venues, local=_is_local(config, local)) as rewrite:
        return await checks.check(
            source.venues, source.markets or None, database=database, rewrite=rewrite, watched=watched
        )


def _config_rows(path: Path, *, named: bool, local: bool) -> tuple[Config, list[Row]]:
    """The config to try the rest with, and one row, or one for each fault."""
    if not named and not path.exists():
        return configs.embedded(), [Row("config", True, "no config.toml: python -m bot plays simulated markets")]
    try:
        config = configs.load(path)
    except ConfigError as error:
        faults = [fault.rpartition("; ")[::2] for fault in error.faults]
        rows = [Row("config", False, said or fix, fix if said else f"mend {path}") for said, fix in faults]
        kind = kind_of(path)
        # A recording is nowhere by default.
        tried = configs.embedded(Source.SIMULATED if local or kind is Source.RECORDED else kind)
        return tried, [*rows, Row("config", True, "what follows is tried with the defaults")]
    return config, [Row("config", True, f"{path}, source {config.source.kind.value}")]


def _chats_row(config: Config) -> Row:
    watched = ", ".join("every market" if name == "*" else name for name in config.console.watch)
    said = f"the terminal, which watches {watched or 'nothing until /watch'}"
    without = [name for name in (TELEGRAM_TOKEN, DISCORD_TOKEN) if not os.environ.get(name)]
    if not without:
        return Row("chats", True, said)
    fix = "to be told there too, set it: docs/telegram.md, docs/discord.md"
    return Row("chats", True, f"{said}; not in the environment: {' and '.join(without)}", fix)


async def _platform_rows(config: Config) -> list[Row]:
    """Each platform with its token and rights."""
    rows = []
    try:
        platforms = configured(config, os.environ)
    except Fatal as error:
        return [Row("chats", False, error.reason, "mend the token in the environment")]
    for platform in platforms:
        found = await platform.check()
        place = place_of(config, os.environ, local=False)
        if isinstance(platform, ChecksChats) and all(row.ok for row in found):
            chats = [one.chat_id for one in config.notices.operators if one.platform == platform.name]
            if place is not None:
                chats += await asyncio.to_thread(subscribed, place, platform.name, _MOST_CHATS)
            found = [*found, *await platform.check_chats(list(dict.fromkeys(chats)))]
        rows += [Row(one.what, one.ok, one.says, one.fix) for one in found]
    on = {platform.name for platform in platforms}
    return rows + [_without_notices(chat) for chat in config.notices.operators if chat.platform not in on]


def _without_notices(chat: Chat) -> Row:
    token = {"telegram": TELEGRAM_TOKEN, "discord": DISCORD_TOKEN}[chat.platform]
    fix = f"switch {chat.platform} on and set {token}, or take it out of [notices] chats"
    return Row("notices", False, f"{chat} gets none: {chat.platform} is not on", fix)


async def offers(config: Config, word: str, *, local: bool) -> Offers:
    """Raises `NoVenue`."""
    async with _local_venues(config.source.venues, local=_is_local(config, local)) as rewrite:
        return await checks.list_markets(config.source.venues, word, rewrite=rewrite)


def _is_local(config: Config, asked: bool) -> bool:
    return asked or config.source.kind is Source.LOCAL


async def record(config: Config, out: Path, hours: float | None, *, local: bool) -> int:
    """How many bars were written. Raises `NoVenue`, `UnknownMarket`, `RecordingError`."""
    local = _is_local(config, local)
    # What is recorded begins now: local venues need not make up a past that nobody asks for.
    of_local = {"kind": Source.LOCAL, "speed": _LOCAL_SPEED, "history_days": _LOCAL_DAYS}
    kind = of_local if local else {"kind": Source.LIVE}
    feed = make_feed(config.model_copy(update={"source": config.source.model_copy(update=kind)}))
    assert isinstance(feed, LiveFeed)
    console = Console(highlight=False, stderr=True)
    bars, said_at_ms = 0, 0

    def on_snapshot(snapshot: MarketSnapshot) -> None:
        nonlocal bars, said_at_ms
        bars += snapshot.bar is not None
        for notice in feed.notices():
            console.print(f"{figures.clock(notice.at_ms)} {notice.kind}: {notice.text}", style="yellow")
        if bars >= len(feed.markets) and snapshot.taken_at_ms - said_at_ms >= _LINE_EVERY_MS:
            said_at_ms = snapshot.taken_at_ms
            console.print(f"{figures.moment(said_at_ms)}: {bars:,} bars of {len(feed.markets)} markets")

    with stop_signals() as stopping:
        console.print(
            f"Recording {', '.join(config.source.venues)}, {feed.source.label}, into {out}; Ctrl-C ends it. "
            "The first bars come at the next five minutes' end."
        )
        recording = asyncio.create_task(checks.record(feed, out, hours, clock=feed.clock, on_snapshot=on_snapshot))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait([recording, stop], return_when=asyncio.FIRST_COMPLETED)
        if not recording.done() and feed.markets:
            await feed.close()  # to its end, or its connections are left open; the recording ends with what it has
        elif not recording.done():
            await cancelled([recording])
        await cancelled([stop])
    return 0 if recording.cancelled() else await recording


@asynccontextmanager
async def _local_venues(names: Sequence[str], *, local: bool) -> AsyncIterator[Callable[[Any], None] | None]:
    """What points ccxt at local venues of these names; None for the real ones."""
    if not local:
        yield None
        return
    feed = LocalFeed(_LOCAL_SEED, [name for name in names if rules_for(name).name in VENUES], history_days=_LOCAL_DAYS)
    async with feed.serving() as venues:
        yield venues.rewrite


def print_rows(rows: Sequence[Row]) -> None:
    """One table: what, whether it will do, what was found, and the fix."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "what", "found", "fix"):
        table.add_column(column, overflow="fold")
    for row in rows:
        mark = "[green]ok[/]" if row.ok else "[red]NO[/]"
        table.add_row(mark if row.is_needed else "-", row.what, escape(row.said), escape(row.fix))
    console = Console(highlight=False)
    console.print(table)
    wrong = sum(not row.ok for row in rows)
    console.print(f"{wrong} of {len(rows)} must be put right." if wrong else "All is well.")


def print_offers(found: Offers, word: str) -> None:
    console, offers = Console(highlight=False), found.offers
    if not offers:
        nearest = f" Did you mean {' or '.join(found.nearest)}?" if found.nearest else ""
        console.print(f'No market has "{word}" in its name on these venues.{nearest}', markup=False)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("market", "symbol", "venues", "turnover in 24 h"):
        table.add_column(column, justify="right" if column.startswith("turnover") else "left")
    for offer in offers[:_MOST_OFFERS]:
        table.add_row(offer.base, offer.symbol, ", ".join(offer.venues), figures.usd(offer.turnover_usd))
    console.print(table)
    if len(offers) > _MOST_OFFERS:
        console.print(f"and {len(offers) - _MOST_OFFERS} more: name a part, as in python -m bot markets pepe")
