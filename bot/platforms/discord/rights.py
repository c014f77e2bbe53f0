"""Who may change what a channel gets, and what the bot itself needs there."""

from collections.abc import Iterable

import discord

from bot.platforms.seam import ALLOWED, Place, Verdict

NEEDED = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,
)
"""The permissions number of the invite."""
SCOPES = ("bot", "applications.commands")
MANAGER_BIT = discord.Permissions(manage_channels=True)
"""What Discord asks for before it shows a command that changes something; a server's admin may set another."""
_NAMES = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "embed_links": "Embed Links",
    "attach_files": "Attach Files",
    "read_message_history": "Read Message History",
}
_WITHOUT = {
    "embed_links": "messages are plain text",
    "attach_files": "there are no charts",
    "read_message_history": "a repeat after a long outage cannot be ruled out",
}
"""Those the bot can do without, and how."""


def invite(application_id: int) -> str:
    return discord.utils.oauth_url(application_id, permissions=NEEDED, scopes=SCOPES)


def place_of(channel: object) -> Place:
    """A direct message, a channel of a server, or one that only its managers post in."""
    kind = getattr(channel, "type", None)
    if kind in (discord.ChannelType.private, discord.ChannelType.group):
        return Place.PRIVATE
    return Place.CHANNEL if kind is discord.ChannelType.news else Place.GROUP


def may_change(permissions: discord.Permissions, roles: Iterable[str], manager_role: str) -> Verdict:
    """``roles``: names and ids of the roles of who asks; ``manager_role``: one that counts too, or nothing."""
    if permissions.administrator or permissions.manage_guild or permissions.manage_channels:
        return ALLOWED
    if manager_role and manager_role.casefold() in {role.casefold() for role in roles}:
        return ALLOWED
    also = f" or has the role {manager_role}" if manager_role else ""
    return Verdict(
        allowed=False,
        why=f"Only who may manage this server or channel{also} can change what it gets. Ask one of them, or write to "
        "me directly and get the alerts there.",
    )


def missing(held: discord.Permissions, *, in_thread: bool) -> list[str]:
    """What the bot lacks of what it needs, by discord.py's names; ``in_thread`` another right is needed to post."""
    if held.administrator:
        return []
    other = "send_messages" if in_thread else "send_messages_in_threads"
    return [name for name in _NAMES if name != other and not getattr(held, name)]


def can_post(held: discord.Permissions, *, in_thread: bool) -> bool:
    return not set(missing(held, in_thread=in_thread)) - set(_WITHOUT)


def explained(lacking: Iterable[str], channel: str = "this channel") -> str:
    """What follows from what is missing, and who mends it how. Empty where nothing is missing."""
    names = list(lacking)
    if not names:
        return ""
    stops = [name for name in names if name not in _WITHOUT]
    follows = "nothing can be posted here" if stops else "; ".join(_WITHOUT[name] for name in names)
    wanted = ", ".join(_NAMES[name] for name in names)
    return (
        f"I lack {wanted} in {channel}: until then {follows}. Who manages the channel can mend it: Edit Channel > "
        f"Permissions > add Clusterwatch > allow {wanted}."
    )
