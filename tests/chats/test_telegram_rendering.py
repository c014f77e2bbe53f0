"""Whatever a message says, Telegram can read it, it is never too long, and its footer is never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.message import (
    NOT_ADVICE,
    POSSIBLE_REPEAT,
    SIMULATED,
    Button,
    Menu,
    Message,
    Table,
    from_event,
    grouped,
    is_label,
)
from bot.platforms.telegram.keyboard import keyboard
from bot.platforms.telegram.rendering import caption_of, text_of
from tests.chats import telegram_text as telegram
from tests.storage.make import event

ANY_TEXT = st.text(max_size=300) | st.sampled_from(
    ["<b>", "</b>", "a & b", "&lt;", "🟢" * 90, "<a href='x'>", "\u202eabc"]
)
LINES = st.lists(ANY_TEXT, max_size=30).map(tuple)
TABLES = st.none() | st.integers(1, 4).flatmap(
    lambda n: st.builds(
        Table,
        st.tuples(*[st.text(max_size=12)] * n),
        st.lists(st.tuples(*[st.text(max_size=40)] * n), max_size=40).map(tuple),
    )
)
MESSAGES = st.builds(
    Message, title=st.text(min_size=1, max_size=2000).map("BTC ".__add__), lines=LINES, footer=LINES, table=TABLES
)


@given(MESSAGES)
def test_telegram_takes_every_message_as_a_text_and_as_a_caption(message: Message) -> None:
    telegram.parse_message(text_of(message), "HTML")
    telegram.parse_caption(caption_of(message), "HTML")


@given(st.text(max_size=200))
def test_a_reader_sees_what_was_meant_not_markup(words: str) -> None:
    parsed = telegram.parse_message(text_of(Message("Title", (f"[{words}]",))), "HTML")
    line = parsed.text.split("\n", 1)[1]
    visible = [char for char in words if char.isalnum() or char in "<>&\"'"]
    assert [char for char in line if char.isalnum() or char in "<>&\"'"] == visible
    assert [one["type"] for one in parsed.entities] == ["bold"]


def test_nobody_is_called_by_what_somebody_else_typed() -> None:
    assert "@everyone" not in text_of(Message("There is no market @everyone", ("ask @durov",)))


def test_what_is_too_long_for_a_caption_loses_lines_from_the_end_and_keeps_title_and_footer() -> None:
    lines = tuple(f"line {n} " + "🟢" * 20 for n in range(60))
    message = Message("A cluster formed", lines, ("≈ estimated", "Not financial advice."))
    shown = telegram.parse_caption(caption_of(message), "HTML").text.split("\n")
    assert shown[0] == "A cluster formed"
    assert shown[-2:] == ["≈ estimated", "Not financial advice."]
    assert shown[1:-4] == list(lines[: len(shown) - 5])
    assert shown[-4] == "…"
    assert telegram.utf16_length("\n".join(shown)) > telegram.CAPTION_LIMIT - 60, "as much as fits"
    assert text_of(message).count("line") == 60


def test_a_table_that_is_too_long_fills_the_room_and_says_how_many_rows_are_left_out() -> None:
    table = Table(("market", "size"), tuple((f"M{n}", "x" * 200) for n in range(9)))
    caption = caption_of(Message("Markets", ("Two lines", "of text"), ("Footer",), table))
    assert "of text" in caption
    assert [f"M{n}" in caption for n in range(9)] == [True] * 4 + [False] * 5
    assert "\n… and 5 more\n" in caption


def test_rows_come_before_prose_and_lose_their_columns_names_before_any_row_goes() -> None:
    columns = ("alert", "n", "came", "at least", "by chance", "lift", "verdict")
    cells = ("40 (+3 unjudged)", "75 %", "62 %", "25 %", "x3.00", "")
    table = Table(columns, tuple((f"kind {n} within 2 %", *cells) for n in range(8)))
    shown = caption_of(Message("Scorecard", ("What it is. " * 9, *("prose " * 40,) * 4), ("≈ estimated",), table))
    assert "<b>alert</b> — n · came · at least · by chance · lift · verdict" in shown
    assert [f"<b>kind {n} within 2 %</b> — 40 (+3 unjudged) · 75 %" in shown for n in range(8)] == [True] * 8
    assert "x3.00 · –" in shown
    assert "What it is." in shown
    assert "\n…\n" in shown


def test_the_rows_that_matter_most_stay_in_their_own_order() -> None:
    rows = tuple((f"L{n}", "y" * 150) for n in range(9))
    shown = caption_of(Message("Map", table=Table(("level", "what"), rows, (4, 5, 3, 6, 2, 7, 1, 8, 0))))
    assert [n for n in range(9) if f"L{n}" in shown] == [2, 3, 4, 5, 6, 7]
    assert shown.index("L3") < shown.index("L4") < shown.index("L5")


def test_the_labels_of_alerts_and_of_groups_are_known_as_such() -> None:
    alert = from_event(event(), "first", possible_repeat=True)
    group = grouped([alert])
    assert [is_label(line) for line in group.footer] == [True] * len(group.footer)
    named = [line for line in alert.footer if is_label(line)]
    assert named == [POSSIBLE_REPEAT, *alert.footer[2:4]]
    observed = from_event(event(level=None, notional_usd=None, facts=()), "first")
    assert is_label(observed.footer[1]), observed.footer


@pytest.mark.parametrize("before", [0, 3])
def test_labels_stay_whatever_else_the_footer_says(before: int) -> None:
    long = tuple(f"{n} " + "weights " * 40 for n in range(3))
    labels = (POSSIBLE_REPEAT, SIMULATED, "≈ estimated · others observed or calculated", NOT_ADVICE)
    footer = (*long[:before], *labels, *long[before:])
    for shown in (caption_of(Message("BTC", footer=footer)), text_of(Message("BTC", footer=footer * 5))):
        assert all(f"<i>{label}</i>" in shown for label in labels)
    assert "<i>0 weights" in caption_of(Message("BTC", footer=footer))


def test_a_narrow_table_stands_in_columns_and_a_wide_one_in_lines() -> None:
    narrow = text_of(Message("T", table=Table(("side", "USD"), (("long", "$4M"), ("short", "$12M")))))
    assert "<code>side   USD</code>\n<code>long   $4M</code>\n<code>short  $12M</code>" in narrow
    wide = text_of(Message("T", table=Table(("command", "says"), (("/watch", "alerts on a market " * 3),))))
    assert "<b>/watch</b> — alerts on a market" in wide


def test_buttons_keep_their_rows_and_menus_become_rows_of_buttons() -> None:
    choices = tuple(Button(f"Market {n}", f"/watch M{n}") for n in range(7))
    message = Message(
        "x",
        buttons=((Button("Mute", "/mute 2h"), Button("Why", "/why #1")),),
        menus=(Menu("Markets", choices), Menu("Distance", (Button("2%", "/set 2"),))),
    )
    markup = keyboard(message)
    assert markup is not None
    labels = [[button.text for button in row] for row in markup.inline_keyboard]
    assert labels[0] == ["Mute", "Why"]
    assert labels[1] == ["— Markets —"]
    assert labels[2] == ["Market 0", "Market 1", "Market 2"]
    assert labels[-1] == ["2%"]
    assert keyboard(Message("x")) is None


@given(
    st.lists(st.lists(st.builds(Button, st.text(max_size=60), st.text(max_size=80)), max_size=5).map(tuple), max_size=5)
)
def test_telegram_takes_every_keyboard_and_a_button_that_cannot_be_is_left_out(rows: list[tuple[Button, ...]]) -> None:
    menu = Menu("All", tuple(button for row in rows for button in row))
    markup = keyboard(Message("x", buttons=tuple(rows), menus=(menu,)))
    if markup is not None:
        telegram.check_keyboard(markup.to_dict())
