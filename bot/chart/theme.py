"""The chart's colours and shapes, and the heat's colour ramp. Numbers only: no drawing library here."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from detectors.market import Side

BACKGROUND = "#0b0f17"
PANEL = "#10151f"
GRID = "#222b39"
TEXT = "#eef2f6"
MUTED = "#a3afbd"
CHIP = "#0b0f17"
SIMULATED = "#f5c542"
FUNDING = "#6fb7ff"

# Candles are neutral: red and green mean a side, nothing else.
RISING = "#f4f6f8"
FALLING = "#8e99a6"

SIDE_COLOUR = {Side.LONG: "#2fd47f", Side.SHORT: "#ff5a66"}
# Beyond colour, for the colour-blind: a letter, a line style and a hatch for each side.
SIDE_LETTER = {Side.LONG: "L", Side.SHORT: "S"}
SIDE_DASHES: dict[Side, tuple[float, tuple[float, ...]]] = {Side.LONG: (0, (2, 3)), Side.SHORT: (0, (9, 4))}
SIDE_HATCH = {Side.LONG: "//", Side.SHORT: "\\\\"}

# One hue, lightness rising all the way, so that it reads in grey as well; ends short of the candles' white.
_RAMP = np.array(
    [[0x16, 0x15, 0x2E], [0x28, 0x24, 0x5C], [0x44, 0x3A, 0x95], [0x6F, 0x60, 0xD4], [0xA8, 0x9B, 0xF7]], np.float64
)
_CAP_PERCENTILE = 99.7
_FLOOR = 0.03
"""Heat under this share of the cap is noise and stays transparent."""
_MEDIAN_SHOWN_AT = 0.25
_GAMMAS = (0.4, 2.5)


@dataclass(frozen=True, slots=True)
class Ramp:
    """How one picture's heat is coloured: a power law up to ``cap_usd``, which is 0 when there is no heat at all."""

    cap_usd: float
    gamma: float

    @classmethod
    def fit(cls, heat_usd: NDArray[np.float32]) -> "Ramp":
        """The ramp that shows this picture's middling level dim, so that sparse and dense maps both have shape."""
        shown = heat_usd[heat_usd > 0]
        cap = float(np.percentile(shown, _CAP_PERCENTILE)) if shown.size else 0.0
        shown = shown[shown > cap * _FLOOR]
        middle = float(np.median(shown)) / cap if shown.size else 1.0
        gamma = math.log(_MEDIAN_SHOWN_AT) / math.log(middle) if 0 < middle < 1 else _GAMMAS[1]
        return cls(cap, min(max(gamma, _GAMMAS[0]), _GAMMAS[1]))

    def rgba(self, heat_usd: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Colours uint8[..., 4] of notionals in USD of any shape; transparent near zero."""
        table = _table()
        share = np.clip(heat_usd / self.cap_usd, 0, 1)
        index = np.where(share < _FLOOR, 0, 1 + np.rint(share**self.gamma * (len(table) - 2))).astype(np.uint8)
        return table[index]


@cache
def _table() -> NDArray[np.uint8]:
    """256 colours, the first transparent."""
    at = np.linspace(0, 1, 255)
    knots = np.linspace(0, 1, len(_RAMP))
    rgba = np.zeros((256, 4), np.uint8)
    for channel in range(3):
        rgba[1:, channel] = np.rint(np.interp(at, knots, _RAMP[:, channel]))
    rgba[1:, 3] = np.rint(255 * np.clip(0.3 + at * 5, 0, 1))
    return rgba
