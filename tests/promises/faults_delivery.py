"""P1 to P6: what is owed arrives, once, whatever the chats' services answer and whenever the process dies."""
# ruff: noqa: E501 - lines of the code, quoted as they are

from tests.promises.fault import Fault

CRASH, KILL, BROKEN_OFF = "tests/crash/test_crash.py", "tests/bot/test_kill.py", "tests/bot/test_broken_off.py"
COPIES = "tests/crash/test_two_copies.py"
TELEGRAM, DISCORD = "tests/chats/test_telegram_delivery.py", "tests/bot/platforms/discord/test_sending.py"
REPEATS = "tests/bot/platforms/discord/test_repeats.py"
DELIVER, MANY = "tests/bot/test_deliver.py", "tests/bot/test_deliver_many.py"

FAULTS = (
    Fault(
        "P1",
        "an alert is marked as sent before it is sent",
        "bot/deliver.py",
        "                    settlement = await self._send(claim, platform, message)\n",
        '                    await self._settler.settle(claim.deliveries, Sent("early"))\n'
        "                    settlement = await self._send(claim, platform, message)\n",
        (
            f"{KILL}::test_a_kill_at_any_statement_loses_nothing_and_repeats_at_most_one_alert_a_chat",
            f"{CRASH}::test_killed_at_each_step_nothing_is_lost_and_discord_gets_no_repeat",
        ),
    ),
    Fault(
        "P1",
        "a tick's series and state are committed before the alerts that it led to",
        "bot/watch.py",
        "        await self._store.commit_ticks(self._queue)\n",
        "        await self._store.commit_ticks([replace(t, events=(), alerts=(), completed=()) for t in self._queue])\n"
        "        await self._store.commit_ticks(self._queue)\n",
        (
            "tests/bot/test_watch_killed.py::"
            "test_killed_after_any_write_of_a_tick_that_tells_something_the_next_start_tells_it_all",
        ),
    ),
    Fault(
        "P1",
        "what was being sent when the process died is not taken up by the next start",
        "storage/sql_outbox.py",
        "\"UPDATE deliveries SET state = 'pending', possible_repeat = 1 WHERE {CLAIMED} AND state = 'sending'\"",
        "\"UPDATE deliveries SET state = 'pending', possible_repeat = 1 WHERE {CLAIMED} AND state = 'held'\"",
        ("tests/storage/test_sqlite.py::test_what_was_being_sent_in_a_crash_is_a_possible_repeat",),
    ),
    Fault(
        "P1",
        "a repeat after a kill does not say that it is one",
        "storage/sql_outbox.py",
        "SET state = 'pending', possible_repeat = 1 WHERE",
        "SET state = 'pending', possible_repeat = 0 WHERE",
        ("tests/storage/test_sqlite.py::test_what_was_being_sent_in_a_crash_is_a_possible_repeat",),
    ),
    Fault(
        "P1",
        "after a restart a Discord channel is not searched for the alert that may be there",
        "bot/platforms/discord/sending.py",
        "                            return True, each.id",
        "                            return True, None",
        (f"{DISCORD}::test_after_a_restart_the_channel_is_searched_for_the_alert_and_nothing_is_repeated",),
    ),
    Fault(
        "P2",
        "a stop does not wait for what is being sent",
        "bot/deliver.py",
        "await asyncio.wait(workers, timeout=within_s)",
        "await asyncio.wait(workers, timeout=0)",
        # Over whole lives a quick server has answered before the stop gets there.
        (f"{DELIVER}::test_a_stop_lets_what_is_being_sent_finish_and_starts_nothing_new",),
    ),
    Fault(
        "P2",
        "SIGTERM is not listened to",
        "bot/ending.py",
        "_SIGNALS = (signal.SIGTERM, signal.SIGINT)\n",
        "_SIGNALS = (signal.SIGINT,)\n",
        (
            f"{CRASH}::test_told_to_stop_at_any_step_it_drains_ends_well_and_repeats_nothing",
            "tests/test_end_to_end.py::test_sigterm_ends_it_in_order_within_seconds",
        ),
    ),
    Fault(
        "P2",
        "a stop waits for ever for a task that does not end",
        "bot/ending.py",
        "    while running and loop.time() < until_s:",
        "    while running and until_s:",
        ("tests/bot/test_ending.py::test_a_task_that_never_ends_is_named_and_left_behind",),
    ),
    Fault(
        "P2",
        "a stop waits for ever for a platform that hangs",
        "bot/chats.py",
        "            async with asyncio.timeout(STOP_WITHIN_S):\n",
        "            async with asyncio.timeout(None):\n",
        ("tests/bot/test_chats.py::test_each_is_stopped_once_in_a_bounded_time",),
    ),
    Fault(
        "P2",
        "a decision that a stop breaks off is not made anew",
        "bot/watch.py",
        "        except (StoreUnavailable, asyncio.CancelledError):\n            self._decider.go_back(told)\n            raise",
        "        except (StoreUnavailable, asyncio.CancelledError):\n            self._undecided = None\n            raise",
        (f"{BROKEN_OFF}::test_a_tick_that_is_broken_off_is_decided_anew_and_loses_nothing",),
    ),
    Fault(
        "P3",
        "two copies may hold the lock of a database file at once",
        "storage/sqlite_files.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        (
            f"{COPIES}::test_while_both_live_nothing_is_lost_and_nothing_repeated",
            "tests/storage/test_leader.py::test_waiting_can_be_given_up_and_leaves_the_leader_alone",
        ),
    ),
    Fault(
        "P3",
        "the copy that waits looks only now and then",
        "storage/sql_writer.py",
        "LOOK_EVERY_S = 0.25",
        "LOOK_EVERY_S = 6.0",
        ("tests/storage/test_leader.py::test_a_process_that_is_killed_is_followed_within_five_seconds",),
    ),
    Fault(
        "P3",
        "a copy that waits ends when its database goes away",
        "storage/sql_writer.py",
        "if not self.standing_by or not self._is_unavailable(error):",
        "if self.standing_by or not self._is_unavailable(error):",
        (
            "tests/storage/test_leader.py::"
            "test_whoever_waits_goes_on_waiting_while_the_server_is_away_and_leads_once_it_is_back_and_free",
            f"{COPIES}::test_while_both_live_nothing_is_lost_and_nothing_repeated",
        ),
    ),
    Fault(
        "P3",
        "a copy that another one has overtaken goes on writing",
        "storage/sql_writer.py",
        "if found is None or found[0] != self._leader:",
        "if found is None:",
        (
            "tests/storage/test_leader.py::test_whoever_lost_the_lead_to_another_writes_nothing_more",
            f"{COPIES}::test_a_leader_that_froze_and_was_overtaken_ends_at_once_and_not_well",
            "tests/bot/test_superseded.py::test_a_live_market_ends",
        ),
    ),
    Fault(
        "P3",
        "a copy that waits for another one follows venues already",
        "bot/app.py",
        "        await self.store.lead()\n",
        "",
        (f"{COPIES}::test_the_leader_is_killed_and_the_other_copy_takes_over_with_nothing_lost",),
    ),
    Fault(
        "P4",
        "one Telegram chat that is told to wait makes all wait",
        "bot/deliver.py",
        "        if error.everywhere:\n",
        "        if error.after_s:\n",
        (
            f"{TELEGRAM}::test_a_chat_told_to_wait_does_not_delay_another",
            f"{DELIVER}::test_a_chat_told_to_wait_does_not_delay_another",
        ),
    ),
    Fault(
        "P4",
        "topics that wait for their group's turn hold the places that other chats need",
        "bot/deliver.py",
        "            if turn_s - time.monotonic() > LONGEST_TURN_S:\n",
        "            if turn_s - time.monotonic() > 1e9:\n",
        (f"{MANY}::test_topics_that_wait_for_their_group_s_turn_hold_no_place_that_others_need",),
    ),
    Fault(
        "P4",
        "a chat is asked again before the time that Telegram named",
        "bot/platforms/telegram/errors.py",
        '    return Retry(f"Telegram asks to wait {seconds:.0f} s", seconds)',
        '    return Retry(f"Telegram asks to wait {seconds:.0f} s", 0.0)',
        (f"{TELEGRAM}::test_a_chat_told_to_wait_does_not_delay_another",),
    ),
    Fault(
        "P4",
        "a wait is forgotten, so that the chat is tried again at once",
        "storage/sql_outbox.py",
        "wait_until_ms = settlement.due_at_ms if isinstance(settlement, Later) else 0\n",
        "wait_until_ms = 0\n",
        (
            f"{DELIVER}::test_a_chat_told_to_wait_does_not_delay_another",
            "tests/storage/test_contract_outbox.py::test_a_chat_told_to_wait_waits_as_a_whole_and_alone",
        ),
    ),
    Fault(
        "P5",
        "an alert is given up when Telegram fails by a fault of its own",
        "bot/platforms/telegram/errors.py",
        '    return Retry("Telegram has a fault of its own", FIRST_WAIT_S, ambiguous=True)',
        '    return Reject("Telegram has a fault of its own")',
        (f"{TELEGRAM}::test_what_goes_wrong_for_a_moment_costs_at_most_one_repeat_that_says_so",),
    ),
    Fault(
        "P5",
        "an answer of Telegram's that cannot be read counts as a refusal",
        "bot/platforms/telegram/errors.py",
        '    return Retry("Telegram\'s answer could not be read", FIRST_WAIT_S, ambiguous=True)',
        '    return Reject("Telegram\'s answer could not be read")',
        (f"{TELEGRAM}::test_what_goes_wrong_for_a_moment_costs_at_most_one_repeat_that_says_so",),
    ),
    Fault(
        "P5",
        "a time-out is taken for a message that did not arrive",
        "bot/platforms/telegram/errors.py",
        "ambiguous=not isinstance(error.__cause__, _NOT_SENT))",
        "ambiguous=False)",
        (f"{TELEGRAM}::test_what_goes_wrong_for_a_moment_costs_at_most_one_repeat_that_says_so",),
    ),
    Fault(
        "P5",
        "Discord is given no nonce, by which it knows a repeat",
        "bot/platforms/discord/sending.py",
        "            nonce=nonce,\n            silent=",
        "            silent=",
        (f"{DISCORD}::test_after_an_ambiguous_failure_a_second_attempt_leaves_one_message",),
    ),
    Fault(
        "P5",
        "each attempt counts as the first, so that after a longer outage Discord's nonce is relied on in vain",
        "bot/platforms/discord/sending.py",
        "        self._attempts.setdefault(nonce, self._now_s())\n",
        "        self._attempts[nonce] = self._now_s()\n",
        (f"{REPEATS}::test_an_outage_longer_than_discord_remembers_a_nonce_leaves_one_message",),
    ),
    Fault(
        "P5",
        "each attempt has another nonce",
        "bot/composing.py",
        'hashlib.sha256("\\n".join(delivery.key for delivery in deliveries).encode())',
        "hashlib.sha256(str(id(deliveries)).encode())",
        (f"{DELIVER}::test_a_nonce_names_the_alert_and_the_chat_and_survives_a_restart",),
    ),
    Fault(
        "P6",
        "a user who has blocked the bot is tried for ever",
        "bot/platforms/telegram/errors.py",
        "    return Reject(found.says, chat_gone=True) if found else",
        "    return Retry(found.says, FIRST_WAIT_S) if found else",
        (f"{TELEGRAM}::test_a_chat_that_is_gone_is_parked_and_never_tried_again",),
    ),
    Fault(
        "P6",
        "a chat that is gone is not parked",
        "bot/deliver.py",
        "                await self._persist(self._store.park, claim.chat, error.reason)",
        "                log.info(error.reason)",
        (
            f"{TELEGRAM}::test_a_chat_that_is_gone_is_parked_and_never_tried_again",
            f"{DELIVER}::test_a_chat_that_is_gone_is_parked_and_never_tried_again",
        ),
    ),
    Fault(
        "P6",
        "a Discord channel that the bot may not see is tried again",
        "bot/platforms/discord/errors.py",
        "    return Reject(reason + AGAIN, chat_gone=True)",
        "    return Retry(reason + AGAIN, LATER_S)",
        (f"{DISCORD}::test_a_channel_is_parked_at_its_first_403_and_its_first_404",),
    ),
    Fault(
        "P6",
        "a group that became a supergroup is not followed",
        "bot/deliver.py",
        "            await self._persist(self._move, claim.chat, Chat(claim.chat.platform, error.chat_id))\n",
        "",
        (
            f"{TELEGRAM}::test_an_alert_follows_a_group_that_became_a_supergroup",
            f"{MANY}::test_a_chat_that_moved_is_served_where_it_is_now",
        ),
    ),
)
