"""Where a stretch of the past meets what is stored. Pure: no I/O, no clock."""

from collections.abc import Sequence
from dataclasses import replace

from detectors.market import MarketSnapshot

_MOST_RESCALED = 100.0
"""Levels further apart than this ratio are not of one market."""


def joined_to(past: Sequence[MarketSnapshot], stored: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
    """The bars of ``past`` before the first that is stored, with open interest on the scale of what is stored.

    Further back fewer venues tell, and the rest stand for the whole; where both tell of the first stored bar, their
    ratio there says by how much that is off. Without it a venue that is missing would look like positions opened later.
    """
    first = next((one for one in stored if one.bar is not None), None)
    if first is None or first.bar is None:
        return list(past)
    opened_at_ms = first.bar.opened_at_ms
    older = [one for one in past if one.bar is not None and one.bar.opened_at_ms < opened_at_ms]
    same = next((one for one in past if one.bar is not None and one.bar.opened_at_ms == opened_at_ms), None)
    if same is None or same.open_interest is None or first.open_interest is None:
        return older
    ratio = first.open_interest.base / same.open_interest.base if same.open_interest.base > 0 else 1.0
    if ratio == 1.0 or not 1 / _MOST_RESCALED < ratio < _MOST_RESCALED:
        return older
    return [
        one
        if one.open_interest is None
        else replace(one, open_interest=replace(one.open_interest, base=one.open_interest.base * ratio))
        for one in older
    ]
