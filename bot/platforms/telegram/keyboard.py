"""Buttons and menus as an inline keyboard. A button carries its command as it is, so a restart forgets none."""

import logging
from collections.abc import Iterator, Sequence

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot.message import Button, Menu, Message

log = logging.getLogger(__name__)
DATA_BYTES = 64
LABEL_LENGTH = 40
HEADING = "·"
"""What the heading of a menu sends, which nobody answers."""
_ROW_LENGTH = 30
"""Characters of labels that stand side by side on a phone."""
_MOST_ROWS = 24
_MOST_IN_ROW = 4
_MOST_BUTTONS = 100


def keyboard(message: Message) -> InlineKeyboardMarkup | None:
    """None where nothing can be pressed."""
    rows: list[list[InlineKeyboardButton]] = [row for line in message.buttons if (row := list(_buttons(line)))]
    for menu in message.menus:
        if len(message.menus) > 1 and menu.label:
            rows.append([InlineKeyboardButton(f"— {menu.label[:LABEL_LENGTH]} —", callback_data=HEADING)])
        rows += _grid(menu)
    kept, buttons = [], 0
    for row in rows[:_MOST_ROWS]:
        buttons += len(row)
        if buttons > _MOST_BUTTONS:
            break
        kept.append(row)
    if len(kept) < len(rows):
        log.error("%d of %d rows of buttons have no room under %r", len(rows) - len(kept), len(rows), message.title)
    return InlineKeyboardMarkup(kept) if kept else None


def _grid(menu: Menu) -> Iterator[list[InlineKeyboardButton]]:
    row: list[InlineKeyboardButton] = []
    for button in _buttons(menu.choices):
        wide = sum(len(one.text) for one in (*row, button)) > _ROW_LENGTH
        if row and (wide or len(row) == _MOST_IN_ROW):
            yield row
            row = []
        row.append(button)
    if row:
        yield row


def _buttons(buttons: Sequence[Button]) -> Iterator[InlineKeyboardButton]:
    for button in buttons:
        if 0 < len(button.command.encode()) <= DATA_BYTES and button.label.strip():
            yield InlineKeyboardButton(button.label[:LABEL_LENGTH], callback_data=button.command)
        else:
            # The message is worth more than the button.
            log.error("a button cannot be shown, its command is over %d bytes: %r", DATA_BYTES, button.command)
