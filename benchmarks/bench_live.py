"""The live path against strict local venues in a process of their own: start, bar closes, prints, a long soak."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import Report

CHECKOUT = Path(__file__).resolve().parents[1]
SPAWNED = "CLUSTERWATCH_SPAWNED_S"
_SOAK_WITHIN_S = 420.0
"""Real time, a start of up to two minutes included; days that would take longer are left out, and it is said."""
TICK = "live_child_tick"
DAYS = 4.0
"""Of past, which a baseline needs."""


def measure(part: str, module: str = "live_child", **spec: Any) -> dict[str, Any]:
    """One part in a process of its own. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", f"benchmarks.{module}", part, json.dumps(spec)]
    environ = {**os.environ, SPAWNED: str(time.monotonic())}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environ)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def run(*, quick: bool = False) -> Iterator[Report]:
    for part in (start, tick, prints, soak):
        yield from part(quick=quick)


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


def tick(*, quick: bool = False) -> Iterator[Report]:
    with _warmed(quick=quick) as database:
        for markets in (20,) if quick else (100, 500):
            closes, parted = (1, 1) if quick else (6, 3)
            found = measure("tick", TICK, database=database, days=DAYS, markets=markets, closes=closes, parted=parted)
            yield _tick(found)


def _tick(found: dict[str, Any]) -> Report:
    closes, parted = found["closes"], found["parted"]
    rows = (
        ("CPU of a bar's close, all of it", _range(closes, "cpu_s", " s", 2), "1 s"),
        ("requests", _range(closes, "requests", "", 0), ""),
        ("of it the engines' steps", _range(parted, "engine_s", " s", 2), ""),
        ("decisions written", _range(parted, "decisions_s", " s", 2), ""),
        ("checkpoints of one market in ten", _range(parted, "checkpoints_s", " s", 2), ""),
        ("the store's transactions", _range(parted, "store_s", " s", 2), ""),
        ("the rest: requests, streams, merging, these clocks", _range(parted, "rest_s", " s", 2), ""),
        ("venue's delay over to half of the markets committed", _range(closes, "p50_s", " s", 1), "2 s"),
        ("to the last", _range(closes, "after_due_s", " s", 1), "2 s"),
        ("CPU of prices and streams between closes, each second", f"{found['looks_cpu'] * 1000:.0f} ms", ""),
        ("event loop late, 99 of 100", f"{found['lag']['p99']:.0f} ms", "50 ms"),
        ("event loop late, once", f"{found['lag']['most']:.0f} ms", ""),
        ("event loop held by us, 99 of 100", f"{found['held_p99_ms']:.0f} ms", ""),
        ("start to all that was missed taken in", f"{found['caught_up_s']:.0f} s", ""),
        ("event loop late meanwhile, 99 of 100", f"{found['lag_start']['p99']:.0f} ms", "50 ms"),
        ("resident memory", f"{found['rss_mb']:.0f} MB", "300 MB with 100 markets"),
    )
    before, after = found["loop_ms"]
    notes = (
        f"Calibration loop before and after: {before:.1f} and {after:.1f} ms. {found['clusters']:,} clusters; "
        f"{len(closes)} closes, and {len(parted)} more in parts. Held by us: CPU of the loop's own thread between two "
        "naps, which does not depend on what else the machine does.",
    )
    title = f"Bar closes: 3 venues list 500 markets each, {found['markets']} are watched"
    return Report(title, ("what", "measured", "budget"), rows, notes)


def pace(*, quick: bool = False) -> Iterator[Report]:
    with _warmed(quick=quick) as database:
        for markets in (20,) if quick else (100, 500):
            found = measure("pace", TICK, database=database, days=DAYS, markets=markets, closes=1 if quick else 2)
            closes = found["closes"]
            rows = (
                ("half of the markets", _range(closes, "p50_s", " s", 1), "2 s"),
                ("99 of 100", _range(closes, "p99_s", " s", 1), "2 s"),
                ("the last", _range(closes, "after_due_s", " s", 1), ""),
                ("event loop late, 99 of 100", f"{found['lag']['p99']:.0f} ms", "50 ms"),
            )
            title = f"From the venue's delay to a bar committed, at the pace of real limits: {markets} of 500 markets"
            yield Report(title, ("what", "measured", "budget"), rows)


@contextmanager
def _warmed(*, quick: bool) -> Iterator[str]:
    """A database with the past of five hundred markets."""
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "bot.db")
        measure("warm", TICK, database=database, days=DAYS, markets=30 if quick else 500)
        yield database


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


def _range(closes: list[dict[str, float]], name: str, unit: str, digits: int) -> str:
    found = sorted(close[name] for close in closes)
    return f"{found[0]:.{digits}f} to {found[-1]:.{digits}f}{unit}"
