"""Refuses a message that Discord would refuse: lengths, components, uploads, as its reference documents them."""

from collections.abc import Mapping

from tests.chats.discord_server.refusals import Refusal, invalid, required, too_long
from tests.chats.discord_server.world import Json

LARGEST_FILE = 10 * 1024 * 1024
SUPPRESS_EMBEDS, EPHEMERAL, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 6, 1 << 12
_FIELDS = frozenset(
    {
        "content",
        "nonce",
        "enforce_nonce",
        "tts",
        "embeds",
        "allowed_mentions",
        "message_reference",
        "components",
        "attachments",
        "flags",
        "sticker_ids",
        "poll",
    }
)
_EMBED_FIELDS = frozenset(
    {
        "title",
        "type",
        "description",
        "url",
        "timestamp",
        "color",
        "footer",
        "image",
        "thumbnail",
        "author",
        "fields",
        "flags",
    }
)
BUTTON, STRING_SELECT = 2, 3


def check_message(body: Json, files: Mapping[str, bytes], *, interaction: bool = False, edit: bool = False) -> None:
    """Raises Refusal."""
    for name in body.keys() - _FIELDS:
        raise invalid(name, "UNKNOWN_FIELD", "The local server knows no such field of a message")
    check_files(body, files)
    content = body.get("content")
    if content is not None and not isinstance(content, str):
        raise invalid("content", "STRING_TYPE", "Must be a string.")
    if content and len(content) > 2000:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.")
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > 25:
        raise invalid("nonce", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    flags = body.get("flags", 0)
    permitted = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | (EPHEMERAL if interaction else 0)
    if flags & ~permitted:
        raise invalid("flags", "MESSAGE_FLAGS_INVALID", "These flags cannot be set on a message.")
    check_embeds(body.get("embeds") or [], files)
    check_components(body.get("components") or [])
    check_mentions(body.get("allowed_mentions"))
    if not edit and not (content or body.get("embeds") or files or body.get("components")):
        raise Refusal(400, 50006, "Cannot send an empty message")


def check_files(body: Json, files: Mapping[str, bytes]) -> None:
    if len(files) > 10:
        raise Refusal(400, 30015, "Maximum number of attachments in a message reached (10)")
    if any(len(content) > LARGEST_FILE for content in files.values()):
        raise Refusal(413, 40005, "Request entity too large")
    for index, attachment in enumerate(body.get("attachments") or ()):
        name = attachment.get("filename")
        if name is not None and name not in files:
            raise invalid(f"attachments.{index}.filename", "ATTACHMENT_NOT_FOUND", "No upload of that name.")


def check_embeds(embeds: list[Json], files: Mapping[str, bytes]) -> None:
    if len(embeds) > 10:
        raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    total = sum(_check_embed(embed, f"embeds.{index}", files) for index, embed in enumerate(embeds))
    if total > 6000:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _check_embed(embed: Json, path: str, files: Mapping[str, bytes]) -> int:
    """How many of its characters count towards the limit over all embeds."""
    for name in embed.keys() - _EMBED_FIELDS:
        raise invalid(f"{path}.{name}", "UNKNOWN_FIELD", "The local server knows no such field of an embed")
    counted = 0
    for name, most in (("title", 256), ("description", 4096)):
        counted += _check_text(embed, name, most, path)
    for outer, inner, most in (("footer", "text", 2048), ("author", "name", 256)):
        if outer in embed:
            counted += _check_text(embed[outer], inner, most, f"{path}.{outer}", needed=True)
    fields = embed.get("fields", [])
    if len(fields) > 25:
        raise invalid(f"{path}.fields", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    for index, each in enumerate(fields):
        counted += _check_text(each, "name", 256, f"{path}.fields.{index}", needed=True)
        counted += _check_text(each, "value", 1024, f"{path}.fields.{index}", needed=True)
    color = embed.get("color", 0)
    if not isinstance(color, int) or not 0 <= color <= 0xFFFFFF:
        raise invalid(f"{path}.color", "NUMBER_TYPE_MAX", "int value should be less than or equal to 16777215.")
    for name in ("image", "thumbnail"):
        if name in embed:
            _check_url(embed[name].get("url", ""), f"{path}.{name}.url", files)
    return counted


def _check_text(holder: Json, name: str, most: int, path: str, *, needed: bool = False) -> int:
    if name not in holder:
        if needed:
            raise required(f"{path}.{name}")
        return 0
    text = holder[name]
    if not isinstance(text, str):
        raise invalid(f"{path}.{name}", "STRING_TYPE", "Must be a string.")
    if needed and not text.strip():
        raise required(f"{path}.{name}")
    if len(text) > most:
        raise too_long(f"{path}.{name}", most)
    return len(text)


def _check_url(url: str, path: str, files: Mapping[str, bytes]) -> None:
    """Discord drops an ``attachment://`` of nothing silently; here it is refused, for no reader would see the chart."""
    if url.startswith("attachment://"):
        if url.removeprefix("attachment://") not in files:
            raise invalid(path, "ATTACHMENT_NOT_FOUND", "No upload of that name: Discord would show no picture.")
    elif not url.startswith(("http://", "https://")):
        raise invalid(path, "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('http', 'https').")


def check_mentions(allowed: Json | None) -> None:
    if allowed is None:
        return
    for name in allowed.keys() - {"parse", "roles", "users", "replied_user"}:
        raise invalid(f"allowed_mentions.{name}", "UNKNOWN_FIELD", "No such field.")
    for kind in set(allowed.get("parse", ())) - {"roles", "users", "everyone"}:
        raise invalid("allowed_mentions.parse", "BASE_TYPE_CHOICES", f"{kind} is not one of them.")


def check_components(rows: list[Json]) -> None:
    if len(rows) > 5:
        raise invalid("components", "BASE_TYPE_MAX_LENGTH", "Must be 5 or fewer in length.")
    seen: set[str] = set()
    for index, row in enumerate(rows):
        path = f"components.{index}"
        if row.get("type") != 1:
            raise invalid(f"{path}.type", "UNION_TYPE_CHOICES", "Value of field must be one of (1,).")
        parts = row.get("components", [])
        kinds = [part.get("type") for part in parts]
        if not 1 <= len(parts) <= 5 or (STRING_SELECT in kinds and len(parts) > 1):
            raise invalid(f"{path}.components", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "The specified row is too wide.")
        for number, part in enumerate(parts):
            _check_component(part, f"{path}.components.{number}", seen)


def _check_component(part: Json, path: str, seen: set[str]) -> None:
    kind = part.get("type")
    if kind not in (BUTTON, STRING_SELECT):
        raise invalid(f"{path}.type", "UNION_TYPE_CHOICES", "The local server takes buttons and string selects.")
    if kind == BUTTON and part.get("style") == 5:
        _check_url(part.get("url", ""), f"{path}.url", {})
        return
    custom_id = part.get("custom_id", "")
    if not 1 <= len(custom_id) <= 100:
        raise too_long(f"{path}.custom_id", 100)
    if custom_id in seen:
        raise invalid(f"{path}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
    seen.add(custom_id)
    if kind == BUTTON:
        if part.get("style") not in (1, 2, 3, 4):
            raise invalid(f"{path}.style", "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5}.")
        if not part.get("label") and not part.get("emoji"):
            raise invalid(path, "BUTTON_COMPONENT_LABEL_REQUIRED", "A button needs a label or an emoji.")
        _check_text(part, "label", 80, path)
        return
    options = part.get("options", [])
    if not 1 <= len(options) <= 25:
        raise invalid(f"{path}.options", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 25 in length.")
    _check_text(part, "placeholder", 150, path)
    values = [option.get("value") for option in options]
    if len(set(values)) != len(values):
        raise invalid(f"{path}.options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The option value is duplicated.")
    for number, option in enumerate(options):
        for name in ("label", "value"):
            _check_text(option, name, 100, f"{path}.options.{number}", needed=True)
        _check_text(option, "description", 100, f"{path}.options.{number}")
