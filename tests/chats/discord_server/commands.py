"""Refuses application commands that Discord would refuse."""

import re

from tests.chats.discord_server.refusals import Refusal, invalid, required, too_long
from tests.chats.discord_server.world import Json

_NAME = re.compile(r"^[-_\w]{1,32}$")
SUB_COMMAND, SUB_COMMAND_GROUP, STRING = 1, 2, 3
MOST_COMMANDS, MOST_OPTIONS, MOST_CHARACTERS = 100, 25, 8000


def check_commands(commands: list[Json]) -> None:
    """Raises Refusal."""
    if len(commands) > MOST_COMMANDS:
        raise Refusal(400, 30032, "Maximum number of application commands reached (100)")
    names = [command.get("name") for command in commands]
    if len(set(names)) != len(names):
        raise invalid("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    for index, command in enumerate(commands):
        if _check(command, str(index), depth=0) > MOST_CHARACTERS:
            raise invalid(str(index), "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")


def _check(command: Json, path: str, depth: int) -> int:
    """How many of its characters count."""
    name, says = command.get("name", ""), command.get("description", "")
    if not _NAME.match(name) or name != name.lower():
        raise invalid(f"{path}.name", "STRING_TYPE_REGEX", "String value did not match validation regex.")
    if not says:
        raise required(f"{path}.description")
    if len(says) > 100:
        raise too_long(f"{path}.description", 100)
    counted = len(name) + len(says)
    options = command.get("options") or []
    if len(options) > MOST_OPTIONS:
        raise invalid(f"{path}.options", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    if len({option.get("name") for option in options}) != len(options):
        raise invalid(
            f"{path}.options", "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Option names must be unique"
        )
    nested = [option for option in options if option.get("type") in (SUB_COMMAND, SUB_COMMAND_GROUP)]
    if nested and (len(nested) != len(options) or depth >= 2):
        raise invalid(
            f"{path}.options", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Sub-commands and options do not mix"
        )
    optional = False
    for number, option in enumerate(options):
        optional |= not option.get("required", False)
        if optional and option.get("required", False):
            raise invalid(
                f"{path}.options.{number}",
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            )
        counted += _check(option, f"{path}.options.{number}", depth + 1)
        counted += _check_choices(option, f"{path}.options.{number}")
    return counted


def _check_choices(option: Json, path: str) -> int:
    choices = option.get("choices") or []
    if choices and option.get("autocomplete"):
        raise invalid(path, "APPLICATION_COMMAND_OPTIONS_CHOICES_INVALID", "Choices and autocomplete do not mix")
    check_choices(choices, path)
    return sum(len(choice["name"]) + len(str(choice["value"])) for choice in choices)


def check_choices(choices: list[Json], path: str) -> None:
    if len(choices) > 25:
        raise invalid(f"{path}.choices", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    for number, choice in enumerate(choices):
        for name in ("name", "value"):
            if not 1 <= len(str(choice.get(name, ""))) <= 100:
                raise too_long(f"{path}.choices.{number}.{name}", 100)
