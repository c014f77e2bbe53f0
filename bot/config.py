"""The config file: TOML, checked in full before anything starts. `config.example.toml` documents every key.

The settings of the estimate, of clusters and of each kind are the detectors' own dataclasses, so that a new setting is
a key at once.
"""

import difflib
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from bot import config_sense
from bot.markets.feed import Source
from bot.markets.venues import DEFAULT_VENUES
from detectors.clusters import ClusterSettings
from detectors.engine import EngineSettings, MarketEngine
from detectors.estimate import EstimateSettings
from detectors.market import Market
from detectors.registry import find_kinds
from storage.chats import Chat

DEFAULT_ESTIMATE = EstimateSettings()
_CHAT = re.compile(r"telegram:-?\d{1,16}(/\d{1,10})?|discord:\d{1,20}", re.ASCII)
HOW_TO_GO_ON = (
    "This is the embedded default. To change it, go live or play a recording: copy config.example.toml "
    'to config.toml and edit it; kind = "live" there watches Binance, Bybit and OKX, with no key (python -m bot check '
    "tries them). With TELEGRAM_TOKEN or DISCORD_TOKEN in the environment it speaks there too."
)
LOCAL_VENUES = (
    "The whole live path, ccxt, REST and websockets included, against small servers on this machine that trade a "
    "simulated market some 450 times as fast as a real one. Nothing leaves the machine and nothing is kept."
)


class ConfigError(Exception):
    """Everything that is wrong with a config, a line each: ``key: what is wrong; the fix``."""

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"{where} cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SourceSection(Section):
    kind: Source = Source.SIMULATED
    path: str = ""
    """The recording, for ``recorded``."""
    markets: tuple[str, ...] = ()
    """Empty: all there are."""
    seed: int = Field(default=3, ge=0)
    days: float = Field(default=0.0, ge=0)
    """0: without end."""
    warm_up_days: float = Field(default=5.0, ge=0)
    speed: float = Field(default=2.0, gt=0, le=1000)
    """Bars a second."""
    venues: tuple[str, ...] = Field(default=DEFAULT_VENUES, min_length=1)
    look_every_s: float = Field(default=10.0, ge=2, le=60)
    history_days: float = Field(default=30.0, ge=1, le=30)
    most_markets: int = Field(default=100, ge=1)
    """Live: what chats ask for beside the config's own is followed up to that many."""


class StoreSection(Section):
    path: str = "data/clusterwatch.db"
    """Empty: in memory, gone at the end."""


class ChartsSection(Section):
    draw: bool = True
    folder: str = Field(default="out/charts", min_length=1)
    kept: int = Field(default=1000, ge=1)


class PolicySection(Section):
    within_pct: float = Field(default=2.0, ge=0.5, le=5)
    min_notional_usd: float = Field(default=0.0, ge=0)
    max_subscriptions: int = Field(default=50, ge=1)
    max_chats_per_user: int = Field(default=20, ge=1)


class ConsoleSection(Section):
    watch: tuple[str, ...] = ("*",)
    colour: Literal["auto", "always", "never"] = "auto"


class TelegramSection(Section):
    """The token comes from the environment, ``TELEGRAM_TOKEN``; without it there is no Telegram."""

    enabled: bool = True
    per_second: float = Field(default=25.0, gt=0, le=1000)


class DiscordSection(Section):
    """The token comes from the environment, ``DISCORD_TOKEN``; without it there is no Discord."""

    enabled: bool = True
    per_second: float = Field(default=40.0, gt=0, le=50)
    manager_role: str = ""
    """A role, by name or id, that may change subscriptions beside those who manage the server or channel."""


class ScheduleSection(Section):
    checkpoint_minutes: float = Field(default=60.0, gt=0)
    housekeeping_minutes: float = Field(default=10.0, gt=0)
    score_minutes: float = Field(default=15.0, gt=0)
    fit_hours: float = Field(default=168.0, ge=0)
    """0: nothing is fitted, and what was fitted before is not used."""
    backup_hours: float = Field(default=1.0, gt=0)
    heartbeat_seconds: float = Field(default=30.0, gt=0)


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "warning"
    format: Literal["text", "json"] = "text"


