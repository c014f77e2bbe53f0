"""What Discord holds: guilds, roles, channels, members, messages. Permissions as Discord computes them."""

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
EPOCH_MS = 1_420_070_400_000

ADMINISTRATOR = 1 << 3
MANAGE_CHANNELS = 1 << 4
MANAGE_GUILD = 1 << 5
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES = 1 << 11
MANAGE_MESSAGES = 1 << 13
EMBED_LINKS = 1 << 14
ATTACH_FILES = 1 << 15
READ_MESSAGE_HISTORY = 1 << 16
USE_APPLICATION_COMMANDS = 1 << 31
SEND_MESSAGES_IN_THREADS = 1 << 38
ALL = (1 << 50) - 1
USUAL = (
    VIEW_CHANNEL
    | SEND_MESSAGES
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | USE_APPLICATION_COMMANDS
    | SEND_MESSAGES_IN_THREADS
)

TEXT, DM, ANNOUNCEMENT, ANNOUNCEMENT_THREAD, PUBLIC_THREAD, PRIVATE_THREAD, FORUM = 0, 1, 5, 10, 11, 12, 15
THREADS = frozenset({ANNOUNCEMENT_THREAD, PUBLIC_THREAD, PRIVATE_THREAD})

_count = itertools.count()


def snowflake(at_ms: int | None = None) -> int:
    """A new id, which tells its time as Discord's do."""
    at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    return (at_ms - EPOCH_MS << 22) | (next(_count) & 0x3FFFFF)


@dataclass(slots=True)
class User:
    id: int
    name: str
    bot: bool = False
    takes_direct_messages: bool = True


@dataclass(slots=True)
class Role:
    id: int
    name: str
    permissions: int


@dataclass(slots=True)
class Overwrite:
    """For a role or a user in one channel."""

    id: int
    is_user: bool
    allow: int = 0
    deny: int = 0


@dataclass(slots=True)
class Member:
    user: User
    roles: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Message:
    """``taken`` is the body as the bot sent it, ``files`` its uploads by name."""

    id: int
    channel_id: int
    author: User
    taken: Json
    files: dict[str, bytes]
    sent_at: float
    """Wall clock, seconds."""
    ephemeral: bool = False
    crossposted: bool = False
    edits: list[Json] = field(default_factory=list)
    edited_at: list[float] = field(default_factory=list)
    deleted: bool = False

    @property
    def embed(self) -> Json:
        """The first embed, empty where there is none."""
        embeds = self.taken.get("embeds") or [{}]
        first: Json = embeds[0]
        return first

    @property
    def title(self) -> str:
        """The first line: the content's, or the title of the embed."""
        content = str(self.taken.get("content") or "").partition("\n")[0]
        return content.strip("*") or str(self.embed.get("title", ""))

    @property
    def text(self) -> str:
        """All that a reader sees, one part under another."""
        parts = [self.taken.get("content") or ""]
        for embed in self.taken.get("embeds") or ():
            parts += [embed.get("title", ""), embed.get("description", "")]
            parts += [f"{each['name']}\n{each['value']}" for each in embed.get("fields", ())]
            parts.append(embed.get("footer", {}).get("text", ""))
        return "\n".join(part for part in parts if part)

    @property
    def components(self) -> list[Json]:
        """Every button and menu."""
        return [part for row in self.taken.get("components") or () for part in row["components"]]

    @property
    def silent(self) -> bool:
        return bool(self.taken.get("flags", 0) & 4096)


@dataclass(slots=True)
class Channel:
    id: int
    name: str
    kind: int
    guild: "Guild | None"
    parent: "Channel | None" = None
    recipient: User | None = None
    overwrites: list[Overwrite] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    archived: bool = False
    locked: bool = False
    deleted: bool = False
    crossposts_at: list[float] = field(default_factory=list)

    @property
    def is_thread(self) -> bool:
        return self.kind in THREADS

    @property
    def seen(self) -> list[Message]:
        """What everybody in the channel can see."""
        return [message for message in self.messages if not message.ephemeral and not message.deleted]

    def overwrite(self, whose: "Role | User", *, allow: int = 0, deny: int = 0) -> None:
        self.overwrites = [each for each in self.overwrites if each.id != whose.id]
        self.overwrites.append(Overwrite(whose.id, isinstance(whose, User), allow, deny))


