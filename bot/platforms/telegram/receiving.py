"""What Telegram tells the bot, as requests: commands, posts in channels, presses, and what becomes of its chats."""

import asyncio
import difflib
import logging
from collections.abc import Sequence
from functools import partial

import telegram
from telegram import CallbackQuery, ChatMemberUpdated, Update

from bot.message import Button, Message
from bot.platforms.seam import CommandSpec, Handle, Place, Request, Upkeep, Verdict
from bot.platforms.telegram.address import ANONYMOUS_ADMIN, SENT_AS_CHANNEL, Address
from bot.platforms.telegram.answering import Answerer, Where
from bot.platforms.telegram.client import QuietBot
from bot.platforms.telegram.keyboard import HEADING
from bot.platforms.telegram.lanes import Lanes, Work
from bot.platforms.telegram.permissions import Asker, Permissions, missing_rights, place_of
from storage.errors import StoreUnavailable

log = logging.getLogger(__name__)
ALLOWED_UPDATES = (Update.MESSAGE, Update.CHANNEL_POST, Update.CALLBACK_QUERY, Update.MY_CHAT_MEMBER)
_START = "/start"
HANDLING, ANSWERING = "handling", "answering"
"""The lanes of a chat: a command is committed in the first, so no answer that waits for its turn holds up the next."""
_LIKE = 0.75
"""How much a word must look like a command of ours, to be told so in a chat with other bots."""
_FAULT = Message("That failed by a fault of ours; it is logged. Try again in a minute.", private=True)


