"""A message as Telegram's HTML. Lengths are counted as Telegram does: UTF-16 units, after its tags are taken out.

The title and the labels of the footer always stay, since these say what is estimated and what it is worth. A table that
is too long names its columns once, then loses the rows that matter least; lines have what room it leaves them.
"""

import html
import re
from collections.abc import Iterator, Sequence

from bot.message import Message, Table
from bot.platforms.fitting import footer_within, rows_within

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
_OF_A_TEXT, _OF_A_CAPTION = 1 / 2, 2 / 3
"""The share of the room that a table has however many lines there are."""
_WIDEST_COLUMNS = 40
"""What a phone shows of a line in a fixed width, in characters."""
_MORE = "…"
_NOTHING = "–"
_MENTION = re.compile(r"@(?=\w)")
_WORD_JOINER = "\u2060"
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Controls, and marks that turn the direction of what follows."""


def length(text: str) -> int:
    """In UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_of(message: Message) -> str:
    """For a message without a picture."""
    return _fitted(message, TEXT_LIMIT, _OF_A_TEXT)


def caption_of(message: Message) -> str:
    """For the message of a picture."""
    return _fitted(message, CAPTION_LIMIT, _OF_A_CAPTION)


def plain(text: str) -> str:
    """Nothing in it is markup or names anybody: ``@name`` would call that person."""
    return html.escape(_MENTION.sub(f"@{_WORD_JOINER}", _UNSEEN.sub(" ", text)), quote=False)


class _Part:
    """A line as HTML, with the length that Telegram counts."""

    def __init__(self, text: str, tag: str = "") -> None:
        self.html = f"<{tag}>{plain(text)}</{tag}>" if tag and text.strip() else plain(text)
        self.length = length(html.unescape(plain(text)))


def _fitted(message: Message, limit: int, tables_share: float) -> str:
    head = _Part(_cut(message.title, limit // 4), "b")
    foot = [_Part(line, "i") for line in footer_within(message.footer, limit // 2, _cut, length)]
    room = limit - head.length - _length(foot) - 2
    lines_length = sum(length(line) + 1 for line in message.lines)
    drawn = []
    if message.table is not None:
        drawn = list(_drawn(message.table, max(room - lines_length - 1, int(room * tables_share))))
    lines = list(_lines(message.lines, room - _length(drawn) - 1))
    body = [*lines, *([_Part("")] if lines and drawn else ()), *drawn]
    return "\n".join(part.html for part in (head, *body, *([_Part("")] if foot and body else ()), *foot))


def _length(parts: Sequence[_Part]) -> int:
    """With their line breaks."""
    return sum(part.length + 1 for part in parts)


def _lines(lines: Sequence[str], room: int) -> Iterator[_Part]:
    """As many as fit, from the first on."""
    parts = [_Part(line) for line in lines]
    if _length(parts) <= room:
        yield from parts
        return
    room -= length(_MORE) + 1
    for part in parts:
        room -= part.length + 1
        if room < 0:
            break
        yield part
    yield _Part(_MORE)


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` units, no character cut in two."""
    if length(text) <= limit:
        return text
    while text and length(text) > limit - 1:
        text = text[: -max(1, (length(text) - limit) // 2)]
    return text + _MORE


def _drawn(table: Table, room: int) -> Iterator[_Part]:
    """The table in that room: columns where they fit a phone; else its rows as lines, the first cell standing out."""
    widths = [max(len(row[column]) for row in (table.columns, *table.rows)) for column in range(len(table.columns))]
    if sum(widths) + 2 * (len(widths) - 1) <= _WIDEST_COLUMNS:
        heading, *rows = [
            _Part("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), "code")
            for row in (table.columns, *table.rows)
        ]
        headings = [heading]
    else:
        rows = [_named(table.columns, row) for row in table.rows]
        headings = []
        if _length(rows) > room and len(table.columns) > 2:  # the columns' names once, in place of in every row
            headings, rows = [_row(table.columns)], [_row(row) for row in table.rows]
    if _length(headings) + _length(rows) <= room:
        yield from (*headings, *rows)
        return
    left_out = length(f"{_MORE} and {len(rows)} more") + 1
    kept = rows_within(table, [row.length + 1 for row in rows], room - _length(headings) - left_out)
    if kept:
        yield from headings
        yield from (rows[number] for number in kept)
    if room >= left_out:
        yield _Part(f"{_MORE} and {len(rows) - len(kept)} more")


def _named(columns: Sequence[str], row: Sequence[str]) -> "_Row":
    """Each cell with its column's name."""
    first, *rest = row
    named = [f"{name} {cell}" if len(rest) > 1 else cell for name, cell in zip(columns[1:], rest, strict=True)]
    return _Row(first, " · ".join(cell for cell in named if cell.strip()))


def _row(row: Sequence[str]) -> "_Row":
    first, *rest = row
    return _Row(first, " · ".join(cell.strip() or _NOTHING for cell in rest))


class _Row(_Part):
    def __init__(self, first: str, rest: str) -> None:
        parts = _Part(first, "b"), _Part(rest)
        self.html = f"{parts[0].html} — {parts[1].html}" if rest else parts[0].html
        self.length = parts[0].length + (parts[1].length + 3 if rest else 0)
