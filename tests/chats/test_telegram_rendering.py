"""Whatever a message says, Telegram can read it, it is never too long, and its footer is never lost."""

from hypothesis import given
from hypothesis import strategies as st

from bot.message import Button, Menu, Message, Table
from bot.platforms.telegram.keyboard import keyboard
from bot.platforms.telegram.rendering import caption_of, text_of
from tests.chats import telegram_text as telegram

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


def test_the_table_goes_first_where_not_all_fits() -> None:
    table = Table(("market", "size"), tuple((f"M{n}", "x" * 200) for n in range(9)))
    caption = caption_of(Message("Markets", ("Two lines", "of text"), ("Footer",), table))
    assert "of text" in caption
    assert "M1" not in caption


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
