"""Robust statistics and small array helpers shared by detectors."""

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)
AnyFloat = TypeVar("AnyFloat", np.float32, np.float64)

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation times this estimates the standard deviation of a normal variable."""

Floats = NDArray[np.float64]


def robust_score(value: float, history: Floats, floor: float) -> float:
    """How many robust deviations ``value`` lies from the median of ``history`` (float64[n], n at least 1).

    ``floor`` is the smallest deviation believed, so that a flat history does not make noise look extreme.
    """
    median = float(np.median(history))
    deviation = MAD_TO_SIGMA * float(np.median(np.abs(history - median)))
    return (value - median) / max(deviation, floor)


def rolling_sum(values: Floats, width: int) -> Floats:
    """Sum over ``width`` neighbours centred on each element (one more to the left where even), float64[n]."""
    total = np.zeros(len(values) + width)
    left = width // 2
    np.cumsum(values, out=total[left + 1 : left + 1 + len(values)])
    total[left + 1 + len(values) :] = total[left + len(values)]
    summed: Floats = total[width:] - total[: len(values)]
    return summed


def densest_half(values: Floats) -> tuple[int, int]:
    """First and last index of the shortest stretch that holds half of the sum of ``values`` (float64[n], >= 0)."""
    through = np.concatenate([[0.0], np.cumsum(values)])
    stops = np.searchsorted(through, through[:-1] + through[-1] / 2 - 1e-12 * through[-1])
    widths = np.where(stops < len(through), stops - np.arange(len(values)), len(values) + 1)
    start = int(np.argmin(widths))
    return start, min(int(stops[start]), len(values)) - 1


def weighted_centre(values: Floats) -> float:
    """Mean index of ``values`` (float64[n], >= 0) weighted by them; the middle where all are zero."""
    total = float(values.sum())
    if total <= 0:
        return (len(values) - 1) / 2
    return float(np.arange(len(values)) @ values) / total


def to_planes(array: NDArray[Any]) -> bytes:
    """The array's bytes, those of equal significance side by side: compresses far better than whole numbers."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize).T.tobytes()


def from_planes(data: bytes, dtype: type[Number], shape: tuple[int, ...], offset: int = 0) -> NDArray[Number]:
    """The array that `to_planes` took apart, starting at ``offset``."""
    size = np.dtype(dtype).itemsize
    count = math.prod(shape)
    planes = np.frombuffer(data, np.uint8, count * size, offset).reshape(size, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)


def to_sparse_planes(array: NDArray[Any]) -> bytes:
    """A bit for each number, whether it is any but 0.0, and the planes of those that are: the rest of a sparse array
    is noise, of which nothing is left for a compressor to look for."""
    flat = np.ascontiguousarray(array).reshape(-1)
    kept = flat.view(np.dtype(f"u{array.itemsize}")) != 0  # -0.0 is kept
    return np.packbits(kept).tobytes() + to_planes(flat[kept])


def from_sparse_planes(data: bytes, dtype: type[Number], shape: tuple[int, ...], offset: int = 0) -> NDArray[Number]:
    """The array that `to_sparse_planes` took apart, starting at ``offset``."""
    count = math.prod(shape)
    bits = np.frombuffer(data, np.uint8, -(-count // 8), offset)
    kept = np.unpackbits(bits, count=count).astype(bool)
    flat = np.zeros(count, dtype)
    flat[kept] = from_planes(data, dtype, (int(kept.sum()),), offset + bits.nbytes)
    return flat.reshape(shape)


def shift_columns(array: NDArray[AnyFloat], cells: int) -> NDArray[AnyFloat]:
    """The array with its last axis moved ``cells`` to the left (right when negative), zeros moving in."""
    moved = np.zeros_like(array)
    size = array.shape[-1]
    if abs(cells) < size:
        if cells > 0:
            moved[..., : size - cells] = array[..., cells:]
        else:
            moved[..., -cells:] = array[..., : size + cells]
    return moved
