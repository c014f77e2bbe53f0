"""Commands: what is understood, what is answered, and what hostile input can do (nothing)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import asking
from bot.asking import NotUnderstood
from bot.chart.layout import join_bars, price_view
from bot.charting import ChartFolder
from bot.commands import SPECS, Commands
from bot.message import SIMULATED, Message, as_text, handle_of
from bot.platforms.seam import ALLOWED, Place, Request, Verdict
from bot.replies import heaviest, map_event
from detectors import figures
from detectors.market import Market, Side
from detectors.registry import find_kinds
from detectors.view import SHOWN_REACH
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.errors import StoreUnavailable
from storage.outbox import Dead, Sent
from storage.sqlite import SqliteStore
from tests.bot.asking_by import FEED
from tests.bot.played import CHAT, market, standing, watcher
from tests.storage.make import alert, event, tick

KINDS = find_kinds()
DEFAULT = Subscription(EVERY_MARKET)
MARKETS = (market(), Market("ETH", "ETH/USDT:USDT", ("simulated",), ("simulated",)))


class Closed(SqliteStore):
    async def watch(self, chat: Chat, subscription: Subscription) -> None:
        raise StoreUnavailable("the disk is full")


async def made(store: SqliteStore, charts: ChartFolder | None = None, bars: int = 600) -> Commands:
    return Commands(store, FEED, await standing(store, bars), KINDS, defaults=DEFAULT, charts=charts)


@pytest.fixture
async def commands() -> AsyncIterator[Commands]:
    store = SqliteStore(None, "simulated", max_subscriptions=3)
    yield await made(store)
    await store.close()


def asks(chat: Chat, text: str, verdict: Verdict = ALLOWED) -> Request:
    async def may_change() -> Verdict:
        return verdict

    return Request(chat, text, Place.PRIVATE, may_change)


def asked(text: str, default: Subscription = DEFAULT) -> Subscription:
    return asking.subscription(asking.command(text, ["watch"]).words, MARKETS, KINDS, default)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/watch BTC", Subscription("BTC")),
        ("watch btcusdt", Subscription("BTC")),
        ("/watch@ClusterwatchBot BTC/USDT:USDT", Subscription("BTC")),
        ("/watch all", Subscription(EVERY_MARKET)),
        ("/watch BTC formed, funding", Subscription("BTC", frozenset({"cluster_formed", "funding_shock"}))),
        ("/watch BTC formed,funding", Subscription("BTC", frozenset({"cluster_formed", "funding_shock"}))),
        ("/watch eth within 3% min $5M slow", Subscription("ETH", None, 3.0, 5e6, "slow")),
        ("/watch eth within 3%, min $5M, slow", Subscription("ETH", None, 3.0, 5e6, "slow")),
        ("/watch BTC min 950k WITHIN 0.5 %", Subscription("BTC", None, 0.5, 950_000.0)),
        ("/watch BTC min 2,500,000", Subscription("BTC", None, 2.0, 2_500_000.0)),
        ("/watch BTC cluster_approached", Subscription("BTC", frozenset({"cluster_approached"}))),
    ],
)
def test_watch_understands_kinds_distance_size_and_build_in_any_order(text: str, wanted: Subscription) -> None:
    assert asked(text) == wanted


def test_what_watch_does_not_say_is_as_the_config_says() -> None:
    assert asked("/watch BTC", Subscription("*", None, 1.0, 7e6)) == Subscription("BTC", None, 1.0, 7e6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/wach BTC", 'There is no command "/wach". Did you mean /watch?'),
        ("/watch", "Which market?"),
        ("/watch BTX", 'No market called "BTX" here. Did you mean BTC?'),
        ("/watch BTC aproached", '"aproached" means nothing here. Did you mean approached?'),
        ("/watch BTC withn 3%", '"withn" means nothing here. Did you mean within?'),
        ("/watch BTC cluster", '"cluster" could be cluster_approached or cluster_consumed'),
        ("/watch BTC within", "is not a distance in per cent"),
        ("/watch BTC within 200%", "is not a distance in per cent"),
        ("/watch BTC within 0.1%", "Approaches are told at 0.5% at the nearest."),
        ("/watch BTC min lots", '"lots" is not an amount.'),
        ("/watch BTC min 1e400", '"1e400" is not an amount.'),
    ],
)
def test_what_is_not_understood_names_the_nearest_word(text: str, says: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        asked(text)
    assert says in str(caught.value)


async def test_watch_answers_with_what_the_store_now_holds_and_can_be_repeated(commands: Commands) -> None:
    chat = Chat("console", "watch")
    first = await commands.handle(asks(chat, "/watch btc formed within 1% min $5M fast"))
    assert await commands.handle(asks(chat, "/watch btc formed within 1% min $5M fast")) == first
    assert first.title == "Watching BTC."
    assert first.table is not None
    assert first.table.rows == (("BTC", "cluster formed", "1%", "$5M", "fast"),)
    assert (await commands.handle(asks(chat, "/watching"))).table == first.table


async def test_unwatch_removes_one_or_all_and_says_what_still_holds(commands: Commands) -> None:
    chat = Chat("console", "unwatch")
    await commands.handle(asks(chat, "/watch all"))
    await commands.handle(asks(chat, "/watch BTC"))
    assert "All markets are still watched" in as_text(await commands.handle(asks(chat, "/unwatch BTC")))
    await commands.handle(asks(chat, "/watch BTC"))
    answer = await commands.handle(asks(chat, "/unwatch all"))
    assert (answer.title, answer.lines) == ("Nothing is watched here now.", ("Watched until now: BTC, all.",))
    assert (await commands.handle(asks(chat, "/unwatch BTC"))).title == "BTC was not watched here."
    assert (await commands.handle(asks(chat, "/watching"))).title == "Nothing is watched here."


async def test_unwatch_of_a_market_that_a_set_has_in_it_says_so_and_what_to_type(commands: Commands) -> None:
    chat = Chat("console", "sets")
    await commands.handle(asks(chat, "/watch top10"))
    still = "/mute BTC for a while, or /unwatch top10, then /watch those you want."
    for _ in range(2):
        answer = await commands.handle(asks(chat, "/unwatch BTC"))
        assert answer.title == "BTC has no settings of its own now."
        assert answer.lines == (f"top10 is still watched, and so this one: {still}",)
        await commands.handle(asks(chat, "/watch BTC"))
    await commands.handle(asks(chat, "/unwatch BTC"))
    assert (await commands.handle(asks(chat, "/unwatch top 10"))).title == "No more of top10."
    assert (await commands.handle(asks(chat, "/unwatch BTC"))).title == "BTC was not watched here."
    await commands.handle(asks(chat, "/watch top10"))
    await commands.handle(asks(chat, "/watch top20"))
    answer = await commands.handle(asks(chat, "/unwatch top10"))
    assert answer.lines == ("top20 is still watched, and so this one: /unwatch top20, then /watch those you want.",)


async def test_the_map_shows_shorts_above_and_longs_below_with_a_chart(tmp_path: Path) -> None:
    store, charts = SqliteStore(None, "simulated"), ChartFolder(tmp_path)
    commands = await made(store, charts)
    answer = await commands.handle(asks(CHAT, "/map btc"))
    await charts.close()
    await store.close()
    assert answer.table is not None
    for side, _, where, size, _ in answer.table.rows:
        assert where.endswith("above" if side == "short" else "below")
        assert size.startswith("≈$")
    assert SIMULATED in answer.footer
    assert isinstance(answer.chart, Path)
    assert answer.chart.read_bytes().startswith(b"\x89PNG")


async def test_a_folder_that_takes_no_chart_is_one_sentence_however_many_charts_it_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, commands: Commands
) -> None:
    (tmp_path / "file").touch()
    charts = ChartFolder(tmp_path / "file" / "charts")
    view = commands._house.watcher.engines["BTC"].view()
    assert view is not None
    for at_ms in (view.taken_at_ms, view.taken_at_ms + 1):
        assert await charts.save(replace(map_event(view), taken_at_ms=at_ms)) is None
    await charts.close()
    assert charts.failed == 2
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage() == f"no charts: nothing can be written to {charts.folder} (Not a directory)"


async def test_the_picture_of_the_map_shows_every_level_that_its_table_lists(commands: Commands) -> None:
    view = commands._house.watcher.engines["BTC"].view()
    assert view is not None
    levels = [level for side in Side for level, _ in heaviest(view, side)]
    assert max(abs(level / view.price - 1) for level in levels) > SHOWN_REACH, "some lie beyond an alert's picture"
    event = map_event(view)
    assert event.evidence is not None
    low, high = price_view(event, event.evidence, join_bars(event.evidence, 700))
    assert all(low < level < high for level in levels)
    assert event.evidence.edges[0] < min(levels)
    assert event.evidence.edges[-1] > max(levels)


async def test_a_second_market_in_one_line_is_told_apart_from_a_word_that_means_nothing(commands: Commands) -> None:
    answer = await commands.handle(asks(CHAT, "/watch BTC btcusdt"))
    assert (answer.title, answer.lines) == ("One market at a time.", ("Like this: /watch BTC",))
    assert "means nothing" in (await commands.handle(asks(CHAT, "/watch BTC blah"))).title


async def test_a_distance_is_one_of_those_at_which_approaches_are_told(commands: Commands) -> None:
    chat = Chat("console", "distances")
    assert "5% at the farthest" in (await commands.handle(asks(chat, "/watch BTC within 99%"))).title
    answer = await commands.handle(asks(chat, "/watch BTC within 1.7%"))
    assert answer.table is not None
    assert answer.table.rows[0][2] == "1%"


async def test_clusters_are_listed_nearest_first(commands: Commands) -> None:
    answer = await commands.handle(asks(CHAT, "/clusters BTC"))
    view = commands._house.watcher.engines["BTC"].view()
    assert answer.table is not None
    assert view is not None
    assert len(answer.table.rows) == len(view.clusters) > 0
    assert "None" not in as_text(answer)


async def test_recent_tells_the_last_alerts_newest_first(commands: Commands) -> None:
    answer = await commands.handle(asks(CHAT, "/recent BTC 3"))
    stored = await commands._house.store.recent(3)
    assert answer.table is not None
    assert [row[1] for row in answer.table.rows] == [one.event.headline for one in stored]
    assert len(stored) == 3
    assert (await commands.handle(asks(Chat("console", "new"), "/recent"))).title == "No alert yet."


async def test_recent_goes_back_page_by_page_to_the_first_alert_and_forth_again(commands: Commands) -> None:
    stored = [handle_of(one.alert_id) for one in await commands._house.store.recent(1000, chat=CHAT)]
    seen, answer = [], await commands.handle(asks(CHAT, "/recent 2"))
    while True:
        assert answer.table is not None
        seen += [row[-1] for row in answer.table.rows]
        labels = {button.label: button.command for row in answer.buttons for button in row}
        if "Older" not in labels:
            break
        answer = await commands.handle(asks(CHAT, labels["Older"]))
    assert seen == stored
    assert len(stored) == 5
    assert answer.title == "Recent alerts, 5 to 5"
    assert labels["Newer"] == "/recent 2 from 3"
    assert (await commands.handle(asks(CHAT, "/recent from 1000"))).title == "No alert is so old."
    assert "From which one?" in (await commands.handle(asks(CHAT, "/recent from yesterday"))).title


async def test_funding_says_who_pays(commands: Commands) -> None:
    answer = await commands.handle(asks(CHAT, "/funding"))
    assert answer.table is not None
    assert answer.table.rows[0][0] == "BTC"
    assert answer.table.rows[0][3] in {"longs pay", "shorts pay"}


async def test_status_tells_source_age_queue_silences_and_refusals(commands: Commands) -> None:
    text = as_text(await commands.handle(asks(CHAT, "/status")))
    for part in ("SIMULATED", "Deliveries:", "Last alert: 2026-", "Silences:", "Input refused: none", "Gaps", "BTC"):
        assert part in text


async def test_status_says_what_became_of_the_deliveries_and_since_when_something_is_owed(commands: Commands) -> None:
    store = commands._house.store
    await store.commit_tick(tick(0, *(alert(event(subject=f"s{n}"), Chat("console", f"{n}")) for n in range(3))))
    sent, dead = await store.claim(0, 2)
    await store.settle(sent.deliveries, Sent("m"))
    await store.settle(dead.deliveries, Dead("refused"))
    before = dict((await store.counts()).deliveries)
    assert (before["dead"], before["sent"] >= 1, before["pending"] >= 1) == (1, True, True)
    text = as_text(await commands.handle(asks(CHAT, "/status")))
    for state in ("sent", "dead", "pending"):
        assert f"{before[state]} {state}" in text
    assert f"Oldest pending: {figures.moment(event().taken_at_ms)}" in text


async def test_status_tells_paths_and_other_chats_to_the_operator_alone() -> None:
    operator, stranger, store = Chat("telegram", "1"), Chat("telegram", "2"), SqliteStore(None, "simulated")
    commands = Commands(
        store,
        FEED,
        await standing(store, 600),
        KINDS,
        defaults=DEFAULT,
        faults=lambda: ["Fits that failed: 1"],
        private_faults=lambda: ["/var/lib/bot.db was restored"],
        operators=[operator],
    )
    await store.watch(gone := Chat("telegram", "-5"), DEFAULT)
    await store.park(gone, "forbidden: the chat is -100777 now")
    for chat, private in ((CHAT, True), (operator, True), (stranger, False)):
        text = as_text(await commands.handle(asks(chat, "/status")))
        assert "Fits that failed: 1" in text
        assert "Chats that cannot be reached: 1" in text
        assert ("/var/lib/bot.db" in text) is private
        assert ("-100777" in text) is private
    await store.close()


async def test_help_lists_every_command_and_kind(commands: Commands) -> None:
    text = as_text(await commands.handle(asks(Chat("telegram", "1"), "/help")))
    assert all(spec.usage in text for spec in SPECS)
    assert all(name in text for name in KINDS)
    assert "/in " not in as_text(await commands.handle(asks(CHAT, "/help"))), "from the terminal nothing is elsewhere"


async def test_a_chat_cannot_pass_its_quota(commands: Commands) -> None:
    chat = Chat("console", "quota")
    for base in ("A", "B", "C"):
        await commands._house.store.watch(chat, Subscription(base))
    assert "3 markets at most" in (await commands.handle(asks(chat, "/watch BTC"))).title


async def test_what_the_store_did_not_take_is_said_to_be_not_accepted() -> None:
    store = Closed(None, "simulated")
    await store.open()
    commands = Commands(store, FEED, watcher(store), KINDS, defaults=DEFAULT)
    await commands._house.watcher.start([market()])
    assert "Not accepted" in (await commands.handle(asks(CHAT, "/watch BTC"))).title
    assert "Nothing is known of BTC yet" in (await commands.handle(asks(CHAT, "/map BTC"))).title
    await store.close()


words = st.sampled_from(
    ["/watch", "/map", "/recent", "/unwatch", "BTC", "within", "min", "all", "'; DROP TABLE", "<b>"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(words | st.text(max_size=8), max_size=6))
async def test_whatever_is_typed_there_is_a_short_answer_without_markup_of_the_users(parts: list[str]) -> None:
    store = SqliteStore(None, "simulated", max_subscriptions=3)
    await store.open()
    commands = Commands(store, FEED, watcher(store), KINDS, defaults=DEFAULT)
    await commands._house.watcher.start([market()])
    answer = await commands.handle(asks(CHAT, " ".join(parts)))
    assert isinstance(answer, Message)
    assert len(answer.title) < 200
    assert "<" not in answer.title
    assert "@" not in answer.title
    assert answer.title.isprintable()
    assert len(await store.subscriptions()) <= 1
    await store.close()


async def test_ten_thousand_characters_are_refused(commands: Commands) -> None:
    assert "too long" in (await commands.handle(asks(CHAT, "/watch " + "B" * 10_000))).title
