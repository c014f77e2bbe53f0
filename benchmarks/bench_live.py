"""The live path against strict local venues in a process of their own: start, bar closes, prints, a long soak."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Report

CHECKOUT = Path(__file__).resolve().parents[1]
SPAWNED = "CLUSTERWATCH_SPAWNED_S"
_SOAK_WITHIN_S = 420.0
"""Real time, a start of up to two minutes included; days that would take longer are left out, and it is said."""


def measure(part: str, module: str = "live_child", **spec: Any) -> dict[str, Any]:
    """One part in a process of its own. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", f"benchmarks.{module}", part, json.dumps(spec)]
    environ = {**os.environ, SPAWNED: str(time.monotonic())}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environ)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def run(*, quick: bool = False) -> list[Report]:
    return [*start(quick=quick), *tick(quick=quick), *prints(quick=quick), *soak(quick=quick)]


def start(*, quick: bool = False) -> list[Report]:
    found = measure("start", markets=4 if quick else 30, days=6 if quick else 30)
    first, rest = found["lag_first"], found["lag_rest"]
    rows = (
        ("process start to first tick committed", f"{found['first_tick_s']:.1f} s", "5 s"),
        ("first market has its past: alerts are possible", f"{found['first_market_s']:.0f} s", "2 min"),
        ("all markets have the last four days", f"{found['first_stage_s']:.0f} s", ""),
        (f"all have {found['days']:.0f} days", f"{found['whole_s']:.0f} s", "10 min"),
        ("event loop late, 99 of 100, first stage", f"{first['p99']:.0f} ms", "50 ms"),
        ("event loop late, 99 of 100, second stage", f"{rest['p99']:.0f} ms", "50 ms"),
        ("event loop late, once", f"{max(first['most'], rest['most']):.0f} ms", ""),
        ("CPU until all was in", f"{found['cpu_s']:.0f} s", ""),
        ("resident memory after", f"{found['rss_mb']:.0f} MB", "300 MB"),
        ("requests: Binance, Bybit, OKX", ", ".join(f"{n:,}" for n in found["requests"].values()), ""),
        ("refused for going over a limit", str(sum(found["refused"].values())), "0"),
    )
    title = f"A first start: {found['markets']} markets on 3 venues with their real limits, in real time"
    return [Report(title, ("what", "measured", "budget"), rows)]


def tick(*, quick: bool = False) -> list[Report]:
    reports = []
    for markets in (20,) if quick else (100, 500):
        days = 1.0 if quick or markets == 500 else 4.0
        found = measure("tick", markets=markets, days=days, closes=2 if quick else 5, paced=0 if quick else 2)
        closes, paced = found["closes"], found["paced"]
        rows = (
            ("CPU of a bar's close, all of it", _range(closes, "cpu_s", " s", 2), "1 s"),
            ("of it the engines' steps", _range(closes, "engine_s", " s", 2), ""),
            ("venue's delay over to half of the markets committed", _range(closes, "p50_s", " s", 1), "2 s"),
            ("to the last", _range(closes, "after_due_s", " s", 1), "2 s"),
            *_at_real_pace(paced),
            ("CPU of prices and streams between closes, each second", f"{found['looks_cpu'] * 1000:.0f} ms", ""),
            ("event loop late, 99 of 100", f"{found['lag']['p99']:.0f} ms", "50 ms"),
            ("event loop late, once", f"{found['lag']['most']:.0f} ms", ""),
            ("event loop late, 99 of 100, while catching up", f"{found['lag_start']['p99']:.0f} ms", "50 ms"),
            ("resident memory", f"{found['rss_mb']:.0f} MB", "300 MB with 100 markets"),
        )
        title = f"Bar closes: 3 venues list 500 markets each, {found['markets']} are watched"
        reports.append(Report(title, ("what", "measured", "budget"), rows))
    return reports


def prints(*, quick: bool = False) -> list[Report]:  # noqa: ARG001 - it is quick as it is
    found = measure("prints")
    rows = (
        ("sent", f"{found['sent']:,} in {found['took_s']:.1f} s"),
        ("received", f"{found['received']:,}"),
        ("stored", f"{found['stored']:,}"),
        ("event loop late, 99 of 100", f"{found['lag']['p99']:.0f} ms"),
    )
    return [Report("Liquidations in bursts on three venues", ("what", "measured"), rows)]


def soak(*, quick: bool = False) -> list[Report]:
    found = measure("soak", days=2 if quick else 7, bars_a_s=8.0, within_s=_SOAK_WITHIN_S)
    if found["missing"]:
        raise AssertionError(f"{found['missing']} bars are missing, the first: {found['missing_first']}")
    rows = tuple((str(n), f"{day['rss_mb']:.1f} MB", str(day["alerts"])) for n, day in enumerate(found["days"], 1))
    notes = (
        f"{found['bars']:,} bars in {found['took_s']:.0f} s with {found['cpu_s']:.0f} s of CPU; "
        f"missing in the stored series of {found['markets']} markets: {found['missing']} (with one, it fails); "
        f"ticks that failed: {found['failed']}",
    )
    title = f"A soak: {len(rows)} simulated days of 3 markets on 3 venues, 8 bars a second"
    return [Report(title, ("day", "resident memory", "alerts so far"), rows, notes)]


def _at_real_pace(paced: list[dict[str, float]]) -> list[tuple[str, str, str]]:
    if not paced:
        return []
    return [
        ("at the pace of real limits: half of the markets", _range(paced, "p50_s", " s", 1), "2 s"),
        ("99 of 100", _range(paced, "p99_s", " s", 1), "2 s"),
        ("the last", _range(paced, "after_due_s", " s", 1), ""),
    ]


def _range(closes: list[dict[str, float]], name: str, unit: str, digits: int) -> str:
    found = sorted(close[name] for close in closes)
    return f"{found[0]:.{digits}f} to {found[-1]:.{digits}f}{unit}"
