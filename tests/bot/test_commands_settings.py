"""How a chat is told: mutes, quiet hours, sound, cap, by word and by button; who may change it, and how much."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.asking import NotUnderstood
from bot.asking_times import duration_ms, quiet_hours, time_zone
from bot.commands import SPECS, Commands
from bot.errors import Retry
from bot.message import as_text
from bot.platforms.seam import Request
from bot.quiet import zone_in_words
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS
from storage.chat_settings import Quiet, Sound
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.sqlite import SqliteStore
from storage.store import NewAlert, NewDelivery
from tests.bot.asking_by import REFUSED, Asker, buttons, commands_over
from tests.storage.make import event, released, tick


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    store = SqliteStore(None, "simulated", max_subscriptions=3)
    yield Asker(await commands_over(store))
    await store.close()


def store_of(asker: Asker) -> SqliteStore:
    store = asker.commands._house.store
    assert isinstance(store, SqliteStore)
    return store


@pytest.mark.parametrize(
    ("words", "length_ms"),
    [
        ("2h", 2 * HOUR_MS),
        ("90 min", 90 * MINUTE_MS),
        ("1.5 hours", 90 * MINUTE_MS),
        ("30m", 30 * MINUTE_MS),
        ("1 day", DAY_MS),
        ("2W", 14 * DAY_MS),
        ("BTC", None),
        ("2", None),
    ],
)
def test_durations_are_read_as_people_write_them(words: str, length_ms: int | None) -> None:
    assert duration_ms(words.split()) == length_ms


@pytest.mark.parametrize(
    ("text", "quiet", "zone"),
    [
        ("22:00-07:00 Europe/Berlin", Quiet(1320, 420), "Europe/Berlin"),
        ("22-7", Quiet(1320, 420), None),
        ("10pm-6:30am berlin", Quiet(1320, 390), "Europe/Berlin"),
        ("22:00 to 07:00 new york", Quiet(1320, 420), "America/New_York"),
        ("22.30 - 07.15 utc", Quiet(1350, 435), "UTC"),
        ("23:00-24:00", Quiet(1380, 0), None),
        ("22:00-07:00 GMT+2", Quiet(1320, 420), "Etc/GMT-2"),
        ("22-7 utc -5", Quiet(1320, 420), "Etc/GMT+5"),
        ("22-7 UTC+0", Quiet(1320, 420), "UTC"),
    ],
)
def test_quiet_hours_are_read_as_people_write_them(text: str, quiet: Quiet, zone: str | None) -> None:
    assert quiet_hours(text.split()) == (quiet, zone)


@pytest.mark.parametrize("text", ["", "22:00", "25-7", "22:61-7", "7-7", "22-7 Atlantis", "13pm-7", "-"])
def test_hours_that_are_none_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        quiet_hours(text.split())
    assert caught.value.example


def test_a_time_zone_that_is_misspelt_gets_the_nearest() -> None:
    with pytest.raises(NotUnderstood, match="Did you mean Europe/Berlin"):
        time_zone("Berlln")


def test_hours_from_greenwich_are_east_of_it_with_a_plus_and_are_said_so() -> None:
    noon = datetime(2026, 1, 7, 12, tzinfo=ZoneInfo(time_zone("UTC+2")))
    assert noon.utcoffset() == timedelta(hours=2)
    assert [zone_in_words(name) for name in ("Etc/GMT-2", "Etc/GMT+5", "Europe/Berlin")] == [
        "UTC+2",
        "UTC-5",
        "Europe/Berlin",
    ]
    with pytest.raises(NotUnderstood, match=r"Name a place, such as Asia/Kolkata"):
        time_zone("UTC+5:30")


@pytest.mark.parametrize(
    ("text", "minutes"), [("2h", 120), ("2h30m", 150), ("1 day 6 h", 1800), ("1.5 hours", 90), ("90 min", 90)]
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, minutes: int) -> None:
    assert duration_ms(text.split()) == minutes * MINUTE_MS


async def test_of_settings_changed_at_the_same_time_none_is_lost(asker: Asker) -> None:
    await asyncio.gather(asker.says("/silent on"), asker.says("/cap 10"), asker.says("/notices on"))
    settings = (await store_of(asker).chat_settings())[asker.chat]
    assert (settings.sound, settings.daily_cap, settings.notices) == (Sound.NONE, 10, True)


async def test_a_mute_is_of_the_chat_or_of_one_market_and_says_until_when(asker: Asker) -> None:
    now_ms, store = asker.commands.now_ms, store_of(asker)
    await asker.says("/watch BTC")
    answer = await asker.says("/mute 2h")
    assert answer.title == "All alerts muted until 2026-01-07 04:00 UTC."
    assert (await store.subscriptions(asker.chat))[0].muted_until_ms == now_ms + 2 * HOUR_MS
    assert (await asker.says("/mute btcusdt 30m")).title.startswith("BTC muted until")
    assert (await store.chat_settings())[asker.chat].muted_markets == {"BTC": now_ms + 30 * MINUTE_MS}
    assert (await asker.presses(buttons(answer)["Unmute"])).lines[0] == "Nothing is muted now."
    assert (await store.subscriptions(asker.chat))[0].muted_until_ms is None
    assert (await store.chat_settings()) == {}
    await asker.says("/mute BTC")
    assert (await store.chat_settings())[asker.chat].muted_markets == {"BTC": now_ms + DAY_MS}
    assert (await asker.says("/unmute BTC")).title == "BTC is told again."
    assert "Did you mean BTC?" in (await asker.says("/mute BTX 2h")).title
    assert (await asker.says("/mute BTC soon")).title == "For how long?"


async def test_quiet_hours_sound_and_cap_are_kept_and_shown_on_the_page(asker: Asker) -> None:
    await asker.says("/quiet 22:00-07:00 Europe/Berlin")
    await asker.says("/silent severe")
    await asker.says("/cap 10")
    settings = (await store_of(asker).chat_settings())[asker.chat]
    assert (settings.quiet, settings.time_zone) == (Quiet(1320, 420), "Europe/Berlin")
    assert (settings.sound, settings.daily_cap) == (Sound.SEVERE, 10)
    page = as_text(await asker.says("/settings"))
    for part in ("22:00 to 07:00 Europe/Berlin", "only warnings", "Daily cap: 10", "nothing yet"):
        assert part in page
    await asker.says("/silent off")
    await asker.says("/cap off")
    await asker.says("/quiet off")
    settings = (await store_of(asker).chat_settings())[asker.chat]
    assert (settings.quiet, settings.sound, settings.daily_cap) == (None, Sound.ALL, None)
    assert (await asker.says("/cap many")).title.startswith("How many alerts a day")


async def test_notices_are_off_until_a_chat_asks_for_them_and_off_again_when_it_says_so(asker: Asker) -> None:
    assert "about the data: off" in as_text(await asker.says("/settings"))
    await asker.says("/notices on")
    assert (await store_of(asker).chat_settings())[asker.chat].notices
    page = await asker.says("/settings")
    assert "about the data: on" in as_text(page)
    assert "about the data: off" in as_text(await asker.presses(buttons(page)["No notices"]))
    assert asker.chat not in await store_of(asker).chat_settings()
    assert (await asker.says("/notices perhaps")).title.startswith("On or off")
    asker.may = REFUSED
    await asker.says("/notices on")
    assert asker.chat not in await store_of(asker).chat_settings()


async def test_every_button_of_the_page_works_and_the_page_takes_its_place(asker: Asker) -> None:
    page = await asker.says("/settings")
    assert page.in_place
    for label in ("Quiet 22-7", "Silent", "Cap 10 a day"):
        page = await asker.presses(buttons(page)[label])
        assert (page.title, page.in_place) == ("Settings of this chat", True)
    settings = (await store_of(asker).chat_settings())[asker.chat]
    assert (settings.quiet, settings.sound, settings.daily_cap) == (Quiet(1320, 420), Sound.NONE, 10)
    for label in ("No quiet hours", "Sound if severe", "No cap"):
        page = await asker.presses(buttons(page)[label])
    assert "Quiet hours: none" in page.lines


async def test_no_more_quiet_hours_brings_what_was_held_at_once(asker: Asker) -> None:
    store = store_of(asker)
    await asker.says("/quiet 22-7")
    held = NewDelivery(asker.chat, "quiet", None, event().taken_at_ms + DAY_MS)
    await store.commit_tick(tick(0, NewAlert(event(), (held,))))
    answer = await asker.says("/quiet off")
    assert answer.title == "No quiet hours. 1 alert held back until now comes in one message."
    assert await released(store, asker.commands.now_ms) == 1


async def test_what_is_held_back_no_longer_says_when_it_comes_while_the_chat_is_quiet_or_muted(asker: Asker) -> None:
    store = store_of(asker)
    await asker.says("/watch BTC")
    await asker.says("/mute 2h")  # it is two o'clock
    held = NewDelivery(asker.chat, "quiet", None, event().taken_at_ms + DAY_MS)
    await store.commit_tick(tick(0, NewAlert(event(), (held,))))
    assert (
        "1 alert held back until now comes in one message after 2026-01-07 04:00 UTC."
        in (await asker.says("/quiet off")).title
    )
    await asker.says("/quiet 1-5")
    capped = NewDelivery(asker.chat, "capped", None, event().taken_at_ms + DAY_MS)
    await store.commit_tick(tick(1, NewAlert(event(1), (capped,))))
    assert (
        "1 alert held back until now comes in one message after 2026-01-07 05:00 UTC."
        in (await asker.says("/cap off")).title
    )


async def test_a_cap_says_when_the_rest_is_told_in_the_chat_s_own_time(asker: Asker) -> None:
    assert (await asker.says("/cap 3")).title.endswith("what is over is told in one message at 00:00 UTC.")
    await asker.says("/quiet 1-5 Europe/Berlin")
    assert (await asker.says("/cap 3")).title.endswith("at 00:00 Europe/Berlin.")
    await asker.says("/quiet 22-7")
    assert (await asker.says("/cap 3")).title.endswith("at 07:00 Europe/Berlin.")


async def test_to_unmute_one_market_says_what_is_muted_still_or_not_watched(asker: Asker) -> None:
    assert (await asker.says("/unmute BTC")).title == "BTC is not muted, and not watched: /watch BTC."
    await asker.says("/watch BTC")
    await asker.says("/mute BTC 2h")
    await asker.says("/mute 3h")
    answer = await asker.says("/unmute BTC")
    assert answer.title == "BTC is muted no longer, but everything is until 2026-01-07 05:00 UTC: /unmute."
    await asker.says("/unmute")
    assert (await asker.says("/unmute BTC")).title == "BTC is told again."


async def test_other_hours_hold_what_was_held_until_they_end(asker: Asker) -> None:
    store = store_of(asker)
    held = NewDelivery(asker.chat, "quiet", None, event().taken_at_ms + DAY_MS)
    await store.commit_tick(tick(0, NewAlert(event(), (held,))))
    await asker.says("/quiet 1:00-3:00 UTC")  # it is two o'clock
    assert await released(store, asker.commands.now_ms + HOUR_MS - 1) == 0
    assert await released(store, asker.commands.now_ms + HOUR_MS) == 1


@pytest.mark.parametrize("name", [*sorted(spec.name for spec in SPECS if spec.changes), "adjust"])
@pytest.mark.parametrize("pressed", [False, True], ids=["typed", "pressed"])
async def test_nobody_but_an_admin_changes_anything_and_the_refusal_says_who_may(
    asker: Asker, name: str, pressed: bool
) -> None:
    asker.may = REFUSED
    store = store_of(asker)
    before = (await store.subscriptions(), await store.chat_settings())
    for words in ("", " BTC", " off", " 2h", " 22-7", " 10", " all"):
        answer = await asker.commands.handle(asker.request(f"/{name}{words}", pressed=pressed))
        assert (answer.private, answer.lines) == (True, (REFUSED.why,))
    assert (await store.subscriptions(), await store.chat_settings()) == before
    assert asker.asked == 7


async def test_reading_asks_nobody_for_permission(asker: Asker) -> None:
    asker.may = REFUSED
    for text in (
        "/watching",
        "/map BTC",
        "/clusters BTC",
        "/funding",
        "/recent",
        "/settings",
        "/status",
        "/help",
        "/start",
    ):
        assert not (await asker.says(text)).private
    assert asker.asked == 0


async def test_an_admin_sets_up_a_channel_from_elsewhere_and_nobody_else_does(asker: Asker) -> None:
    channel = Asker(asker.commands, Chat("telegram", "-100"))
    foreign = Asker(asker.commands, Chat("telegram", "-200"), may=REFUSED)
    asker.others = {"@channel": channel, "@foreign": foreign}
    answer = await asker.says("/in @channel /watch BTC min $20M")
    assert answer.title == "In channel: Watching BTC."
    (watch,) = await store_of(asker).subscriptions(channel.chat)
    assert watch.subscription.min_notional_usd == 20e6
    assert not await store_of(asker).subscriptions(asker.chat)
    change = buttons(answer)["Change"]
    assert change.command == "/in @channel /adjust BTC"
    assert (await asker.presses(change)).title == "In channel: Watching BTC"
    for command in ("/watch BTC", "/watching"):
        refused = await asker.says(f"/in @foreign {command}")
        assert (refused.private, refused.lines) == (True, (REFUSED.why,))
    assert not await store_of(asker).subscriptions(foreign.chat)
    assert "No chat" in (await asker.says("/in @nowhere /watching")).title
    assert (await asker.says("/in @channel /in @channel /watching")).title == "One chat at a time."
    assert (await asker.says("/in @channel")).title == "In which chat, and what?"


async def test_a_channel_whose_name_leaves_no_room_for_a_command_is_changed_by_its_id(asker: Asker) -> None:
    name = "@" + "c" * 32
    asker.others = {name: (channel := Asker(asker.commands, Chat("telegram", "-1001234567890")))}
    asker.others |= {channel.chat.chat_id: channel}
    page = await asker.presses(buttons(await asker.says(f"/in {name} /watch BTC"))["Change"])
    assert len(buttons(page)) == len(buttons(await channel.says("/adjust BTC"))), "no button is left out"
    await asker.presses(buttons(page)["✓ cluster approached"])
    (watch,) = await store_of(asker).subscriptions(channel.chat)
    assert "cluster_approached" not in (watch.subscription.kinds or {"cluster_approached"})


async def test_a_channel_that_cannot_be_reached_just_now_is_asked_for_again_in_a_minute(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_name: str) -> Request | None:
        raise Retry("the connection to Telegram broke", 2.0)

    asked = replace(asker.request("/in @channel /watch BTC"), elsewhere=broken)
    answer = await asker.commands.handle(asked)
    assert answer.title == "Telegram does not answer just now: try again in a minute."
    assert answer.private
    assert not caplog.records


async def test_a_parked_chat_is_served_again_after_any_command_and_told_so(asker: Asker) -> None:
    store = store_of(asker)
    await asker.says("/watch BTC")
    await store.park(asker.chat, "bot was blocked")
    assert "Alerts go out here again" in (await asker.says("/help")).lines[-1]
    assert asker.chat in {watch.chat for watch in await store.subscriptions()}
    assert "go out here again" not in as_text(await asker.says("/help"))


async def test_ten_thousand_hostile_commands_leave_quota_rows_only(asker: Asker) -> None:
    """A chat has its subscriptions, a user its chats, and everything else leaves nothing."""
    store = store_of(asker)
    hostile = [
        "BTC",
        "all",
        "top1",
        "top2",
        "top3",
        "'; DROP TABLE chats;--",
        "<b>@everyone</b>",
        "ВТС",
        "\x00\x1b[31m",
    ]
    for n in range(10_000):
        one = replace(asker, chat=Chat("telegram", str(n % 500)))
        await one.says(f"/watch {hostile[n % len(hostile)]} within {n % 5}% min ${n}M")
    mine = [watch for watch in await store.subscriptions() if watch.chat.platform == "telegram"]
    assert len({watch.chat for watch in mine}) == 3
    assert len(mine) <= 3 * 3
    rows = await store._run(lambda: store._connection.execute("SELECT count(*) FROM chats").fetchone()[0])
    assert rows == 3 + 1


async def test_a_flood_of_commands_is_answered_at_a_bounded_rate_and_other_chats_go_on() -> None:
    store = SqliteStore(None, "simulated")
    house = (await commands_over(store, bars=10))._house
    now_s = 0.0
    commands = Commands(
        store, house.feed, house.watcher, house.kinds, defaults=Subscription(EVERY_MARKET), now_s=lambda: now_s
    )
    asker, other = Asker(commands), Asker(commands, Chat("telegram", "8"), user_id="other")
    answers = [await asker.says("/watching") for _ in range(100)]
    refused = [answer for answer in answers if answer.title.startswith("Too many commands")]
    assert len(refused) == 80
    assert all(answer.private for answer in refused)
    assert (await other.says("/watching")).title == "Nothing is watched here."
    now_s = 1.1
    assert (await asker.says("/watching")).title == "Nothing is watched here."
    await store.close()
