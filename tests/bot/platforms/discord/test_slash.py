"""Commands become Discord's forms, and a filled form becomes the line that somebody would have typed."""

from typing import Any

import pytest

from bot.commands.core import SPECS as REAL
from bot.platforms.discord import rights, slash
from bot.platforms.seam import Choices, Option
from tests.bot.platforms.discord.rig import SPECS, WATCH
from tests.chats.discord_server.commands import check_commands

KNOWN = {spec.name: spec for spec in SPECS}


def data(name: str, **options: str) -> dict[str, Any]:
    return {"name": name, "options": [{"name": key, "type": 3, "value": value} for key, value in options.items()]}


def test_every_real_command_is_one_that_discord_takes() -> None:
    forms = slash.commands(REAL)
    check_commands(forms)
    assert [form["name"] for form in forms] == [spec.name for spec in REAL]


def test_what_changes_something_is_offered_to_managers_and_the_rest_to_all() -> None:
    hidden = {form["name"]: form["default_member_permissions"] for form in slash.commands(SPECS)}
    assert hidden == {"watch": str(rights.MANAGER_BIT.value), "map": None, "status": None}
    with_role = slash.commands(SPECS, manager_role="Traders")
    assert {form["default_member_permissions"] for form in with_role} == {None}


def test_required_options_come_first_whatever_their_order() -> None:
    form = slash.commands([WATCH])[0]
    assert [option["name"] for option in form["options"]] == ["symbol", "kinds", "within"]
    assert [option["autocomplete"] for option in form["options"]] == [True, True, False]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (data("watch", symbol="BTC"), "/watch BTC"),
        (data("watch", within="3%", symbol="btc", kinds="formed consumed"), "/watch formed consumed btc within 3%"),
        (data("watch", symbol="BTC", within="within 3%"), "/watch BTC within 3%"),
        (data("watch", symbol=" $BTC\n\n/unwatch  all "), "/watch $BTC /unwatch all"),
        (data("watch", symbol=""), "/watch"),
        (data("status"), "/status"),
        ({"name": "status"}, "/status"),
    ],
)
def test_a_filled_form_is_a_line_of_text(given: dict[str, Any], line: str) -> None:
    assert slash.line_of(given, KNOWN) == line


def test_a_line_has_an_end() -> None:
    assert len(slash.line_of(data("watch", symbol="x" * 6000), KNOWN)) == 500


def test_forms_are_the_same_whatever_discord_adds_and_not_when_one_word_differs() -> None:
    forms = slash.commands(SPECS)
    there = [{**form, "id": "1", "version": "2", "nsfw": False} for form in reversed(forms)]
    assert slash.same(forms, there)
    # Discord leaves false values of options out.
    for form in there:
        form["options"] = [{key: value for key, value in option.items() if value} for option in form["options"]]
    assert slash.same(forms, there)
    assert not slash.same(forms, [{**there[0], "description": "Other"}, *there[1:]])
    assert not slash.same(forms, there[1:])
    assert not slash.same(forms, [])


def test_only_the_last_of_several_kinds_is_completed() -> None:
    option = Option("kinds", "", choices=Choices.KIND)
    assert slash.to_complete(option, "formed app") == "app"
    assert slash.completed(option, "formed app", ["approached"]) == ["formed approached"]
    market = Option("symbol", "", choices=Choices.MARKET)
    assert slash.completed(market, "b", ["BTC", "x" * 101, ""]) == ["BTC"]