def _chat(name: str) -> str:
    if not _CHAT.fullmatch(name):
        raise ValueError(
            f"{name!r} is no chat; write telegram:123456 or telegram:-100123456 (a chat's number, not its name), "
            "telegram:-100123456/42 (a topic) or discord:1199123456 (a channel's number)"
        )
    return name


class NoticesSection(Section):
    chats: tuple[Annotated[str, AfterValidator(_chat)], ...] = ()
    """The operator's own, as ``PLATFORM:ID``."""

    @property
    def operators(self) -> list[Chat]:
        return [Chat(*name.split(":", 1)) for name in self.chats]


class HealthSection(Section):
    ping_url: str = Field(default="", pattern=r"^(https?://\S+)?$", repr=False)
    """Empty: no pings. Who knows it can silence the alarm: it is shown nowhere."""
    ping_seconds: float = Field(default=60.0, ge=1)


def _over_default_estimate(given: Any) -> Any:
    return _merged(asdict(DEFAULT_ESTIMATE), given) if isinstance(given, Mapping) else given


_SECRET_KEYS = frozenset({"health.ping_url"})
_TOGETHER = frozenset({"nodes", "weights", "short_weights"})
"""Lists as long as one another: without one of them the others are wrong for its sake alone."""
_Model = TypeVar("_Model", bound=BaseModel)


class Config(Section):
    source: SourceSection = SourceSection()
    store: StoreSection = StoreSection()
    charts: ChartsSection = ChartsSection()
    policy: PolicySection = PolicySection()
    console: ConsoleSection = ConsoleSection()
    telegram: TelegramSection = TelegramSection()
    discord: DiscordSection = DiscordSection()
    schedule: ScheduleSection = ScheduleSection()
    log: LogSection = LogSection()
    health: HealthSection = HealthSection()
    notices: NoticesSection = NoticesSection()
    clusters: ClusterSettings = ClusterSettings()
    estimate: Annotated[EstimateSettings, BeforeValidator(_over_default_estimate)] = DEFAULT_ESTIMATE
    kinds: Mapping[str, Any] = Field(default_factory=dict)
    """Settings by kind, each that kind's own dataclass."""

    def engine_settings(self) -> EngineSettings:
        return EngineSettings(estimate=self.estimate, clusters=self.clusters, kinds=self.kinds)


def embedded(kind: Source = Source.SIMULATED) -> Config:
    """Without a config file: simulated markets, kept in memory only."""
    return Config(source=SourceSection(kind=kind), store=StoreSection(path=""))


def load(path: Path) -> Config:
    """Raises ConfigError with everything that is wrong."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        fix = "give the path of a config file, or copy config.example.toml to it"
        raise ConfigError(str(path), [f"file: cannot be read ({error.strerror}); {fix}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), ["file: is not text in UTF-8; save it as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"file: is not TOML ({error}); mend that line"]) from error
    return parse(document, str(path))


def parse(document: Mapping[str, Any], where: str) -> Config:
    """The config of a parsed file. Raises ConfigError with everything that is wrong."""
    faults: dict[str, None] = {}
    kinds = _kinds(document.get("kinds", {}), faults)
    config = _validated(Config, {**document, "kinds": kinds}, faults)
    wrong = {fault.partition(":")[0] for fault in faults}
    for fault in _senseless(config, document):
        if fault.partition(":")[0] not in wrong:
            faults[fault] = None
    if not faults:
        faults |= dict.fromkeys(_does_not_fit(config))
    if faults:
        raise ConfigError(where, sorted(faults))
    return config


def _validated(model: type[_Model], document: Any, faults: dict[str, None], *prefix: str) -> _Model:
    """The model with what is right in ``document`` and its defaults elsewhere; what is wrong is added to ``faults``.

    What is wrong is taken out and the rest looked at again, for one fault can keep others of its table unseen.
    """
    while True:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            found = error.errors()
        faults |= dict.fromkeys(_fault(details, *prefix) for details in found)
        rest = document
        for details in found:
            rest = _without(rest, [str(part) for part in details["loc"]])
        document = rest if rest != document and isinstance(rest, Mapping) else {}


def _without(table: Any, path: Sequence[str]) -> Any:
    """``table`` less what stands at ``path``; of a list, all of it."""
    if not isinstance(table, Mapping) or not path or path[0] not in table:
        return table
    key, *rest = path
    if rest and isinstance(table[key], Mapping):
        return {**table, key: _without(table[key], rest)}
    gone = _TOGETHER if key in _TOGETHER else {key}
    return {name: value for name, value in table.items() if name not in gone}


def defaults() -> dict[str, Any]:
    """Every key with its default, as a document like a config file's."""
    kinds = {name: asdict(kind.settings) for name, kind in find_kinds().items()}
    return {**Config().model_dump(mode="json"), "kinds": kinds}


