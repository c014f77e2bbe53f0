"""Events: what a detector saw. They describe themselves, so that any kind can be shown, stored and scored.

The spine (kind, market, side, level, notional, severity, key) is the same for every kind; the rest is
a headline, facts with units and labels, and the evidence that a chart draws. All of it is frozen and
survives a round trip through JSON.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.market import Side


class Severity(IntEnum):
    NOTICE = 1
    WARNING = 2
    CRITICAL = 3


class Label(StrEnum):
    """Where a number comes from. Never mixed up: an estimate is a probability map, not an observation."""

    ESTIMATED = "estimated"
    OBSERVED = "observed"
    CALCULATED = "calculated"
    """Arithmetic on observed values, such as a distance or a z-score."""


class Unit(StrEnum):
    USD = "usd"
    BASE = "base"
    PRICE = "price"
    FRACTION = "fraction"
    """0.05 is shown as 5 %."""
    BPS = "bps"
    HOURS = "hours"
    MINUTES = "minutes"
    COUNT = "count"
    RATIO = "ratio"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing an alert states. ``value`` is None when it is not known; it is then said so or left out."""

    name: str
    value: float | int | str | None
    unit: Unit
    label: Label
    title: str = ""
    """What a reader sees; the name with spaces when empty."""
    shown: bool = True
    """Whether a message has a line for it; a fact that another one puts in words has none."""


PICTURE_LOW, PICTURE_HIGH = "picture_low", "picture_high"
"""Facts by which an event asks for prices to be in its picture."""


@dataclass(frozen=True, slots=True)
class Level:
    """A price band with its centre of mass."""

    low: float
    high: float
    centre: float


@dataclass(frozen=True, slots=True)
class Band:
    """A cluster's band as the chart draws it. ``own`` marks the one the alert is about."""

    side: Side
    low: float
    high: float
    notional_usd: float
    own: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the chart draws: ``n`` bars by ``m`` price cells.

    ``opened_at_ms`` int64[n]; ``ohlc`` float64[n, 4] (open, high, low, close);
    ``edges`` float64[m + 1], prices; ``heat_usd`` float32[n, m], estimated liquidation notional at each
    bar (cells below that bar's close are longs, above it shorts);
    ``long_usd``, ``short_usd`` float64[m], the profile now;
    ``funding_at_ms`` int64[f], ``funding_rate`` float64[f].
    """

    interval_ms: int
    opened_at_ms: NDArray[np.int64]
    ohlc: NDArray[np.float64]
    edges: NDArray[np.float64]
    heat_usd: NDArray[np.float32]
    long_usd: NDArray[np.float64]
    short_usd: NDArray[np.float64]
    funding_at_ms: NDArray[np.int64]
    funding_rate: NDArray[np.float64]
    bands: tuple[Band, ...] = ()

    def to_json(self) -> str:
        """Arrays as base64 of zlib of their little-endian bytes, with dtype and shape."""
        document: dict[str, Any] = {"interval_ms": self.interval_ms, "bands": [_flat(band) for band in self.bands]}
        for name in _ARRAYS:
            array = np.ascontiguousarray(getattr(self, name))
            packed = base64.b64encode(zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes(), 6)).decode()
            document[name] = [array.dtype.str.lstrip("<>=|"), list(array.shape), packed]
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        document = json.loads(text)
        arrays = {}
        for name in _ARRAYS:
            dtype, shape, packed = document[name]
            raw = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.dtype(dtype).newbyteorder("<"))
            arrays[name] = raw.astype(dtype).reshape(shape)
        bands = tuple(Band(**{**band, "side": Side(band["side"])}) for band in document["bands"])
        return cls(interval_ms=document["interval_ms"], bands=bands, **arrays)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        same = self.interval_ms == other.interval_ms and self.bands == other.bands
        return same and all(np.array_equal(getattr(self, n), getattr(other, n), equal_nan=True) for n in _ARRAYS)

    __hash__ = None  # type: ignore[assignment]


_ARRAYS = tuple(f.name for f in fields(Evidence) if f.name not in {"interval_ms", "bands"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something a detector saw, as facts for all chats. Whether it becomes an alert is policy.

    ``key`` is made from market data alone (kind, market, subject, arming, rung, bar), so a second run over the
    same data makes the same key. ``subject`` is what the event is about within its market (a cluster's identity,
    or ``funding``); (kind, subject, arming) is one conversation about it, and ``rung`` the step of a fixed ladder
    (distance in per cent, or notional in doublings) that was crossed.
    """

    kind: str
    market: str
    """The market's base asset."""
    venue: str
    symbol: str
    subject: str
    arming: int
    rung: float | None
    bar_opened_at_ms: int
    taken_at_ms: int
    side: Side | None
    price: float
    level: Level | None
    notional_usd: float | None
    severity: Severity
    headline: str
    price_decimals: int = 2
    simulated: bool = False
    facts: tuple[Fact, ...] = ()
    evidence: Evidence | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        rung = "" if self.rung is None else f":{self.rung:g}"
        return f"{self.kind}:{self.market}:{self.subject}:{self.arming}{rung}:{self.bar_opened_at_ms}"

    def value(self, name: str) -> float | int | str | None:
        """The value of the fact of that name; None where the event has no such fact or does not know it."""
        return next((fact.value for fact in self.facts if fact.name == name), None)

    def number(self, name: str) -> float | None:
        """Like `value`, for a number; None for text."""
        value = self.value(name)
        return None if value is None or isinstance(value, str) else float(value)

    def with_facts(self, fresh: Iterable[Fact]) -> "Event":
        """The same event with these facts in place of those of the same names, and at the end where there were none."""
        newer = {fact.name: fact for fact in fresh}
        kept = tuple(newer.pop(fact.name, fact) for fact in self.facts)
        return replace(self, facts=(*kept, *newer.values()))

    def to_json(self) -> str:
        """Everything but the evidence, which is kept beside it."""
        document: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        document["level"] = _flat(self.level) if self.level else None
        document["facts"] = [_flat(fact) for fact in self.facts]
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, evidence: Evidence | None = None) -> Self:
        document: dict[str, Any] = json.loads(text)
        document["side"] = Side(document["side"]) if document["side"] else None
        document["level"] = Level(**document["level"]) if document["level"] else None
        document["severity"] = Severity(document["severity"])
        document["facts"] = tuple(_fact(fact) for fact in document["facts"])
        return cls(**document, evidence=evidence)


