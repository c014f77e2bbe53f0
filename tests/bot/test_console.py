"""The terminal as a platform."""

import io
import os
import sys
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from bot.message import SIMULATED, Message, Table
from bot.platforms import console
from bot.platforms.console import ConsolePlatform, Printer
from bot.platforms.seam import Request

MESSAGE = Message(
    title="🟢 BTC long cluster $182M at 86,650, 2.0% below",
    lines=("Size ≈$182M", "[bold]not markup[/bold]"),
    footer=(SIMULATED,),
    table=Table(("side", "level"), (("long", "≈86,650"), ("short", "≈90,000"))),
)


def printed(message: Message, *, terminal: bool, charts: Path | None = None) -> str:
    out = io.StringIO()
    Printer(Console(file=out, force_terminal=terminal, width=100, highlight=False), charts).show(message)
    return out.getvalue()


def test_piped_it_is_plain_text() -> None:
    text = printed(MESSAGE, terminal=False)
    assert "\x1b" not in text
    assert [line.strip() for line in text.splitlines() if line] == [
        "🟢 BTC long cluster $182M at 86,650, 2.0% below",
        "Size ≈$182M",
        "[bold]not markup[/bold]",
        "side   level",
        "long   ≈86,650",
        "short  ≈90,000",
        "SIMULATED market",
    ]


def test_on_a_terminal_sides_have_colours() -> None:
    text = printed(MESSAGE, terminal=True)
    assert "\x1b[1;32m" in text  # green title
    assert "\x1b[31m" in text  # red row


def test_a_message_is_written_at_once_so_that_no_prompt_comes_between() -> None:
    writes: list[str] = []

    class Counting(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    Printer(Console(file=Counting(), force_terminal=True)).show(MESSAGE)
    assert len([text for text in writes if text]) == 1


def test_a_charts_path_is_printed_and_its_bytes_become_a_file(tmp_path: Path) -> None:
    assert str(tmp_path / "a.png") in printed(Message("t", chart=tmp_path / "a.png"), terminal=False)
    printed(Message("t", chart=b"\x89PNG..."), terminal=False, charts=tmp_path / "charts")
    (saved,) = (tmp_path / "charts").iterdir()
    assert saved.read_bytes() == b"\x89PNG..."


async def test_what_is_sent_can_be_told_from_what_is_completed_later() -> None:
    out = io.StringIO()
    platform = ConsolePlatform(Printer(Console(file=out, width=100)))
    assert await platform.send("local", Message("first"), nonce="n1") == "n1"
    await platform.edit("local", "n1", Message("first, whole"))
    assert out.getvalue().split() == ["first", "Now", "complete:", "first,", "whole"]


@pytest.mark.parametrize(
    ("data", "lines"), [(b"/watch BTC\n\n/status\n", ["/watch BTC", "/status"]), (b"", []), (b"\xff\n", ["\ufffd"])]
)
def test_piped_lines_are_commands(monkeypatch: pytest.MonkeyPatch, data: bytes, lines: list[str]) -> None:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert console.piped_commands() == lines


def test_an_open_pipe_that_stays_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert console.piped_commands(wait_s=0.01) == []
    os.close(writer)


async def test_whoever_sits_at_the_terminal_is_told_what_to_type_before_the_first_prompt() -> None:
    out = io.StringIO()

    async def handle(_: Request) -> Message:
        return Message("answered")

    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("/quit\n")
        await console.chat(handle, Printer(Console(file=out)), ["/help"])
    assert out.getvalue().strip() == "Type /help, or /map BTC. Ctrl-C ends it."