@dataclass(slots=True)
class Guild:
    id: int
    name: str
    owner: User
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)

    @property
    def everyone(self) -> Role:
        return self.roles[self.id]

    def permissions(self, user: User, channel: Channel | None = None) -> int:
        """Of a member, in a channel or in the guild at large; 0 for who is no member."""
        member = self.members.get(user.id)
        if member is None:
            return 0
        if user.id == self.owner.id:
            return ALL
        mine = member.roles | {self.id}
        held = 0
        for role_id in mine:
            held |= self.roles[role_id].permissions
        if held & ADMINISTRATOR:
            return ALL
        place = channel.parent if channel is not None and channel.is_thread else channel
        if place is None:
            return held
        held = _overwritten(held, [each for each in place.overwrites if each.id == self.id])
        held = _overwritten(held, [each for each in place.overwrites if each.id in mine and each.id != self.id])
        held = _overwritten(held, [each for each in place.overwrites if each.is_user and each.id == user.id])
        return held if held & VIEW_CHANNEL else 0


def _overwritten(held: int, overwrites: Iterable[Overwrite]) -> int:
    allow = deny = 0
    for each in overwrites:
        allow, deny = allow | each.allow, deny | each.deny
    return held & ~deny | allow


class World:
    """``token`` is what the bot must present. Ids are handed out once and never change."""

    def __init__(self, token: str = "local-bot-token") -> None:
        self.token = token
        self.bot = User(snowflake(), "clusterwatch", bot=True)
        self.application_id = self.bot.id
        self.users: dict[int, User] = {self.bot.id: self.bot}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.commands: list[Json] = []
        self.command_writes = 0
        """How often the bot has written its commands."""

    def user(self, name: str) -> User:
        user = User(snowflake(), name)
        self.users[user.id] = user
        return user

    def guild(self, name: str = "Traders", *, bot_permissions: int = USUAL) -> Guild:
        """A guild with the bot in it, through a role of its own that holds ``bot_permissions``."""
        guild_id = snowflake()
        guild = Guild(guild_id, name, self.user(f"owner of {name}"))
        guild.roles[guild_id] = Role(guild_id, "@everyone", USUAL)
        guild.members[guild.owner.id] = Member(guild.owner)
        own = self.role(guild, "Clusterwatch", bot_permissions)
        guild.members[self.bot.id] = Member(self.bot, {own.id})
        self.guilds[guild_id] = guild
        return guild

    def role(self, guild: Guild, name: str, permissions: int) -> Role:
        role = Role(snowflake(), name, permissions)
        guild.roles[role.id] = role
        return role

    def member(self, guild: Guild, name: str, permissions: int = 0) -> User:
        """Somebody in the guild; with ``permissions`` through a role of their own."""
        user = self.user(name)
        roles = {self.role(guild, name, permissions).id} if permissions else set()
        guild.members[user.id] = Member(user, roles)
        return user

    def channel(self, guild: Guild, name: str = "alerts", kind: int = TEXT, parent: Channel | None = None) -> Channel:
        """A channel; with ``parent`` a thread in it."""
        channel = Channel(snowflake(), name, kind, guild, parent)
        guild.channels[channel.id] = channel
        self.channels[channel.id] = channel
        return channel

    def direct(self, user: User) -> Channel:
        """The channel of the bot's direct messages with a user; made when first asked for."""
        for channel in self.channels.values():
            if channel.recipient is user:
                return channel
        channel = Channel(snowflake(), user.name, DM, None, recipient=user)
        self.channels[channel.id] = channel
        return channel

    def permissions(self, user: User, channel: Channel) -> int:
        if channel.guild is None:
            return ALL if user in (channel.recipient, self.bot) else 0
        return channel.guild.permissions(user, channel)
