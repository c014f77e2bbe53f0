"""A message as Telegram's HTML. Lengths are counted as Telegram does: UTF-16 units, after its tags are taken out.

What is too long loses its table first, then lines from the end; title and footer always stay, since the footer says
what is estimated and what it is worth.
"""

import html
import re
from collections.abc import Iterator, Sequence

from bot.message import Message, Table

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
_WIDEST_COLUMNS = 40
"""What a phone shows of a line in a fixed width, in characters."""
_MORE = "…"
_MENTION = re.compile(r"@(?=\w)")
_WORD_JOINER = "\u2060"
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Controls, and marks that turn the direction of what follows."""


def length(text: str) -> int:
    """In UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_of(message: Message) -> str:
    """For a message without a picture."""
    return _fitted(message, TEXT_LIMIT)


def caption_of(message: Message) -> str:
    """For the message of a picture."""
    return _fitted(message, CAPTION_LIMIT)


def plain(text: str) -> str:
    """Nothing in it is markup or names anybody: ``@name`` would call that person."""
    return html.escape(_MENTION.sub(f"@{_WORD_JOINER}", _UNSEEN.sub(" ", text)), quote=False)


class _Part:
    """A line as HTML, with the length that Telegram counts."""

    def __init__(self, text: str, tag: str = "") -> None:
        self.html = f"<{tag}>{plain(text)}</{tag}>" if tag and text.strip() else plain(text)
        self.length = length(html.unescape(plain(text)))


def _fitted(message: Message, limit: int) -> str:
    head = _Part(_cut(message.title, limit // 4), "b")
    foot = [_Part(line, "i") for line in _within(message.footer, limit // 2)]
    used = head.length + sum(part.length + 1 for part in foot) + 2
    body: list[_Part] = []
    table = list(_table(message.table)) if message.table is not None else []
    lines = [_Part(line) for line in message.lines]
    whole = [*lines, *([_Part(""), *table] if lines and table else table)]
    if used + sum(part.length + 1 for part in whole) <= limit:
        body = whole
    else:
        room = limit - used - length(_MORE) - 1
        for part in lines or table:
            room -= part.length + 1
            if room < 0:
                break
            body.append(part)
        body.append(_Part(_MORE))
    return "\n".join(part.html for part in (head, *body, *([_Part("")] if foot and body else ()), *foot))


def _within(lines: Sequence[str], limit: int) -> Iterator[str]:
    for line in lines:
        cut = _cut(line, limit)
        limit -= length(cut) + 1
        if limit < 0:
            return
        yield cut


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` units, no character cut in two."""
    if length(text) <= limit:
        return text
    while text and length(text) > limit - 1:
        text = text[: -max(1, (length(text) - limit) // 2)]
    return text + _MORE


def _table(table: Table) -> Iterator[_Part]:
    """Columns where they fit a phone; else the rows as lines, the first cell standing out."""
    grid = [table.columns, *table.rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(table.columns))]
    if sum(widths) + 2 * (len(widths) - 1) <= _WIDEST_COLUMNS:
        for row in grid:
            yield _Part("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), "code")
        return
    for first, *rest in table.rows:
        named = [
            f"{name} {cell}" if len(rest) > 1 else cell for name, cell in zip(table.columns[1:], rest, strict=True)
        ]
        yield _Row(first, " · ".join(cell for cell in named if cell.strip()))


class _Row(_Part):
    def __init__(self, first: str, rest: str) -> None:
        parts = _Part(first, "b"), _Part(rest)
        self.html = f"{parts[0].html} — {parts[1].html}" if rest else parts[0].html
        self.length = parts[0].length + (parts[1].length + 3 if rest else 0)
