"""What goes wrong on a local venue: a script that a test writes while the venue runs."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum


class Trouble(StrEnum):
    ANSWER = "answer"
    """A status with the venue's own error body for it."""
    GARBAGE = "garbage"
    """HTTP 200 with something else in it."""
    POISON = "poison"
    """The right answer with one number in all numbers' place."""
    RESET = "reset"
    DELAY = "delay"


@dataclass(slots=True)
class Fault:
    """One kind of trouble with the requests whose path contains ``path``, ``times`` times (None: until cleared)."""

    trouble: Trouble
    path: str = ""
    times: int | None = None
    status: int = 200
    text: str = ""
    seconds: float = 0.0
    met: int = 0
    """How many requests it has met."""


GARBAGE = ("", "<html><body>502 Bad Gateway</body></html>", "[]", "null", "{}")
POISONS = ("NaN", "Infinity", "-5", "0")


@dataclass(slots=True)
class Faults:
    """Set attributes or add faults at any time; they act on the next request or frame. `clear` heals everything."""

    skew_ms: int = 0
    """How far the venue's own stamps of now are wrong (server time, event times)."""
    lag_ms: int = 0
    """How late open-interest and ratio statistics are published."""
    silent: bool = False
    """Websockets connect, but neither acknowledge, nor send, nor answer pings."""
    doubled: bool = False
    """Every liquidation is pushed twice."""
    replayed: int = 0
    """How many old liquidations a new subscription gets first (OKX does so without a fault)."""
    delisted: set[str] = field(default_factory=set)
    """Bases, as the feed behind the venues calls them, that the venue does not list."""
    poison_frames: str | None = None
    """As `poison`, for what websockets push."""
    unconfirmed: set[str] = field(default_factory=set)
    """Bases, as `delisted`, whose final candle is never pushed."""
    confirms_after_ms: int = 0
    """How long after its close a candle is pushed as final."""
    short_rows: bool = False
    """Candles are pushed with half of their cells, but for the last."""
    script: list[Fault] = field(default_factory=list)

    def answer(
        self, status: int, *, path: str = "", times: int | None = None, retry_after_s: float | None = None
    ) -> Fault:
        """Refuse with a status: 418, 429, 451, 403, 500, 503 ..."""
        return self._add(Fault(Trouble.ANSWER, path, times, status=status, seconds=retry_after_s or 0.0))

    def garbage(self, text: str, *, path: str = "", times: int | None = None) -> Fault:
        """Answer 200 with this text; see `GARBAGE`."""
        return self._add(Fault(Trouble.GARBAGE, path, times, text=text))

    def poison(self, number: str, *, path: str = "", times: int | None = None) -> Fault:
        """Answer rightly, but with this text (see `POISONS`) for every number with a decimal point."""
        return self._add(Fault(Trouble.POISON, path, times, text=number))

    def reset(self, *, path: str = "", times: int | None = None) -> Fault:
        """Cut the connection instead of answering."""
        return self._add(Fault(Trouble.RESET, path, times))

    def delay(self, seconds: float, *, path: str = "", times: int | None = None) -> Fault:
        """Take that long, then go on as if nothing were wrong."""
        return self._add(Fault(Trouble.DELAY, path, times, seconds=seconds))

    def clear(self) -> None:
        self.script.clear()
        self.delisted.clear()
        self.unconfirmed.clear()
        self.skew_ms = self.lag_ms = self.replayed = self.confirms_after_ms = 0
        self.silent = self.doubled = self.short_rows = False
        self.poison_frames = None

    async def meet(self, path: str) -> Fault | None:
        """The fault that this request meets, after any delay."""
        met = None
        for fault in list(self.script):
            if fault.path in path and (fault.trouble is Trouble.DELAY or met is None):
                fault.met += 1
                if fault.times is not None and fault.met >= fault.times and fault in self.script:
                    self.script.remove(fault)
                if fault.trouble is Trouble.DELAY:
                    await asyncio.sleep(fault.seconds)
                else:
                    met = fault
        return met

    def _add(self, fault: Fault) -> Fault:
        self.script.append(fault)
        return fault


def poisoned(document: object, number: str) -> object:
    """The same JSON document with ``number`` in place of every text or float that is a number with a decimal point."""
    if isinstance(document, dict):
        return {key: poisoned(value, number) for key, value in document.items()}
    if isinstance(document, list):
        return [poisoned(value, number) for value in document]
    if isinstance(document, float):
        return float(number)
    if isinstance(document, str) and "." in document and _is_number(document):
        return number
    return document


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
