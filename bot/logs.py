"""Logs on standard error: as text or as one JSON object a line, at one level, and never with a secret in them (P16).

Secrets are taken out of what has been *formatted*: message, arguments, tracebacks, the extra fields of JSON. A filter
on records would see none of the text that an exception's own ``repr`` brings along.
"""

import logging
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from bot.config import Config
from bot.redact import Redactor

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TIME, _MILLISECONDS = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
_FIELDS = ("asctime", "levelname", "name", "message")
_NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}
LOUD = {"httpx": logging.WARNING, "httpcore": logging.INFO, "matplotlib": logging.INFO, "PIL": logging.INFO}
"""Libraries that write a line for each request or font, and from which level on they are heard unless debugging."""


class RedactingFormatter(logging.Formatter):
    """What ``inner`` formats, without secrets."""

    def __init__(self, inner: logging.Formatter, redact: Redactor) -> None:
        super().__init__()
        self._inner, self._redact = inner, redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._inner.format(record))


def set_up_for(config: Config | None, environ: Mapping[str, str]) -> logging.Handler:
    """As the config says; None: as the default does. What it calls when all is well is a secret."""
    config = config or Config()
    return set_up(config.log.level, config.log.format, environ, config.health.ping_url)


def set_up(
    level: str, form: str, environ: Mapping[str, str], *more_secrets: str, stream: TextIO | None = None
) -> logging.Handler:
    """Send all logs to ``stream`` (standard error) and let no secret through, not even from an exception nobody caught.

    ``form`` is ``text`` or ``json``; ``level`` a level's name. ``more_secrets`` are secrets that the config holds.
    """
    redact = Redactor.of_environment(environ, *more_secrets)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(RedactingFormatter(formatter(form), redact))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, RedactingFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, least in LOUD.items():
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else least)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda caught: _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)
    return handler


def formatter(form: str) -> logging.Formatter:
    made = logging.Formatter(_TEXT)
    if form == "json":
        from pythonjsonlogger.json import JsonFormatter  # nobody who reads text pays for it

        made = JsonFormatter(_FIELDS, rename_fields=_NAMES, json_ensure_ascii=False)
    made.converter = time.gmtime
    made.default_time_format, made.default_msec_format = _TIME, _MILLISECONDS
    return made


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    caught = (kind, error, trace) if error is not None else None
    logging.getLogger("bot").critical("the process ends by a fault of ours", exc_info=caught)
