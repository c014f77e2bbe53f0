"""What Telegram makes of a text: entities out of HTML, lengths in UTF-16 units, refusals in its words.

Source: core.telegram.org/bots/api#html-style, and the wording of the Bot API server's own errors.
"""

import html
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
CALLBACK_BYTES = 64
PHOTO_BYTES = 10 * 1024 * 1024
DOCUMENT_BYTES = 50 * 1024 * 1024
PHOTO_SIDES = 10_000
PHOTO_RATIO = 20
MOST_BUTTONS = 100
MOST_IN_ROW = 8
_PNG = b"\x89PNG\r\n\x1a\n"
_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
}
_TAG = re.compile(r"<(/?)([a-zA-Z0-9-]*)((?:\s+[a-zA-Z-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*)\s*>")
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-fA-F]{1,6});")
_HREF = re.compile(r"href\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")


class Refused(Exception):  # noqa: N818 - what the Bot API answers with
    """An answer that is not ok."""

    def __init__(self, code: int, description: str, parameters: Mapping[str, int] | None = None) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def bad_request(description: str) -> Refused:
    return Refused(400, f"Bad Request: {description}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """Text as a reader sees it, and its entities as the Bot API gives them (offsets in UTF-16 units)."""

    text: str
    entities: tuple[dict[str, Any], ...] = ()


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def parse(text: str, parse_mode: str | None) -> Parsed:
    """Raises Refused as Telegram would."""
    if parse_mode is None:
        return _trimmed(text, [])
    if parse_mode.upper() != "HTML":
        raise bad_request("unsupported parse_mode")
    return _parse_html(text)


def _parse_html(source: str) -> Parsed:
    out: list[str] = []
    length = 0  # UTF-16 units so far
    stack: list[tuple[str, int, dict[str, Any]]] = []
    entities: list[dict[str, Any]] = []
    at = 0
    while at < len(source):
        if source[at] == "<":
            where = len(source[:at].encode())
            tag = _TAG.match(source, at)
            if tag is None:
                unclosed = ">" not in source[at:]
                kind = "Unclosed start tag" if unclosed else f'Unsupported start tag "{source[at + 1 : at + 20]}"'
                raise bad_request(f"can't parse entities: {kind} at byte offset {where}")
            closing, name, attributes = tag[1], tag[2].lower(), tag[3]
            if closing:
                if not stack:
                    raise bad_request(f"can't parse entities: Unexpected end tag at byte offset {where}")
                opened, begin, entity = stack.pop()
                if name not in ("", opened):
                    raise bad_request(
                        f'can\'t parse entities: Unmatched end tag at byte offset {where}, expected "</{opened}>", '
                        f'found "</{name}>"'
                    )
                if length > begin and entity:
                    entities.append({"offset": begin, "length": length - begin, **entity})
            else:
                stack.append((name, length, _entity(name, attributes, where)))
            at = tag.end()
            continue
        reference = _REFERENCE.match(source, at) if source[at] == "&" else None
        piece = html.unescape(reference[0]) if reference else source[at]
        at = reference.end() if reference else at + 1
        out.append(piece)
        length += utf16_length(piece)
    if stack:
        raise bad_request(f"can't parse entities: Can't find end tag corresponding to start tag \"{stack[-1][0]}\"")
    return _trimmed("".join(out), entities)


def _entity(name: str, attributes: str, where: int) -> dict[str, Any]:
    if name == "span" and "tg-spoiler" in attributes:
        return {"type": "spoiler"}
    if name not in _TAGS:
        raise bad_request(f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {where}')
    entity: dict[str, Any] = {"type": _TAGS[name]}
    if name == "a":
        found = _HREF.search(attributes)
        if found is None:
            return {}
        entity["url"] = html.unescape(found[1] or found[2] or "")
    if name == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    return entity


def _trimmed(text: str, entities: Sequence[dict[str, Any]]) -> Parsed:
    """Spaces around it go, and with them what entities cover of it."""
    text = _CONTROLS.sub(" ", text)
    left = utf16_length(text) - utf16_length(text.lstrip())
    text = text.strip()
    end = utf16_length(text)
    kept = []
    for entity in sorted(entities, key=lambda one: (one["offset"], -one["length"])):
        begin, stop = max(0, entity["offset"] - left), min(end, entity["offset"] - left + entity["length"])
        if stop > begin:
            kept.append({**entity, "offset": begin, "length": stop - begin})
    return Parsed(text, tuple(kept))


def parse_message(text: str, parse_mode: str | None) -> Parsed:
    parsed = parse(text, parse_mode)
    if not parsed.text:
        raise bad_request("message text is empty")
    if utf16_length(parsed.text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    return parsed


def parse_caption(text: str, parse_mode: str | None) -> Parsed:
    parsed = parse(text, parse_mode)
    if utf16_length(parsed.text) > CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    return parsed


def check_keyboard(markup: Any) -> None:
    """Raises Refused for an inline keyboard that Telegram would not take."""
    if not isinstance(markup, dict) or set(markup) != {"inline_keyboard"}:
        raise bad_request("object expected as reply markup")
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    if sum(map(len, rows)) > MOST_BUTTONS or any(len(row) > MOST_IN_ROW for row in rows):
        raise bad_request("reply markup is too long")
    for button in (button for row in rows for button in row):
        if not str(button.get("text", "")).strip():
            raise bad_request("inline keyboard button text can't be empty")
        kinds = set(button) - {"text", "style", "icon_custom_emoji_id"}
        if len(kinds) != 1 or not kinds <= {"callback_data", "url"}:
            raise bad_request("text buttons are unallowed in the inline keyboard")
        if "callback_data" in kinds and not 1 <= len(button["callback_data"].encode()) <= CALLBACK_BYTES:
            raise bad_request("BUTTON_DATA_INVALID")
        if "url" in kinds and not re.match(r"(?:https?|tg)://[^\s]+\.|tg://", button["url"]):
            raise bad_request(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")


def check_photo(data: bytes) -> tuple[int, int]:
    """Width and height of an uploaded photo. Raises Refused for what Telegram would not take."""
    if len(data) > PHOTO_BYTES:
        raise bad_request("file is too big")
    if not data:
        raise bad_request("file must be non-empty")
    if not data.startswith(_PNG) or len(data) < 33 or b"IEND" not in data[-16:]:
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = struct.unpack(">II", data[16:24])
    if width + height > PHOTO_SIDES or max(width, height) > PHOTO_RATIO * min(width, height):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return width, height


def decoded(value: str | None, what: str) -> Any:
    """A parameter that is JSON. Raises Refused."""
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        raise bad_request(f"can't parse {what} JSON object") from None
