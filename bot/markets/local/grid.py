"""Times on a grid (multiples of a step since 1970), as venues stamp candles and statistics."""


def oldest(first_ms: int, last_ms: int, step_ms: int, limit: int) -> list[int]:
    """The first ``limit`` multiples of ``step_ms`` in ``first_ms`` .. ``last_ms``, both included, rising."""
    first, last = -(-first_ms // step_ms), last_ms // step_ms
    return [index * step_ms for index in range(first, min(last, first + limit - 1) + 1)]


def newest(first_ms: int, last_ms: int, step_ms: int, limit: int) -> list[int]:
    """The last ``limit`` of them, rising."""
    first, last = -(-first_ms // step_ms), last_ms // step_ms
    return [index * step_ms for index in range(max(first, last - limit + 1), last + 1)]
