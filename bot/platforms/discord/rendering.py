"""A message as Discord shows it: a line of content for the lock screen, an embed, buttons and menus.

Everything is cut to Discord's limits here, whatever it is given; what is cut is said.
"""

import asyncio
import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import discord

from bot.message import Button, Menu, Message, Table
from bot.platforms.fitting import footer_within, rows_within

log = logging.getLogger(__name__)
CONTENT_LIMIT = 2000
TITLE_LIMIT = 256
DESCRIPTION_LIMIT = 4096
FOOTER_LIMIT = 2048
EMBED_LIMIT = 6000
"""Over all parts of all embeds of one message."""
LABEL_LIMIT = 80
OPTION_LIMIT = 100
COMMAND_LIMIT = 64
"""What a button's command may have; with what stands before it, its id stays below Discord's 100 characters."""
MOST_ROWS, MOST_IN_ROW, MOST_OPTIONS = 5, 5, 25
CHART_NAME = "chart.png"
_COLOURS = (("🟢", 0x2EAD6B), ("🔴", 0xD64545))
_PLAIN_COLOUR = 0x5C7CFA
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_TAG = re.compile(r"<(?=[@#:/a-zA-Z])")
_LONE_TILDE = re.compile(r"(?<!\\~)\\~(?!\\~)")
_MENU = "menu:"
_BUTTON = "do:"


@dataclass(frozen=True, slots=True)
class Rendered:
    """``embed`` None where the bot may not embed: all is in ``content`` then."""

    content: str | None
    embed: discord.Embed | None
    picture: bytes | None

    def file(self) -> discord.File | None:
        """A new one for each attempt: a file is read once."""
        return discord.File(io.BytesIO(self.picture), CHART_NAME) if self.picture is not None else None


async def render(message: Message, *, lead: bool, may_embed: bool = True, may_attach: bool = True) -> Rendered:
    """``lead``: the title is the message's content, which phones show on the lock screen; else the embed's title.

    A chart whose file cannot be read is left out: it must not cost the words.
    """
    lines = list(message.lines)
    if message.chart is not None and not may_attach:
        lines.append("No chart: I may not attach files here.")
    picture = await _picture(message.chart) if may_attach else None
    title = escaped(message.title).strip() or "Clusterwatch"
    if not may_embed:
        body = [f"**{_cut(title, TITLE_LIMIT)}**", _body(lines, message.table, 1200)]
        left = CONTENT_LIMIT - sum(len(part) + 1 for part in body)
        body += footer_within([escaped(line) for line in message.footer], left, _cut)
        return Rendered(_cut("\n".join(part for part in body if part), CONTENT_LIMIT), None, picture)
    embed = discord.Embed(colour=next((c for sign, c in _COLOURS if message.title.startswith(sign)), _PLAIN_COLOUR))
    room = EMBED_LIMIT
    if not lead:
        embed.title = _cut(title, TITLE_LIMIT)
        room -= len(embed.title)
    footer = "\n".join(footer_within([clean(line) for line in message.footer], FOOTER_LIMIT, _cut)).strip()
    if footer:
        embed.set_footer(text=footer)
    embed.description = _body(lines, message.table, min(DESCRIPTION_LIMIT, room - len(footer))).strip() or None
    if picture is not None and not message.chart_as_file:
        embed.set_image(url=f"attachment://{CHART_NAME}")
    if lead:
        # An embed with nothing in it would be refused.
        empty = not (embed.description or footer or embed.image)
        return Rendered(_cut(title, TITLE_LIMIT), None if empty else embed, picture)
    return Rendered(None, embed, picture)


def view_of(message: Message) -> discord.ui.View | None:
    """Buttons and menus whose ids carry their commands, so that they work after any restart.

    The view is stopped: discord.py then keeps nothing of it, and presses come to us as plain interactions.
    """
    if not message.buttons and not message.menus:
        return None
    rows = [line for row in message.buttons if (line := _shown(row))]
    menus = [(menu, options) for menu in message.menus if (options := _options(menu))]
    left_out = max(0, len(rows) - MOST_ROWS), max(0, len(menus) - max(0, MOST_ROWS - len(rows)))
    if any(left_out):
        log.error("%d rows of buttons and %d menus have no room under %r", *left_out, message.title)
    view = discord.ui.View(timeout=None)
    for number, row in enumerate(rows[:MOST_ROWS]):
        for column, button in enumerate(row):
            view.add_item(
                discord.ui.Button(
                    label=_cut(clean(button.label), LABEL_LIMIT),
                    custom_id=f"{_BUTTON}{number}.{column}|{button.command}",
                    row=number,
                )
            )
    for number, (menu, options) in enumerate(menus[: max(0, MOST_ROWS - len(rows))], len(rows)):
        view.add_item(
            discord.ui.Select(
                custom_id=f"{_MENU}{number}", placeholder=_cut(clean(menu.label), 150), options=options, row=number
            )
        )
    view.stop()
    return view if view.children else None


