"""Memory and the event loop with everything on (P17): 100 markets on three venues, both platforms, charts, health; and
the same with one platform alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.bench_live import CHECKOUT
from benchmarks.report import Report

MEMORY_MB, ONE_PLATFORM_MB, LAG_MS = 340, 300, 50
WITHIN_S = 480.0
SEED = 1
"""Of the simulated market: some of its clusters are approached and swept in the first two hours that are measured."""


def run(*, quick: bool = False) -> Iterator[Report]:
    spec: dict[str, Any] = {"seed": SEED, "markets": 100, "days": 4.0, "closes": 18, "charts": 60}
    if quick:
        spec |= {"markets": 10, "closes": 12, "charts": 5}
    yield shown(measure({**spec, "platforms": ["telegram", "discord"]}), MEMORY_MB)
    # Its first twelve bars bring all alerts but one.
    yield shown(measure({**spec, "platforms": ["telegram"], "closes": 12}), ONE_PLATFORM_MB)


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own, which says what it does meanwhile. Raises CalledProcessError, TimeoutExpired, and
    AssertionError where no alert came with a chart, for then the figures say nothing."""
    command = [sys.executable, "-m", "benchmarks.resources_child", json.dumps(spec)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, timeout=WITHIN_S)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not told["alert_charts"]:
        raise AssertionError(f"no alert was sent with a chart: {told}")
    return told


def shown(found: dict[str, Any], budget_mb: int) -> Report:
    rows = tuple(
        (
            phase["phase"],
            f"{phase['rss_mb']:.0f} MB",
            f"{phase['peak_mb']:.0f} MB",
            f"{phase['lag_p99_ms']:.0f} ms",
            f"{phase['lag_most_ms']:.0f} ms",
            f"{phase['held_p99_ms']:.0f} ms",
        )
        for phase in found["phases"]
    )
    more = found["charts"] - found["alert_charts"]
    platforms = [name.capitalize() for name in found["platforms"]]
    everything = "Everything on" if len(platforms) > 1 else "One platform"
    title = (
        f"{everything}: {found['markets']} markets on 3 venues, {' and '.join(platforms)} with {found['chats']} chats, "
        f"{found['alerts']} alerts, {found['alert_charts']} charts of alerts and {more} more, "
        "/healthz and /metrics asked every two seconds"
    )
    columns = ("phase", "resident then", "most until then", "loop late, 99 of 100", "once", "held by us, 99 of 100")
    notes = (
        f"Budget: {budget_mb} MB at the most, {LAG_MS} ms late in 99 of 100 naps of 10 ms. Held by us: CPU of the "
        "loop's own thread between two naps, which does not depend on what else the machine does.",
        f"Deliveries: {found['states']}; ticks that failed: {found['failed_ticks']}; {'; '.join(found['conditions'])}",
    )
    return Report(title, columns, rows, notes)
