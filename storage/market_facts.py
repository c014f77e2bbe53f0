"""What is kept of a market beside its series: how far back its past goes, and its leverage tiers."""

from dataclasses import dataclass

from detectors.leverage import MarginTier


@dataclass(frozen=True, slots=True)
class StoredReach:
    """How far a market's stored past goes back. None: nothing stored, or never asked."""

    first_bar_opened_at_ms: int | None = None
    asked_from_ms: int | None = None
    """The venues were asked for everything from then on, whether or not they had it."""


@dataclass(frozen=True, slots=True)
class StoredTiers:
    """The leverage tiers that a market's estimate is made with, and where they are from."""

    tiers: tuple[MarginTier, ...]
    source: str
    taken_at_ms: int
