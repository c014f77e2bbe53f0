"""Charts: an event's evidence as a PNG. ``draw`` for one picture, ``ChartDrawer`` beside an event loop.

``bot.chart.pen`` alone knows matplotlib, and it is imported only once a picture is wanted: it costs a second and
50 MB that a bot without charts never needs.
"""

import asyncio
import importlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from detectors.event import Event
from detectors.scoring import Scored, reliability

WIDTH_PX = 1100
HEIGHT_PX = 825


def draw(event: Event, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> bytes:
    """The event's chart as PNG bytes; the same event gives the same bytes.

    Raises ValueError when the event carries no evidence, or neither a price nor a bar that is positive.
    Not for an event loop: it takes about a tenth of a second (see `ChartDrawer`).
    """
    from bot.chart.picture import compose

    if event.evidence is None:
        raise ValueError(f"{event.key} carries no evidence: load the alert with its evidence before drawing it")
    return compose(event, event.evidence, width_px, height_px).png()


def draw_reliability(
    scored: Sequence[Scored], title: str, *, simulated: bool = False, width_px: int = 760, height_px: int = 600
) -> bytes:
    """What came of alerts against their chance level, as PNG bytes. Not for an event loop."""
    from bot.chart.reliability_picture import compose_reliability

    return compose_reliability(reliability(scored), title, width_px, height_px, simulated=simulated).png()


class ChartDrawer:
    """Draws in one worker thread, each event once whatever the number of chats; the last ``kept`` are remembered.

    Used from one event loop. One thread, since a second one only takes the loop's time.
    """

    def __init__(self, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX, kept: int = 32) -> None:
        self._width_px, self._height_px, self._kept = width_px, height_px, kept
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chart")
        self._charts: OrderedDict[str, Future[bytes]] = OrderedDict()

    async def draw(self, event: Event) -> bytes | None:
        """The event's PNG; None when it carries no evidence.

        Raises what the drawing raised, and tries anew when asked again: an alert goes out without its picture
        rather than not at all.
        """
        if event.evidence is None:
            return None
        chart = self._charts.get(event.key)
        if chart is None or (chart.done() and (chart.cancelled() or chart.exception() is not None)):
            chart = self._worker.submit(draw, event, width_px=self._width_px, height_px=self._height_px)
            self._charts[event.key] = chart
        self._charts.move_to_end(event.key)
        while len(self._charts) > self._kept:
            self._charts.popitem(last=False)
        # Shielded: one chat that stops waiting must not take the picture from the others.
        return await asyncio.shield(asyncio.wrap_future(chart))

    async def warm(self) -> None:
        """Import what draws now, so that the first picture need not wait for it."""
        await asyncio.wrap_future(self._worker.submit(importlib.import_module, "bot.chart.picture"))

    async def close(self) -> None:
        """Ends the worker after the picture in hand; those still waiting are cancelled."""
        await asyncio.to_thread(self._worker.shutdown, wait=True, cancel_futures=True)
