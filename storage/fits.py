"""A fit of one market's leverage weights, as it is kept: those that are used and those that are not."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.fit import Gain
from detectors.leverage import NodeWeights
from detectors.realised import RealisedShare


@dataclass(frozen=True, slots=True)
class StoredFit:
    """``fitted_at_ms``, ``since_ms``, ``until_ms`` are market time."""

    fitted_at_ms: int
    since_ms: int
    until_ms: int
    prints: int
    """Single liquidations that were seen, or hourly totals where only those are told."""
    accepted: bool
    reason: str
    """Why it is used, or not, in words."""
    gain: Gain
    before: NodeWeights
    """The weights that it had to beat, which were in use until then."""
    after: NodeWeights
    """What was fitted."""
    configured: str
    """Of the configured assumptions that it stands on; with others it is not used."""
    share: RealisedShare | None = None
    """Of the weights in use from then on, measured on the receipts of the same days; None: too few."""
    applies_from_ms: int | None = None
    """Market time from which on the estimate was made with it; None where it is not, or not yet."""


def in_force(fits: Sequence[StoredFit], configured: str) -> StoredFit | None:
    """The newest accepted one of the same assumptions; ``fits`` oldest first."""
    return next((one for one in reversed(fits) if one.accepted and one.configured == configured), None)


def newest_share(fits: Sequence[StoredFit], configured: str) -> RealisedShare | None:
    """As last measured under the same assumptions, whether or not the weights of that fit were accepted."""
    of_these = [one for one in fits if one.configured == configured]
    return of_these[-1].share if of_these else None