def _kinds(given: Any, faults: dict[str, None]) -> dict[str, Any]:
    """Each kind's table as its own dataclass; what is wrong is added to ``faults``."""
    known = find_kinds()
    tables = {name: (type(kind.settings), kind.settings) for name, kind in known.items()}
    section = create_model("Kinds", __base__=Section, **tables)  # type: ignore[call-overload]
    settings = _validated(section, given, faults, "kinds")
    return {name: getattr(settings, name) for name in known}


def _fault(details: ErrorDetails, *prefix: str) -> str:
    path = (*prefix, *(str(part) for part in details["loc"]))
    key = ".".join(path)
    match details["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{key}: no such key; {_nearest(path[-1], _keys_beside(path))}"
        case "enum" | "literal_error":
            return f"{key}: {details['input']!r} is not one of them; write {details['ctx']['expected']}"
        case "too_short":
            return f"{key}: must not be empty; {_default_of(path)}"
        case "value_error":
            said = str(details["ctx"]["error"])
            return f"{key}: {said}" if "; " in said else f"{key}: {said}; see config.example.toml"
        case "model_type" | "dataclass_type" | "mapping_type" | "dict_type":
            return f"{key}: must be a table, not {details['input']!r}; write [{key}] with its keys under it"
    said = details["msg"].replace("Input should be ", "must be ").replace("a valid tuple", "a list in brackets")
    said = said.partition(", unable")[0]
    given = "what is there, which is a secret" if key in _SECRET_KEYS else repr(details["input"])
    return f"{key}: {said}, not {given}; {_default_of(path)}"


def _senseless(config: Config, document: Mapping[str, Any]) -> Iterator[str]:
    """What is right in itself and wrong in its place."""
    source = config.source
    yield from config_sense.venues(source.venues, local=source.kind is Source.LOCAL)
    yield from config_sense.days(source.days)
    if source.kind is Source.RECORDED and not source.path:
        yield "source.path: is needed for a recorded source; give the folder of the recording"
    settled = config.model_dump(mode="json", include=set(config_sense.ENGINE))
    yield from config_sense.impossible(settled, document, _default_of)


def _does_not_fit(config: Config) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            MarketEngine(Market("BTC", "", (), ()), config.engine_settings(), find_kinds())
    except (ValueError, ArithmeticError, IndexError, MemoryError, RuntimeWarning) as error:
        yield f"estimate, clusters: do not fit together ({error}); go back to the defaults step by step"


def _keys_beside(path: Sequence[str]) -> list[str]:
    """The keys that are known where this one was found."""
    table: Any = defaults()
    for part in path[:-1]:
        table = table[int(part)] if isinstance(table, list | tuple) else table[part]
    return list(table)


def _nearest(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def _default_of(path: Sequence[str]) -> str:
    table: Any = defaults()
    for part in path:
        if not isinstance(table, Mapping) or part not in table:
            return "see config.example.toml"
        table = table[part]
    return "see config.example.toml" if isinstance(table, Mapping) else f"the default is {table!r}"


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``over`` says instead, table by table."""
    merged = dict(base)
    for key, value in over.items():
        inner = base.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged
