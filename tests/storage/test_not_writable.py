"""A place where no database can be made is the operator's to put right: one sentence, and nothing left behind."""
# ruff: noqa: ASYNC240 - a test may wait for the disk

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import main
from bot.markets.check import check_database
from bot.markets.simulated import write_simulation
from storage.errors import NotWritable
from storage.sqlite import SqliteStore
from tests.storage.make import tick


def in_a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file" / "bot.db"


def a_folder(folder: Path) -> Path:
    (folder / "bot.db").mkdir()
    return folder / "bot.db"


def in_proc(_: Path) -> Path:
    return Path("/proc/nope/bot.db")


PLACES = pytest.mark.parametrize("place", [in_a_file, a_folder, in_proc])


@PLACES
async def test_it_is_refused_in_one_sentence_before_any_market_is_asked(
    place: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    store = SqliteStore(path, "live")
    with pytest.raises(NotWritable, match=f"{path} cannot be made or used") as refused:
        await store.lead()
    assert "or name another place" in str(refused.value)
    await store.close()
    assert sorted(tmp_path.rglob("*")) == before


@PLACES
def test_check_says_so_before_the_start_does(place: Callable[[Path], Path], tmp_path: Path) -> None:
    path = place(tmp_path)
    row = check_database(path)
    assert not row.ok
    assert str(path) in row.said
    assert "change store.path" in row.fix
    assert check_database(tmp_path / "new" / "deep" / "bot.db").said.endswith("will be made")
    assert not (tmp_path / "new").exists(), "trying leaves nothing behind"


def test_no_command_ends_with_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr("bot.platforms.console.piped_commands", list)
    path = in_proc(tmp_path)
    (tmp_path / "config.toml").write_text(f'[source]\nmarkets = ["BTC"]\n[store]\npath = "{path}"\n')
    asyncio.run(filled(tmp_path / "from.db"))
    write_simulation(5, 0.02, tmp_path / "recording", ["BTC"])
    for arguments in (
        [],
        ["replay", "recording", "--db", str(path)],
        ["move", "--from", "from.db", "--to", str(path)],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2, result.output
        assert f"Error: {path} cannot be made or used" in result.output
        assert "Traceback" not in result.output


async def filled(path: Path) -> None:
    store = SqliteStore(path, "live")
    await store.open()
    await store.commit_tick(tick(0))
    await store.close()


async def test_a_start_that_fails_leaves_no_empty_folder_and_one_that_does_not_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "deep" / "bot.db"
    store = SqliteStore(path, "live")
    await store.lead()
    await store.close()
    assert not list(tmp_path.iterdir())
    store = SqliteStore(path, "live")
    await store.open()
    await store.close()
    assert path.exists()
