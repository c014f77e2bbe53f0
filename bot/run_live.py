"""Live venues: catch up with the past, then follow the market until it is stopped."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bot.app import App
from bot.ending import cancelled
from bot.markets.live import LiveFeed
from bot.markets.live_history import Progress as Fetched
from bot.markets.live_types import BAR_MS
from bot.message import Message
from bot.platforms import console
from bot.show import print_summary
from detectors import figures
from storage.errors import StoreUnavailable

log = logging.getLogger(__name__)
_AT_ONCE = 64
"""Snapshots of the time since the last run in one commit."""
_NOTICES_EVERY_S = 1.0
_LAST_TICK_S = 2.0


async def serve_live(
    app: App,
    feed: LiveFeed,
    stopping: asyncio.Event,
    *,
    interactive: bool,
    commands: Sequence[str] = (),
    for_s: float | None = None,
) -> None:
    """Catch up, then follow the market until it is stopped or the user leaves; with ``for_s``, for that long.

    Raises Fatal where no chat can be served.
    """
    app.schedule_house()
    app.schedule.start()
    await app.open_chats()
    delivering = asyncio.create_task(app.deliverer.run(), name="deliver")
    stopped = asyncio.create_task(stopping.wait(), name="stopping")
    catching_up = asyncio.create_task(catch_up(app, feed), name="catch up")
    following: asyncio.Task[None] | None = None
    talking = asyncio.create_task(app.chats.run(), name="chats")
    ends: list[asyncio.Task[object]] = [delivering, stopped, talking]
    await asyncio.wait([*ends, catching_up], return_when=asyncio.FIRST_COMPLETED)
    timer: asyncio.Task[None] | None = None
    if catching_up.done():
        catching_up.result()
        app.caught_up = True
        following = asyncio.create_task(follow(app, feed), name="follow")
        app.schedule.every(_NOTICES_EVERY_S, "notices", lambda: tell_notices(app, feed))
        ends.append(following)
        await console.answer_all(app.commands.handle, app.printer, commands)
        if interactive:
            ends.append(asyncio.create_task(console.chat(app.commands.handle, app.printer, app.commands.words)))
        if for_s is not None:
            timer = asyncio.create_task(asyncio.sleep(for_s), name="time is up")
            ends.append(timer)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    time_is_up = timer is not None and timer.done()
    # Venues may be slow to say good-bye, chats too: both at once, or ten seconds are not enough.
    closing = asyncio.create_task(feed.close(), name="close the feed")
    await app.schedule.stop()
    if following is not None:
        await asyncio.wait([following], timeout=_LAST_TICK_S)
    if time_is_up:
        await app.deliverer.drain()
    await app.deliverer.stop()
    await closing
    await tell_notices(app, feed)
    await cancelled([*ends, catching_up])
    if time_is_up:
        folder = app.charts.folder if app.charts else None
        print_summary(app.printer.console, app.tally, app.watcher.engines, feed.refusals, folder)


async def catch_up(app: App, feed: LiveFeed) -> None:
    """Fetch what is missing of the past: of a new market silently, of one that is stored as alerts that come late."""
    known = {
        found.market.base: found.cursor.bar_opened_at_ms + BAR_MS
        for found in app.resumed
        if found.cursor is not None and found.cursor.bar_opened_at_ms is not None
    }
    days = app.config.source.history_days
    with _progress(app, len(app.resumed), days) as on_market, _nothing_ends_it(app, "the past could not be fetched"):
        async for market, snapshots in feed.history(days, known, on_market):
            with _nothing_ends_it(app, f"the past of {market.base} could not be taken in"):
                if market.base not in known:
                    await app.watcher.learn(snapshots)
                    continue
                for start in range(0, len(snapshots), _AT_ONCE):
                    await app.take(tuple(snapshots[start : start + _AT_ONCE]))
    with _nothing_ends_it(app, "no checkpoint yet"):
        await app.watcher.checkpoint()


async def follow(app: App, feed: LiveFeed) -> None:
    """Take in what the feed brings until it is closed. Nothing that goes wrong with one tick ends it."""
    while (moment := await feed.poll()) is not None:
        app.tally.pass_by(tuple(moment))
        with _nothing_ends_it(app, "a tick could not be taken in"):
            await app.take(tuple(moment))


async def tell_notices(app: App, feed: LiveFeed) -> None:
    """What the feed says of its data: to whoever runs the bot, and kept for ``/status``; gaps are stored for good."""
    for notice in feed.notices():
        said = f"{figures.clock(notice.at_ms)} {notice.kind}: {notice.text}"
        app.notices.append(said)
        app.printer.show(Message(f"⚠ {said}"))
    if gaps := feed.gaps:
        with _nothing_ends_it(app, "gaps could not be stored"):
            await app.store.note_gaps(gaps)


@contextmanager
def _nothing_ends_it(app: App, what: str) -> Iterator[None]:
    """What goes wrong here is said and counted; what comes next is worth more than the process."""
    try:
        yield
    except StoreUnavailable as error:
        log.warning("%s, and is tried again with the next prices: %s", what, error)
    except Exception:
        app.failed_ticks += 1
        log.exception(what)


@contextmanager
def _progress(app: App, markets: int, days: float) -> Iterator[Callable[[Fetched], None]]:
    """A bar on a terminal; elsewhere a line before and one after."""
    out, started_s, bars = app.printer.console, time.monotonic(), 0
    columns = (TextColumn("the past of {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if not out.is_terminal:
        app.printer.show(Message(f"Fetching what is missing of the last {days:g} days of {markets} markets ..."))
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("", total=markets)

        def on_market(fetched: Fetched) -> None:
            nonlocal bars
            bars += fetched.bars
            progress.update(task, completed=fetched.done, description=fetched.market)

        yield on_market
    app.printer.show(Message(f"Caught up: {bars:,} bars in {time.monotonic() - started_s:.1f} s"))
