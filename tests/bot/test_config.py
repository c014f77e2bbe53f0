"""The config: everything that is wrong at once, and every key documented."""

import math
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import Config, ConfigError, defaults, embedded, load, parse
from bot.markets.feed import Source
from detectors.clusters import ClusterSettings, Preset
from detectors.estimate import EstimateSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"


def leaves(table: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list | tuple) else None
    if items is None:
        yield path, table
        return
    yield path, type(table) is dict
    for key, value in items:
        yield from leaves(value, f"{path}.{key}")


def is_alike(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return math.isclose(one, other, rel_tol=1e-3) if numbers else bool(one == other)


def faults(document: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(document, "test")
    return caught.value.faults


def test_the_example_documents_every_key_with_its_default() -> None:
    # Computed lists are written out in comments.
    text = re.sub(r"^# (nodes|weights) = ", r"\1 = ", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    documented, known = dict(leaves(tomllib.loads(text))), dict(leaves(defaults()))
    assert documented.keys() == known.keys()
    assert {key for key, value in known.items() if not is_alike(documented[key], value)} == set()


@pytest.mark.parametrize("chat", ["telegram:@ops", "telegram:", "discord:-5", "discord:1/2", "slack:1", "telegram:1:2"])
def test_a_chat_that_notices_could_never_reach_is_a_fault(chat: str) -> None:
    (told,) = faults({"notices": {"chats": ["telegram:1", chat]}})
    assert told.startswith(f"notices.chats.1: {chat!r} is no chat; write telegram:123456")


def test_chats_topics_and_channels_get_notices() -> None:
    chats = ("telegram:1", "telegram:-1001", "telegram:-1001/42", "discord:1199")
    assert parse({"notices": {"chats": list(chats)}}, "test").notices.chats == chats


def test_the_example_as_it_stands_is_the_default_config() -> None:
    config = load(EXAMPLE)
    assert (config.estimate, config.clusters) == (EstimateSettings(), ClusterSettings())
    assert config.model_dump(exclude={"kinds"}) == Config().model_dump(exclude={"kinds"})


def test_all_faults_are_told_at_once_each_with_its_key_and_a_fix() -> None:
    told = faults(
        {
            "sourc": {},
            "source": {"sped": 3, "seed": -2, "kind": "simulatd"},
            "clusters": {"preset": "strit", "window": "wide", "edge": float("nan")},
            "estimate": {"map": {"grid": {"stp": 1}, "leverage": {"nodes": [5.0], "weights": [1.0, 2.0]}}},
            "kinds": {"funding_shok": {}, "funding_shock": {"scor": 1}},
            "store": 3,
        }
    )
    starts = {
        "sourc: no such key; did you mean source?",
        "source.sped: no such key; did you mean speed?",
        "source.seed: must be greater than or equal to 0, not -2; the default is 3",
        "source.kind: 'simulatd' is not one of them; write 'recorded', 'simulated', 'live' or 'local'",
        "clusters.preset: 'strit' is not one of them; write 'adaptive', 'strict' or 'sensitive'",
        "clusters.window: must be a valid number, not 'wide'; the default is 0.005",
        "clusters.edge: must be a finite number, not nan; the default is 0.5",
        "estimate.map.grid.stp: no such key; did you mean step?",
        "estimate.map.leverage: leverage nodes and weights must be as many as each other, and at least one; "
        "see config.example.toml",
        "kinds.funding_shok: no such key; did you mean funding_shock?",
        "kinds.funding_shock.scor: no such key; did you mean score?",
        "store: must be a table, not 3; write [store] with its keys under it",
    }
    assert set(told) == starts


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"source": {"kind": "local", "venues": ["hyperliquid"]}}, "source.venues: there is no local 'hyperliquid'"),
        ({"source": {"venues": []}}, "source.venues: must not be empty; the default is"),
        ({"source": {"kind": "recorded"}}, "source.path: is needed for a recorded source"),
        ({"clusters": {"edge": -0.5}}, "clusters.edge: must not be negative; the default is 0.5"),
        ({"kinds": {"funding_shock": {"score": -1.0}}}, "kinds.funding_shock.score: must not be negative"),
        ({"estimate": {"map": {"grid": {"step": 0.0}}}}, "estimate, clusters: do not fit together"),
    ],
)
def test_what_is_right_in_itself_and_wrong_in_its_place_is_refused(document: dict[str, Any], fault: str) -> None:
    (told,) = faults(document)
    assert told.startswith(fault)


def keys(document: dict[str, Any]) -> list[str]:
    return [fault.partition(":")[0] for fault in faults(document)]


