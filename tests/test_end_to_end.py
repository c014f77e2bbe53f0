"""From a market to a message: the whole way, as a user takes it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from bot.message import as_text, from_event
from storage.sqlite import SqliteStore
from tests.bot.markets.recordings import shared

CHECKOUT = Path(__file__).resolve().parents[1]


def bot(*arguments: str, stdin: str = "", timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=CHECKOUT, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def write_config(folder: Path, *, charts: bool = True, **source: object) -> Path:
    """BTC alone, quick to be ready, with a store and charts in ``folder``."""
    lines = ["[source]", "seed = 5", 'markets = ["BTC"]', *(f"{key} = {value}" for key, value in source.items())]
    lines += ["[store]", f"path = {json.dumps(str(folder / 'bot.db'))}"]
    lines += ["[charts]", f"folder = {json.dumps(str(folder / 'charts'))}", f"draw = {json.dumps(charts)}"]
    lines += ["[estimate.baseline]", "ready_hours = 24"]
    path = folder / "config.toml"
    path.write_text("\n".join(lines))
    return path


def test_a_simulated_market_becomes_alerts_with_charts_in_a_chat_that_takes_commands(tmp_path: Path) -> None:
    config = write_config(tmp_path, days=3.0, warm_up_days=1.5, speed=1000.0)
    done = bot("--config", str(config), stdin="/watch btc within 1%\n/map BTC\n/watch BTX\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "SIMULATED markets BTC" in done.stdout
    assert "Watching BTC." in done.stdout
    assert 'No market called "BTX" here. Did you mean BTC?' in done.stdout
    charts = re.findall(r"chart: (\S+)", done.stdout)
    assert len(charts) > 1
    for chart in charts:
        assert Path(chart).read_bytes().startswith(b"\x89PNG")
    assert done.stdout.count("SIMULATED market\n") >= len(charts)


async def test_the_alert_in_the_readme_is_what_the_replay_of_that_day_tells(tmp_path: Path) -> None:
    recording, database = shared("crash-2025-10-10"), tmp_path / "bot.db"
    assert bot("replay", str(recording), "--market", "BTC", "--db", str(database)).returncode == 0
    store = SqliteStore(database, "recorded")
    await store.open()
    shown = re.findall(r"```\n(🟢.*?)\n```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    told = [as_text(from_event(one.event, one.reason)) for one in await store.recent(10_000)]
    await store.close()
    assert len(shown) == 1
    assert shown[0] in told


async def test_what_was_simulated_replays_to_the_same_alerts_as_it_told_live(tmp_path: Path) -> None:
    recording, config = tmp_path / "recording", write_config(tmp_path, days=3.0)
    assert bot("simulate", "--seed", "5", "--days", "3", "--market", "BTC", "--out", str(recording)).returncode == 0
    replayed = bot("--config", str(config), "replay", str(recording), "--json")
    alerts = [json.loads(line) for line in replayed.stdout.splitlines()]
    config = write_config(tmp_path, days=3.0, warm_up_days=0.0, speed=1000.0, charts=False)
    assert bot("--config", str(config)).returncode == 0
    store = SqliteStore(tmp_path / "bot.db", "simulated")
    await store.open()
    told = {alert.alert_id for alert in await store.recent(10_000)}
    await store.close()
    assert told == {alert["id"] for alert in alerts}
    assert told


def test_sigterm_ends_it_in_order_within_seconds(tmp_path: Path) -> None:
    config = write_config(tmp_path, warm_up_days=0.2, speed=5.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "--config", str(config)],
        cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert any("SIMULATED" in line for line in process.stdout)
    time.sleep(1.5)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait(10) == 0, rest
    process.stdout.close()
    assert time.monotonic() - told < 5
    assert "Traceback" not in rest
