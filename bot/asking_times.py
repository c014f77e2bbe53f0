"""Reads times and numbers that a user types: ``2h``, ``22:00-07:00 Europe/Berlin``, ``off``."""

import difflib
import re
import zoneinfo
from collections.abc import Sequence
from functools import cache

from bot.asking import NotUnderstood, shortened
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS
from storage.chat_settings import Quiet

LONGEST_MUTE_MS = 365 * DAY_MS
_QUIET_EXAMPLE = "/quiet 22:00-07:00 Europe/Berlin"
OFF = frozenset({"off", "no", "none", "never", "stop", "0"})
ON = frozenset({"on", "yes", "all", "always"})
_UNITS_MS = {"m": MINUTE_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"(\d{1,5}(?:\.\d{1,2})?)(m|min|h|d|w)(?:ins?|inutes?|ours?|rs?|ays?|eeks?)?")
_FURTHER = re.compile(r"(?<=[a-z])(?=\d)")
"""Where the next part of ``2h30m`` begins."""
_OFFSET = re.compile(r"(?:utc|gmt)?([+-])0?(\d{1,2})(?::?00)?")
_CLOCK = re.compile(r"(\d{1,2})(?:[:.h](\d{2}))?(am|pm)?")


def duration_ms(words: Sequence[str]) -> int | None:
    """``2h``, ``90 min``, ``1 day``, ``2h30m``; None where the words are no duration. Raises NotUnderstood for one too
    long."""
    parts = [_DURATION.fullmatch(part) for part in _FURTHER.split("".join(words).lower())]
    if not all(parts):
        return None
    length_ms = sum(round(float(part[1]) * _UNITS_MS[part[2]]) for part in parts if part)
    if not 0 < length_ms <= LONGEST_MUTE_MS:
        raise NotUnderstood("That is longer than a year, or nothing at all.", "/mute 2h")
    return length_ms


def quiet_hours(words: Sequence[str]) -> tuple[Quiet, str | None]:
    """The hours, and the time zone where one is named. Raises NotUnderstood."""
    text = " ".join(words).replace("–", "-").replace(" to ", "-").replace(" - ", "-")
    span, *rest = text.split() or [""]
    begins, dash, ends = span.partition("-")
    if not dash:
        raise NotUnderstood("From when to when?", _QUIET_EXAMPLE)
    quiet = Quiet(_minute(begins), _minute(ends))
    if quiet.from_minute == quiet.to_minute:
        raise NotUnderstood("That is no time at all, or the whole day: /mute does that.", "/quiet 22:00-07:00")
    return quiet, time_zone("_".join(rest)) if rest else None


def time_zone(word: str) -> str:
    """The IANA name that is meant: ``europe/berlin``, ``Berlin``, ``UTC``, ``UTC+2``. Raises NotUnderstood with the
    nearest."""
    wanted = word.lower().replace(" ", "_")
    offset = _OFFSET.fullmatch(wanted.replace("_", ""))
    if offset is not None:
        return _zone_of(offset[1], int(offset[2]), word)
    names = _zones()
    if wanted in names:
        return names[wanted]
    places = [name for lower, name in names.items() if lower.rpartition("/")[2] == wanted]
    if len(places) == 1:
        return places[0]
    near = difflib.get_close_matches(wanted, [*names, *(lower.rpartition("/")[2] for lower in names)], n=1)
    found = next((name for lower, name in names.items() if near and lower.endswith(near[0])), None)
    hint = f" Did you mean {found}?" if found else ""
    if re.match(r"(?:utc|gmt)[+-]?\d", wanted):
        hint, found = " Name a place, such as Asia/Kolkata.", None
    instead = (word, [found] if found else [])
    raise NotUnderstood(f'There is no time zone "{shortened(word)}".{hint}', _QUIET_EXAMPLE, instead)


def _zone_of(sign: str, hours: int, word: str) -> str:
    """East of Greenwich is ``+`` for everybody but the zone database, where it is ``Etc/GMT-2``."""
    if hours == 0:
        return "UTC"
    name = f"Etc/GMT{'-' if sign == '+' else '+'}{hours}"
    if name not in zoneinfo.available_timezones():
        raise NotUnderstood(f'No clock is at "{shortened(word)}".', _QUIET_EXAMPLE)
    return name


def whole_number(word: str, most: int) -> int | None:
    """A number from 1 to ``most``; None where it is none."""
    return int(word) if word.isascii() and word.isdecimal() and len(word) <= 6 and 1 <= int(word) <= most else None


def _minute(word: str) -> int:
    match = _CLOCK.fullmatch(word.lower())
    hour, minute = (int(match[1]), int(match[2] or 0)) if match else (99, 0)
    if match and match[3]:
        hour = hour % 12 + (12 if match[3] == "pm" else 0) if 1 <= hour <= 12 else 99
    if hour == 24 and minute == 0:
        hour = 0
    if hour > 23 or minute > 59:
        raise NotUnderstood(f'"{shortened(word)}" is no time of day.', _QUIET_EXAMPLE)
    return hour * 60 + minute


@cache
def zone_names() -> tuple[str, ...]:
    """What can be named: all but ``Etc/GMT+2``, which is two hours *behind* Greenwich and never what is meant."""
    return tuple(sorted(name for name in zoneinfo.available_timezones() if not re.search(r"GMT[+-]\d", name)))


@cache
def _zones() -> dict[str, str]:
    """By lower case."""
    return {name.lower(): name for name in zone_names()}
