"""What each of a config's settings allows in itself and is impossible all the same."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bot.markets.ccxt_alone import venue_names
from bot.markets.venues import VENUES, rules_for

DefaultOf = Callable[[Sequence[str]], str]
"""What to write in place of the value of a key, as a fault's fix."""
ENGINE = ("estimate", "clusters", "kinds")
_FRACTIONS = frozenset(
    {
        "clusters.window",
        "clusters.minimum_share",
        "clusters.nearest",
        "clusters.farthest",
        "clusters.widest",
        "clusters.edge",
        "clusters.keep",
        "estimate.crowding_funding_8h",
        "estimate.map.churn_exponent",
        "estimate.map.grid.step",
        "kinds.cluster_approached.sharp_least",
        "kinds.cluster_consumed.realised_share",
        "kinds.cluster_consumed.judged_move",
        "kinds.funding_shock.judged_move",
        "kinds.funding_shock.least_rate_8h",
        "kinds.funding_shock.deviation_floor_8h",
    }
)
"""Of price, of open interest, of exposure, or a rate: more than 1 is a slip, most often of percent for a fraction."""
_AT_MOST: Mapping[str, float] = {
    **dict.fromkeys(_FRACTIONS, 1.0),
    "clusters.deviations": 20.0,
    "estimate.map.unknown_age_spread": 0.9,  # entries lie around price, above zero
    "clusters.prominence": 10.0,
    "estimate.map.leverage.crowding_strength": 10.0,
    "estimate.map.leverage.turnover_daily": 100.0,
    "estimate.map.leverage.turnover_exponent": 10.0,
    "estimate.baseline.ready_hours": 720.0,  # longer than live markets have a past
    "kinds.cluster_consumed.receipt_minutes": 1440.0,
    "kinds.funding_shock.history_days": 40.0,  # as long as rates are kept
    "kinds.funding_shock.score": 100.0,
}
_ORDERED = (
    ("clusters.nearest", "clusters.farthest", True),
    ("kinds.funding_shock.rearm_score", "kinds.funding_shock.score", False),
)
"""Two keys, and whether the first has to be smaller rather than not larger."""
_BARS_A_DAY = 288


def impossible(settled: Mapping[str, Any], given: Mapping[str, Any], default_of: DefaultOf) -> Iterator[str]:
    """Numbers that cannot be meant, of the settings of the estimate, of clusters and of kinds: in what they settle to,
    and as the file has them where a table could not be read for another fault in it."""
    wrong = set[str]()
    for table in (settled, {key: given[key] for key in ENGINE if key in given}):
        for key, value in leaves(table):
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if value < 0:
                yield f"{key}: must not be negative; {default_of(key.split('.'))}"
            elif value > (most := _AT_MOST.get(key, value)):
                slip = ", a fraction" if key in _FRACTIONS else ""
                yield f"{key}: must be at most {most:g}{slip}, not {value:g}; {default_of(key.split('.'))}"
            else:
                continue
            wrong.add(key)
    known = dict(leaves(settled))
    for low, high, is_below in _ORDERED:
        if {low, high} & wrong or known[low] < known[high] or (not is_below and known[low] == known[high]):
            continue
        bound = f"{'less than' if is_below else 'at most'} {high.rpartition('.')[2]} ({known[high]:g})"
        yield f"{low}: must be {bound}, not {known[low]:g}; {default_of(low.split('.'))}"


def venues(names: Sequence[str], *, local: bool) -> Iterator[str]:
    """What is wrong with these names of venues. ccxt is not imported."""
    seen = set[str]()
    for name in names:
        rules = rules_for(name)
        if rules.name in seen:
            yield f"source.venues: {name!r} is there twice; name each venue once"
        seen.add(rules.name)
        if rules.known:
            continue
        if local:
            yield f"source.venues: there is no local {name!r}; there are {', '.join(VENUES)}"
        elif rules.ccxt_class not in (of_ccxt := venue_names()):
            near = difflib.get_close_matches(rules.name, list(VENUES), n=1)
            near = near or difflib.get_close_matches(rules.name, sorted(of_ccxt), n=1)
            fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(VENUES)}"
            yield f"source.venues: ccxt has no venue called {name!r}; {fix}"


def days(given: float) -> Iterator[str]:
    if 0 < given * _BARS_A_DAY < 1:
        yield f"source.days: must be 0 (without end) or at least one bar, 0.0035, not {given!r}; the default is 0.0"


def leaves(table: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in tables and lists, with its path: ``estimate.map.leverage.tiers.0.rate``."""
    if isinstance(table, Mapping):
        items = table.items()
    elif isinstance(table, list | tuple):
        items = dict(enumerate(table)).items()
    else:
        yield path, table
        return
    for key, value in items:
        yield from leaves(value, f"{path}.{key}" if path else str(key))
