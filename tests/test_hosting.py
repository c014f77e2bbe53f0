"""The files that hosts read, as far as they can be run here: commands are executed, the rest is checked against itself.

There is no Docker engine here: of the Dockerfile its CMD and HEALTHCHECK are run and its sources looked for. Nor is
this system run by systemd: what the unit forbids is forbidden by mounts, where that is allowed.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from bot.config import load
from bot.markets.feed import Source
from bot.probe import probe

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
UNIT = (ROOT / "deploy/clusterwatch.service").read_text(encoding="utf-8")
HOSTING = (ROOT / "docs/HOSTING.md").read_text(encoding="utf-8")


def procfile() -> list[str]:
    name, command = (ROOT / "Procfile").read_text(encoding="utf-8").strip().split(": ", 1)
    assert name == "worker"
    return shlex.split(command)


def docker(word: str) -> list[str]:
    """The JSON form of an instruction."""
    found = re.findall(rf"^{word}.*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    return [str(part) for part in json.loads(found[-1])]


def environ(**changes: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **changes}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def state(port: int) -> str:
    """What the bot says of itself; empty until it answers. While it starts, SIGTERM ends it at once, as a kill."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=3) as answer:
            return str(json.load(answer)["state"])
    except OSError:
        return ""


def here(command: list[str]) -> list[str]:
    assert command[0] in {"python", "/opt/clusterwatch/.venv/bin/python"}
    return [sys.executable, *command[1:]]


def test_every_host_runs_the_same_command() -> None:
    (unit,) = re.findall(r"^ExecStart=\S+ (.*)$", UNIT, re.MULTILINE)
    assert procfile() == docker("CMD") == ["python", *shlex.split(unit)]


def test_what_hosts_run_is_live_and_a_whole_config() -> None:
    config = load(ROOT / "deploy/live.toml")
    assert (config.source.kind, config.log.format, config.console.watch) == (Source.LIVE, "json", ())


def test_on_heroku_without_a_database_url_it_refuses_to_start_and_says_why() -> None:
    done = subprocess.run(
        here(procfile()),
        cwd=ROOT,
        env=environ(DYNO="worker.1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "wipes its disk at every restart" in done.stderr
    assert "DATABASE_URL" in done.stderr


CONFINED = """
set -e
mount --make-rprivate /
mount --bind . .
cd "$PWD"
mount --bind data data
mount --bind out out
mount -o remount,bind,ro .
mount -o remount,bind,ro /
if touch deploy/written 2> /dev/null; then exit 9; fi
exec "$@"
"""
"""What the unit's ProtectSystem=strict and ReadWritePaths make of the machine; as root, in mounts of its own."""


def confined(command: list[str], tree: Path) -> list[str]:
    """The command with a tree of its own to write to and nothing else, where this system lets us; plain elsewhere."""
    for name in ("data", "out"):
        (tree / name).mkdir()
    for name in ("bot", "detectors", "storage", "deploy"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], capture_output=True, check=False).returncode:
        return command
    return [unshare, "-m", "sh", "-c", CONFINED, "sh", *command]


def test_the_command_serves_health_on_the_port_and_ends_in_order_at_sigterm(tmp_path: Path) -> None:
    port, tree = free_port(), tmp_path / "opt"
    tree.mkdir()
    process = subprocess.Popen(
        [*confined(here(docker("CMD")), tree), "--local"],
        cwd=tree, env=environ(PORT=str(port), HOME="/nonexistent", MPLCONFIGDIR=str(tree / "out/cache")),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        for _ in range(600):
            if state(port) not in {"", "starting"}:
                break
            time.sleep(0.05)
        health = subprocess.run(here(docker("HEALTHCHECK")), cwd=ROOT, env=environ(PORT=str(port)), check=False)
        assert health.returncode == 0
    finally:
        told_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "Read-only" not in said
    assert time.monotonic() - told_s < 10
    assert "Traceback" not in said
    assert probe(str(port)) == 1


def test_the_image_holds_what_the_command_needs_and_does_not_run_as_root() -> None:
    copied = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    assert all((ROOT / source).exists() for source in copied)
    assert {"bot", "detectors", "storage", "deploy", "requirements.txt"} == set(copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{source}" for source in copied} <= set(ignored)
    assert DOCKERFILE.index("USER clusterwatch") < DOCKERFILE.index("\nCMD")
    assert '"/app/data"' in DOCKERFILE


def test_a_volume_keeps_the_database_of_the_compose_file() -> None:
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert "- data:/app/data" in compose
    assert load(ROOT / "deploy/live.toml").store.path.startswith("data/")
    assert "\t" not in compose


def test_heroku_gets_a_worker_and_a_database() -> None:
    app = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
    assert app["formation"]["worker"]["quantity"] == 1
    assert any("postgresql" in addon for addon in app["addons"])
    assert set(app["env"]) == {"TELEGRAM_TOKEN", "DISCORD_TOKEN"}
    assert not any(entry["required"] for entry in app["env"].values())


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "clusterwatch.service"
    unit.write_text(
        UNIT.replace("/opt/clusterwatch/.venv/bin/python", sys.executable).replace("User=clusterwatch\n", "")
    )
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    faults = [line for line in (done.stdout + done.stderr).splitlines() if "clusterwatch.service" in line]
    assert faults == []


@pytest.mark.parametrize("file", ["Procfile", "app.json", "Dockerfile", "compose.yaml", "clusterwatch.service"])
def test_hosting_says_of_every_file_what_is_kept_and_what_is_lost(file: str) -> None:
    assert file in HOSTING
