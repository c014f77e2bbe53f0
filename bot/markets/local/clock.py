"""The time that local venues live in: stepped by a test, or running at a multiple of real time."""

import time
from collections.abc import Callable


class Clock:
    """Venue time in UTC milliseconds. With ``speed`` 0 it stands still until `advance`; with 60 an hour takes a minute.

    Raises ValueError for a negative speed.
    """

    def __init__(self, now_ms: int, speed: float = 0.0, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        if speed < 0:
            raise ValueError(f"speed must be 0 (stepped) or more, not {speed}.")
        self._set_ms = now_ms
        self._speed = speed
        self._monotonic_s = monotonic_s
        self._set_at_s = monotonic_s()

    @property
    def now_ms(self) -> int:
        return self._set_ms + int((self._monotonic_s() - self._set_at_s) * 1000 * self._speed)

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if speed < 0:
            raise ValueError(f"speed must be 0 (stepped) or more, not {speed}.")
        self._set_ms, self._set_at_s = self.now_ms, self._monotonic_s()
        self._speed = speed

    def advance(self, by_ms: int) -> None:
        """Jump ahead. Raises ValueError for a step back: a venue's data never unhappens (see `Faults.skew_ms`)."""
        if by_ms < 0:
            raise ValueError(f"the clock only goes forward, not by {by_ms} ms; use Faults.skew_ms for a wrong clock.")
        self._set_ms += by_ms
