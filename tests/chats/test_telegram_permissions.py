"""P15 on Telegram: who may change what a chat gets. The whole matrix, by the real library."""

from collections.abc import AsyncIterator

import pytest

from bot.errors import Retry
from bot.message import Button, Message
from bot.platforms.seam import Request, Verdict
from bot.platforms.telegram.address import called
from tests.chats.telegram_rig import Rig, running

MUTE = Message("Alert", buttons=((Button("Mute", "/mute 2h"),),))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as rig:
        yield rig


@pytest.mark.parametrize("kind", ["group", "supergroup"])
@pytest.mark.parametrize(
    ("status", "allowed"),
    [("creator", True), ("administrator", True), ("member", False), ("restricted", False), ("left", False)],
)
async def test_in_a_group_its_admins_alone_may_typed_or_pressed(
    rig: Rig, kind: str, status: str, allowed: bool
) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    group = getattr(world, kind)("Friends", ann, bot="member")
    world.set_status(group, bob, status)
    world.say(group, bob, "/watch BTC")
    assert (await rig.verdict()).allowed is allowed
    sent = await rig.platform.send(str(group), MUTE, nonce="n")
    world.press(group, bob, int(sent), "Mute")
    assert (await rig.verdict()).allowed is allowed


async def test_in_a_private_chat_whoever_is_there_may(rig: Rig) -> None:
    ann = rig.server.world.started("Ann")
    rig.server.world.say(ann, ann, "/watch BTC")
    assert (await rig.verdict()).allowed
    assert rig.server.api.calls["getchatmember"] == 0


async def test_an_anonymous_admin_may(rig: Rig) -> None:
    world = rig.server.world
    group = world.supergroup("Friends", world.started("Ann"), bot="member")
    world.say_anonymously(group, "/watch BTC")
    assert (await rig.verdict()).allowed


async def test_admins_who_write_in_the_name_of_a_chat_are_not_all_one_user(rig: Rig) -> None:
    """Telegram gives them all the same stand-in as author; a quota would be one for the whole of Telegram."""
    world = rig.server.world
    ann = world.started("Ann")
    news = world.channel("News", ann)
    groups = [world.supergroup(name, ann, bot="member") for name in ("Friends", "Others")]
    for group in groups:
        world.say_anonymously(group, "/watch BTC")
        await rig.verdict()
    world.say_as_channel(groups[0], news, "/watch BTC")
    await rig.verdict()
    world.say(groups[0], ann, "/watch BTC")
    await rig.verdict()
    world.post(world.channel("Posts", ann, bot="administrator"), "/watch BTC")
    await rig.verdict()
    assert [one.user_id for one in rig.asked] == [*map(str, groups), str(news), str(ann), None]


async def test_who_writes_as_a_channel_may_only_as_the_one_that_the_group_discusses(rig: Rig) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    group = world.supergroup("Friends", ann, bot="member")
    news, bobs = world.channel("News", ann), world.channel("Bob's", bob)
    world.say_as_channel(group, news, "/watch BTC")
    assert not (await rig.verdict()).allowed
    world.link(news, group)
    world.say_as_channel(group, bobs, "/watch BTC")
    assert "as yourself" in (await rig.verdict()).why
    world.say_as_channel(group, news, "/watch BTC")
    assert (await rig.verdict()).allowed


async def test_a_post_in_a_channel_may_and_a_reader_who_presses_may_not(rig: Rig) -> None:
    world = rig.server.world
    ann, reader = world.started("Ann"), world.started("Reader")
    channel = world.channel("News", ann, bot="administrator")
    world.set_status(channel, reader, "member")
    world.post(channel, "/watch BTC")
    assert (await rig.verdict()).allowed
    sent = int(await rig.platform.send(str(channel), MUTE, nonce="n"))
    world.press(channel, reader, sent, "Mute")
    assert not (await rig.verdict()).allowed
    world.press(channel, ann, sent, "Mute")
    assert (await rig.verdict()).allowed


