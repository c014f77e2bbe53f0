"""A chart's time against a straightforward figure: ``python -m benchmarks chart``.

The reference is what one would write first with matplotlib's axes and their default ticks: the same bars joined
to the same candles, the same heat, bands, profile, funding, words, size and PNG compression. Both are drawn
in turn and the medians are compared, so that a busy machine slows both alike.
"""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from benchmarks.calibration import calibration_loop
from benchmarks.report import Report
from bot import chart
from bot.chart import layout, theme
from detectors import figures
from detectors.event import Event
from detectors.market import DAY_MS, Side
from tests.bot.sample_events import sample_event

ROUNDS = 15
GOAL = 2 / 3


def straightforward(event: Event, *, width_px: int = chart.WIDTH_PX, height_px: int = chart.HEIGHT_PX) -> bytes:
    """The same picture with four axes, default locators and formatters, and `Figure.savefig`."""
    evidence = event.evidence
    assert evidence is not None
    figure = Figure(figsize=(width_px / 100, height_px / 100), dpi=100, facecolor=theme.BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(6, 1), hspace=0.05, wspace=0.03)
    price = figure.add_subplot(grid[0, 0])
    profile = figure.add_subplot(grid[0, 1], sharey=price)
    funding = figure.add_subplot(grid[1, 0], sharex=price)
    for axes in (price, profile, funding):
        axes.set_facecolor(theme.PANEL)
        axes.tick_params(colors=theme.MUTED, labelsize=12)
        axes.grid(color=theme.GRID)

    candles = layout.join_bars(evidence, width_px * 0.68)
    at = _days(candles.opened_at_ms)
    step = candles.interval_ms / DAY_MS
    low, high = layout.price_view(event, evidence, candles)
    heat = evidence.heat_usd.T
    extent = (float(at[0]), float(at[-1] + step), float(evidence.edges[0]), float(evidence.edges[-1]))
    price.imshow(heat, origin="lower", aspect="auto", extent=extent, cmap="Purples_r", norm="symlog")
    for band in evidence.bands:
        colour = theme.SIDE_COLOUR[band.side]
        for axes in (price, profile):
            axes.axhspan(band.low, band.high, color=colour, alpha=0.2, hatch="//" if band.own else None)
            axes.axhline(band.low, color=colour)
            axes.axhline(band.high, color=colour)
        price.text(float(at[3]), band.low, figures.usd(band.notional_usd), color=colour, parse_math=False, fontsize=14)
    opened, top, bottom, closed = candles.ohlc.T
    wicks = np.stack((np.column_stack((at, bottom)), np.column_stack((at, top))), axis=1)
    colours = np.where(closed >= opened, theme.RISING, theme.FALLING).tolist()
    price.add_collection(LineCollection(list(wicks), colors=theme.BACKGROUND, linewidths=3))
    price.add_collection(LineCollection(list(wicks), colors=colours, linewidths=1))
    price.add_collection(PolyCollection(_rectangles(at, opened, at + step * 0.7, closed), facecolors=colours))
    price.axhline(event.price, color=theme.TEXT, linestyle=":")
    price.annotate(figures.price(event.price, event.price_decimals), (at[-1], event.price), color=theme.TEXT)
    price.set_xlim(float(at[0]), float(at[-1] + step))
    price.set_ylim(low, high)
    price.xaxis_date()

    count = 75
    rows = np.exp(np.linspace(np.log(low), np.log(high), count + 1))
    for side, amounts in ((Side.LONG, evidence.long_usd), (Side.SHORT, evidence.short_usd)):
        lengths = layout.by_pixel_row(amounts, evidence.edges, rows)
        bars = _rectangles(np.zeros(count), rows[:-1], lengths, rows[1:])
        profile.add_collection(PolyCollection(bars, facecolors=theme.SIDE_COLOUR[side]))
    profile.autoscale(axis="x")
    funding.bar(_days(evidence.funding_at_ms), evidence.funding_rate, width=0.01, color="C0")
    figure.suptitle(event.headline, color=theme.TEXT, fontsize=20, parse_math=False)
    figure.text(0.02, 0.93, event.symbol, color=theme.MUTED, fontsize=14)
    figure.text(0.02, 0.01, "clusterwatch · estimated liquidation levels", color=theme.MUTED, fontsize=12)
    figure.text(0.8, 0.01, event.venue, color=theme.MUTED, fontsize=12)
    handles = [Patch(color=theme.SIDE_COLOUR[side], label=side.value) for side in Side]
    price.legend(handles=handles, loc="upper left", fontsize=12)
    out = io.BytesIO()
    figure.savefig(out, format="png", pil_kwargs={"compress_level": 4})
    return out.getvalue()


def _days(times_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Days since 1970, which is what matplotlib's date axes count in."""
    return times_ms / DAY_MS


def _rectangles(
    left: NDArray[np.float64], bottom: NDArray[np.float64], right: NDArray[np.float64], top: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    corners = np.stack((left, bottom, right, bottom, right, top, left, top), axis=1)
    return list(corners.reshape(-1, 4, 2))


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds of a chart, of the reference and of the calibration loop; and the first over the second."""
    event = sample_event()
    works: dict[str, Callable[[], object]] = {
        "chart_ms": lambda: chart.draw(event),
        "reference_ms": lambda: straightforward(event),
        "loop_ms": calibration_loop,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - started) * 1000)
    result = {name: statistics.median(taken) for name, taken in times.items()}
    return {**result, "ratio": result["chart_ms"] / result["reference_ms"]}


def run(*, quick: bool = False) -> list[Report]:
    found = measure(3 if quick else ROUNDS)
    chart_ms, reference_ms, loop_ms = found["chart_ms"], found["reference_ms"], found["loop_ms"]
    return [
        Report(
            f"Chart of {chart.WIDTH_PX} x {chart.HEIGHT_PX}",
            ("what", "measured", "calibration loops", "budget"),
            (
                ("a chart, median", f"{chart_ms:.0f} ms", f"{chart_ms / loop_ms:.3g}", ""),
                ("a straightforward figure, median", f"{reference_ms:.0f} ms", f"{reference_ms / loop_ms:.3g}", ""),
                ("chart / straightforward", f"{found['ratio']:.2f}", "", f"{GOAL:.2f}"),
            ),
        )
    ]
