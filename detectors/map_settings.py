"""What the estimate assumes."""

import math
from dataclasses import dataclass, field

from detectors.leverage import LeverageModel
from detectors.market import MINUTE_MS
from detectors.price_grid import PriceGrid

FIVE_MINUTES_MS = 5 * MINUTE_MS


@dataclass(frozen=True)
class MapSettings:
    """What the estimate assumes. All of it is configurable and none of it is known for certain."""

    leverage: LeverageModel = field(default_factory=LeverageModel)
    grid: PriceGrid = field(default_factory=PriceGrid)
    longest_gap_bars: int = 3
    """A longer gap in open interest leaves what was opened in it with unknown age."""
    unknown_age_spread: float = 0.05
    """Entries of the open interest already there are spread at least this far to each side of price."""
    churn_exponent: float = 0.3
    """Coarser samples hide openings and closings that cancel out. Gross flow of a sample of n five-minute steps is
    n ** this times its net: half-lives of BTC exposure measured on winter-2025 at 5 min, 1 h and 4 h give 0.30."""

    def churn(self, interval_ms: int) -> float:
        """Gross over net change of open interest for samples that far apart, at least 1."""
        return max(1.0, math.pow(interval_ms / FIVE_MINUTES_MS, self.churn_exponent))

    def longest_gap_ms(self, bar_interval_ms: int, open_interest_interval_ms: int) -> int:
        """How far apart two samples of open interest may be and still be bridged."""
        return (self.longest_gap_bars + 1) * bar_interval_ms + max(0, open_interest_interval_ms - bar_interval_ms)
