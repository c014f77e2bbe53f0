"""Local time of a chat: when its quiet hours end and its day begins. Right over daylight-saving changes."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from storage.chat_settings import Quiet

MINUTES_A_DAY = 1440


def quiet_until_ms(quiet: Quiet | None, time_zone: str, at_ms: int) -> int | None:
    """When the quiet hours that hold at ``at_ms`` (UTC ms) end; None where it is not quiet.

    The clock on the wall counts: an hour that comes twice is quiet both times, and an end that the clock skips is
    when it would have been.
    """
    if quiet is None or quiet.from_minute == quiet.to_minute:
        return None
    zone = _zone(time_zone)
    now = datetime.fromtimestamp(at_ms / 1000, zone)
    minute = now.hour * 60 + now.minute
    over_midnight = quiet.to_minute < quiet.from_minute
    if over_midnight:
        if quiet.to_minute <= minute < quiet.from_minute:
            return None
    elif not quiet.from_minute <= minute < quiet.to_minute:
        return None
    ends_on = now.date() + timedelta(days=1 if over_midnight and minute >= quiet.from_minute else 0)
    for fold in (0, 1):
        ends_ms = _at(ends_on, quiet.to_minute, zone, fold)
        if ends_ms > at_ms:
            return ends_ms
    return None


def day_began_ms(time_zone: str, at_ms: int) -> int:
    """Local midnight before ``at_ms``, in UTC ms."""
    zone = _zone(time_zone)
    return _at(datetime.fromtimestamp(at_ms / 1000, zone).date(), 0, zone, 0)


def day_ends_ms(time_zone: str, at_ms: int) -> int:
    """The next local midnight, in UTC ms."""
    zone = _zone(time_zone)
    return _at(datetime.fromtimestamp(at_ms / 1000, zone).date() + timedelta(days=1), 0, zone, 0)


def local_minute(time_zone: str, at_ms: int) -> int:
    """Of the day, on the clock on the wall."""
    local = datetime.fromtimestamp(at_ms / 1000, _zone(time_zone))
    return local.hour * 60 + local.minute


def clock_minutes(minute: int) -> str:
    """``07:00``."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _at(day: date, minute: int, zone: ZoneInfo, fold: int) -> int:
    hour, minute = divmod(minute % MINUTES_A_DAY, 60)
    local = datetime.combine(day, time(hour, minute, fold=fold), zone)
    return round(local.astimezone(UTC).timestamp() * 1000)


def zone_in_words(name: str) -> str:
    """``UTC+2`` for what the zone database calls ``Etc/GMT-2``; any other name is its own."""
    ahead, behind = name.removeprefix("Etc/GMT-"), name.removeprefix("Etc/GMT+")
    if ahead != name:
        return f"UTC+{ahead}"
    return f"UTC-{behind}" if behind != name else name


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a zone that a later version of the database dropped
        return ZoneInfo("UTC")
