"""P8, P9, P13: data that stop, lie or have holes, and clocks that are set."""
# ruff: noqa: E501 - lines of the code, quoted as they are

from tests.promises.fault import Fault

PARTS, SCREENING = "tests/bot/markets/test_live_parts.py", "tests/detectors/test_screening.py"
OUTAGE = "tests/chats/test_whole_notices.py::test_of_a_silent_venue_the_operator_and_who_opted_in_hear_once_that_it_is_out_and_once_that_it_is_back"
SET = "tests/bot/test_clock_set.py"
ENGINE, SCHEDULE = "tests/detectors/test_engine.py", "tests/bot/test_schedule.py"
ANYTHING = f"{SCREENING}::test_whatever_comes_nothing_raises_and_the_state_stays_finite"
RUBBISH = f"{SCREENING}::test_rubbish_between_good_bars_changes_no_event_and_no_state"
REFUSED = f"{SCREENING}::test_one_bad_snapshot_is_refused_whole_and_counted"

FAULTS = (
    Fault(
        "P8",
        "stale data are said again and again",
        "bot/markets/live_health.py",
        "                one.stale = True\n",
        "",
        (f"{PARTS}::test_stale_is_said_once_after_two_missed_intervals_and_recovered_once",),
    ),
    Fault(
        "P8",
        "nobody is told that stale data have recovered",
        "bot/markets/live_health.py",
        "        if not was_stale:\n",
        "        if was_stale is not None:\n",
        (f"{PARTS}::test_stale_is_said_once_after_two_missed_intervals_and_recovered_once",),
    ),
    Fault(
        "P8",
        "of one outage a chat is told as often as it has series",
        "bot/outages.py",
        "                if is_news(notice) and (not outage.is_told or notice.venue in begun):\n",
        "                if is_news(notice):\n",
        # Over whole chats a busy machine may find all its series stale in one look, which is one message anyhow.
        ("tests/bot/test_notices.py::test_an_outage_is_told_once_when_it_begins_and_once_when_all_is_back",),
    ),
    Fault(
        "P8",
        "that a venue is back is told for each of its series",
        "bot/outages.py",
        "                if not outage.missing:\n                    del self._by_venue[notice.venue]\n",
        "                if outage.back:\n                    self._by_venue.pop(notice.venue)\n",
        (OUTAGE,),
    ),
    Fault(
        "P8",
        "a notice has one nonce for all chats, so that of all channels of Discord the first alone hears of it",
        "bot/notices.py",
        '        return hashlib.sha256(f"{self._session} {self._posted} {chat}"',
        '        return hashlib.sha256(f"{self._session} {self._posted}"',
        ("tests/bot/platforms/discord/test_repeats.py::test_a_notice_reaches_every_channel_that_asked_for_notices",),
    ),
    Fault(
        "P8",
        "alerts are made of what lies across a gap",
        "detectors/engine.py",
        "            self.quiet_bars = QUIET_BARS_AFTER_GAP\n",
        "            self.quiet_bars = 0\n",
        (f"{ENGINE}::test_after_a_gap_nothing_is_told_for_twelve_bars",),
    ),
    Fault(
        "P8",
        "a venue that is silent for a bar looks like positions that were closed",
        "bot/markets/merge.py",
        "        if not self._counted or any(venue not in given for venue in self._counted):\n",
        "        if not self._counted or not given:\n",
        ("tests/bot/markets/test_merge.py::test_a_sum_is_never_of_some_venues_only",),
    ),
    Fault(
        "P9",
        "prices that are not numbers are believed",
        "detectors/screening.py",
        "        if not _finite(*prices, bar.volume_base):\n",
        "        if not _finite(bar.volume_base):\n",
        (REFUSED, RUBBISH),
    ),
    Fault(
        "P9",
        "a volume that is infinite is believed",
        "detectors/screening.py",
        "        if not _finite(*prices, bar.volume_base):\n",
        "        if not _finite(*prices):\n",
        (REFUSED, RUBBISH),
    ),
    Fault(
        "P9",
        "open interest of zero is believed",
        "detectors/screening.py",
        "        if min(sample.base, sample.interval_ms) <= 0:\n",
        "        if min(sample.base, sample.interval_ms) < 0:\n",
        (f"{SCREENING}::test_bad_open_interest_is_refused_and_its_bar_kept",),
    ),
    Fault(
        "P9",
        "a spike is believed before anything confirms it",
        "detectors/screening.py",
        "SPIKE = 5.0\n",
        "SPIKE = 5e9\n",
        (f"{SCREENING}::test_a_spike_is_refused_and_believed_once_the_next_bar_confirms_it", RUBBISH),
    ),
    Fault(
        "P9",
        "bars that come out of order are believed",
        "detectors/screening.py",
        "            if bar.opened_at_ms < self.last_bar_opened_at_ms:\n",
        "            if bar.opened_at_ms < 0:\n",
        (REFUSED,),
    ),
    Fault(
        "P13",
        "after the clock was set back the next bar is waited for until it is that late again",
        "bot/markets/live_types.py",
        "        begun_ms = multiple_ms\n",
        "",
        (f"{PARTS}::test_a_clock_that_is_set_delays_the_next_bar_by_one_interval_at_most",),
    ),
    Fault(
        "P13",
        "the live market's time is whatever the machine's clock was set to",
        "bot/markets/live_types.py",
        "        if abs(apart_ms - self._apart_ms) <= _FOLLOWED_MS:\n",
        "        if apart_ms != self._apart_ms:\n",
        (
            f"{SET}::test_only_small_corrections_of_the_machine_s_clock_are_followed",
            f"{SET}::test_live_the_next_bar_and_the_next_price_come_within_two_intervals",
        ),
    ),
    Fault(
        "P13",
        "jobs are not scheduled anew when the clock was set",
        "bot/schedule.py",
        '                    self._scheduler.reschedule_job(name, trigger="interval", seconds=seconds)\n',
        "                    log.debug(name)\n",
        (
            f"{SCHEDULE}::test_after_the_clock_jumps_jobs_are_scheduled_anew",
            f"{SET}::test_the_market_that_is_played_goes_on_within_two_ticks",
        ),
    ),
    Fault(
        "P13",
        "a job whose time has passed is skipped",
        "bot/schedule.py",
        '"misfire_grace_time": None, ',
        '"misfire_grace_time": 1, ',
        (f"{SCHEDULE}::test_a_run_that_comes_late_is_made_up_for_once",),
    ),
    Fault(
        "P13",
        "after the clock was set back a lost gateway of Discord's is waited for an hour longer",
        "bot/platforms/discord/platform.py",
        "if self._up_since is None and time.monotonic() - self._waits_from_s > PATIENCE_S:",
        "if self._up_since is None and time.time() - self._down_since > PATIENCE_S:",
        (
            "tests/bot/platforms/discord/test_gateway.py::test_a_library_that_waits_too_long_to_connect_again_is_started_anew",
        ),
    ),
)
