"""Charts as files: drawn off the event loop, once per alert, whatever asks for them."""

import asyncio
import hashlib
import logging
import secrets
import signal
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from bot.chart import ChartDrawer, draw
from bot.once import Once
from detectors.event import Event

_REMEMBERED = 64
"""Fewer than any folder keeps, so that what is remembered is there."""
log = logging.getLogger(__name__)


class _NotWritable(Exception):  # noqa: N818 - says what it is
    pass


class ChartFolder:
    """PNG files in ``folder``, which is made when the first one comes. `prune` keeps the newest ``kept``; None: all.

    ``processes``: draw with that many, for playing fast; 0: in a thread, which is less to keep for a bot that draws a
    few charts a day.
    """

    def __init__(self, folder: Path, *, kept: int | None = None, processes: int = 0) -> None:
        self.folder = folder
        self.failed = 0
        self._is_said = False
        self._made: Once[str, Path | None] = Once(_REMEMBERED)
        self._kept = kept
        # What was drawn is a file: nothing is gained by keeping its pixels.
        self._drawer = ProcessDrawer(processes) if processes else ChartDrawer(kept=1)

    async def save(self, event: Event) -> Path | None:
        """The event's chart; None where it has no evidence or cannot be drawn: an alert goes out without it then.

        However many chats ask for it, it is drawn once.
        """
        if event.evidence is None:
            return None
        path = await self._made.get(event.key, lambda: self._draw(event))
        if path is None:
            self._made.forget(event.key)  # the next one may have better luck
        return path

    async def _draw(self, event: Event) -> Path | None:
        path = self.folder / chart_name(event)
        try:
            if not await asyncio.to_thread(_is_there, path):
                png = await self._drawer.draw(event)
                assert png is not None
                await asyncio.to_thread(self._write, path, png)
        except _NotWritable as error:
            self.failed += 1
            if not self._is_said:  # once; `/status` counts them
                self._is_said = True
                log.warning("no charts: nothing can be written to %s (%s)", self.folder, error)
            return None
        except Exception:  # a broken picture must not hold up the words
            self.failed += 1
            log.exception("no chart for %s", event.key)
            return None
        return path

    def _write(self, path: Path, png: bytes) -> None:
        try:
            write_png(path, png)
        except OSError as error:
            raise _NotWritable(error.strerror or str(error)) from error
        self._is_said = False

    async def warm(self) -> None:
        """Be ready to draw the first chart as fast as any other."""
        await self._drawer.warm()

    async def save_all(self, events: Iterable[Event]) -> None:
        """Charts of many events, side by side where there are processes for it."""
        await asyncio.gather(*map(self.save, events))

    async def prune(self) -> int:
        """Remove the oldest files over the limit; how many went."""
        self._made.clear()
        return 0 if self._kept is None else await asyncio.to_thread(_prune, self.folder, self._kept)

    async def close(self) -> None:
        await self._drawer.close()


class ProcessDrawer:
    """As `ChartDrawer`, in processes of their own. They are started by the first chart."""

    def __init__(self, processes: int) -> None:
        # Spawned: a fork of a process with threads may never come back.
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_leave_ctrl_c_to_the_parent)

    async def draw(self, event: Event) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._pool, draw, event)

    async def warm(self) -> None:
        """Its processes start when the first chart comes."""

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def chart_name(event: Event) -> str:
    """``20251010-2120-BTC-cluster_formed-1a2b3c4d.png``: sorts by time, and is the same in every run."""
    taken_at = datetime.fromtimestamp(event.taken_at_ms / 1000, UTC)
    digest = hashlib.sha256(event.key.encode()).hexdigest()[:8]
    return f"{taken_at:%Y%m%d-%H%M}-{event.market}-{event.kind}-{digest}.png"


def write_png(path: Path, png: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two chats that are told of one event at once write the same chart.
    part = path.with_name(f"{path.stem}-{secrets.token_hex(4)}.part")
    part.write_bytes(png)
    part.replace(path)


def _is_there(path: Path) -> bool:
    with suppress(OSError):  # it cannot be looked at: writing it says why
        return path.exists()
    return False


def _prune(folder: Path, kept: int) -> int:
    old = sorted(folder.glob("*.png"), reverse=True)[kept:]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