async def test_a_changed_client_gains_nothing_by_sending_what_no_button_says(rig: Rig) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    group = world.supergroup("Friends", ann, bot="member")
    world.set_status(group, bob, "member")
    sent = int(await rig.platform.send(str(group), MUTE, nonce="n"))
    world.press_data(group, bob, sent, "/watch BTC min $1")
    assert not (await rig.verdict()).allowed


async def test_telegram_is_asked_anew_each_time(rig: Rig) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    group = world.supergroup("Friends", ann, bot="member")
    for status, allowed in (("administrator", True), ("member", False), ("administrator", True)):
        world.set_status(group, bob, status)
        world.say(group, bob, "/watch BTC")
        assert (await rig.verdict()).allowed is allowed


async def test_nobody_may_while_telegram_cannot_be_asked(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    group = world.supergroup("Friends", ann, bot="member")
    rig.server.fault("getChatMember", "500")
    world.say(group, ann, "/watch BTC")
    verdict = await rig.verdict()
    assert not verdict.allowed
    assert "Try again" in verdict.why


async def elsewhere(rig: Rig, user_id: int, name: str) -> tuple[Request, Verdict] | None:
    """What somebody gets who asks from a private chat for another one."""
    count = len(rig.asked)
    rig.server.world.say(user_id, user_id, "/status")
    await rig.server.until(lambda: len(rig.asked) > count)
    find = rig.asked[-1].elsewhere
    assert find is not None
    found = await find(name)
    return (found, await found.may_change()) if found else None


async def test_a_channel_is_set_up_from_a_private_chat_by_its_admins_alone(rig: Rig) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    channel = world.channel("News", ann, username="dailynews", bot="administrator")
    for name in ("@dailynews", str(channel), "https://t.me/dailynews", f"t.me/c/{str(channel)[4:]}/17"):
        mine, others = await elsewhere(rig, ann, name), await elsewhere(rig, bob, name)
        assert mine is not None
        assert others is not None
        assert mine[0].chat.chat_id == str(channel)
        assert mine[1].allowed
        assert not others[1].allowed
        assert "admin" in others[1].why
    assert await elsewhere(rig, ann, "@nowhere") is None
    assert await elsewhere(rig, ann, "BTC") is None


async def test_a_channel_that_cannot_be_asked_for_just_now_is_not_said_to_be_nowhere(rig: Rig) -> None:
    ann = rig.server.world.started("Ann")
    rig.server.world.channel("News", ann, username="dailynews", bot="administrator")
    rig.server.fault("getChat", "500")
    with pytest.raises(Retry):
        await elsewhere(rig, ann, "@dailynews")


async def test_what_the_bot_lacks_elsewhere_is_said_to_who_can_give_it(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    channel = world.channel("News", ann, username="dailynews")
    for status, post, words in (
        ("left", True, "add me first"),
        ("member", True, "make me one"),
        ("administrator", False, "right to post"),
    ):
        world.set_status(channel, world.bot.user_id, status)
        world.allow_bot(channel, post=post)
        found = await elsewhere(rig, ann, "@dailynews")
        assert found is not None
        assert not found[1].allowed
        assert words in found[1].why


async def test_somebody_elses_private_chat_cannot_be_set_up(rig: Rig) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    found = await elsewhere(rig, bob, str(ann))
    assert found is not None
    assert not found[1].allowed


async def test_a_topic_can_be_named_by_its_link(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    forum = world.supergroup("Forum", ann, bot="member", forum=True)
    topic = world.topic(forum, "Alerts")
    found = await elsewhere(rig, ann, f"https://t.me/c/{str(forum)[4:]}/{topic}")
    assert found is not None
    assert found[0].chat.chat_id == f"{forum}/{topic}"
    assert found[1].allowed


@pytest.mark.parametrize(
    "name", ["BTC", "@ab", "@a b", "https://example.org/x", "-100x", "t.me/", "@", "", "1" * 40, "@naïve"]
)
def test_what_names_no_chat_is_not_asked_for(name: str) -> None:
    assert called(name) is None
