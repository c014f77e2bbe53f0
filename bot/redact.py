"""Takes secrets out of text: every way that a token or a password can come to be written anywhere (P16).

Two nets. What the environment holds is known by its value, whatever it looks like; what only looks like a token or a
password is caught by its form. No token's form is anchored with ``\\b``: in ``/bot123456:AA...`` no word begins at the
digits, and that is exactly where httpx writes the token.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 6
"""A value of fewer characters guards nothing, and would blank out ordinary words."""
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|CREDENTIAL|PING_URL", re.IGNORECASE)
_URL_NAME = re.compile(r"_URL$|_URI$|_DSN$", re.IGNORECASE)
_FORMS = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        # Telegram: in an address, alone, percent-encoded.
        (r"(/(?:file/)?bot)\d+(?::|%3[Aa])[^/\s\"'<>]+", rf"\g<1>{HIDDEN}"),
        (r"(?<!\d)\d{6,12}(?::|%3[Aa])[A-Za-z0-9_-]{30,}", HIDDEN),
        # Discord: a bot's token; the token of an interaction or a webhook in an address.
        (r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{23,28}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,}", HIDDEN),
        (r"(/(?:webhooks|interactions)/\d+/)[A-Za-z0-9._~%-]{20,}", rf"\g<1>{HIDDEN}"),
        # What JSON calls a token: with an interaction's, which the gateway's log shows at DEBUG, anybody could answer.
        (r"(?i)([\"'][a-z_]*token\\?[\"']\s*:\s*\\?[\"'])[^\"'\\]+", rf"\g<1>{HIDDEN}"),
        (r"(?i)(authorization\\?[\"']?\s*[:=,]\s*\(?(?:b?\\?[\"'])?)(?:(?:bot|bearer|basic)\s+)?[^\s\"',)}]+",
         rf"\g<1>{HIDDEN}"),
        # postgres://user:password@host, and any other address like it; an @ in the password belongs to it.
        (r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"']*:)[^\s\"'<>]+@", rf"\g<1>{HIDDEN}@"),
        (r"(?i)(\bpassword\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\s\"',;&)}]+", rf"\g<1>{HIDDEN}"),
    )
)  # fmt: skip


class Redactor:
    """``secrets`` are known by value; forms of tokens are taken out whatever is known."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spelt = {spelling for secret in secrets for spelling in _spellings(secret)}
        # The longest first: a password inside an address that is a secret itself goes with it.
        known = "|".join(map(re.escape, sorted(spelt, key=len, reverse=True)))
        self._known = re.compile(known) if known else None

    @classmethod
    def of_environment(cls, environ: Mapping[str, str], *more: str) -> "Redactor":
        """Knows what variables such as ``TELEGRAM_TOKEN`` hold, and the passwords in ``DATABASE_URL``."""
        return cls([*more, *_secrets(environ)])

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for form, put in _FORMS:
            text = form.sub(put, text)
        return text


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        if _SECRET_NAME.search(name):
            yield value
        elif _URL_NAME.search(name):
            try:
                password = urlsplit(value).password
            except ValueError:
                yield value  # not an address; what it is nobody knows, so nobody shall read it
            else:
                yield password or ""


def _spellings(secret: str) -> Iterator[str]:
    """As it is, decoded, percent-encoded, inside JSON and inside a Python literal."""
    secret = secret.strip()
    if len(secret) < SHORTEST:
        return
    for text in (secret, unquote(secret)):
        yield text
        yield quote(text, safe="")
        yield quote(text)
        yield json.dumps(text)[1:-1]
        yield repr(text)[1:-1]
