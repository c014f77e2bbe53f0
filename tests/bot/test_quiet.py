"""Quiet hours on the wall clock of a chat, also where the clock is changed."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.quiet import day_began_ms, day_ends_ms, quiet_until_ms
from detectors.market import DAY_MS, HOUR_MS
from storage.chat_settings import Quiet

NIGHT = Quiet(22 * 60, 7 * 60)
NOON = Quiet(12 * 60, 13 * 60)
BERLIN = "Europe/Berlin"


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.mark.parametrize(
    ("quiet", "zone", "at", "until"),
    [
        (NIGHT, BERLIN, "2025-12-01T21:59+01:00", None),
        (NIGHT, BERLIN, "2025-12-01T22:00+01:00", "2025-12-02T07:00+01:00"),
        (NIGHT, BERLIN, "2025-12-02T06:59+01:00", "2025-12-02T07:00+01:00"),
        (NIGHT, BERLIN, "2025-12-02T07:00+01:00", None),
        (NOON, BERLIN, "2025-12-02T12:30+01:00", "2025-12-02T13:00+01:00"),
        (NOON, "UTC", "2025-12-02T13:30+01:00", "2025-12-02T13:00+00:00"),
        # the night of 30 March 2025 has no hour from 2 to 3
        (NIGHT, BERLIN, "2025-03-29T23:00+01:00", "2025-03-30T07:00+02:00"),
        (Quiet(22 * 60, 150), BERLIN, "2025-03-30T01:30+01:00", "2025-03-30T03:30+02:00"),
        # and that of 26 October has it twice
        (NIGHT, BERLIN, "2025-10-25T23:00+02:00", "2025-10-26T07:00+01:00"),
        (Quiet(22 * 60, 150), BERLIN, "2025-10-26T02:15+02:00", "2025-10-26T02:30+02:00"),
        (Quiet(22 * 60, 150), BERLIN, "2025-10-26T02:15+01:00", "2025-10-26T02:30+01:00"),
        (None, BERLIN, "2025-12-01T23:00+01:00", None),
        (Quiet(60, 60), BERLIN, "2025-12-01T01:00+01:00", None),
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall(quiet: Quiet | None, zone: str, at: str, until: str | None) -> None:
    assert quiet_until_ms(quiet, zone, ms(at)) == (None if until is None else ms(until))


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 10 * 365 * DAY_MS),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "gone/away"]),
)
def test_quiet_hours_end_after_now_and_within_a_day_and_are_over_then(start: int, end: int, at: int, zone: str) -> None:
    at_ms = ms("2020-01-01T00:00+00:00") + at
    until_ms = quiet_until_ms(Quiet(start, end), zone, at_ms)
    if until_ms is not None:
        assert at_ms < until_ms <= at_ms + DAY_MS + HOUR_MS


def test_a_day_is_the_chats_own() -> None:
    at_ms = ms("2025-10-26T12:00+01:00")
    assert day_began_ms(BERLIN, at_ms) == ms("2025-10-26T00:00+02:00")
    assert day_ends_ms(BERLIN, at_ms) == ms("2025-10-27T00:00+01:00")
