"""The only place that touches matplotlib: pixels, polygons, lines and text on one figure without axes.

Axes are left out because their ticks cost most of a chart's time. Every coordinate is a pixel from the bottom
left, every size a pixel, and whatever is drawn later lies on top.
"""

import io
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.patches import Polygon
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import NDArray

from bot.chart.layout import Box

_DOTS_PER_INCH = 72
"""At which a point is a pixel."""
_PNG_COMPRESSION = 4
Dashes = tuple[float, tuple[float, ...]]


class Pen:
    """Draws on one figure of ``width_px`` by ``height_px``; `png` ends it."""

    def __init__(self, width_px: int, height_px: int, background: str) -> None:
        # A hair more than whole, so that the canvas never rounds down to a pixel less.
        inches = ((width_px + 0.01) / _DOTS_PER_INCH, (height_px + 0.01) / _DOTS_PER_INCH)
        self.figure = Figure(figsize=inches, dpi=_DOTS_PER_INCH, facecolor=background)
        self._canvas = FigureCanvasAgg(self.figure)

    def image(self, rgba: NDArray[np.uint8], left: int, bottom: int) -> None:
        """Pixels uint8[rows, columns, 4] with the first row lowest, put down as they are."""
        self._add(_Pixels(rgba, left, bottom))

    def fill(
        self, box: Box, colour: str, *, alpha: float = 1, clip: Box | None = None, hatch: str | None = None
    ) -> None:
        corners = [(box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top)]
        face = {"facecolor": "none", "edgecolor": colour, "hatch": hatch} if hatch else {"facecolor": colour}
        self._add(Polygon(corners, closed=True, linewidth=0, alpha=alpha, **face), clip)

    def boxes(
        self,
        left: NDArray[np.float64],
        bottom: NDArray[np.float64],
        right: NDArray[np.float64],
        top: NDArray[np.float64],
        colours: str | Sequence[str],
        clip: Box | None = None,
    ) -> None:
        """Many filled boxes, on whole pixels so that they are crisp."""
        corners = np.stack((left, bottom, right, bottom, right, top, left, top), axis=1).reshape(-1, 4, 2)
        self._add(PolyCollection(list(np.round(corners)), facecolors=colours, linewidths=0, antialiaseds=False), clip)

    def lines(
        self,
        segments: NDArray[np.float64],
        colours: str | Sequence[str],
        width: float,
        *,
        dashes: Dashes | None = None,
        alpha: float = 1,
        clip: Box | None = None,
    ) -> None:
        """Straight lines float64[k, 2, 2]: for each its two ends as x, y."""
        style: Any = dashes or "solid"
        self._add(LineCollection(list(segments), colors=colours, linewidths=width, linestyles=style, alpha=alpha), clip)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        colour: str,
        *,
        bold: bool = False,
        alpha: float = 1,
        align: Literal["left", "center", "right"] = "left",
        turned: float = 0,
    ) -> None:
        """``words`` with their middle height at ``y``; what the font cannot draw is left out."""
        self._add(
            Text(
                x,
                y,
                drawable(words),
                color=colour,
                fontproperties=_font(size, bold),
                alpha=alpha,
                rotation=turned,
                horizontalalignment=align,
                verticalalignment="center_baseline",
                parse_math=False,
            )
        )

    def width(self, words: str, size: float, *, bold: bool = False) -> float:
        """How wide ``words`` will be."""
        return _width(drawable(words), size, bold)

    def png(self) -> bytes:
        """The finished picture, once: it lets go of all that was drawn. The same drawing gives the same bytes."""
        out = io.BytesIO()
        settings = {"compress_level": _PNG_COMPRESSION}
        self.figure.savefig(out, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None}, pil_kwargs=settings)
        # Figure, canvas and artists hold one another: without this their pixels wait for the garbage collector.
        self._canvas.__dict__.pop("renderer", None)
        self.figure.artists.clear()
        return out.getvalue()

    def _next(self) -> int:
        return len(self.figure.get_children()) + 1

    def _add(self, artist: Artist, clip: Box | None = None) -> None:
        artist.set_transform(IdentityTransform())
        artist.set_zorder(self._next())
        self.figure.add_artist(artist)
        if clip is not None:
            artist.set_clip_box(Bbox.from_extents(clip.left, clip.bottom, clip.right, clip.top))


class _Pixels(Artist):
    """Pixels that are the right size already: `Figure.figimage` would resample them, for a tenth of the time."""

    def __init__(self, rgba: NDArray[np.uint8], left: int, bottom: int) -> None:
        super().__init__()
        self._rgba, self._left, self._bottom = np.ascontiguousarray(rgba), left, bottom

    def draw(self, renderer: RendererBase) -> None:
        context = renderer.new_gc()
        renderer.draw_image(context, self._left, self._bottom, self._rgba)
        context.restore()


def drawable(words: str) -> str:
    """``words`` without the characters that the font has no glyph for, such as most emoji."""
    glyphs = _glyphs()
    return "".join(letter for letter in words if ord(letter) in glyphs).strip()


@cache
def _font_file(bold: bool) -> Path:
    # The font that comes with matplotlib, so that every machine draws the same picture.
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


@cache
def _glyphs() -> frozenset[int]:
    regular, heavy = (frozenset(get_font(str(_font_file(bold))).get_charmap()) for bold in (False, True))
    return regular & heavy


@lru_cache(maxsize=256)
def _width(words: str, size: float, bold: bool) -> float:
    font = get_font(str(_font_file(bold)))
    font.set_size(size, _DOTS_PER_INCH)
    font.set_text(words, 0.0)
    return font.get_width_height()[0] / 64


def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(fname=str(_font_file(bold)), size=size)
