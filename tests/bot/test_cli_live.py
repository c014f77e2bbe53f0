"""``check``, ``markets``, ``record`` and ``--local``: the real ccxt against local venues, and no network at all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot import check_live
from bot.cli import main
from bot.markets.check import Offers
from bot.markets.recorded import RecordedFeed

CHECKOUT = str(Path(__file__).resolve().parents[2])
LOCAL = """
[source]
kind = "live"
venues = ["okx"]
markets = ["BTC", "1000PEPE"]
[store]
path = "data/bot.db"
"""
AWAY = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
"""No venue can be reached through it."""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def called(*arguments: str, config: str | None = LOCAL, env: Mapping[str, str] | None = None) -> Result:
    if config is not None:
        Path("config.toml").write_text(config)
    return CliRunner().invoke(main, list(arguments), env=env)


def test_check_says_what_works_and_exits_0() -> None:
    result = called("check", "--local")
    assert result.exit_code == 0, result.output
    for said in ("config.toml, source live", "okx", "4 perpetuals", "BTC, PEPE", "the terminal", "All is well."):
        assert said in result.output


def test_check_without_a_venue_explains_itself_in_one_screen_and_exits_1() -> None:
    started_s = time.monotonic()
    result = called("check", env=AWAY)
    assert time.monotonic() - started_s < 10
    assert result.exit_code == 1
    assert "cannot be reached" in result.output
    assert "network" in result.output
    assert "2 of 6 must be put right." in result.output
    assert len(result.output.splitlines()) <= 24


def test_check_of_a_wrong_config_names_its_faults_and_tries_the_rest() -> None:
    result = called("check", "--local", config='[source]\nsped = 1\nvenues = []\nmarkets = "BTC"\n')
    assert result.exit_code == 1
    rows = [line.split() for line in result.output.splitlines()]
    assert sum(row[:2] == ["NO", "config"] for row in rows) == 3, "each fault has a row"
    said = " ".join(result.output.split())
    assert "source.sped: no such key" in said
    assert "did you mean speed?" in said
    assert "source.venues: must" in said
    assert "what follows is tried with the defaults" in said
    assert "binance" in said
    assert "3 of 11 must be put right." in said


def test_without_a_config_check_says_how_to_go_live() -> None:
    result = called("check", "--local", config='[source]\nvenues = ["okx"]\n')
    assert "to go live" not in result.output, "local venues are not live ones"
    simulated = called("check", config="")
    assert "to go live" in " ".join(simulated.output.split())


def test_markets_lists_what_can_be_watched_and_says_where_a_word_is_in_no_name() -> None:
    everything, none = called("markets", "--local"), called("markets", "[zz]", "--local")
    assert [name in everything.output for name in ("BTC", "ETH", "DOGE", "PEPE/USDT:USDT")] == [True] * 4
    assert none.exit_code == 1
    assert 'No market has "[zz]" in its name' in none.output


def test_a_market_typed_wrongly_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    check_live.print_offers(Offers([], ("DOGE", "EDGE")), "[dogge]")
    assert 'No market has "[dogge]" in its name' in (said := capsys.readouterr().out)
    assert "Did you mean DOGE or EDGE?" in said


def test_what_record_writes_is_a_recording_under_the_names_of_the_bases() -> None:
    result = called("record", "out", "--hours", "0.2", "--local")
    assert result.exit_code == 0, result.output
    assert "SIMULATED (local venues)" in result.output
    feed = RecordedFeed(Path("out"))
    assert {market.base: market.venues for market in feed.load()} == {"BTC": ("okx",), "PEPE": ("okx",)}
    bars = sum(snapshot.bar is not None for moment in feed.steps() for snapshot in moment)
    assert f"{bars} bars in out" in result.output
    assert bars >= 2
    assert "already holds something" in called("record", "out", "--local").output


@pytest.mark.parametrize("after", ["Recording", "of 4 markets"])
def test_record_ends_at_ctrl_c_with_every_connection_closed_and_says_what_it_has(after: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(LOCAL.replace('markets = ["BTC", "1000PEPE"]', ""))
    order = [sys.executable, "-m", "bot", "record", "out", "--local"]
    with subprocess.Popen(
        order, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONPATH": CHECKOUT}
    ) as process:
        assert process.stdout is not None
        said = ""
        while after not in said:
            said += (line := process.stdout.readline())
            assert line, said
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0, rest
    assert "Unclosed" not in rest
    assert "Traceback" not in rest
    if Path("out").exists():
        assert rest.rstrip().endswith("bars in out")
    else:
        assert rest.rstrip().endswith("Nothing was recorded: a bar comes at the end of each five minutes.")


@pytest.mark.parametrize("command", [(), ("markets",), ("record", "out")])
def test_without_any_venue_it_says_why_exits_1_and_leaves_nothing_behind(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.platforms.console.piped_commands", list)
    result = called(*command, env=AWAY)
    assert result.exit_code == 1
    assert "No venue can be reached (okx: cannot be reached: check this machine's network" in result.output
    assert "Traceback" not in result.output
    assert sorted(Path().iterdir()) == [Path("config.toml")]


def test_local_before_a_command_is_refused_with_the_right_place_for_it() -> None:
    result = called("--local", "check")
    assert result.exit_code == 2
    assert "Write --local after check" in result.output
