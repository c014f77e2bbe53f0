"""Timing beside a fixed loop of plain Python, so that runs and machines compare."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")
_STEPS = 200_000
_LOOPS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    seconds: float
    loops: float
    """The same in calibration loops timed in the same run."""

    @property
    def shown(self) -> tuple[str, str]:
        """For two columns of a table: the time and its ratio to the loop."""
        milliseconds = self.seconds * 1000
        time_text = f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{self.seconds:.2f} s"
        return time_text, f"{self.loops:.3g}"


def best_of(rounds: int, work: Callable[[], Result]) -> tuple[Timing, Result]:
    """The fastest of ``rounds`` runs (at least one) and the last one's result.

    The loop runs before and after each, so that a busy machine slows both alike.
    """
    fastest, loop = float("inf"), calibrate()
    for _ in range(rounds):
        started = time.perf_counter()
        result = work()
        fastest = min(fastest, time.perf_counter() - started)
        loop = min(loop, calibrate())
    return Timing(fastest, fastest / loop), result


def calibrate() -> float:
    """Seconds the loop takes: the fastest of a few."""
    fastest = float("inf")
    for _ in range(_LOOPS):
        started = time.perf_counter()
        calibration_loop()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def calibration_loop() -> int:
    """Integer arithmetic of a fixed amount; never change it, or earlier ratios mean nothing."""
    value = 1
    for step in range(_STEPS):
        value = (value * 1_103_515_245 + step) % 2_147_483_648
    return value
