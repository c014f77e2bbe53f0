"""Slash commands: from the commands' own descriptions to Discord's forms, and back to a line of text."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.platforms.discord.rights import MANAGER_BIT
from bot.platforms.seam import Choices, CommandSpec, Option

Json = dict[str, Any]
_STRING = 3
_DESCRIPTION_LIMIT = 100
_LINE_LIMIT = 500
_COMPARED = ("name", "description", "default_member_permissions", "contexts", "integration_types")
_COMPARED_OPTIONS = ("type", "name", "description", "required", "autocomplete")


def commands(specs: Sequence[CommandSpec], *, manager_role: str = "") -> list[Json]:
    """The forms as they are written to Discord: in a server or in a direct message with the bot.

    With a role of the server's own that may change things Discord is not asked to hide anything: it knows permissions
    only. The code asks for permission either way.
    """
    return [_command(spec, hide=spec.changes and not manager_role) for spec in specs]


def _command(spec: CommandSpec, *, hide: bool) -> Json:
    # Discord wants what is required first.
    options = sorted(spec.options, key=lambda option: not option.required)
    return {
        "type": 1,
        "name": spec.name,
        "description": _described(spec.says),
        "default_member_permissions": str(MANAGER_BIT.value) if hide else None,
        "contexts": [0, 1],
        "integration_types": [0],
        "options": [
            {
                "type": _STRING,
                "name": option.name,
                "description": _described(option.says),
                "required": option.required,
                "autocomplete": option.choices is not None,
            }
            for option in options
        ],
    }


def _described(says: str) -> str:
    text = says[:1].upper() + says[1:]
    return text if len(text) <= _DESCRIPTION_LIMIT else text[: _DESCRIPTION_LIMIT - 1] + "…"


def same(wanted: Sequence[Json], there: Sequence[Json]) -> bool:
    """Whether Discord has these forms already, whatever their order and what it adds of its own."""
    return _comparable(wanted) == _comparable(there)


def _comparable(forms: Sequence[Json]) -> dict[str, Json]:
    return {
        form["name"]: {
            **{key: form.get(key) for key in _COMPARED},
            "options": [
                {key: option.get(key) or False for key in _COMPARED_OPTIONS} for option in form.get("options") or ()
            ],
        }
        for form in forms
    }


def line_of(data: Mapping[str, Any], specs: Mapping[str, CommandSpec]) -> str:
    """What somebody would have typed: ``/watch BTC within 3%``."""
    name = str(data["name"])
    given = {str(option["name"]): str(option.get("value", "")) for option in data.get("options") or ()}
    options = specs[name].options if name in specs else ()
    words = [f"/{name}"]
    for option in options:
        value = " ".join(given.get(option.name, "").split())
        if value:
            # Somebody who has typed the word all the same is understood.
            doubled = option.prefix and value.casefold().startswith(f"{option.prefix.casefold()} ")
            words.append(f"{option.prefix} {value}" if option.prefix and not doubled else value)
    return " ".join(words)[:_LINE_LIMIT]


def focused(data: Mapping[str, Any], specs: Mapping[str, CommandSpec]) -> tuple[Option, str] | None:
    """The option that is being typed, and what it holds so far."""
    spec = specs.get(str(data["name"]))
    for given in data.get("options") or ():
        if given.get("focused") and spec is not None:
            for option in spec.options:
                if option.name == given["name"] and option.choices is not None:
                    return option, str(given.get("value", ""))
    return None


def completed(option: Option, typed: str, suggestions: Sequence[str]) -> list[str]:
    """The values offered: for kinds, of which there may be several, each with the words before it."""
    head, _, _ = typed.rpartition(" ")
    before = f"{head} " if head and option.choices is Choices.KIND else ""
    return [value for word in suggestions if 1 <= len(value := before + word) <= 100][:25]


def to_complete(option: Option, typed: str) -> str:
    """The part of what was typed that suggestions are asked for."""
    return typed.rpartition(" ")[2] if option.choices is Choices.KIND else typed
