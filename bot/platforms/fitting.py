"""What stays of a message that is longer than its platform allows: labels always, then what matters most."""

from collections.abc import Callable, Iterator, Sequence

from bot.message import Table, is_label

_SHORTEST = 12
"""A footer's line that would be cut to less says nothing."""
Length = Callable[[str], int]


def footer_within(
    lines: Sequence[str], limit: int, cut: Callable[[str, int], str], length: Length = len
) -> Iterator[str]:
    """The footer's labels whole, and of its other lines as much as they leave room for, cut by ``cut(line, limit)``."""
    room = limit - sum(length(line) + 1 for line in lines if is_label(line))
    for line in lines:
        if is_label(line):
            yield line
        elif room > _SHORTEST:
            shown = cut(line, room - 1)
            room = room - length(shown) - 1 if shown == line else 0
            yield shown


def rows_within(table: Table, lengths: Sequence[int], room: int) -> list[int]:
    """The numbers of the rows that stay, in their own order: the most important ones, as many as fit.

    ``lengths`` of each row with its line break.
    """
    kept = []
    for number in table.by_importance or range(len(table.rows)):
        room -= lengths[number]
        if room < 0:
            break
        kept.append(number)
    return sorted(kept)
