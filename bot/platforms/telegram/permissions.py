"""Who may change what a chat gets. Telegram is asked anew each time: admins come and go."""

from dataclasses import dataclass

from telegram import (
    Chat,
    ChatFullInfo,
    ChatMember,
    ChatMemberAdministrator,
    ChatMemberOwner,
    ChatMemberRestricted,
)
from telegram.constants import ChatType
from telegram.error import TelegramError

from bot.errors import Reject
from bot.platforms.seam import ALLOWED, Place, Verdict
from bot.platforms.telegram.address import SENT_AS_CHANNEL, Address, called
from bot.platforms.telegram.client import QuietBot
from bot.platforms.telegram.errors import classified

PLACES = {
    ChatType.PRIVATE: Place.PRIVATE,
    ChatType.GROUP: Place.GROUP,
    ChatType.SUPERGROUP: Place.GROUP,
    ChatType.CHANNEL: Place.CHANNEL,
}
_TRY_AGAIN = "Try again in a minute."


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as Telegram says. ``sender_chat_id``: in whose name, where it is a chat's."""

    user_id: int | None
    sender_chat_id: int | None = None

    @property
    def name(self) -> str | None:
        """What quotas count by; None where nobody asks but a channel. Who writes in the name of a chat has a stand-in
        for a user, the same in all of Telegram, so that chat's id stands for him."""
        if self.user_id is None:
            return None
        return str(self.user_id if self.sender_chat_id is None else self.sender_chat_id)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another chat that somebody named. ``of``: whether it is known and who asks for it is its admin."""

    address: Address
    place: Place
    title: str


class Permissions:
    def __init__(self, bot: QuietBot) -> None:
        self._bot = bot

    async def may_change(self, address: Address, place: Place, asker: Asker) -> Verdict:
        if place is Place.PRIVATE:
            return ALLOWED
        if asker.sender_chat_id is not None:
            return await self._in_the_name_of(asker.sender_chat_id, address, place, asker)
        if asker.user_id is None:
            # A post in a channel has no author, and only admins can post.
            return ALLOWED if place is Place.CHANNEL else Verdict(allowed=False, why="Telegram does not say who asks.")
        return await self._is_admin(address, place, asker.user_id)

    async def find(self, name: str) -> Elsewhere | None:
        """The chat that somebody calls by ``name``. None where there is none, or the bot cannot see it."""
        wanted = called(name)
        if wanted is None:
            return None
        try:
            chat = await self._bot.get_chat(wanted[0])
        except TelegramError as error:
            if isinstance(classified(error), Reject):
                return None
            raise classified(error) from None
        topic = wanted[1] if chat.is_forum else None
        return Elsewhere(Address(chat.id, topic), place_of(chat), chat.title or chat.full_name or name)

    async def may_change_elsewhere(self, found: Elsewhere, user_id: int | None) -> Verdict:
        """Whether this user is an admin there and the bot can write there."""
        if found.place is Place.PRIVATE:
            return ALLOWED if found.address.chat_id == user_id else _not(f"{found.title} is somebody else.")
        if user_id is None:
            return _not("Telegram does not say who asks; write to me in a private chat.")
        try:
            own = await self._bot.get_chat_member(found.address.chat_id, self._bot.id)
        except TelegramError as error:
            return _unknown(error)
        missing = missing_rights(own, found.place)
        if missing:
            return _not(f"In {found.title}, {missing}")
        return await self._is_admin(found.address, found.place, user_id)

    async def _is_admin(self, address: Address, place: Place, user_id: int) -> Verdict:
        try:
            member = await self._bot.get_chat_member(address.chat_id, user_id)
        except TelegramError as error:
            if "inaccessible" in str(error).lower():
                return _not("I cannot see who is admin here: make me an admin, then try again.")
            return _unknown(error)
        if isinstance(member, ChatMemberOwner | ChatMemberAdministrator):
            return ALLOWED
        where = "channel" if place is Place.CHANNEL else "group"
        return _not(f"Telegram does not list you as an admin of this {where}; one of its admins can do it.")

    async def _in_the_name_of(self, sender_chat_id: int, address: Address, place: Place, asker: Asker) -> Verdict:
        if sender_chat_id == address.chat_id:
            return ALLOWED  # an anonymous admin, or a post in a channel
        if place is Place.GROUP and asker.user_id == SENT_AS_CHANNEL and await self._is_linked(address, sender_chat_id):
            return ALLOWED  # only its owner can write in the name of the channel that this group discusses
        return _not("You write in the name of a channel: write as yourself, or as an anonymous admin.")

    async def _is_linked(self, address: Address, channel_id: int) -> bool:
        try:
            group: ChatFullInfo = await self._bot.get_chat(address.chat_id)
        except TelegramError:
            return False
        return group.linked_chat_id == channel_id


def missing_rights(own: ChatMember, place: Place) -> str:
    """What the bot lacks to write in a chat, for whoever can grant it; empty where it lacks nothing."""
    if own.status in (ChatMember.LEFT, ChatMember.BANNED):
        return "I am not there yet: add me first" + (" as an admin who may post." if place is Place.CHANNEL else ".")
    if place is Place.CHANNEL:
        if not isinstance(own, ChatMemberAdministrator | ChatMemberOwner):
            return "I am no admin, and only admins can post: make me one, with the right to post messages."
        if isinstance(own, ChatMemberAdministrator) and not own.can_post_messages:
            return "I lack the right to post messages: an admin can give it to me under Administrators."
    if isinstance(own, ChatMemberRestricted):
        if not own.is_member:
            return "I am not there yet: add me first."
        if not own.can_send_messages:
            return "I may not write: an admin can allow it under Permissions, Exceptions."
    return ""


def place_of(chat: Chat | ChatFullInfo) -> Place:
    return PLACES[ChatType(chat.type)]


def _not(why: str) -> Verdict:
    return Verdict(allowed=False, why=why)


def _unknown(error: TelegramError) -> Verdict:
    return _not(f"I could not ask Telegram whether you are an admin ({classified(error).reason}). {_TRY_AGAIN}")
