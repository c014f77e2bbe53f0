"""What was fitted to a market, in words: old and new weights, the date, n and the evidence; a refused fit too."""

import math
from collections.abc import Mapping, Sequence

from detectors import figures
from detectors.market import DAY_MS
from storage.fits import StoredFit, in_force

BACK = "beat the fit in use on the days since it was made by more than luck"
"""Why the configured weights are used again."""
_STRETCHES = (
    (50.0, math.inf, "50x and more"),
    (20.0, 50.0, "20x to 50x"),
    (8.0, 20.0, "8x to 20x"),
    (0.0, 8.0, "below 8x"),
)


def weights_in_words(fits: Sequence[StoredFit], configured: str, at_ms: int) -> list[str]:
    """Of a market at that time, a sentence or two: the weights in use and, if it is newer, the fit that is not used.

    ``fits`` oldest first, of whatever assumptions; those of others than ``configured`` are passed over.
    """
    known = [one for one in fits if one.configured == configured and one.fitted_at_ms <= at_ms]
    used = in_force(
        [one for one in known if one.applies_from_ms is not None and one.applies_from_ms <= at_ms], configured
    )
    said = []
    if used is not None and used.reason == BACK:
        said.append(f"Leverage weights: as configured again, {_evidence(used)}. They {BACK}.")
    elif used is not None:
        words = fit_in_words(used.before.together(), used.after.together())
        said.append(f"Leverage weights: fitted {_evidence(used)}. {words}.")
    refused = known[-1] if known and not known[-1].accepted else None
    if refused is not None:
        kept = "" if used is not None else "Leverage weights: as configured. "
        said.append(f"{kept}Not used: the fit of {_evidence(refused)}. It {refused.reason}.")
    return said


def _evidence(fit: StoredFit) -> str:
    days = round((fit.until_ms - fit.since_ms) / DAY_MS)
    judged = f", gain {fit.gain.total:+.1f}"
    if math.isfinite(fit.gain.low):
        judged += f", at least {fit.gain.low:+.1f} (95 %)"
    judged += f", on {figures.counted(fit.gain.days, 'day')} it had not seen" if fit.gain.days else ""
    day = figures.moment(fit.fitted_at_ms).partition(" ")[0]
    return f"{day} (n = {fit.prints:,} in {figures.counted(days, 'day')}{judged if fit.gain.days else ''})"


def fit_in_words(before: Mapping[float, float], after: Mapping[float, float]) -> str:
    """What a fit changed, by stretches of leverage: ``50x and more: 2% before, 4% now, ...``; weights by node."""

    def share(weights: Mapping[float, float], low: float, high: float) -> float:
        return sum(value for node, value in weights.items() if low <= node < high) / sum(weights.values())

    return ", ".join(
        f"{name}: {share(before, low, high):.0%} before, {share(after, low, high):.0%} now"
        for low, high, name in _STRETCHES
    )
