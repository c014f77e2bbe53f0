"""``python -m bot``: the demonstration without a terminal, the played market with one."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import takewhile
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bot import config as configs
from bot.app import App, make_feed
from bot.config import Config
from bot.ending import cancelled, stop_signals
from bot.markets.feed import Source
from bot.markets.live import LiveFeed
from bot.markets.venues import DEFAULT_VENUES
from bot.message import Message
from bot.platforms import console
from bot.playback import Moment, play, up_to
from bot.probes import probes
from bot.run_live import serve_live
from bot.show import print_summary
from bot.stores import check_host
from detectors.market import DAY_MS
from storage.chats import EVERY_MARKET
from storage.store import NewAlert

DEMO = {"days": 14.0, "markets": ("BTC", "DOGE", "PEPE")}
"""Two weeks of a large, a small and a tiny price: what a laptop plays and draws in well under half a minute."""
LOCAL = {"seed": 9, "markets": ("BTC", "DOGE", "PEPE"), "speed": 1.5, "venues": DEFAULT_VENUES, "history_days": 4.0}
LOCAL_FOR_S = 70.0
"""How long local venues are watched where nobody sits at the terminal."""
CHART_PROCESSES = 2
BATCH = 1024
"""Snapshots in one commit while playing fast; their charts are drawn side by side."""
SHORTEST_TICK_S = 0.25
"""Faster play takes several bars a tick."""


async def run(config: Config | None, *, local: bool = False) -> None:
    """By the config; without one the embedded default; ``local``: on local venues, whatever its source.

    Raises ConfigError, StoreError, RecordingError, NoVenue, Fatal ...
    """
    check_host(os.environ)
    interactive = console.is_interactive()
    commands = console.piped_commands()
    embedded = config is None and not local
    config = config or configs.embedded()
    if local:
        config = on_local_venues(config)
    demonstrate = embedded and not interactive
    if demonstrate:
        config = config.model_copy(update={"source": config.source.model_copy(update=DEMO)})
    printer = console.Printer(console.make_console(config.console.colour))
    with stop_signals() as stopping:
        if config.source.kind is Source.LOCAL:
            days = f"{config.source.history_days:g} days of a simulated market"
            printer.show(Message(f"Making {days} for the local venues first; Ctrl-C ends it."))
        feed = make_feed(config)
        app = App(config, feed, chart_processes=CHART_PROCESSES if demonstrate else 0, printer=printer)
        async with probes(config, os.environ, app.store) as watch_over, AsyncExitStack() as until_end:
            if not await opened(app, until_end, stopping):
                return
            watch_over(app)
            greet(app, configs.HOW_TO_GO_ON if embedded else configs.LOCAL_VENUES if local else None)
            if demonstrate:
                await demonstration(app, stopping, commands)
            elif isinstance(feed, LiveFeed):
                for_s = LOCAL_FOR_S if local and not interactive else None
                await serve_live(app, feed, stopping, interactive=interactive, commands=commands, for_s=for_s)
            else:
                await serve(app, stopping, interactive=interactive, commands=commands)


async def opened(app: App, until_end: AsyncExitStack, stopping: asyncio.Event) -> bool:
    """Open the app; False where it was told to stop first. A copy that stands by may wait for days, and as the first
    process of a container it is not ended by a signal that nobody handles."""
    opening = asyncio.create_task(until_end.enter_async_context(app), name="opening")
    stop = asyncio.create_task(stopping.wait(), name="stop")
    await asyncio.wait([opening, stop], return_when=asyncio.FIRST_COMPLETED)
    is_open = opening.done()
    await cancelled([opening, stop])
    return is_open


async def demonstration(app: App, stopping: asyncio.Event, commands: Sequence[str] = ()) -> None:
    """Play to the end of the feed as fast as it goes and tell every alert; commands are answered after the warm-up."""
    if commands:
        await _play_fast(app, up_to(app.moments, _warm_at_ms(app)), stopping)
        await console.answer_all(app.commands.handle, app.printer, commands)
    await _play_fast(app, app.moments, stopping)
    folder = app.charts.folder if app.charts else None
    print_summary(app.printer.console, app.tally, app.watcher.engines, app.feed.refusals, folder)


def on_local_venues(config: Config) -> Config:
    """The config with local venues as its source, and nothing kept: they tell the same story at every start."""
    source = config.source.model_copy(update={"kind": Source.LOCAL, **LOCAL})
    watch = config.console.model_copy(update={"watch": (EVERY_MARKET,)})
    store = config.store.model_copy(update={"path": ""})
    return config.model_copy(update={"source": source, "console": watch, "store": store})


async def serve(app: App, stopping: asyncio.Event, *, interactive: bool, commands: Sequence[str] = ()) -> None:
    """Warm up or catch up, then play at the config's speed until it is stopped; with nobody there, until the feed ends.

    Raises Fatal where no chat can be served, Superseded where another copy took over.
    """
    await warm_up(app, stopping)
    app.caught_up = True
    await console.answer_all(app.commands.handle, app.printer, commands)
    ended = asyncio.Event()
    _schedule(app, ended)
    app.schedule.start()
    await app.open_chats()
    delivering = asyncio.create_task(app.deliverer.run())
    ends: list[asyncio.Task[Any]] = [delivering, asyncio.create_task(stopping.wait())]
    ends.append(asyncio.create_task(app.chats.run(), name="chats"))
    if interactive:
        ends.append(asyncio.create_task(console.chat(app.commands.handle, app.printer, app.commands.words)))
    else:
        ends.append(asyncio.create_task(ended.wait()))
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await app.schedule.stop()
    if ended.is_set() and not stopping.is_set():
        await app.deliverer.drain()
    await app.deliverer.stop()
    await asyncio.wait([delivering])
    await cancelled(ends)


async def warm_up(app: App, stopping: asyncio.Event) -> None:
    """Silently to where the store stands, or over the first days of a new one."""
    to_ms = app.stands_at_ms
    if to_ms is None:
        to_ms = _warm_at_ms(app)
        await app.store.mute(console.CHAT, to_ms)
    with Progress(
        TextColumn("warming up"), BarColumn(), TimeRemainingColumn(), console=app.printer.console, transient=True
    ) as progress:
        bar = progress.add_task("", total=max(1, to_ms - app.begins_at_ms))
        await _play_fast(
            app,
            up_to(app.moments, to_ms),
            stopping,
            lambda at_ms: progress.update(bar, completed=at_ms - app.begins_at_ms),
        )


def greet(app: App, note: str | None = None) -> None:
    markets = ", ".join(engine.market.base for engine in app.watcher.engines.values())
    notes = (*app.notes, note) if note else tuple(app.notes)
    app.printer.show(Message(f"Clusterwatch: {app.feed.source.label} markets {markets}", notes))


async def _play_fast(
    app: App,
    moments: Iterator[Moment],
    stopping: asyncio.Event,
    on_moment: Callable[[int], None] | None = None,
) -> None:
    """Play, and meanwhile draw and tell what the batch before led to."""
    telling: list[asyncio.Task[None]] = []

    async def tell(alerts: Sequence[NewAlert]) -> None:
        while telling:
            await telling.pop()
        telling.append(asyncio.create_task(_tell(app, alerts)))

    app.watcher.batch = BATCH
    try:
        going = takewhile(lambda _: not stopping.is_set(), moments)
        await play(going, app.watcher, app.tally, tell, on_moment, app.scorer)
        while telling:
            await telling.pop()
    finally:
        app.watcher.batch = 1
        await cancelled(telling)


async def _tell(app: App, alerts: Sequence[NewAlert]) -> None:
    for alert in alerts:
        app.tally.add(alert.event)
    if app.charts is not None:
        await app.charts.save_all(alert.event for alert in alerts)
    await app.deliverer.drain()


def _warm_at_ms(app: App) -> int:
    return app.begins_at_ms + round(app.config.source.warm_up_days * DAY_MS)


def _schedule(app: App, ended: asyncio.Event) -> None:
    tick_s = max(SHORTEST_TICK_S, 1 / app.config.source.speed)
    bars = max(1, round(tick_s * app.config.source.speed))

    async def tick() -> None:
        for _ in range(bars):
            if not ended.is_set() and not await app.tick():
                app.printer.show(Message("The market has ended: nothing more will come of it."))
                ended.set()

    app.schedule.every(tick_s, "tick", tick)
    app.schedule_house()
