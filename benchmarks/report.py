"""A benchmark's result as a table."""

from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

SHARED = Path(__file__).resolve().parents[1] / "../shared"
"""Recordings, kept in the folder ``shared`` beside the checkout and never in it."""
_PIPED_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Report:
    """``rows`` are as wide as ``columns``; a report without rows says in its notes why."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def make_console() -> Console:
    """Colours on a terminal; piped, Markdown of a fixed width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def show(report: Report, console: Console) -> None:
    console.print(Text(f"\n{report.title}", style="bold"))
    if report.rows:
        table = Table(box=box.SIMPLE_HEAD if console.is_terminal else box.MARKDOWN)
        for number, column in enumerate(report.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in report.rows:
            table.add_row(*map(Text, row))
        console.print(table)
    for note in report.notes:
        console.print(Text(note, style="dim"))
