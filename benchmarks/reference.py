"""The map's estimate once more, as one would first write it: loops over bars, nodes and cells, in plain Python.

It keeps no ages, which the map does, so it has less to do.
"""

import math

from detectors.deposits import crowding_level
from detectors.flows import MOST_REPLACED, UsualVolume, replaced_in_a_bar
from detectors.liquidation_map import RECENTRE_CELLS
from detectors.map_history import BarHistory
from detectors.map_settings import MapSettings
from detectors.market import Side


def reference_map(settings: MapSettings, history: BarHistory) -> list[float]:
    """Exposure of all ages per cell after the last bar, in base units; list[cells], columns as in the map.

    Only for a history without gaps and with open interest at each bar; raises ValueError for another.
    """
    grid, model = settings.grid, settings.leverage
    log_step, cells = grid.log_step, grid.cells
    group_of = [group for node in range(len(model.nodes)) for group, nodes in enumerate(model.groups) if node in nodes]
    hazards = model.hazards.tolist()
    shifts = {
        side: [max(1, round(distance / log_step)) for distance in model.log_distances[side].tolist()] for side in Side
    }
    weights: dict[tuple[Side, int], list[float]] = {
        (side, level): model.weights_at(level / 10, side).tolist() for side in Side for level in range(-10, 11)
    }
    turnover = replaced_in_a_bar(model.turnover_daily, history.interval_ms)
    usual = UsualVolume()
    spread = grid.span(settings.unknown_age_spread)
    exposure = [[0.0] * cells for _ in hazards]
    origin = boundary = opened_before = 0
    open_interest: float | None = None

    columns = (history.opened_at_ms, history.low, history.high, history.close, history.volume_base)
    more = (history.open_interest_base, history.crowding)
    for opened_at, *prices, volume, sample, crowding in zip(*(c.tolist() for c in (*columns, *more)), strict=True):
        low, high, close = (math.floor(math.log(price) / log_step) for price in prices)
        if math.isnan(sample) or (opened_before and opened_at != opened_before + history.interval_ms):
            raise ValueError("the reference takes neither gaps nor missing open interest")
        opened_before = opened_at
        replaced = min(MOST_REPLACED, turnover * usual.relative(volume))
        level = crowding_level(crowding)
        if open_interest is None:
            origin, boundary = close - cells // 2, close
            entry_low, entry_high = min(low, close - spread), max(high, close + spread)
            opened, level = sample, 0
        else:
            reached_low, reached_high = min(low, boundary), max(high, boundary)
            moved = close - (origin + cells // 2)
            if abs(moved) > RECENTRE_CELLS:
                origin += moved
                exposure = [
                    [row[cell + moved] if 0 <= cell + moved < cells else 0.0 for cell in range(cells)]
                    for row in exposure
                ]
            for row in exposure:
                for cell in range(max(0, reached_low - origin), min(cells, reached_high + 1 - origin)):
                    row[cell] = 0.0
            boundary = close
            entry_low, entry_high = low, high
            net = sample - open_interest
            closed = min(max(0.0, -net) / open_interest, 0.999)
            for row, hazard in zip(exposure, hazards, strict=True):
                kept = (1 - closed) * math.exp(-min(hazard * replaced, MOST_REPLACED))
                for cell in range(cells):
                    row[cell] *= kept
            opened = max(0.0, net) + replaced * open_interest
        open_interest = sample
        per_cell = opened / (entry_high - entry_low + 1)
        for side in Side:
            for node, weight in enumerate(weights[side, level]):
                row, amount = exposure[group_of[node]], weight * per_cell
                shift = -shifts[side][node] if side is Side.LONG else shifts[side][node]
                for entry in range(entry_low, entry_high + 1):
                    liquidated_at = entry + shift
                    beyond = liquidated_at < boundary if side is Side.LONG else liquidated_at > boundary
                    if beyond and 0 <= liquidated_at - origin < cells:
                        row[liquidated_at - origin] += amount
    return [sum(cell) for cell in zip(*exposure, strict=True)]
