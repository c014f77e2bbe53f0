"""Live venues: follow the market from the first moment until it is stopped, and catch up with the past beside it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from bot import memory
from bot.app import App
from bot.catching_up import CatchingUp
from bot.depth_facts import DepthFacts
from bot.ending import cancelled
from bot.enduring import nothing_ends_it
from bot.markets.live import LiveFeed
from bot.message import Message
from bot.platforms import console
from bot.show import print_summary
from bot.turns import in_turns
from detectors import figures
from storage.errors import Superseded

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
    """Follow the market until it is stopped or the user leaves, and catch up beside it; with ``for_s``, for that long
    once every market has what alerts need, which ``commands`` wait for too.

    Raises Fatal where no chat can be served, Superseded where another copy took over.
    """
    memory.settle()
    app.schedule_house()
    app.schedule.every(_NOTICES_EVERY_S, "notices", lambda: tell_notices(app, feed))
    app.schedule.start()
    await app.open_chats()
    app.watcher.look_up = DepthFacts(feed)
    past = CatchingUp(app, feed)
    if app.following is not None:
        app.following.catching_up = past
    following = asyncio.create_task(follow(app, feed, past), name="follow")
    ready = asyncio.create_task(past.first_stage_done.wait(), name="first stage")
    ends: list[asyncio.Task[object]] = [
        asyncio.create_task(app.deliverer.run(), name="deliver"),
        asyncio.create_task(app.chats.run(), name="chats"),
        asyncio.create_task(stopping.wait(), name="stopping"),
        asyncio.create_task(catch_up(past), name="catch up"),
        following,
    ]
    if interactive:
        ends.append(asyncio.create_task(console.chat(app.commands.handle, app.printer, app.commands.words)))
    await asyncio.wait([*ends, ready], return_when=asyncio.FIRST_COMPLETED)
    timer: asyncio.Task[None] | None = None
    if past.first_stage_done.is_set():
        app.caught_up = True
        await memory.give_back()  # what the past was made of is not needed again
        await console.answer_all(app.commands.handle, app.printer, commands)
        if for_s is not None:
            timer = asyncio.create_task(asyncio.sleep(for_s), name="time is up")
            ends.append(timer)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    time_is_up = timer is not None and timer.done()
    # Venues may be slow to say good-bye, chats too: both at once, or ten seconds are not enough.
    closing = asyncio.create_task(feed.close(), name="close the feed")
    await app.schedule.stop()
    await asyncio.wait([following], timeout=_LAST_TICK_S)
    if time_is_up:
        await app.deliverer.drain()
    await app.deliverer.stop()
    await app.board.stop()
    await closing
    with suppress(Superseded):  # of which one of the tasks tells
        await tell_notices(app, feed)
    await cancelled([*ends, ready])
    await past.stop()
    if time_is_up:
        folder = app.charts.folder if app.charts else None
        print_summary(app.printer.console, app.tally, app.watcher.engines, feed.refusals, folder)


async def follow(app: App, feed: LiveFeed, past: CatchingUp) -> None:
    """Take in what the feed brings until it is closed. Nothing that goes wrong with one tick ends it."""
    while (moment := await feed.poll()) is not None:
        app.tally.pass_by(tuple(moment))
        with nothing_ends_it(app, "a tick could not be taken in"):
            await app.take(past.let_through(moment))


async def catch_up(past: CatchingUp) -> None:
    """Ends only by what went wrong, which ends the bot: else nobody would know that no market's past comes any more."""
    await past.run()
    await asyncio.Event().wait()


async def tell_notices(app: App, feed: LiveFeed) -> None:
    """What the feed says of its data: to whoever runs the bot and the chats that asked for it, and kept for
    ``/status``; gaps are stored for good."""
    notices = feed.notices()
    async for notice in in_turns(notices):  # a venue that is out may be worth a line of every market
        said = f"{figures.clock(notice.at_ms)} {notice.kind}: {notice.text}"
        app.notices.append(said)
        app.printer.show(Message(f"⚠ {said}"))
    with nothing_ends_it(app, "notices could not be told"):
        await app.board.post(notices)
    if gaps := feed.gaps:
        with nothing_ends_it(app, "gaps could not be stored"):
            await app.store.note_gaps(gaps)
