"""Reads what a user types: ``/watch BTC formed within 3% min $5M slow``. Errors name the nearest word."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.markets.names import UnknownMarket, resolve
from bot.policy import DISTANCE_LADDER_PCT, own_rung
from detectors.cluster import BuildClass
from detectors.market import Market
from detectors.registry import EventKind
from storage.chats import EVERY_MARKET, Subscription, set_size

LONGEST_COMMAND = 500
WATCH_EXAMPLE = "/watch BTC approached consumed within 3% min $5M slow"
_AMOUNT = re.compile(r"\$?(?P<number>\d{1,15}(?:,\d{3})*(?:\.\d{1,6})?)(?P<unit>[kmb]?)\$?")
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}
_LARGEST_USD = 1e15
_EVERYTHING = frozenset({"all", "everything", "*"})
_OPTIONS = ("within", "min")


class NotUnderstood(Exception):  # noqa: N818 - reads as what it says to the user
    """The message is the answer; ``example`` shows how it is written. ``instead``: a word, and those that may have been
    meant by it."""

    def __init__(self, message: str, example: str = "", instead: tuple[str, Sequence[str]] = ("", ())) -> None:
        super().__init__(message)
        self.example, self.instead = example, instead


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    words: tuple[str, ...]


def command(text: str, known: Sequence[str]) -> Command:
    """The command in a line and its words. Raises NotUnderstood."""
    if len(text) > LONGEST_COMMAND:
        raise NotUnderstood(f"That is too long: {LONGEST_COMMAND} characters at most.", "/help")
    words = printable(text).split()
    if not words:
        raise NotUnderstood("Nothing was asked.", "/help")
    # Telegram adds the bot's name in groups: /watch@ClusterwatchBot.
    name = words[0].lstrip("/").partition("@")[0].lower()
    if name not in known:
        near = [f"/{one}" for one in difflib.get_close_matches(name, list(known), n=3)]
        text = f'There is no command "/{shortened(name)}".{nearest(name, known, "/")}'
        raise NotUnderstood(text, "/help", (words[0], near))
    return Command(name, tuple(words[1:]))


def market(word: str, markets: Sequence[Market]) -> Market:
    """Raises NotUnderstood with the nearest names."""
    try:
        return resolve(word, markets)
    except UnknownMarket as error:
        raise NotUnderstood(str(error), "", (word, error.nearest)) from error


def one_or_all(words: Sequence[str], markets: Sequence[Market], example: str) -> str:
    """The base asset of the one market named, ``*`` for all. Raises NotUnderstood."""
    if len(words) != 1:
        raise NotUnderstood("Name one market, or all.", example)
    word = words[0].lower()
    if word in _EVERYTHING:
        return EVERY_MARKET
    return word if set_size(word) else market(words[0], markets).base


def subscription(
    words: Sequence[str], markets: Sequence[Market], kinds: Mapping[str, EventKind], default: Subscription
) -> Subscription:
    """What ``/watch`` asks for; what it does not say is as in ``default``. Raises NotUnderstood."""
    if not words:
        raise NotUnderstood("Which market?", WATCH_EXAMPLE)
    words = with_venue(with_set(words))
    base = _to_watch(words, markets)
    try:
        return with_options(replace(default, market=base), words[1:], kinds)
    except NotUnderstood as error:
        _is_another_market(error.instead[0], markets)
        raise


def _is_another_market(word: str, markets: Sequence[Market]) -> None:
    """Raises NotUnderstood where the word that was not understood is a market."""
    try:
        base = resolve(word, markets).base if word else ""
    except UnknownMarket:
        return
    if base:
        raise NotUnderstood("One market at a time.", f"/watch {base}")


def with_set(words: Sequence[str]) -> Sequence[str]:
    """``top 10``, which is typed as often, as ``top10``."""
    if len(words) > 1 and words[0].lower() == "top" and words[1].isdecimal():
        return ["top" + words[1], *words[2:]]
    return words


def with_venue(words: Sequence[str]) -> Sequence[str]:
    """``BTC min $5M on okx`` as ``BTC@okx min $5M``."""
    at = next((n for n, word in enumerate(words) if n and word.lower() == "on"), None)
    if at is None or at + 1 == len(words) or "@" in words[0]:
        return words
    return [f"{words[0]}@{words[at + 1].lower()}", *words[1:at], *words[at + 2 :]]


def _to_watch(words: Sequence[str], markets: Sequence[Market]) -> str:
    """The base to subscribe to; of a single venue, whether there is a view of it yet or not. Raises NotUnderstood."""
    merged = [one for one in markets if not one.is_alone]
    name, at, venue = words[0].partition("@")
    base = one_or_all([name], merged, WATCH_EXAMPLE)
    if not at:
        return base
    venue = venue.strip(",").lower()
    of = next((one for one in merged if one.base == base), None)
    if of is None:
        raise NotUnderstood("A venue belongs to one market.", "/watch BTC on okx")
    if venue not in of.venues:
        raise NotUnderstood(f'{base} is not on "{shortened(venue)}" here, only on {", ".join(of.venues)}.')
    return f"{base}@{venue}"


def with_options(default: Subscription, words: Sequence[str], kinds: Mapping[str, EventKind]) -> Subscription:
    """``default`` with what the words say instead; kinds that are named replace its kinds. Raises NotUnderstood."""
    asked: set[str] = set()
    words = [part for word in words for part in ((word,) if _AMOUNT.fullmatch(word.lower()) else word.split(","))]
    within_pct, min_notional_usd, build_class = default.within_pct, default.min_notional_usd, default.build_class
    rest = iter(words)
    for word in rest:
        lower = word.lower()
        if lower == "within":
            within_pct = _percent(next(rest, "").strip(","))
        elif lower == "min":
            min_notional_usd = usd(next(rest, "").strip(","))
        elif lower == "on":
            raise NotUnderstood("A venue belongs to one market.", "/watch BTC on okx")
        elif lower in set(BuildClass):
            build_class = lower
        elif lower == "any":
            build_class = None
        elif re.fullmatch(r"[\d.]+%", lower):
            within_pct = _percent(lower)
        elif _AMOUNT.fullmatch(lower):
            min_notional_usd = usd(lower)
        elif lower not in {"%", "", "alerts", "and"}:
            asked.add(kind(lower, kinds))
    return replace(
        default,
        kinds=frozenset(asked) or default.kinds,
        within_pct=within_pct,
        min_notional_usd=min_notional_usd,
        build_class=build_class,
    )


def usd(word: str) -> float:
    """``$5M``, ``950k``, ``2,500,000`` in dollars. Raises NotUnderstood."""
    match = _AMOUNT.fullmatch(word.lower())
    amount = float(match["number"].replace(",", "")) * _UNITS[match["unit"]] if match else -1.0
    if not 0 <= amount <= _LARGEST_USD:
        raise NotUnderstood(f'"{shortened(word)}" is not an amount.', "min $5M")
    return amount


def _percent(word: str) -> float:
    text = word.removesuffix("%")
    value = float(text) if re.fullmatch(r"\d{1,3}(?:\.\d{1,4})?", text) else 0.0
    if not 0 < value <= 100:
        raise NotUnderstood(f'"{shortened(word)}" is not a distance in per cent.', "within 3%")
    if own_rung(value) is None:
        raise NotUnderstood(f"Approaches are told at {min(DISTANCE_LADDER_PCT):g}% at the nearest.", "within 0.5%")
    if value > max(DISTANCE_LADDER_PCT):
        raise NotUnderstood(f"Approaches are told at {max(DISTANCE_LADDER_PCT):g}% at the farthest.", "within 5%")
    return value


def kind(word: str, kinds: Mapping[str, EventKind]) -> str:
    """A kind by its name or by a word of it: ``cluster_formed``, ``formed``, ``funding``."""
    wanted = word.replace("-", "_")
    found = [name for name in kinds if name == wanted] or [name for name in kinds if wanted in name.split("_")]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotUnderstood(f'"{shortened(word)}" could be {" or ".join(found)}.', WATCH_EXAMPLE)
    offered: set[str] = (
        {part for name in kinds for part in name.split("_")} | set(kinds) | set(_OPTIONS) | set(BuildClass)
    )
    near = difflib.get_close_matches(word, sorted(offered), n=3)
    text = f'"{shortened(word)}" means nothing here.{nearest(word, sorted(offered))}'
    raise NotUnderstood(text, WATCH_EXAMPLE, (word, near))


def nearest(word: str, known: Iterable[str], mark: str = "") -> str:
    """`` Did you mean ...?``, or nothing where no word is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {mark}{near[0]}?" if near else ""


def shortened(word: str) -> str:
    """What can be repeated to the user: not long, no markup, no mention."""
    return "".join(c for c in word[:24] if c not in '"`@<>')


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
