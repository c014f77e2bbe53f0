"""`python -m bot truth` on a simulated recording: what it prints, and what it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import main
from bot.fit_words import fit_in_words


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "recording"
    done = CliRunner().invoke(main, ["simulate", "--seed", "6", "--days", "8", "--market", "DOGE", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def test_it_prints_the_stick_of_both_sides_and_the_map_against_known_positions(recording: Path) -> None:
    done = CliRunner().invoke(main, ["truth", str(recording), "--market", "DOGE", "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    for name in ("spearman", "baseline", "partial"):
        assert set(record[name]) == {"long", "short"}
        assert all(-1 <= value <= 1 for value in record[name].values())
    assert 24 < record["hours"] <= 5 * 24
    assert record["walk_forward"]["hours"] == pytest.approx(record["hours"] / 2, abs=1)
    assert sum(record["walk_forward"]["weights"].values()) == pytest.approx(1.0, abs=0.01)
    known = record["known_positions"]
    assert known["default"]["pearson"] > 0.3
    assert set(known["default"]) == {"pearson", "spearman", "earth_mover", "total_ratio"}


def test_without_a_fit_only_the_default_is_measured(recording: Path) -> None:
    done = CliRunner().invoke(main, ["truth", str(recording), "--market", "DOGE", "--fit", "none"])
    assert done.exit_code == 0, done.output
    assert "default, whole recording" in done.stdout
    assert "fitted" not in done.stdout


def test_a_recording_too_short_to_say_anything_is_refused_with_the_reason(tmp_path: Path) -> None:
    out = tmp_path / "short"
    CliRunner().invoke(main, ["simulate", "--seed", "6", "--days", "4", "--market", "DOGE", "--out", str(out)])
    done = CliRunner().invoke(main, ["truth", str(out), "--market", "DOGE"])
    assert done.exit_code == 2
    assert "longer recording" in done.output


def test_a_fit_in_words_says_old_and_new_by_stretches_of_leverage() -> None:
    words = fit_in_words({100.0: 1.0, 10.0: 3.0}, {100.0: 0.5, 10.0: 0.25, 5.0: 0.25})
    assert "50x and more: 25% before, 50% now" in words
    assert "8x to 20x: 75% before, 25% now" in words
