"""Watching by menu, and what can be asked about an alert."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from discord.ui import View

from bot.charting import ChartFolder
from bot.commands.menus import change_menu
from bot.message import SIMULATED, Button, Message, as_text, from_event, handle_of
from bot.platforms.discord.rendering import view_of
from bot.platforms.telegram.keyboard import HEADING, keyboard
from bot.policy import subscription_for
from storage.chats import Chat, Subscription, Watch
from storage.sqlite import SqliteStore
from tests.bot.asking_by import Asker, buttons, commands_over
from tests.bot.played import CHAT


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncIterator[Asker]:
    store, charts = SqliteStore(None, "simulated", max_subscriptions=5), ChartFolder(tmp_path)
    yield Asker(await commands_over(store, charts), CHAT)
    await charts.close()
    await store.close()


async def test_a_typo_gets_buttons_that_do_what_was_meant(asker: Asker) -> None:
    answer = await asker.says("/watch BTX min $5M")
    assert buttons(answer)["BTC"].command == "/watch BTC min $5M"
    assert (await asker.presses(buttons(answer)["BTC"])).title == "Watching BTC."
    assert buttons(await asker.says("/wach BTC"))["/watch"].command == "/watch BTC"
    assert buttons(await asker.says("/watch BTC aproached"))["approached"].command == "/watch BTC approached"
    long = "/watch BTC " + "formed " * 12 + "aproached"
    assert buttons(await asker.says(long)) == {}


@pytest.mark.parametrize("text", ["/watch btc 3% $5m", "watch $BTC min 5000000 within 3", "/watch BTCUSDT $5M 3 %"])
async def test_bare_distances_and_sizes_are_understood(asker: Asker, text: str) -> None:
    me = Asker(asker.commands, Chat("telegram", "1"))
    await me.says(text.replace("3 %", "within 3 %"))
    (watch,) = await asker.commands._house.store.subscriptions(me.chat)
    assert (watch.subscription.within_pct, watch.subscription.min_notional_usd) == (3.0, 5e6)


@pytest.mark.parametrize("text", ["btc", "$BTC", "BTCUSDT", "/btc", "BTC/USDT:USDT"])
async def test_a_market_alone_is_asked_what_of_it(asker: Asker, text: str) -> None:
    answer = await asker.says(text)
    assert [button.command for button in buttons(answer).values()] == ["/watch BTC", "/map BTC", "/clusters BTC"]


async def test_the_menu_leads_from_nothing_to_a_subscription_and_through_its_options(asker: Asker) -> None:
    me = Asker(asker.commands, Chat("telegram", "1"))
    page = await me.says("/watch")
    page = await me.presses(buttons(page)["BTC"])
    assert (page.title, page.in_place) == ("Watching BTC.", True)
    for label in ("✓ cluster formed", "within 5%", "min $20M", "build slow"):
        page = await me.presses(buttons(page)[label])
    (watch,) = await asker.commands._house.store.subscriptions(me.chat)
    one = watch.subscription
    assert one.kinds is not None
    assert "cluster_formed" not in one.kinds
    assert "cluster_consumed" in one.kinds
    assert (one.within_pct, one.min_notional_usd, one.build_class) == (5.0, 20e6, "slow")
    for label in ("✗ cluster formed", "build any", "any size"):
        page = await me.presses(buttons(page)[label])
    (watch,) = await asker.commands._house.store.subscriptions(me.chat)
    assert watch.subscription == Subscription("BTC", within_pct=5.0)
    listing = await me.presses(buttons(page)["What is watched"])
    assert buttons(listing)["BTC"].command == "/adjust BTC"
    await me.presses(buttons(page)["Stop"])
    assert not await asker.commands._house.store.subscriptions(me.chat)
    assert "not watched here" in (await me.says("/adjust BTC within 3%")).title


async def test_every_page_is_shown_whole_by_every_platform(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    for text in ("/watch", "/watch BTC", "/adjust BTC", "/watching", "/settings", "/start"):
        page = await asker.commands.handle(asker.request(text, pressed=True))
        assert len(page.buttons) <= 5
        assert all(1 <= len(row) <= 5 for row in page.buttons)
        assert all(1 <= len(menu.choices) <= 25 for menu in page.menus)
        assert all(len(button.command.encode()) <= 64 for button in buttons(page).values())
        assert shown_on_discord(page) == shown_on_telegram(page) == [one.command for one in buttons(page).values()]
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def shown_on_discord(page: Message) -> list[str]:
    parts = [part for row in (view_of(page) or View()).to_components() for part in row["components"]]
    buttons = [part["custom_id"].partition("|")[2] for part in parts if "options" not in part]
    return [*buttons, *(option["value"] for part in parts for option in part.get("options", ()))]


def shown_on_telegram(page: Message) -> list[str]:
    markup = keyboard(page)
    assert markup is not None
    return [str(one.callback_data) for row in markup.inline_keyboard for one in row if one.callback_data != HEADING]


async def test_everything_that_is_told_of_a_market_can_be_changed_on_both_platforms(asker: Asker) -> None:
    page = await asker.commands.handle(asker.request("/watch BTC", pressed=True))
    labels = [menu.label for menu in page.menus]
    assert labels == ["Kinds", "Distance", "Least size", "Build"]
    view = view_of(page)
    assert view is not None
    assert [getattr(one, "placeholder", None) for one in view.children[2:]] == labels
    markup = keyboard(page)
    assert markup is not None
    headings = [row[0].text for row in markup.inline_keyboard if row[0].callback_data == HEADING]
    assert headings == [f"— {label} —" for label in labels]


async def test_more_subscriptions_than_one_menu_holds_are_all_offered_to_change() -> None:
    watches = tuple(Watch(CHAT, Subscription(f"M{number}")) for number in range(50))
    page = Message("Watched here", buttons=((Button("Add", "/watch"),),), menus=change_menu(watches))
    offered = [f"/adjust M{number}" for number in range(50)]
    assert shown_on_discord(page) == shown_on_telegram(page) == ["/watch", *offered]


def test_a_set_holds_for_the_markets_that_are_large_enough_and_the_nearest_subscription_wins() -> None:
    own, ten, three, every = (Subscription(name) for name in ("BTC", "top10", "top3", "*"))
    assert subscription_for("BTC", [every, ten, own], 1) == own
    assert subscription_for("ETH", [every, ten, three], 2) == three
    assert subscription_for("ETH", [every, ten, three], 4) == ten
    assert subscription_for("ETH", [every, ten], 11) == every
    assert subscription_for("ETH", [ten], 11) is None
    assert subscription_for("ETH", [ten], None) is None


def test_the_view_of_one_venue_is_watched_by_its_own_name_only() -> None:
    own, merged, ten, every = (Subscription(name) for name in ("BTC@okx", "BTC", "top10", "*"))
    assert subscription_for("BTC@okx", [every, ten, merged, own], 1) == own
    assert subscription_for("BTC@okx", [every, ten, merged], 1) is None
    assert subscription_for("BTC", [own, every]) == every
    assert subscription_for("BTC", [own]) is None


async def test_top_ten_is_a_set_and_a_venue_is_watched_where_it_is_there(asker: Asker) -> None:
    assert (await asker.says("/watch top 10 min $5M")).title == "Watching top10."
    assert (await asker.says("/watch BTC on simulated")).title == "Watching BTC."
    assert "only on simulated" in (await asker.says("/watch BTC on mars")).title
    assert "belongs to one market" in (await asker.says("/watch all on okx")).title
    assert (await asker.says("/unwatch top10")).title.startswith("top10 has no settings of its own")


async def test_why_tells_the_reason_and_the_evidence_of_an_alert_of_this_chat(asker: Asker) -> None:
    alert = (await asker.commands._house.store.recent(1, chat=CHAT))[0]
    handle = handle_of(alert.alert_id)
    assert from_event(alert.event, alert.reason).footer[-1].endswith(handle)
    text = as_text(await asker.says(f"/why {handle}"))
    assert alert.newest.headline in text
    assert handle in text
    assert all(len(line) < 120 for line in text.splitlines())
    assert "(estimated)" in text
    assert await asker.says("/why") == await asker.says(f"/why {handle.upper()[1:]}")
    stranger = Asker(asker.commands, Chat("telegram", "9"))
    assert "no such alert" in (await stranger.says(f"/why {handle}")).title
    assert "names no alert" in (await asker.says("/why <b>")).title


async def test_the_buttons_of_an_alert_do_what_they_say(asker: Asker) -> None:
    alert = (await asker.commands._house.store.recent(1, chat=CHAT))[0]
    shown = buttons(from_event(alert.event, alert.reason))
    larger = await asker.presses(shown["Chart larger"])
    assert larger.chart_as_file
    assert isinstance(larger.chart, Path)
    assert larger.chart.read_bytes().startswith(b"\x89PNG")
    assert (await asker.presses(shown["Why this alert"])).title.startswith("Why:")
    assert (await asker.presses(shown["Mute BTC 24 h"])).title.startswith("BTC muted until")
    await asker.says("/watch BTC")
    await asker.presses(shown["Unwatch"])
    assert [one.subscription.market for one in await asker.commands._house.store.subscriptions(CHAT)] == ["*"]


async def test_a_market_that_has_ended_is_known_by_its_alerts(asker: Asker) -> None:
    before = [await asker.says(text) for text in ("/recent BTC 3", "/why", "/scorecard BTC")]
    alert = (await asker.commands._house.store.recent(1, chat=CHAT))[0]
    shown = buttons(from_event(alert.event, alert.reason))
    await asker.says("/watch BTC")
    await asker.commands._house.watcher.remove("BTC")
    assert "No market called" in (await asker.says("/map BTC")).title
    assert await asker.says("/recent $btcusdt 3") == before[0], "its alerts, and that they are simulated"
    assert (await asker.says("/why")).lines == before[1].lines
    assert (await asker.says("/scorecard btc")).title == before[2].title
    assert (await asker.presses(shown["Chart larger"])).chart_as_file
    assert (await asker.presses(shown["Mute BTC 24 h"])).title.startswith("BTC muted until")
    assert (await asker.says("/unmute BTC")).title == "BTC is told again."
    assert (await asker.says("/adjust BTC within 1%")).lines[1] == "Approaches within 1%"
    await asker.presses(shown["Unwatch"])
    assert [one.subscription.market for one in await asker.commands._house.store.subscriptions(CHAT)] == ["*"]
    await asker.says("/unwatch all")
    assert (await asker.presses(shown["Unwatch"])).title == "BTC was not watched here."
    assert "No market called" in (await asker.says("/recent XYZ")).title


async def test_a_test_alert_looks_like_one_has_a_chart_and_says_that_nothing_happened(asker: Asker) -> None:
    before = await asker.commands._house.store.counts()
    message = await asker.says("/test btc")
    assert message.title.startswith("TEST ")
    assert message.footer[0].startswith("A test: nothing has happened")
    assert SIMULATED in message.footer
    assert isinstance(message.chart, Path)
    assert message.chart.exists()
    assert await asker.commands._house.store.counts() == before