def _shown(row: Sequence[Button]) -> list[Button]:
    """Those that can be shown: the message is worth more than a button."""
    fit = [one for one in row if _fits(one)]
    if len(fit) < len(row) or len(fit) > MOST_IN_ROW:
        log.error("of the buttons %s only %d can be shown", [one.command for one in row], min(len(fit), MOST_IN_ROW))
    return fit[:MOST_IN_ROW]


def _fits(button: Button) -> bool:
    return bool(clean(button.label).strip()) and len(button.command) <= COMMAND_LIMIT


def _options(menu: Menu) -> list[discord.SelectOption]:
    # Two choices of one menu must differ in value.
    choices = {one.command: one for one in menu.choices}
    fit = {command: one for command, one in choices.items() if command and _fits(one)}
    if len(fit) < len(choices) or len(fit) > MOST_OPTIONS:
        log.error("of the menu %r only %d of %d can be shown", menu.label, min(len(fit), MOST_OPTIONS), len(choices))
    return [
        discord.SelectOption(label=_cut(clean(one.label), OPTION_LIMIT), value=command)
        for command, one in list(fit.items())[:MOST_OPTIONS]
    ]


def command_of(custom_id: str, values: Sequence[str]) -> str | None:
    """The command that a pressed component carries; None for a component that is not ours."""
    if custom_id.startswith(_MENU) and values:
        return values[0]
    if custom_id.startswith(_BUTTON):
        return custom_id.partition("|")[2] or None
    return None


def clean(text: str) -> str:
    """Without control characters and without what Discord would make a mention, an emoji or a time of."""
    return _TAG.sub("<\u200b", _CONTROL.sub("", text))


def escaped(text: str) -> str:
    """Every character shows as it is. A lone tilde means nothing to Discord and stays bare for the lock screen."""
    return _LONE_TILDE.sub("~", discord.utils.escape_markdown(clean(text)))


def _body(lines: Sequence[str], table: Table | None, limit: int) -> str:
    said = [escaped(line) for line in lines]
    left = limit - len("\n".join(said)) - 1
    drawn = _drawn(table, max(left, limit // 2)) if table is not None else ""
    text = _fitted(said, limit - len(drawn) - 1)
    return "\n".join(part for part in (text, drawn) if part)


def _drawn(table: Table, limit: int) -> str:
    """The table in a fixed-width block."""
    grid = [[clean(cell).replace("```", "'''") for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[column]) for row in grid) for column in range(len(table.columns))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid]
    text = "\n".join(rows)
    if len(text) > limit - 8:
        heading, *rows = rows
        room = limit - 8 - len("… and 9999 more rows") - len(heading) - 2
        kept = rows_within(table, [len(row) + 1 for row in rows], room)
        shown = [heading, *(rows[number] for number in kept)] if room >= 0 else []
        text = "\n".join([*shown, f"… and {len(rows) - len(kept)} more rows"])
    return f"```\n{text}\n```"


def _fitted(lines: Sequence[str], limit: int) -> str:
    """As many of the lines as fit, from the first on, and how many do not."""
    text = "\n".join(lines)
    if len(text) <= limit:
        return text
    kept: list[str] = []
    room = limit - len("… and 9999 more lines")
    for line in lines:
        if len(line) + 1 > room:
            break
        kept.append(line)
        room -= len(line) + 1
    return "\n".join([*kept, f"… and {len(lines) - len(kept)} more lines"])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


async def _picture(chart: bytes | Path | None) -> bytes | None:
    if not isinstance(chart, Path):
        return chart
    try:
        return await asyncio.to_thread(chart.read_bytes)
    except OSError as error:
        log.warning("a chart cannot be read, the message goes out without: %s", error.strerror)
        return None
