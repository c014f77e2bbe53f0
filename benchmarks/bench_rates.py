"""How many alerts a day the defaults give on the real market, and what the whole replay costs."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.calibration import Timing, best_of
from benchmarks.replay_child import PEAK
from benchmarks.report import SHARED, Report
from bot.markets.feed import Refusals
from bot.markets.recording import list_series, read_table
from detectors.market import DAY_MS

RECORDING = SHARED / "markets/winter-2025"
CHECKOUT = Path(__file__).resolve().parents[1]
FORMED = "cluster_formed"
SKIPPED_DAYS = 3
"""The baseline needs them before clusters form."""


@dataclass(frozen=True, slots=True)
class Alert:
    market: str
    kind: str
    build_class: str | None
    taken_at_ms: int


@dataclass(frozen=True, slots=True)
class ReplayFigures:
    timing: Timing
    """Of the whole command, the interpreter's start included."""
    peak_mb: float
    alerts: tuple[Alert, ...]


def measure(recording: Path, options: Sequence[str] = ()) -> ReplayFigures:
    """``replay RECORDING --json`` in a process of its own, as a user would run it: one chat, default subscription.

    Raises CalledProcessError where the command fails.
    """
    command = [sys.executable, "-m", "benchmarks.replay_child", "replay", str(recording), "--json", *options]

    def play() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHECKOUT)

    timing, done = best_of(1, play)
    peak = next(line for line in reversed(done.stderr.splitlines()) if line.startswith(PEAK))
    return ReplayFigures(timing, int(peak.removeprefix(PEAK)) / 1000, read_alerts(done.stdout.splitlines()))


def read_alerts(lines: Iterable[str]) -> tuple[Alert, ...]:
    records = map(json.loads, lines)
    return tuple(Alert(r["market"].split("/")[0], r["kind"], r["build_class"], r["taken_at_ms"]) for r in records)


def whole_days(recording: Path) -> range:
    """Days since 1970 that the recording's candles cover from start to end, but for the first three."""
    spans = []
    for series in list_series(recording):
        table = read_table(series, Refusals()) if series.kind == "ohlcv" else None
        if table is not None:
            spans.append((int(table.ts_ms[0]), int(table.ts_ms[-1]) + series.interval_ms))
    first, last = max(start for start, _ in spans), min(end for _, end in spans)
    return range(-(-first // DAY_MS) + SKIPPED_DAYS, last // DAY_MS)


def daily_counts(alerts: Iterable[Alert], days: range) -> Mapping[str, list[int]]:
    """Alerts on each of the days, by market."""
    counts = Counter((alert.market, alert.taken_at_ms // DAY_MS) for alert in alerts)
    return {market: [counts[market, day] for day in days] for market in sorted({market for market, _ in counts})}


def run(*, quick: bool = False) -> list[Report]:
    title = "Replay of winter-2025 (3 markets, 8 weeks, charts off)"
    if not RECORDING.is_dir():
        why = "skipped: ../shared/markets/winter-2025 is not beside this checkout"
        return [Report(title, (), notes=(why,))]
    found = measure(RECORDING, ("--market", "BTC") if quick else ())
    days = whole_days(RECORDING)
    later = [alert for alert in found.alerts if alert.taken_at_ms // DAY_MS in days]
    return [
        Report(
            "Replay of winter-2025 (BTC alone, 8 weeks, charts off)" if quick else title,
            ("what", "measured", "calibration loops", "budget"),
            (
                ("the whole command", *found.timing.shown, "20 s"),
                ("peak memory", f"{found.peak_mb:.0f} MB", "", "250 MB"),
            ),
        ),
        _rates(later, days),
        _crossed("Alerts by kind", Counter((alert.kind, alert.market) for alert in later)),
        _crossed(
            "Clusters formed by build class",
            Counter((alert.build_class or "unknown", alert.market) for alert in later if alert.kind == FORMED),
        ),
    ]


def _rates(alerts: Sequence[Alert], days: range) -> Report:
    rows = []
    for market, counts in daily_counts(alerts, days).items():
        median, high = np.percentile(counts, [50, 95])
        rows.append(
            (
                market,
                f"{median:g}",
                f"{high:.1f}",
                str(max(counts)),
                f"{np.mean(counts):.2f}",
                f"{counts.count(0)} of {len(counts)}",
                "1-6 and 12" if market == "BTC" else "",
            )
        )
    columns = ("market", "median", "95 %", "most", "mean", "silent days", "target median and 95 %")
    return Report("Alerts a day at the defaults, no cap, the first three days left out", columns, tuple(rows))


def _crossed(title: str, counts: Counter[tuple[str, str]]) -> Report:
    """A row for each first part of the keys, a column for each second."""
    markets = sorted({market for _, market in counts})
    rows = []
    for name in sorted({name for name, _ in counts}):
        found = [counts[name, market] for market in markets]
        rows.append((name, *map(str, found), str(sum(found))))
    return Report(title, ("", *markets, "all"), tuple(rows))