def test_no_fault_of_a_table_hides_another() -> None:
    assert keys({"clusters": {"preset": "loose", "window": -1}}) == ["clusters.preset", "clusters.window"]
    lengths = {"nodes": [5.0], "weights": [1.0, 2.0], "position_usd": -4}
    estimate = {"map": {"leverage": lengths, "grid": {"step": -1}}, "baseline": {"ready_hours": -1}}
    assert keys({"estimate": estimate, "kinds": {"funding_shock": {"score": -1}}, "source": {"sped": 1}}) == [
        "estimate.baseline.ready_hours",
        "estimate.map.grid.step",
        "estimate.map.leverage.position_usd",
        "estimate.map.leverage",
        "kinds.funding_shock.score",
        "source.sped",
    ]
    leverage = {"nodes": ["x"], "weights": [1.0], "position_usd": "-4", "tiers": [{"rate": 0.1}]}
    assert keys({"estimate": {"map": {"leverage": leverage}}}) == [
        "estimate.map.leverage.nodes.0",
        "estimate.map.leverage.position_usd",
        "estimate.map.leverage.tiers.0.floor_usd",
        "estimate.map.leverage.tiers.0.max_leverage",
    ]


def test_venues_that_there_are_not_or_that_are_named_twice_are_refused_beside_whatever_else_is_wrong() -> None:
    assert faults({"source": {"venues": ["binanse", "bybit", "okex", "okx"], "seed": -1}}) == (
        "source.seed: must be greater than or equal to 0, not -1; the default is 3",
        "source.venues: 'okx' is there twice; name each venue once",
        "source.venues: ccxt has no venue called 'binanse'; did you mean binance?",
    )
    assert parse({"source": {"venues": ["binanceusdm", "kraken"]}}, "test").source.venues == ("binanceusdm", "kraken")
    assert keys({"source": {"kind": "local", "venues": ["binance", "binance"]}}) == ["source.venues"]


def test_looking_for_a_venue_imports_nothing_of_ccxt() -> None:
    script = (
        "import sys; from bot.config import parse; parse({'source': {'venues': ['kraken']}}, 'test'); "
        "print([name for name in sys.modules if name.partition('.')[0] == 'ccxt'])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"clusters": {"nearest": 0.5}}, "clusters.nearest: must be less than farthest (0.08), not 0.5"),
        ({"clusters": {"nearest": 0.08}}, "clusters.nearest: must be less than farthest"),
        ({"clusters": {"keep": 7}}, "clusters.keep: must be at most 1, a fraction, not 7; the default is 0.5"),
        (
            {"kinds": {"cluster_consumed": {"realised_share": 5}}},
            "kinds.cluster_consumed.realised_share: must be at most",
        ),
        ({"kinds": {"funding_shock": {"history_days": 90}}}, "kinds.funding_shock.history_days: must be at most 40"),
        ({"kinds": {"funding_shock": {"score": 1}}}, "kinds.funding_shock.rearm_score: must be at most score (1)"),
        ({"estimate": {"map": {"unknown_age_spread": 9}}}, "estimate.map.unknown_age_spread: must be at most 0.9"),
        ({"source": {"days": 0.001}}, "source.days: must be 0 (without end) or at least one bar"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(document: dict[str, Any], fault: str) -> None:
    (told,) = faults(document)
    assert told.startswith(fault)


def test_a_setting_left_out_keeps_its_default_however_deep_it_lies() -> None:
    config = parse({"estimate": {"map": {"leverage": {"position_usd": 1000.0}}}}, "test")
    default = EstimateSettings()
    leverage = replace(default.map.leverage, position_usd=1000.0)
    assert config.estimate == replace(default, map=replace(default.map, leverage=leverage))


def test_a_kinds_table_becomes_its_own_settings() -> None:
    config = parse({"kinds": {"funding_shock": {"score": 7.0}}, "clusters": {"preset": "strict"}}, "test")
    assert config.engine_settings().kinds["funding_shock"].score == 7.0
    assert config.clusters.preset is Preset.STRICT


def test_without_a_file_the_market_is_simulated_and_nothing_is_left_behind() -> None:
    config = embedded()
    assert (config.source.kind, config.store.path) == (Source.SIMULATED, "")


@pytest.mark.parametrize(("text", "fault"), [("a = [", "is not TOML"), (None, "cannot be read")])
def test_a_file_that_cannot_be_read_is_a_fault_like_any_other(tmp_path: Path, text: str | None, fault: str) -> None:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        load(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*defaults(), "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_whatever_the_file_holds_the_answer_is_a_config_or_a_config_error(document: Any) -> None:
    table = document if isinstance(document, dict) else {"source": document, "kinds": document, "estimate": document}
    with suppress(ConfigError):
        assert isinstance(parse(table, "test"), Config)
