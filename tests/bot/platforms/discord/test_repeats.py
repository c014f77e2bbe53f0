"""What Discord takes once: a repeat is ruled out for as long as an outage lasts, and no chat is taken for another."""

from bot.deliver import Deliverer
from bot.markets.live_types import Notice, NoticeKind
from bot.message import POSSIBLE_REPEAT as REPEAT
from bot.message import Message
from bot.notices import NoticeBoard
from storage.chats import Chat
from storage.sqlite import SqliteStore
from tests.bot.delivering import compose
from tests.bot.platforms.discord.rig import Rig, alert, eventually
from tests.bot.platforms.discord.test_sending import failure, send
from tests.chats.discord_server import Fault, Trouble
from tests.chats.discord_server.world import Channel


async def test_an_outage_longer_than_discord_remembers_a_nonce_leaves_one_message(rest: Rig, channel: Channel) -> None:
    """The nonce counts from the attempt that arrived, which may be the first; later ones do not renew it."""
    sender, clock_s = rest.platform._sender, 0.0
    sender._now_s = lambda: clock_s
    rest.server.faults.add(Fault(Trouble.STATUS, taken=True))
    await failure(rest, channel)
    rest.server.faults.add(Fault(Trouble.STATUS, times=1000))
    rest.server.faults.add(Fault(Trouble.STATUS, "GET messages", times=1000))
    again = alert(footer=(REPEAT, *alert().footer))
    for now_s in (110.0, 220.0, 310.0):
        clock_s = now_s
        await failure(rest, channel, again)
    clock_s = 330.0
    rest.server.messages.nonces.clear()  # five minutes after the first
    rest.server.faults.waiting.clear()
    assert await send(rest, channel, again) == str(channel.seen[0].id)
    assert len(channel.seen) == 1


async def test_a_channel_is_searched_once_in_two_minutes_and_never_for_what_surely_did_not_arrive(
    rest: Rig, channel: Channel
) -> None:
    sender, clock_s = rest.platform._sender, 0.0
    sender._now_s = lambda: clock_s
    again = alert(footer=(REPEAT, *alert().footer))
    for now_s, searches in ((0.0, 0), (121.0, 1), (240.0, 1)):
        clock_s = now_s
        rest.server.faults.add(Fault(Trouble.STATUS))
        await failure(rest, channel, again if now_s else alert())
        assert rest.server.requests["GET messages"] == searches
    clock_s = 1000.0
    await send(rest, channel, alert())
    assert rest.server.requests["GET messages"] == 1


async def test_a_notice_reaches_every_channel_that_asked_for_notices(rest: Rig, channel: Channel) -> None:
    """Discord takes a nonce once, whatever the channel: one for all of them would serve the first alone."""
    assert channel.guild is not None
    places = channel, rest.server.world.channel(channel.guild, "other")
    chats = [Chat("discord", str(place.id)) for place in places]
    store = SqliteStore(None, "simulated")
    await store.open()
    deliverer = Deliverer(store, [rest.platform], compose)
    board = NoticeBoard(store, deliverer.say, chats, ["discord"])
    try:
        for at_ms in (600_000, 1_200_000):
            await board.post([Notice(NoticeKind.VENUE, at_ms, "okx", "bars", f"okx: {at_ms}", stopped=True)])
        board.tell(chats, Message("PEPE is followed no more"))
        await eventually(lambda: not board._workers)
        assert [[message.title for message in place.seen] for place in places] == [
            ["⚠ venue: okx: 600000", "⚠ venue: okx: 1200000", "PEPE is followed no more"]
        ] * 2
        assert rest.server.messages.repeats_refused == 0
    finally:
        await board.stop()
        await deliverer.stop()
        await store.close()
