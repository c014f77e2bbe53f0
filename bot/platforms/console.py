"""The terminal as a platform: prints messages, reads commands. For trying the bot with no account anywhere."""

import asyncio
import hashlib
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bot.message import SIMULATED, Message
from bot.pacing import Limits, Rate
from bot.platforms.seam import ALLOWED, Handle, Place, Request, Verdict
from storage.chats import Chat

NAME = "console"
CHAT = Chat(NAME, "local")
WELCOME = "Type /help, or /map BTC. Ctrl-C ends it."
_STYLES = (("🟢", "bold green"), ("🔴", "bold red"), ("🔵", "bold cyan"))
_COLUMN_STYLES = {"long": "green", "short": "red"}
_MOST_BUTTONS = 12
_LARGEST_INPUT = 1 << 20


def make_console(colour: str = "auto") -> Console:
    """``colour`` is auto (where there is a terminal), always or never."""
    return Console(
        highlight=False,
        force_terminal=True if colour == "always" else None,
        no_color=True if colour == "never" else None,
    )


class Printer:
    """Prints messages with colours and tables, plainly when piped. Charts are PNG files; their path is printed."""

    def __init__(self, console: Console | None = None, charts: Path | None = None) -> None:
        self.console = console or make_console()
        self._charts = charts

    def show(self, message: Message, heading: str | None = None) -> None:
        # Written at once, or a prompt that is being drawn again would come to stand in the middle of it.
        with self.console.capture() as written:
            self._print(message, heading)
        self.console.file.write(written.get())
        self.console.file.flush()

    def _print(self, message: Message, heading: str | None) -> None:
        print_ = self.console.print
        style = next((style for sign, style in _STYLES if message.title.startswith(sign)), "bold")
        print_()
        if heading:
            print_(Text(heading, style="dim"))
        print_(Text(message.title, style=style), soft_wrap=True)
        for line in message.lines:
            print_(Text(f"  {line}"), soft_wrap=True)
        if message.table is not None:
            table = RichTable(
                box=box.SIMPLE if self.console.is_terminal else None, pad_edge=False, padding=(0, 2, 0, 0)
            )
            for column in message.table.columns:
                table.add_column(column, overflow="fold")
            for row in message.table.rows:
                table.add_row(*(Text(cell) for cell in row), style=_COLUMN_STYLES.get(row[0]))
            print_(table)
        for line in message.footer:
            print_(Text(f"  {line}", style="yellow" if line == SIMULATED else "dim"), soft_wrap=True)
        if message.alert_id is None:
            buttons = [
                *(one for row in message.buttons for one in row),
                *(one for m in message.menus for one in m.choices),
            ]
            for button in buttons[:_MOST_BUTTONS]:
                print_(Text(f"  › {button.label}: {button.command}", style="dim"), soft_wrap=True)
        if message.chart is not None:
            print_(Text(f"  chart: {self._chart(message.chart)}"), soft_wrap=True)

    def _chart(self, chart: bytes | Path) -> str:
        if isinstance(chart, Path):
            return str(chart)
        if self._charts is None:
            return f"{len(chart):,} bytes of PNG"
        self._charts.mkdir(parents=True, exist_ok=True)
        path = self._charts / f"{hashlib.sha256(chart).hexdigest()[:16]}.png"
        path.write_bytes(chart)
        return str(path)


class ConsolePlatform:
    """`bot.deliver.Platform` on a terminal. A line printed cannot be changed, so an edit is printed anew."""

    name = NAME
    per_second = 10_000.0

    def __init__(self, printer: Printer) -> None:
        self._printer = printer

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:  # noqa: ARG002 - one terminal, one chat
        self._printer.show(message)
        return nonce

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id, (Rate(self.per_second),))

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None:  # noqa: ARG002
        self._printer.show(message, "Now complete:")


def is_interactive() -> bool:
    """Whether somebody sits at the terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def piped_commands(wait_s: float = 0.3) -> list[str]:
    """The lines piped in, none where nothing comes: an open pipe that stays silent is not waited for."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return []
    descriptor, data = sys.stdin.fileno(), b""
    while len(data) < _LARGEST_INPUT and select.select([descriptor], [], [], wait_s)[0]:
        chunk = os.read(descriptor, 65_536)
        if not chunk:
            break
        data += chunk
    return [line for line in data.decode(errors="replace").splitlines() if line.strip()]


def request(text: str) -> Request:
    """A line typed at the terminal, whose user may do everything there."""
    return Request(CHAT, text, Place.PRIVATE, _allowed)


async def _allowed() -> Verdict:
    return ALLOWED


async def answer(handle: Handle, printer: Printer, text: str) -> None:
    printer.show(await handle(request(text)))


async def answer_all(handle: Handle, printer: Printer, lines: Sequence[str]) -> None:
    for line in lines:
        await answer(handle, printer, line)


async def chat(handle: Handle, printer: Printer, words: Sequence[str]) -> None:
    """Take commands until the user leaves (Ctrl-D, Ctrl-C, /quit). ``words`` are offered for completion."""
    # Eight megabytes that only somebody at a terminal needs.
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.patch_stdout import patch_stdout

    session: PromptSession[str] = PromptSession(
        "> ", completer=WordCompleter([*words, "/quit"], ignore_case=True, sentence=False, WORD=True)
    )
    printer.show(Message(WELCOME))
    with patch_stdout(raw=True):
        while True:
            try:
                text = await session.prompt_async()
            except (EOFError, KeyboardInterrupt):
                return
            if text.strip().lower() in {"/quit", "/exit", "quit", "exit"}:
                return
            if text.strip():
                await answer(handle, printer, text)
            await asyncio.sleep(0)
