"""Discord's JSON of what the world holds, with the fields that discord.py reads."""

from datetime import UTC, datetime

from tests.chats.discord_server.world import ANNOUNCEMENT, DM, Channel, Guild, Json, Member, Message, Role, User, World


def user(who: User) -> Json:
    return {
        "id": str(who.id),
        "username": who.name,
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "bot": who.bot,
        "public_flags": 0,
    }


def member(who: Member) -> Json:
    return {
        "user": user(who.user),
        "roles": [str(role_id) for role_id in sorted(who.roles)],
        "nick": None,
        "avatar": None,
        "joined_at": "2026-01-01T00:00:00+00:00",
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
    }


def role(each: Role) -> Json:
    return {
        "id": str(each.id),
        "name": each.name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": 0,
        "permissions": str(each.permissions),
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }


def channel(each: Channel) -> Json:
    if each.kind == DM:
        assert each.recipient is not None
        return {"id": str(each.id), "type": DM, "last_message_id": None, "recipients": [user(each.recipient)]}
    assert each.guild is not None
    document: Json = {
        "id": str(each.id),
        "type": each.kind,
        "guild_id": str(each.guild.id),
        "name": each.name,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "parent_id": str(each.parent.id) if each.parent else None,
    }
    if each.is_thread:
        return document | {
            "owner_id": str(each.guild.owner.id),
            "message_count": len(each.messages),
            "member_count": 1,
            "thread_metadata": {
                "archived": each.archived,
                "auto_archive_duration": 1440,
                "archive_timestamp": "2026-01-01T00:00:00+00:00",
                "locked": each.locked,
                "create_timestamp": "2026-01-01T00:00:00+00:00",
            },
        }
    return document | {
        "position": 0,
        "topic": None,
        "nsfw": False,
        "permission_overwrites": [
            {"id": str(one.id), "type": int(one.is_user), "allow": str(one.allow), "deny": str(one.deny)}
            for one in each.overwrites
        ],
        "available_tags": [],
        "flags": 0,
    }


def guild(each: Guild, bot: User) -> Json:
    """As in GUILD_CREATE: without the GUILD_MEMBERS intent the bot's own member is the only one in it."""
    places = [one for one in each.channels.values() if not one.deleted]
    return {
        "id": str(each.id),
        "name": each.name,
        "owner_id": str(each.owner.id),
        "member_count": len(each.members),
        "large": False,
        "unavailable": False,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "features": ["COMMUNITY", "NEWS"] if any(one.kind == ANNOUNCEMENT for one in places) else [],
        "roles": [role(one) for one in each.roles.values()],
        "emojis": [],
        "stickers": [],
        "channels": [channel(one) for one in places if not one.is_thread],
        "threads": [channel(one) for one in places if one.is_thread and not one.archived],
        "members": [member(each.members[bot.id])] if bot.id in each.members else [],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
    }


def message(each: Message) -> Json:
    taken = each.taken
    reference = taken.get("message_reference")
    document = {
        "id": str(each.id),
        "channel_id": str(each.channel_id),
        "author": user(each.author),
        "content": taken.get("content") or "",
        "timestamp": moment(each.sent_at),
        "edited_timestamp": moment(each.edited_at[-1]) if each.edited_at else None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [
            {
                "id": str(each.id + 1 + index),
                "filename": name,
                "size": len(content),
                "url": f"https://cdn.example/attachments/{each.channel_id}/{each.id}/{name}",
                "proxy_url": f"https://media.example/attachments/{each.channel_id}/{each.id}/{name}",
            }
            for index, (name, content) in enumerate(each.files.items())
        ],
        "embeds": [{"type": "rich", **embed} for embed in taken.get("embeds") or ()],
        "components": taken.get("components") or [],
        "pinned": False,
        "type": 19 if reference else 0,
        "flags": taken.get("flags", 0) | (64 if each.ephemeral else 0) | (1 if each.crossposted else 0),
    }
    if "nonce" in taken:
        document["nonce"] = taken["nonce"]
    if reference:
        document["message_reference"] = {"type": 0, **reference, "channel_id": str(each.channel_id)}
    return document


def application(world: World) -> Json:
    """Of GET /oauth2/applications/@me and /applications/@me."""
    return {
        "id": str(world.application_id),
        "name": world.bot.name,
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "00" * 32,
        "flags": 0,
        "owner": user(next(iter(world.users.values()))),
        "team": None,
        "rpc_origins": [],
        "tags": [],
        "install_params": None,
        "custom_install_url": None,
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "redirect_uris": [],
        "approximate_guild_count": len(world.guilds),
        "approximate_user_install_count": 0,
        "terms_of_service_url": None,
        "privacy_policy_url": None,
        "summary": "",
        "integration_types_config": {},
    }


def moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
