"""The map of one market at one moment of a recording."""

from pathlib import Path
from typing import Any

from bot.chart import draw
from bot.charting import write_png
from bot.markets.feed import ReplayableFeed
from bot.markets.recording import RecordingError
from bot.replies import map_event
from detectors import figures
from detectors.engine import EngineSettings, MarketEngine
from detectors.market import HOUR_MS, Side
from detectors.registry import find_kinds
from detectors.view import MarketView


def map_at(feed: ReplayableFeed, settings: EngineSettings, at_ms: int) -> MarketView:
    """The only market of an unloaded feed as of its last bar closed by then.

    Raises RecordingError where the recording begins later or ends over an hour before, and what loading raises.
    """
    (market,) = feed.load()
    engine = MarketEngine(market, settings, find_kinds())
    first_ms: int | None = None
    has_more = False
    for (snapshot,) in feed.steps():
        first_ms = first_ms or snapshot.taken_at_ms
        if has_more := snapshot.taken_at_ms > at_ms:
            break
        engine.step(snapshot)
    view = engine.view()
    if view is not None and at_ms - view.taken_at_ms > HOUR_MS and not has_more:
        ends = f"the recording of {market.base} ends at {figures.moment(view.taken_at_ms)}"
        raise RecordingError(f"Nothing is known at {figures.moment(at_ms)}: {ends}.")
    if view is None:
        begins = f": it begins at {figures.moment(first_ms)}" if first_ms else ""
        raise RecordingError(f"Nothing is known of {market.base} at {figures.moment(at_ms)}{begins}.")
    return view


def as_record(view: MarketView) -> dict[str, Any]:
    """As ``map --json`` prints it: edges[n + 1] in prices, long_usd[n] and short_usd[n] estimated, all ages."""
    estimate = view.estimate.map
    return {
        "venue": view.market.venue,
        "market": view.market.symbol,
        "taken_at_ms": view.taken_at_ms,
        "price": view.price,
        "open_interest_usd": view.open_interest_usd,
        "edges": estimate.edges.tolist(),
        "long_usd": estimate.side_usd(Side.LONG).tolist(),
        "short_usd": estimate.side_usd(Side.SHORT).tolist(),
    }


def draw_map(view: MarketView, path: Path) -> None:
    write_png(path, draw(map_event(view)))