class Receiver:
    """`take` is given every update and returns at once."""

    def __init__(
        self,
        bot: QuietBot,
        permissions: Permissions,
        answerer: Answerer,
        handle: Handle,
        specs: Sequence[CommandSpec],
        upkeep: Upkeep,
    ) -> None:
        self._bot, self._permissions, self._answerer = bot, permissions, answerer
        self._handle, self._upkeep = handle, upkeep
        self._commands = [*(spec.name for spec in specs), _START.lstrip("/")]
        self.lanes = Lanes()

    def take(self, update: Update) -> asyncio.Future[None]:
        """Done once what it asks for is committed, or given up."""
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            found = self._work(update, accepted)
        except Exception:  # a kind of chat or update that this version does not know: the next ones are taken
            log.exception("an update could not be understood")
            found = None
        if found is not None and self.lanes.enter(found[0]):
            self.lanes.put(HANDLING, found[0], partial(self._closing, found[0], found[1], accepted))
        else:
            accepted.set_result(None)
        return accepted

    def _work(self, update: Update, accepted: asyncio.Future[None]) -> tuple[int, Work] | None:
        """The chat and what is to be done; None where nothing is."""
        if update.my_chat_member is not None:
            return update.my_chat_member.chat.id, partial(self._chat_changed, update.my_chat_member)
        if update.callback_query is not None:
            return self._pressed(update.callback_query, accepted)
        post = update.message or update.channel_post
        if post is None:
            return None
        if post.migrate_to_chat_id is not None:
            return post.chat.id, partial(self._migrated, post.chat.id, post.migrate_to_chat_id)
        if post.migrate_from_chat_id is not None:
            return post.chat.id, partial(self._migrated, post.migrate_from_chat_id, post.chat.id)
        return self._typed(post, accepted)

    # --- commands

    def _typed(self, post: telegram.Message, accepted: asyncio.Future[None]) -> tuple[int, Work] | None:
        place = place_of(post.chat)
        text = self._meant_for_us(post.text or "", place)
        # A forwarded command was somebody else's; a channel's post was answered in the channel already.
        if not text or post.forward_origin is not None or post.is_automatic_forward:
            return None
        sender, in_name_of = post.from_user, post.sender_chat
        if sender is not None and sender.is_bot and sender.id not in (ANONYMOUS_ADMIN, SENT_AS_CHANNEL):
            return None
        asker = Asker(sender.id if sender else None, in_name_of.id if in_name_of else None)
        address = Address(post.chat.id, post.message_thread_id if post.is_topic_message else None)
        request = self._request(address, place, text, asker)
        return post.chat.id, partial(self._answer, request, Where(address, place, post.message_id), accepted)

    def _meant_for_us(self, text: str, place: Place) -> str:
        """The command without our name; empty where it is no command, or another bot's."""
        first = text.split(maxsplit=1)[0] if text.split() else ""
        name, at, bot = first.partition("@")
        if not name.startswith("/"):
            return text if place is Place.PRIVATE else ""
        if at and bot.lower() != self._bot.username.lower():
            return ""
        word = name.lstrip("/").lower()
        if place is not Place.PRIVATE and not at and not difflib.get_close_matches(word, self._commands, 1, _LIKE):
            return ""
        return name + text[len(first) :]

    def _pressed(self, query: CallbackQuery, accepted: asyncio.Future[None]) -> tuple[int, Work] | None:
        pressed = query.message
        if pressed is None or not query.data:
            return query.from_user.id, partial(self._answerer.pop_up, query)
        if query.data == HEADING:
            return pressed.chat.id, partial(self._answerer.pop_up, query)
        place = place_of(pressed.chat)
        full = pressed if isinstance(pressed, telegram.Message) else None
        topic = full.message_thread_id if full is not None and full.is_topic_message else None
        address = Address(pressed.chat.id, topic)
        where = Where(address, place, pressed.message_id, query, page=full is not None and full.text is not None)
        request = self._request(address, place, query.data, Asker(query.from_user.id), pressed=True)
        return pressed.chat.id, partial(self._answer, request, where, accepted)

    def _request(self, address: Address, place: Place, text: str, asker: Asker, *, pressed: bool = False) -> Request:
        return Request(
            address.chat,
            text,
            place,
            partial(self._permissions.may_change, address, place, asker),
            user_id=asker.name,
            pressed=pressed,
            elsewhere=partial(self._elsewhere, text, asker),
        )

    async def _elsewhere(self, text: str, asker: Asker, name: str) -> Request | None:
        user_id = None if asker.sender_chat_id is not None else asker.user_id
        found = await self._permissions.find(name)
        if found is None:
            return None
        return Request(
            found.address.chat,
            text,
            found.place,
            partial(self._permissions.may_change_elsewhere, found, user_id),
            user_id=str(user_id) if user_id is not None else None,
        )

    async def _answer(self, request: Request, where: Where, accepted: asyncio.Future[None]) -> None:
        """Handle, which commits; only then answer."""
        try:
            message = await self._guarded(request)
        except Exception:
            log.exception("a command failed in %s", request.chat)
            message = _FAULT
        if not accepted.done():
            accepted.set_result(None)
        chat_id = where.address.chat_id
        self.lanes.stay(chat_id)
        self.lanes.put(ANSWERING, chat_id, partial(self._left, chat_id, partial(self._answerer.answer, where, message)))

    async def _guarded(self, request: Request) -> Message:
        message = await self._handle(request)
        if request.pressed and request.place is Place.CHANNEL and message.in_place:
            # A page of a menu is there for all: only admins turn it.
            verdict: Verdict = await request.may_change()
            if not verdict.allowed:
                return Message("Only admins can do that here.", (verdict.why,), private=True)
        return message

    async def _closing(self, chat_id: int, work: Work, accepted: asyncio.Future[None]) -> None:
        try:
            await work()
        finally:
            self.lanes.leave(chat_id)
            if not accepted.done():
                accepted.set_result(None)

    async def _left(self, chat_id: int, work: Work) -> None:
        try:
            await work()
        finally:
            self.lanes.leave(chat_id)

    # --- what becomes of chats

    async def _chat_changed(self, change: ChatMemberUpdated) -> None:
        """The bot was added, removed, blocked, or given other rights."""
        place, address = place_of(change.chat), Address(change.chat.id)
        before, after = missing_rights(change.old_chat_member, place), missing_rights(change.new_chat_member, place)
        try:
            if after:
                blocked = "the user has blocked the bot; unblocking brings the alerts back"
                await self._upkeep.gone([address.chat], blocked if place is Place.PRIVATE else _third_person(after))
            else:
                await self._upkeep.back([address.chat])
        except StoreUnavailable as error:
            log.warning("%s has changed, which could not be kept; sending finds out: %s", address, error)
        if place is Place.PRIVATE:
            return
        if after:
            if change.new_chat_member.status not in (telegram.ChatMember.LEFT, telegram.ChatMember.BANNED):
                await self._tell_adder(change, Message(f"In {_title(change)}, {after}"))
        elif before and place is Place.GROUP:
            await self._greet(address, place, change.from_user.id)
        elif before:
            # A channel has readers; how to go on is for who added the bot.
            await self._tell_adder(change, _channel_greeting(_title(change), address))

    async def _greet(self, address: Address, place: Place, user_id: int) -> None:
        request = self._request(address, place, _START, Asker(user_id))
        await self._answerer.tell(address, await self._handle(request))

    async def _tell_adder(self, change: ChatMemberUpdated, message: Message) -> None:
        await self._answerer.tell(Address(change.from_user.id), message)

    async def _migrated(self, old: int, new: int) -> None:
        try:
            await self._upkeep.moved(Address(old).chat, Address(new).chat)
        except StoreUnavailable as error:
            log.warning("%d is %d now, which could not be kept; sending finds out: %s", old, new, error)


def _channel_greeting(title: str, address: Address) -> Message:
    buttons = Button("Choose markets", f"/in {address} /watch"), Button("Settings", f"/in {address} /settings")
    lines = ("Set it up from here, so that its readers see alerts alone; or post /watch BTC there.",)
    return Message(f"I can post in {title} now.", lines, buttons=(buttons,))


def _title(change: ChatMemberUpdated) -> str:
    return change.chat.title or "your chat"


def _third_person(missing: str) -> str:
    """What the bot says of itself, as a reason that stands beside a parked chat."""
    return "the bot says: " + missing
