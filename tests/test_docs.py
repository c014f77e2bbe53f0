"""The docs are under test: what a user can meet is described, and what is described is there."""

import re
from pathlib import Path

import pytest

from bot.cli import main
from bot.commands import SPECS, elsewhere
from detectors.registry import find_kinds

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("kind", sorted(find_kinds()))
def test_readme_lists_every_event_kind(kind: str) -> None:
    assert f"`{kind}`" in README


def test_readme_lists_no_event_kind_that_is_gone() -> None:
    listed = set(re.findall(r"\| `([a-z]+_[a-z_]+)` \|", README))
    assert listed == set(find_kinds())


@pytest.mark.parametrize("command", sorted(main.commands))
def test_readme_shows_every_command_of_the_command_line(command: str) -> None:
    assert f"python -m bot {command}" in README


COMMAND_ROW = re.compile(r"^\| `/([a-z]+)[^`]*` \|.*\| (✓?) ?\| (✓?) ?\| (✓?) ?\|$", re.MULTILINE)


def test_readme_lists_every_chat_command_and_none_that_is_gone() -> None:
    assert sorted(row[0] for row in COMMAND_ROW.findall(README)) == sorted(spec.name for spec in SPECS)


def test_each_platform_offers_the_commands_that_readme_says_it_has() -> None:
    from bot.platforms.discord import slash
    from bot.platforms.telegram import menu

    said = {"terminal": set(), "telegram": set(), "discord": set()}  # type: dict[str, set[str]]
    for name, *marks in COMMAND_ROW.findall(README):
        for platform, mark in zip(said, marks, strict=True):
            said[platform] |= {name} if mark else set()
    every = {spec.name for spec in SPECS}
    assert {str(form["name"]) for form in slash.commands(SPECS)} == said["discord"] == every
    assert {entry.command for entries in menu.menus(SPECS).values() for entry in entries} == said["telegram"] == every
    assert said["terminal"] == every - {elsewhere.NAME}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_the_two_commands_stand_on_the_first_screen_of_the_readme() -> None:
    first_screen = "\n".join(README.splitlines()[:15])
    assert "make run" in first_screen
    assert "make test" in first_screen


def test_the_changelog_has_an_entry_for_what_is_not_released_yet() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
