"""Rows by age that merge by the calendar, and the shape of a deposit."""

import weakref
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.ages import LEVELS, OLD_ROW, ROWS, AgeRows
from detectors.deposits import SHAPES_KEPT, DepositShapes, crowding_level, deposit_shapes
from detectors.market import HOUR_MS, Side
from detectors.price_grid import PriceGrid
from tests.detectors.histories import PLAIN, START_MS

gaps = st.lists(st.integers(1, 60), min_size=1, max_size=120)
"""Hours between one hour with bars and the next."""


def hours_of(steps: list[int]) -> list[int]:
    hours, at = [], START_MS // HOUR_MS
    for step in steps:
        at += step
        hours.append(at)
    return hours


@given(gaps)
def test_every_hour_stays_in_one_row_which_spans_it_or_is_the_old_one(steps: list[int]) -> None:
    rows = AgeRows()
    held: dict[int, set[int]] = defaultdict(set)
    for hour in hours_of(steps):
        row, merges = rows.open(hour * HOUR_MS)
        for source, target in merges:
            held[target] |= held.pop(source, set())
        assert not held[row]
        held[row].add(hour)
        for other, inside in held.items():
            assert all(rows.row_at(one * HOUR_MS) == other for one in inside)
    spans = {row: block for block, row in rows.blocks()}
    for row, inside in held.items():
        if row != OLD_ROW:
            block = spans[row]
            assert all(block.started_at_ms <= one * HOUR_MS < block.ended_at_ms for one in inside)
    assert min(held) >= OLD_ROW
    assert max(held) < ROWS


@given(gaps)
def test_blocks_come_oldest_first_and_are_never_more_than_there_are_rows_for(steps: list[int]) -> None:
    rows = AgeRows()
    for hour in hours_of(steps):
        rows.open(hour * HOUR_MS)
    blocks = [block for block, _ in rows.blocks()]
    starts = [block.started_at_ms for block in blocks]
    assert starts == sorted(set(starts))
    for level, (_, kept) in enumerate(LEVELS):
        assert sum(block.level == level for block in blocks) <= kept


@given(gaps, st.integers(0, 119))
def test_rows_that_were_stored_merge_like_those_that_were_not(steps: list[int], cut: int) -> None:
    rows = AgeRows()
    for number, hour in enumerate(hours_of(steps)):
        if number == cut:
            rows = AgeRows(rows.state())
        rows.open(hour * HOUR_MS)
    never_stored = AgeRows()
    for hour in hours_of(steps):
        never_stored.open(hour * HOUR_MS)
    assert rows.state() == never_stored.state()


@given(st.integers(1, 200), st.integers(-10, 10))
def test_a_deposit_of_one_unit_sums_to_one_over_all_groups(width: int, level: int) -> None:
    shapes = DepositShapes(PLAIN, PriceGrid().log_step)
    for side in Side:
        _, shape = shapes.shape(side, width, level)
        assert len(shape) == len(PLAIN.groups)
        assert shape.sum() == pytest.approx(1.0)
        assert shape.min() >= 0


def test_longs_are_shifted_down_and_shorts_up() -> None:
    shapes = DepositShapes(PLAIN, PriceGrid().log_step)
    first, shape = shapes.shape(Side.LONG, 3, 0)
    assert first + shape.shape[1] <= 0
    assert shapes.shape(Side.SHORT, 3, 0)[0] > 3


def test_crowding_is_kept_within_its_bounds() -> None:
    assert [crowding_level(value) for value in (-7.0, -1.0, -0.04, 0.26, 1.0, 7.0)] == [-10, -10, 0, 3, 10, 10]


def test_many_markets_with_tiers_of_their_own_keep_no_more_shapes_than_one() -> None:
    models = [replace(PLAIN, position_usd=1000.0 + n) for n in range(24)]
    kept = []
    for model in models:
        shapes = deposit_shapes(model, PriceGrid().log_step)
        kept += [weakref.ref(shapes.shape(side, width, 0)[1]) for side in Side for width in range(1, 61)]
    assert len(kept) > 2 * SHAPES_KEPT
    assert sum(one() is not None for one in kept) <= SHAPES_KEPT