_PLAIN = tuple(f.name for f in fields(Event) if f.name not in {"evidence", "facts", "level"})


def _flat(one: Level | Band | Fact) -> dict[str, Any]:
    """As `dataclasses.asdict`, which looks for more inside of each value and takes ten times as long."""
    return {name: getattr(one, name) for name in one.__slots__}


def _fact(document: Mapping[str, Any]) -> Fact:
    return Fact(**{**document, "unit": Unit(document["unit"]), "label": Label(document["label"])})


class OutcomeClass(StrEnum):
    """How an alert turned out, judged later on what the market did."""

    REACHED = "reached"
    """What its kind is scored by came within the horizon."""
    MISSED = "missed"
    UNJUDGED = "unjudged"
    """The market's data have a hole where the answer lies. Counted and shown, never guessed."""
    UNDECIDED = "undecided"
    """The horizon has not passed, or its data may still come."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an alert was scored by, in terms that any other moment can be asked as well: the chance level.

    Did price go down (LONG) or up (SHORT) by ``needed``, a difference of log prices, within the horizon? Where it is
    not ``wanted``, the alert was right when price did not.
    """

    side: Side
    needed: float
    horizon_ms: int
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an event: its class, when that was known (market time), the facts measured, and the question."""

    outcome: OutcomeClass
    decided_at_ms: int
    facts: tuple[Fact, ...] = ()
    question: Question | None = None


def facts_to_json(facts: Iterable[Fact]) -> str:
    return json.dumps([_flat(fact) for fact in facts], separators=(",", ":"), allow_nan=False)


def facts_from_json(text: str) -> tuple[Fact, ...]:
    return tuple(_fact(document) for document in json.loads(text))
