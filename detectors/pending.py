"""Bars that wait for the next sample of open interest, which says what was opened in them."""

from dataclasses import dataclass

MOST_PENDING = 288
"""Bars kept apart while no sample of open interest comes: a day of five-minute bars. Older ones are one."""


@dataclass(slots=True)
class PendingBar:
    """A bar whose share of the next open-interest sample is not known yet."""

    low: int
    high: int
    volume: float
    opened_at_ms: int
    crowding: int
    replaced: float
    """Fraction of open interest that this bar's volume replaced."""
    reached_low: int
    reached_high: int
    """Cells that this bar consumed: its range and the close before it."""

    def joined(self, later: "PendingBar") -> "PendingBar":
        """Both as one bar."""
        return PendingBar(
            min(self.low, later.low),
            max(self.high, later.high),
            self.volume + later.volume,
            self.opened_at_ms,
            later.crowding,
            self.replaced + later.replaced,
            min(self.reached_low, later.reached_low),
            max(self.reached_high, later.reached_high),
        )


def wait(pending: list[PendingBar], bar: PendingBar) -> None:
    """Appends ``bar``; where too many wait, the two oldest become one."""
    pending.append(bar)
    if len(pending) > MOST_PENDING:
        pending[:2] = [pending[0].joined(pending[1])]
