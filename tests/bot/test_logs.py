"""P16: whatever is logged, raised or shown as its ``repr``, no token and no password is in it."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bot import cli, logs, run
from bot.config import Config
from bot.errors import Fatal
from bot.redact import HIDDEN, Redactor

TELEGRAM = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
DISCORD = "MTE4NjAyNTk4ODM2NDQ3MDI3MA.GqYx0b.3vXk9nU1mZ4rT7wQ2sL8pJ6hB5cD0fG1eAyNs"
DATABASE = "postgres://clusterwatch:p%40ss/w0rd@db.example.org:5432/bot"
SHAPELESS = "open sesame 4 all"
"""A secret that looks like nothing: it is known by its value alone."""
ENVIRONMENT = {
    "TELEGRAM_TOKEN": TELEGRAM,
    "DISCORD_TOKEN": DISCORD,
    "DATABASE_URL": DATABASE,
    "PROXY_PASSWORD": SHAPELESS,
    "HOME": "somewhere",
}
SECRETS = (TELEGRAM, DISCORD, "p%40ss/w0rd", "p@ss/w0rd", SHAPELESS)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged, at DEBUG; everything is put back afterwards."""
    root, out = logging.getLogger(), io.StringIO()
    hooks, level, levels = (sys.excepthook, threading.excepthook), root.level, {}
    for name in logs.LOUD:
        levels[name] = logging.getLogger(name).level
    handler = logs.set_up("debug", "text", ENVIRONMENT, "https://ping.example.org/0123-abcd", stream=out)
    yield out
    root.removeHandler(handler)
    root.setLevel(level)
    (sys.excepthook, threading.excepthook) = hooks
    logging.captureWarnings(capture=False)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


class Bot:
    """As telegram.Bot: its repr holds the token."""

    def __repr__(self) -> str:
        return f"Bot[token={TELEGRAM}]"


def raises() -> None:
    raise ValueError(f"The token `{TELEGRAM}` was rejected by the server for {DATABASE}")


@pytest.mark.parametrize(
    "said",
    [
        f"HTTP Request: POST http://127.0.0.1:80/bot{TELEGRAM}/getMe",
        f"POST /bot{TELEGRAM.replace(':', '%3A')}/sendMessage",
        f"file path https://api.telegram.org/file/bot{TELEGRAM}/photos/1.jpg",
        f"_{TELEGRAM}_",
        f"headers {{'Authorization': 'Bot {DISCORD}'}}",
        f'IDENTIFY {{"token":"{DISCORD}"}}',
        f"x{DISCORD}y",
        DATABASE,
        "connection to postgresql://u:p@ss/w0rd@host failed",
        "user=clusterwatch password=p@ss/w0rd host=db",
        f"407: the proxy does not know '{SHAPELESS}'",
    ],
)
def test_no_secret_of_the_environment_leaves_a_line_of_text(said: str) -> None:
    told = Redactor.of_environment(ENVIRONMENT)(said)
    assert HIDDEN in told
    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"GET /bot{TELEGRAM}/getMe", "GET /bot***/getMe"),
        ("GET /bot123:ABC/getMe", "GET /bot***/getMe"),
        (f"token {TELEGRAM}, refused", "token ***, refused"),
        (f"token {DISCORD}.", "token ***."),
        (
            "POST /webhooks/118602598836447/aW50ZXJhY3Rpb246MTE4NjAy/messages",
            "POST /webhooks/118602598836447/***/messages",
        ),
        ("postgres://u:secret@h/d and mysql://a:b@c", "postgres://u:***@h/d and mysql://a:***@c"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("'d': {'token': 'aW50ZXJhY3Rpb246', 'type': 2}", "'d': {'token': '***', 'type': 2}"),
        ('{"access_token":"abc-def","n":1}', '{"access_token":"***","n":1}'),
    ],
)
def test_what_looks_like_a_token_goes_even_where_nobody_knows_it(said: str, left: str) -> None:
    assert Redactor()(said) == left


def test_what_is_no_secret_stays() -> None:
    said = "2026-01-07T15:32:10 BTC/USDT:USDT 112842.5 binance:BTC 1186025988364470270 http://127.0.0.1:8080/healthz"
    assert Redactor.of_environment(ENVIRONMENT)(said) == said


@given(st.text(), st.text(), st.text(min_size=6).filter(lambda text: len(text.strip()) >= 6))
def test_whatever_the_secret_and_whatever_is_around_it_it_goes(before: str, after: str, secret: str) -> None:
    redact = Redactor([secret])
    for spelt in (secret.strip(), json.dumps(secret.strip())[1:-1], repr(secret.strip())[1:-1]):
        assert secret.strip() not in redact(f"{before}{spelt}{after}") or secret.strip() in f"{before}{HIDDEN}{after}"


def test_messages_arguments_tracebacks_and_reprs_are_logged_without_secrets(log: io.StringIO) -> None:
    other = logging.getLogger("somebody.elses")
    other.info("asked %s with %r", f"https://api.telegram.org/bot{TELEGRAM}/x", Bot())
    other.debug("gone to https://ping.example.org/0123-abcd")
    try:
        raises()
    except ValueError:
        other.exception("failed")
    told = log.getvalue()
    assert "Traceback" in told
    assert "was rejected by the server" in told
    assert [secret for secret in (*SECRETS, "0123-abcd") if secret in told] == []


def test_an_exception_nobody_caught_is_logged_without_secrets(log: io.StringIO) -> None:
    thread = threading.Thread(target=raises)
    thread.start()
    thread.join()
    try:
        raises()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    told = log.getvalue()
    assert told.count("the process ends by a fault of ours") == 2
    assert [secret for secret in SECRETS if secret in told] == []


def test_as_json_each_line_is_an_object_with_time_level_logger_and_what_was_said() -> None:
    out = io.StringIO()
    record = logging.LogRecord("bot.x", logging.WARNING, "", 1, "venue %s", ("okx",), None)
    record.token = TELEGRAM
    formatter = logs.RedactingFormatter(logs.formatter("json"), Redactor.of_environment(ENVIRONMENT))
    out.write(formatter.format(record))
    told = json.loads(out.getvalue())
    assert (told["level"], told["logger"], told["message"], told["token"]) == ("WARNING", "bot.x", "venue okx", HIDDEN)
    assert told["time"].endswith("Z")


def test_a_second_set_up_takes_the_place_of_the_first(log: io.StringIO) -> None:
    again = io.StringIO()
    handler = logs.set_up("warning", "text", {}, stream=again)
    logging.getLogger("x").warning("once")
    logging.getLogger().removeHandler(handler)
    assert again.getvalue().count("once") == 1
    assert "once" not in log.getvalue()


def test_the_error_that_ends_the_command_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise Fatal(f"Telegram refuses the token {TELEGRAM}: give another one as TELEGRAM_TOKEN.")

    monkeypatch.setattr(run, "run", refused)
    monkeypatch.setattr(logs, "set_up_for", lambda config, environ: None)
    done = CliRunner().invoke(cli.main, [], env=ENVIRONMENT)
    assert done.exit_code == 1
    assert "Telegram refuses the token ***" in done.output


def test_the_config_says_how_much_is_logged() -> None:
    assert (Config().log.level, Config().log.format) == ("warning", "text")
