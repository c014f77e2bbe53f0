"""``python -m benchmarks [NAME ...] [--quick]``: prints tables and writes nothing."""

import importlib
import time

import click
from rich.text import Text

from benchmarks.calibration import calibrate
from benchmarks.report import make_console, show

NAMES = ("map", "chart", "score", "rates", "stick", "simulator", "truth", "fanout", "store", "fit", "receipts")
"""In order of time taken; each is a module ``bench_NAME`` with ``run(quick)``."""
LIVE = (
    "live",
    "live_start",
    "live_tick",
    "live_prints",
    "live_soak",
    "live_pace",
    "live_requests",
    "live_closes",
    "live_restart",
    "live_views",
    "resources",
)
"""Only when named: they watch venues in real time, half an hour in all. ``live`` is the first four after it."""
CHOICES = ("drivers",)
"""Only when named: what a choice in docs/ARCHITECTURE.md rests on."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice((*NAMES, *LIVE, *CHOICES)))
@click.option("--quick", is_flag=True, help="Smaller inputs and fewer rounds: to see that all works, not to quote.")
def main(names: tuple[str, ...], quick: bool) -> None:
    """Measure what is named, or everything but the live path (about five minutes). Piped, the tables are Markdown."""
    console = make_console()
    console.print(f"calibration loop: {calibrate() * 1000:.1f} ms")
    for name in dict.fromkeys(names or NAMES):
        started = time.perf_counter()
        reports = iter(importlib.import_module(f"benchmarks.bench_{name}").run(quick=quick))
        while True:
            with console.status(f"{name} ..."):
                report = next(reports, None)
            if report is None:
                break
            show(report, console)
        console.print(Text(f"{name} took {time.perf_counter() - started:.0f} s", style="dim"))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
