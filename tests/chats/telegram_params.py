"""Parameters of Bot API requests that are JSON inside, and answers as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from tests.chats import telegram_text as texts
from tests.chats.telegram_state import Room
from tests.chats.telegram_text import bad_request


def keyboard(params: Mapping[str, str]) -> dict[str, Any] | None:
    markup: dict[str, Any] | None = texts.decoded(params.get("reply_markup"), "reply_markup")
    if markup is not None:
        texts.check_keyboard(markup)
        if not any(markup["inline_keyboard"]):
            return None
    return markup


def reply_to_of(room: Room, params: Mapping[str, str]) -> int | None:
    reply = texts.decoded(params.get("reply_parameters"), "reply_parameters")
    if reply is None:
        return None
    if reply.get("message_id") in room.letters:
        return int(reply["message_id"])
    if not reply.get("allow_sending_without_reply"):
        raise bad_request("message to be replied not found")
    return None


def scope_of(params: Mapping[str, str]) -> str:
    scope = texts.decoded(params.get("scope"), "scope") or {"type": "default"}
    return str(scope["type"])


def as_json(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
