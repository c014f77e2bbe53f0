"""``python -m bot check`` tries what a start would do: a right set-up is green, and a wrong one is not."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.markets.simulated import write_simulation


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    for name in ("DATABASE_URL", "TELEGRAM_TOKEN", "DISCORD_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def checked(config: str | None) -> tuple[Result, str]:
    if config is not None:
        Path("config.toml").write_text(config)
    result = CliRunner().invoke(main, ["check"])
    return result, " ".join(result.output.split())


@pytest.mark.parametrize("config", [None, "", '[source]\nkind = "simulated"\nmarkets = ["btc"]\n'])
def test_a_simulated_market_needs_no_venue(config: str | None) -> None:
    result, said = checked(config)
    assert result.exit_code == 0, said
    assert "All is well." in said
    assert "- venues not needed for simulated" in said
    assert "binance" not in said
    assert "BTC" in said


def test_a_recording_is_looked_for_and_its_markets_are_named() -> None:
    write_simulation(5, 0.02, Path("recording"), ["BTC"])
    result, said = checked('[source]\nkind = "recorded"\npath = "recording"\n')
    assert result.exit_code == 0, said
    assert "ok recording recording" in said
    assert "recorded: BTC" in said
    assert "to go live" not in said
    result, said = checked('[source]\nkind = "recorded"\npath = "nowhere"\n')
    assert result.exit_code == 1
    assert "There is no recording at nowhere" in said
    assert "mend source.path" in said
    result, said = checked('[source]\nkind = "recorded"\npath = "recording"\nmarkets = ["XRP"]\n')
    assert result.exit_code == 1
    assert "mend source.markets" in said


@pytest.mark.parametrize(
    ("config", "wrong", "fix"),
    [
        ('[source]\nmarkets = ["XRP"]\n', 'No market called "XRP" here', "mend source.markets"),
        ('[source]\nmarkets = ["BTC"]\n[console]\nwatch = ["XRP"]\n', "console.watch: there is no", "name a market"),
        (
            '[source]\nkind = "local"\nvenues = ["okx"]\n[console]\nwatch = ["XRP"]\n',
            "console.watch: there is no",
            "name a market",
        ),
        (
            '[source]\nmarkets = ["BTC"]\n[charts]\nfolder = "config.toml/x"\n',
            "Not a directory",
            "change charts.folder",
        ),
    ],
)
def test_what_would_end_the_start_is_red(config: str, wrong: str, fix: str) -> None:
    result, said = checked(config)
    assert result.exit_code == 1, said
    assert "1 of " in said
    assert wrong in said
    assert fix in said


def test_a_place_that_cannot_even_be_looked_at_is_red_and_no_traceback() -> None:
    watch = '[source]\nmarkets = ["BTC"]\n[console]\nwatch = ["XRP"]\n'
    result, said = checked(f'{watch}[store]\npath = "{"x" * 300}"\n')
    assert result.exit_code == 1, said
    assert "File name too long" in said
    assert "1 of " in said


def test_a_config_with_faults_is_tried_with_the_kind_of_source_that_it_names() -> None:
    _, said = checked('[source]\nkind = "local"\nsped = 1\n')
    assert "did you mean speed?" in said
    assert "ok binance" in said
