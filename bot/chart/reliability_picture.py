"""The reliability chart: what came of alerts over what chance gives, with its bounds. On the diagonal lies chance."""

from collections.abc import Sequence

import numpy as np

from bot.chart import theme
from bot.chart.layout import Box
from bot.chart.pen import Pen
from detectors.scoring import Bin

_SMALL, _PLAIN, _LARGE = 15.0, 17.0, 22.0
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MARK = 7.0


def compose_reliability(bins: Sequence[Bin], title: str, width_px: int, height_px: int, *, simulated: bool) -> Pen:
    """Ready for `Pen.png`. Above the diagonal alerts did better than chance, below it worse."""
    pen = Pen(width_px, height_px, theme.BACKGROUND)
    box = Box(90.0, 95.0, width_px - 30.0, height_px - 80.0)
    pen.fill(box, theme.PANEL)

    def x(share: float) -> float:
        return box.left + share * (box.right - box.left)

    def y(share: float) -> float:
        return box.bottom + share * (box.top - box.bottom)

    def line(start: tuple[float, float], end: tuple[float, float]) -> list[list[float]]:
        return [[x(start[0]), y(start[1])], [x(end[0]), y(end[1])]]

    grid = [line((tick, 0), (tick, 1)) for tick in _TICKS] + [line((0, tick), (1, tick)) for tick in _TICKS]
    pen.lines(np.array(grid), theme.GRID, 1.0)
    pen.lines(np.array([line((0, 0), (1, 1))]), theme.MUTED, 2.0, dashes=(0, (6, 5)))
    for tick in _TICKS:
        words = f"{tick * 100:.0f} %"
        pen.text(x(tick), box.bottom - 22, words, _SMALL, theme.MUTED, align="center")
        pen.text(box.left - 10, y(tick), words, _SMALL, theme.MUTED, align="right")
    for one in bins:
        colour = theme.FUNDING
        pen.lines(np.array([line((one.chance, one.low), (one.chance, one.high))]), colour, 3.0)
        left, bottom = x(one.chance), y(one.rate)
        pen.fill(Box(left - _MARK, bottom - _MARK, left + _MARK, bottom + _MARK), colour)
        words = f"n = {one.n}"
        beyond = left + 12 + pen.width(words, _SMALL) > width_px - _MARK
        pen.text(
            left - 12 if beyond else left + 12, bottom, words, _SMALL, theme.TEXT, align="right" if beyond else "left"
        )
    if not bins:
        pen.text(x(0.2), y(0.5), "Nothing is judged against chance yet", _PLAIN, theme.TEXT)
    pen.text(box.left, box.top + 42, title, _LARGE, theme.TEXT, bold=True)
    said = "came true (vertical) over its chance level (horizontal); dashes: chance"
    pen.text(box.left, box.top + 16, said, _SMALL, theme.MUTED)
    foot = "SIMULATED market. " if simulated else ""
    pen.text(
        box.left, 34, f"{foot}Bars: 95 % interval (Wilson).", _SMALL, theme.SIMULATED if simulated else theme.MUTED
    )
    return pen
