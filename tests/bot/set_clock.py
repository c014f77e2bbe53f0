"""The machine's clock, for tests that set it: everything that asks for the time of day is told another one."""

import time
from datetime import datetime, tzinfo

import pytest

_READS_IT = ("apscheduler.schedulers.base", "apscheduler.executors.base", "apscheduler.triggers.interval")


class MachineClock:
    """``set_s``: how far somebody has set it. Time that has passed is measured by clocks that nobody can set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set_s = 0.0
        real_s, clock = time.time, self

        class SetDatetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.fromtimestamp(clock.time(), tz)

        self._real_s = real_s
        for module in _READS_IT:
            monkeypatch.setattr(f"{module}.datetime", SetDatetime)

    def time(self) -> float:
        return self._real_s() + self.set_s
