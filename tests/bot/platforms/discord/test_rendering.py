"""Whatever a message holds, what Discord gets is within its limits and shows every character as it is."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.message import NOT_ADVICE, SIMULATED, Button, Menu, Message, Table
from bot.platforms.discord.rendering import command_of, escaped, render, view_of
from tests.chats.discord_server.bodies import check_message
from tests.chats.discord_server.world import Json

TEXT = st.text(max_size=700)
ROW = st.tuples(TEXT, TEXT)
MESSAGES = st.builds(
    Message,
    title=TEXT,
    lines=st.lists(st.text(max_size=3000), max_size=12).map(tuple),
    footer=st.lists(TEXT, max_size=8).map(tuple),
    table=st.none() | st.builds(Table, ROW, st.lists(ROW, max_size=30).map(tuple)),
)


def body_of(message: Message, *, lead: bool, may_embed: bool = True) -> tuple[Json, dict[str, bytes]]:
    async def rendered() -> tuple[Json, dict[str, bytes]]:
        done = await render(message, lead=lead, may_embed=may_embed)
        view = view_of(message)
        body: Json = {"content": done.content, "components": view.to_components() if view else []}
        if done.embed is not None:
            body["embeds"] = [done.embed.to_dict()]
        return body, {"chart.png": done.picture} if done.picture else {}

    return asyncio.run(rendered())


@settings(max_examples=60, deadline=None)
@given(MESSAGES, st.booleans(), st.booleans())
def test_any_message_is_one_that_discord_takes(message: Message, lead: bool, may_embed: bool) -> None:
    check_message(*body_of(message, lead=lead, may_embed=may_embed))


def test_what_does_not_fit_is_cut_at_a_line_and_said() -> None:
    message = Message("title", tuple(f"line {number} {'x' * 90}" for number in range(100)))
    body, _ = body_of(message, lead=True)
    text = body["embeds"][0]["description"]
    assert text.startswith("line 0")
    shown = text.count("\n")
    assert text.endswith(f"… and {100 - shown} more lines")


def test_a_table_stands_in_columns() -> None:
    table = Table(("side", "size"), (("long", "$1M"), ("short", "$20M")))
    body, _ = body_of(Message("t", ("a",), table=table), lead=False)
    assert body["embeds"][0]["description"] == "a\n```\nside   size\nlong   $1M\nshort  $20M\n```"


def test_labels_stay_where_the_bot_may_not_embed_and_the_rest_is_long() -> None:
    labels = (SIMULATED, "≈ estimated · others observed", NOT_ADVICE)
    footer = (*("weights *of* leverage " * 30 for _ in range(4)), *labels)
    table = Table(("a", "b"), tuple(("row", "x" * 60) for _ in range(40)))
    message = Message("t", ("y" * 900,), footer, table)
    body, _ = body_of(message, lead=True, may_embed=False)
    assert all(label in body["content"] for label in labels)
    whole, _ = body_of(Message("t", footer=footer * 2), lead=True)
    assert all(label in whole["embeds"][0]["footer"]["text"] for label in labels)


def test_of_a_table_that_is_too_long_the_rows_that_matter_most_stay_in_their_own_order() -> None:
    rows = tuple((f"L{number}", "x" * 60) for number in range(100))
    order = tuple(sorted(range(100), key=lambda number: abs(number - 50)))
    body, _ = body_of(Message("t", table=Table(("level", "what"), rows, order)), lead=False)
    text = body["embeds"][0]["description"]
    shown = [number for number in range(100) if f"L{number} " in text]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert 50 in shown
    assert shown[0] > 0
    assert shown[-1] < 99
    assert f"… and {100 - len(shown)} more rows" in text


def test_a_table_has_all_the_room_that_the_lines_leave_it() -> None:
    table = Table(("command", "what"), tuple((f"/command{number:02d}", "x" * 60) for number in range(45)))
    body, _ = body_of(Message("t", ("a",), table=table), lead=False)
    assert "/command44" in body["embeds"][0]["description"]
    assert "more lines" not in body["embeds"][0]["description"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* _it_ `code` ||spoiler||", r"\*bold\* \_it\_ \`code\` \|\|spoiler\|\|"),
        ("~$42M", "~$42M"),
        ("~~struck~~", r"\~\~struck\~\~"),
        ("<@123> <#1> <:x:1> <t:1>", "<\u200b@123> <\u200b#1> <\u200b:x:1> <\u200bt:1>"),
        ("a\x00b\u202ec", "abc"),
        ("2 < 3", "2 < 3"),
    ],
)
def test_markdown_mentions_and_control_characters_mean_nothing(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_components_carry_their_commands_and_two_alike_stay_apart() -> None:
    row = (Button("A", "/mute 2h BTC"), Button("B", "/mute 2h BTC"))
    menu = Menu("Market", tuple(Button(f"M{number}", f"/map M{number}") for number in range(30)))
    body, files = body_of(Message("t", buttons=(row, row), menus=(menu,)), lead=True)
    check_message(body, files)
    parts = [part for each in body["components"] for part in each["components"]]
    assert [command_of(part["custom_id"], ()) for part in parts[:4]] == ["/mute 2h BTC"] * 4
    assert len(parts[4]["options"]) == 25
    assert command_of(parts[4]["custom_id"], [parts[4]["options"][3]["value"]]) == "/map M3"


def test_components_of_others_carry_nothing() -> None:
    assert command_of("some other", ()) is None
    assert command_of("menu:0", ()) is None
    assert command_of("do:0.0|", ()) is None


def test_a_command_of_64_bytes_fits_every_button() -> None:
    message = Message("t", buttons=tuple(tuple(Button("x", "c" * 64) for _ in range(5)) for _ in range(5)))
    body, files = body_of(message, lead=True)
    check_message(body, files)
    assert sum(len(row["components"]) for row in body["components"]) == 25


def test_a_button_that_cannot_be_shown_costs_no_alert_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    good, long, blank = Button("Mute", "/mute 2h"), Button("x", "c" * 101), Button(" ", "/why")
    rows = ((good, long), (blank,), *((good,),) * 4)
    body, files = body_of(Message("t", buttons=rows, menus=(Menu("None", ()), Menu("More", (good,)))), lead=True)
    check_message(body, files)
    shown = [part["custom_id"] for row in body["components"] for part in row["components"]]
    assert [command_of(one, ["/mute 2h"]) for one in shown] == ["/mute 2h"] * 5
    assert len([one for one in caplog.records if "can be shown" in one.message]) == 2
    assert "0 rows of buttons and 1 menus have no room under 't'" in caplog.text
    assert view_of(Message("t", buttons=((blank,),))) is None


def test_a_title_alone_has_no_empty_embed() -> None:
    body, _ = body_of(Message("t"), lead=True)
    assert body == {"content": "t", "components": []}
