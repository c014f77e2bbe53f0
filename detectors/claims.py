"""Three claims of the article on cluster trading, each held to our own record. A figure and its n, no more.

Slow builds clear more violently than fast ones; sharp approaches clear and grinding ones fail; a funding shock
dissolves clusters. "No difference to be told from luck" and "too few to tell" are answers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detectors.market import DAY_MS, HOUR_MS
from detectors.scoring import LEAST_BLOCKS, Z_TWO_SIDED, Scored, blocks_of, normal_of_t
from detectors.series import Floats, Times

LEAST = 10
"""Fewer of either side of a comparison tell nothing."""
SHOCK_MS = DAY_MS
"""How long after a funding shock clusters are watched."""
SHIFT_MS = 6 * HOUR_MS

SWEPT = "cluster_consumed"
UNKNOWN = "too few to tell"
LUCK = "no difference to be told from luck"


@dataclass(frozen=True, slots=True)
class Claim:
    """``figures`` by name; ``n`` by the side of the comparison."""

    name: str
    asks: str
    says: str
    """Our answer, one sentence with its figures."""
    verdict: str
    n: Mapping[str, int]
    figures: Mapping[str, float] = field(default_factory=dict)


def claims_of(scored: Iterable[Scored]) -> tuple[Claim, ...]:
    """The three, from alerts with their facts and events (`Store.outcomes` ``with_alert``)."""
    whole = [one for one in scored if one.event is not None]
    return slow_builds(whole), sharp_approaches(whole), funding_shocks(whole)


def slow_builds(scored: Sequence[Scored]) -> Claim:
    """Violence: how far price went beyond the near edge within the hour after it touched it."""
    asks = "Do slow builds clear more violently than fast ones?"
    first: dict[tuple[str, str], Scored] = {}
    for one in scored:
        if one.event is None or one.kind == SWEPT:  # a sweep is judged by a move, not by its band
            continue
        if one.event.value("build_class") and _number(one, "overshoot_1h_pct") is not None:
            first.setdefault((one.market, one.event.subject), one)  # a cluster that was told of twice counts once
    slow, fast = ([one for one in first.values() if _text(one, "build_class") == built] for built in ("slow", "fast"))
    n = {"slow": len(slow), "fast": len(fast)}
    if min(n.values()) < LEAST:
        return Claim("slow_builds", asks, f"{n['slow']} slow and {n['fast']} fast builds were touched", UNKNOWN, n)
    violence = np.array([_number(one, "overshoot_1h_pct") or 0.0 for one in (*slow, *fast)])
    is_slow = np.arange(len(violence)) < len(slow)
    share, score = _jackknife(
        blocks_of([*slow, *fast]), lambda kept: _share_above(violence[kept & is_slow], violence[kept & ~is_slow]), 0.5
    )
    middle = [float(np.median(violence[part])) for part in (is_slow, ~is_slow)]
    says = (
        f"price went {middle[0]:.2f} % beyond the edge of slow builds within the hour (median, n = {n['slow']}) and "
        f"{middle[1]:.2f} % beyond fast ones (n = {n['fast']}); a slow one went farther in {share * 100:.0f} % of pairs"
    )
    figures = {"median_slow_pct": middle[0], "median_fast_pct": middle[1], "slow_farther": share}
    return Claim("slow_builds", asks, says, _verdict(score, "yes", "no, the other way round"), n, figures)


def sharp_approaches(scored: Sequence[Scored]) -> Claim:
    """Each against its own chance level: a sharp move comes in restless times, when price reaches more anyway."""
    asks = "Do sharp approaches clear, and grinding ones fail?"
    known = [one for one in scored if one.kind == "cluster_approached" and one.judged and one.chance is not None]
    sharp, grind = ([one for one in known if _text(one, "approach") == pace] for pace in ("sharp move", "slow grind"))
    n = {"sharp": len(sharp), "grind": len(grind)}
    if min(n.values()) < LEAST:
        return Claim("sharp_approaches", asks, f"{n['sharp']} sharp and {n['grind']} grinding", UNKNOWN, n)
    both = [*sharp, *grind]
    came = np.array([float(one.reached) for one in both])
    chance = np.array([one.chance.share for one in both if one.chance is not None])
    is_sharp = np.arange(len(both)) < len(sharp)
    excess = came - chance
    difference, score = _jackknife(
        blocks_of(both), lambda kept: float(excess[kept & is_sharp].mean() - excess[kept & ~is_sharp].mean()), 0.0
    )
    rates = {
        "sharp_rate": float(came[is_sharp].mean()),
        "sharp_chance": float(chance[is_sharp].mean()),
        "grind_rate": float(came[~is_sharp].mean()),
        "grind_chance": float(chance[~is_sharp].mean()),
        "difference_beyond_chance": difference,
    }
    says = (
        f"{rates['sharp_rate'] * 100:.0f} % of clusters approached sharply were consumed (by chance "
        f"{rates['sharp_chance'] * 100:.0f} %, n = {n['sharp']}) and {rates['grind_rate'] * 100:.0f} % of those that "
        f"price ground towards (by chance {rates['grind_chance'] * 100:.0f} %, n = {n['grind']})"
    )
    return Claim("sharp_approaches", asks, says, _verdict(score, "yes", "no, the other way round"), n, rates)


def funding_shocks(scored: Sequence[Scored]) -> Claim:
    """Dissolutions of crowded-side clusters in the day after a shock, against the same count at shifted times."""
    asks = "Does a funding shock dissolve clusters?"
    shocks, dissolved = (
        [(one.market, one.side, one.taken_at_ms) for one in scored if one.kind == kind]
        for kind in ("funding_shock", "cluster_dissolved")
    )
    n = {"shocks": len(shocks), "dissolved": len(dissolved)}
    if not shocks or not dissolved:
        return Claim("funding_shocks", asks, f"{n['shocks']} shocks, {n['dissolved']} clusters dissolved", UNKNOWN, n)
    times = [one.taken_at_ms for one in scored]
    begin, length = min(times), max(times) - min(times) + SHOCK_MS
    shifts = np.arange(0, length - SHOCK_MS, SHIFT_MS)
    counts = np.zeros(len(shifts))
    ends: dict[object, list[int]] = defaultdict(list)
    for market, side, at_ms in dissolved:
        ends[market, side].append(at_ms)
    for market, side, at_ms in shocks:
        since = begin + (at_ms - begin + shifts) % length
        for end_ms in ends[market, side]:
            counts += (end_ms - since >= 0) & (end_ms - since < SHOCK_MS)
    here, usual = float(counts[0]), float(counts[1:].mean()) if len(counts) > 1 else 0.0
    as_many = float(np.mean(counts >= here))
    says = (
        f"{here:.0f} clusters of the crowded side dissolved within a day of a shock (n = {n['shocks']}); at other "
        f"times {usual:.1f} would have ({as_many * 100:.0f} % of times give as many)"
    )
    enough = n["shocks"] >= LEAST
    verdict = UNKNOWN if not enough else "yes" if as_many < 0.025 else "no, fewer" if as_many > 0.975 else LUCK
    figures = {"dissolved_after": here, "dissolved_usually": usual, "as_many_elsewhere": as_many}
    return Claim("funding_shocks", asks, says, verdict, n, figures)


def _verdict(score: float | None, more: str, fewer: str) -> str:
    if score is None:
        return UNKNOWN
    return LUCK if abs(score) < Z_TWO_SIDED else more if score > 0 else fewer


def _jackknife(
    blocks: Times, statistic: Callable[[np.ndarray[tuple[int], np.dtype[np.bool_]]], float], null: float
) -> tuple[float, float | None]:
    """A statistic of the alerts kept, and its normal deviate from ``null``, by leaving out one block of time at a time.

    Delete-one-group jackknife (Shao and Tu, 1995); blocks as for the record. None where a side is empty without one.
    """
    value = statistic(np.ones(len(blocks), np.bool_))
    names = np.unique(blocks)
    if len(names) < LEAST_BLOCKS:
        return value, None
    with np.errstate(all="ignore"):
        without: Floats = np.array([statistic(blocks != name) for name in names])
    count = len(without)
    spread = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    if not np.isfinite(spread):
        return value, None
    if spread == 0:  # every block says the same
        return value, float(np.sign(value - null)) * np.inf if value != null else 0.0
    return value, normal_of_t((value - null) / spread, count - 1)


def _share_above(one: Floats, other: Floats) -> float:
    """In which part of all pairs ``one`` is the larger; ties count half."""
    if not len(one) or not len(other):
        return float("nan")
    above = one[:, None] > other[None, :]
    return float(above.mean() + (one[:, None] == other[None, :]).mean() / 2)


def _text(one: Scored, name: str) -> str | None:
    value = one.event.value(name) if one.event else None
    return value if isinstance(value, str) else None


def _number(one: Scored, name: str) -> float | None:
    return next((float(f.value) for f in one.facts if f.name == name and f.value is not None), None)
