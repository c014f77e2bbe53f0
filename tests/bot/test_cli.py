"""The command line."""

import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.markets.simulated import write_simulation
from detectors.market import DAY_MS

CHECKOUT = Path(__file__).resolve().parents[2]
# fmt: off
KEYS = [
    "id", "kind", "venue", "market", "side", "taken_at_ms", "price", "low", "high", "centre", "notional_usd",
    "share_of_open_interest", "build_hours", "build_class", "distance_pct", "headline", "reason",
]
# fmt: on


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "short"
    write_simulation(5, 4.0, folder, ["BTC"])
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text("[estimate.baseline]\nready_hours = 24\n")
    return str(path)


def called(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_replay_prints_one_object_a_line_and_nothing_else(recording: Path, config: str) -> None:
    alerts = lines(called("--config", config, "replay", recording, "--json"))
    assert alerts
    for alert in alerts:
        assert list(alert) == KEYS
        assert (alert["venue"], alert["market"]) == ("simulated", "BTC/USDT:USDT")
        assert alert["reason"] in {"first", "rearmed", "escalated"}
    times = [int(str(alert["taken_at_ms"])) for alert in alerts]
    assert times == sorted(times)
    assert len({alert["id"] for alert in alerts}) == len(alerts)


def test_a_replay_is_the_same_again_and_from_and_to_only_choose_what_is_shown(recording: Path, config: str) -> None:
    whole = lines(called("--config", config, "replay", recording, "--market", "btcusdt", "--json"))
    times = [int(str(alert["taken_at_ms"])) for alert in whole]
    first, last = times[len(times) // 3], times[2 * len(times) // 3]
    part = lines(called("--config", config, "replay", recording, "--from", first, "--to", last, "--json"))
    assert part == [alert for alert, at in zip(whole, times, strict=True) if first <= at <= last]


def test_a_second_replay_into_one_database_adds_nothing_and_prints_the_same(
    recording: Path, config: str, tmp_path: Path
) -> None:
    database = tmp_path / "bot.db"
    half = called("--config", config, "replay", recording, "--db", database, "--to", "2026-01-07T15:32", "--json")
    first = called("--config", config, "replay", recording, "--db", database, "--json")
    size = database.stat().st_size
    again = called("--config", config, "replay", recording, "--db", database, "--json")
    assert lines(again) == lines(first) == lines(called("--config", config, "replay", recording, "--json"))
    assert lines(half) == lines(first)[: len(lines(half))]
    assert 0 < len(lines(half)) < len(lines(first))
    assert database.stat().st_size == size


def test_a_later_recording_of_the_same_market_goes_on_and_nothing_is_told_across_the_gap(
    recording: Path, config: str, tmp_path: Path
) -> None:
    database, half_ms, gap_ms = tmp_path / "bot.db", 1_767_709_200_000, 2 * 3_600_000
    first, later = tmp_path / "first", tmp_path / "later"
    for part, since_ms, until_ms in ((first, 0, half_ms), (later, half_ms + gap_ms, half_ms + DAY_MS)):
        shutil.copytree(recording, part)
        next(part.rglob("truth.csv.gz")).unlink()
        for path in part.rglob("*.csv.gz"):
            header, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
            kept = [row for row in rows if since_ms <= int(row.partition(",")[0]) < until_ms]
            path.write_bytes(gzip.compress("\n".join([header, *kept]).encode()))
    told = lines(called("--config", config, "replay", first, "--db", database, "--json"))
    goes_on = called("--config", config, "replay", later, "--db", database, "--json")
    assert f"the recording {later} goes on with the recording {first}" in goes_on.stderr
    new = lines(goes_on)[len(told) :]
    assert lines(goes_on)[: len(told)] == told != []
    assert new
    quiet_until_ms = half_ms + gap_ms + 12 * 300_000
    assert min(int(str(alert["taken_at_ms"])) for alert in new) > quiet_until_ms


def test_a_database_that_begins_later_than_the_recording_is_refused(
    recording: Path, config: str, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    candles = "simulated/BTCUSDT/ohlcv_5m.csv.gz"
    header, *rows = gzip.decompress((recording / candles).read_bytes()).decode().splitlines()
    (later / candles).parent.mkdir(parents=True)
    (later / candles).write_bytes(gzip.compress("\n".join([header, *rows[50:150]]).encode()))
    database = tmp_path / "bot.db"
    assert called("--config", config, "replay", later, "--db", database, "--json").exit_code == 0
    result = called("--config", config, "replay", recording, "--db", database, "--json")
    assert result.exit_code == 2
    assert f"holds the recording {later}" in result.stderr
    assert f"cannot take the recording {recording}: name another database" in result.stderr
    with closing(sqlite3.connect(database)) as of_earlier_version, of_earlier_version:
        of_earlier_version.execute("DELETE FROM meta WHERE name = 'origin'")
    result = called("--config", config, "replay", recording, "--db", database, "--json")
    assert result.exit_code == 2
    assert "give another --db" in result.stderr


def test_charts_are_drawn_for_what_is_shown(recording: Path, config: str, tmp_path: Path) -> None:
    result = called("--config", config, "replay", recording, "--charts", tmp_path / "out", "--to", "2026-01-06T12:00")
    drawn = list((tmp_path / "out").glob("*.png"))
    assert result.exit_code == 0
    assert f"{len(drawn)} alerts from" in result.stdout
    assert len(drawn) > 0


def test_a_replay_for_people_ends_with_counts_and_daily_rates(recording: Path, config: str) -> None:
    text = called("--config", config, "replay", recording).stdout
    for part in ("SIMULATED markets: BTC", "a day, median", "95th percentile", "alerts from 1,152 snapshots"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay", "RECORDING", "--market", "BTX"], 'No market called "BTX" here. Did you mean BTC?'),
        (["replay", "nowhere"], "There is no recording at nowhere"),
        (["replay", "RECORDING", "--from", "yesterday"], "is not a time: write 2025-12-10T21:20"),
        (["replay", "RECORDING", "--preset", "strit"], "strict"),
        (["map", "RECORDING", "--market", "BTC", "--at", "2020-01-01"], "it begins at 2026-01-05 00:05 UTC"),
        (["map", "RECORDING", "--market", "BTC", "--at", "2030-10-10"], "of BTC ends at 2026-01-09 00:00 UTC"),
        (["map", "RECORDING", "--market", "ETH", "--at", "2026-01-06"], 'No market called "ETH" here.'),
        (["map", "RECORDING", "--market", "BTC"], "--at"),
        (["map", "RECORDING", "--market", "BTC", "--at", "2026-01-06", "--json", "--chart", "a.png"], "not both"),
        (["simulate", "--seed", "1", "--days", "0.5", "--out", "RECORDING"], "already holds something"),
        (["simulate", "--seed", "1", "--days", "0.0001", "--out", "new"], "at least one bar"),
        (["map", "RECORDING", "--market", "BTC", "--at", "2026-01-06", "--chart", "/dev/null/a.png"], "be written"),
        (["replay", "RECORDING", "--charts", "/dev/null/charts"], "be written"),
        (["replay", "RECORDING", "--from", "2026-01-07", "--to", "2026-01-06"], "--from lies after --to"),
        (["simulate", "--seed", "1", "--days", "nan", "--out", "new"], "not a number of days up to 3650"),
        (["simulate", "--seed", "1", "--days", "inf", "--out", "new"], "not a number of days up to 3650"),
        (["simulate", "--seed", "-1", "--days", "1", "--out", "new"], "seed"),
        (["--config", "nowhere.toml", "replay", "RECORDING"], "file: cannot be read"),
        (["repaly"], "replay"),
    ],
)
def test_what_the_user_can_put_right_is_said_with_exit_code_2(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = called(*(recording if word == "RECORDING" else word for word in arguments))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_wrong_config_ends_every_command_with_all_its_faults(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("[source]\nsped = 1\n[clusters]\npreset = 'strit'\n")
    for command in ([], ["replay", recording], ["map", recording, "--market", "BTC", "--at", "2026-01-06"]):
        result = called("--config", path, *command)
        assert result.exit_code == 2
        assert "source.sped: no such key; did you mean speed?" in result.stderr
        assert "clusters.preset" in result.stderr


def test_map_prints_edges_and_both_sides_as_of_the_last_bar_closed(recording: Path) -> None:
    (found,) = lines(called("map", recording, "--market", "BTC/USDT:USDT", "--at", "2026-01-07T00:03", "--json"))
    assert list(found) == [
        "venue", "market", "taken_at_ms", "price", "open_interest_usd", "edges", "long_usd", "short_usd",
    ]  # fmt: skip
    assert found["taken_at_ms"] == 1_767_744_000_000
    edges, long_usd, short_usd = (found[name] for name in ("edges", "long_usd", "short_usd"))
    assert isinstance(edges, list)
    assert isinstance(long_usd, list)
    assert isinstance(short_usd, list)
    assert len(edges) - 1 == len(long_usd) == len(short_usd)
    assert edges == sorted(edges)
    price = float(str(found["price"]))
    assert sum(usd for edge, usd in zip(edges, long_usd, strict=False) if edge > price) == 0
    assert sum(usd for edge, usd in zip(edges[1:], short_usd, strict=True) if edge < price) == 0
    assert sum(long_usd) > 0
    assert sum(short_usd) > 0


def test_map_draws_a_chart_or_shows_the_heaviest_levels(recording: Path, tmp_path: Path) -> None:
    chart = tmp_path / "deep" / "map.png"
    drawn = called("map", recording, "--market", "BTC", "--at", "2026-01-07", "--chart", chart)
    assert drawn.stdout.strip() == str(chart)
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert "BTC liquidation map" in called("map", recording, "--market", "BTC", "--at", "2026-01-07").stdout


def test_without_open_interest_the_map_says_so_and_holds_nothing(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare/simulated/BTCUSDT"
    folder.mkdir(parents=True)
    candles = "ohlcv_5m.csv.gz"
    (folder / candles).write_bytes((recording / "simulated/BTCUSDT" / candles).read_bytes())
    result = called("map", tmp_path / "bare", "--market", "BTC", "--at", "2026-01-06", "--json")
    (found,) = lines(result)
    assert "no open interest" in result.stderr
    assert found["open_interest_usd"] is None
    assert isinstance(found["long_usd"], list)
    assert sum(found["long_usd"]) == 0
    assert called("replay", tmp_path / "bare", "--json").stdout == ""


def test_simulate_writes_a_recording_and_its_truth(recording: Path) -> None:
    assert (recording / "simulated/BTCUSDT/truth.csv.gz").exists()


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert called("--version").stdout == f"clusterwatch, version {project['version']}\n"


def test_help_is_instant_because_nothing_heavy_is_imported() -> None:
    code = "import sys, bot.cli; sys.exit(any(name in sys.modules for name in ('numpy', 'rich', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=False).returncode == 0


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(recording: Path, config: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "--config", config, "replay", str(recording), "--json"],
        cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(20)
    assert said == b""
