"""The scorecard: in a chat, on the command line, and for machines."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.chart import draw_reliability
from bot.charting import ChartFolder
from bot.cli import main
from bot.markets.simulated import write_simulation
from bot.message import as_text, handle_of
from bot.platforms.telegram.rendering import caption_of
from bot.score import Scorer
from bot.scorecard import as_message, rows_of
from detectors.chance import Chance
from detectors.claims import claims_of
from detectors.event import OutcomeClass, Question
from detectors.market import DAY_MS, Side
from detectors.registry import find_kinds
from detectors.scoring import Scored, wilson_lower
from storage.sqlite import SqliteStore
from tests.bot.asking_by import Asker, commands_over
from tests.bot.played import CHAT, config
from tests.storage.make import START_MS

PNG = b"\x89PNG"


def alerts(n: int, reached: int, market: str = "BTC", group: str = "cluster_approached@2") -> list[Scored]:
    return [
        Scored(
            f"{market}-{number}",
            group.partition("@")[0],
            market,
            group,
            Side.LONG,
            START_MS + number * DAY_MS,
            OutcomeClass.REACHED if number < reached else OutcomeClass.MISSED,
            START_MS + (number + 1) * DAY_MS,
            Question(Side.LONG, 0.02, DAY_MS),
            Chance(0.25, 900),
        )
        for number in range(n)
    ]


def said(scored: list[Scored], **waiting: int) -> str:
    return as_text(as_message(rows_of(scored, by_market=True), waiting, title="Scorecard", days=90, scored_as={}))


def test_a_row_says_n_rate_bound_chance_lift_and_verdict() -> None:
    (row,) = [line for line in said(alerts(40, 30)).splitlines() if line.startswith("approached within 2 %")]
    assert row.split()[4:] == ["40", "75", "%", f"{wilson_lower(30, 40) * 100:.0f}", "%", "25", "%", "x3.00", "better"]


def test_under_a_picture_the_figures_of_every_kind_stay_and_prose_goes() -> None:
    kinds = find_kinds()
    groups = ("cluster_approached@2", "cluster_formed", "cluster_consumed", "cluster_dissolved", "funding_shock")
    scored = [one for group in groups for one in alerts(40, 30, group=group)]
    card = as_message(
        rows_of(scored, by_market=False),
        {},
        title="Scorecard of all markets",
        days=90,
        scored_as={name: kind.scored_as for name, kind in kinds.items()},
        claims=claims_of(scored),
        short=True,
    )
    caption = caption_of(card)
    assert caption.count("n 40 · came true 75 %") == 5
    assert caption.count("lift x3.00 · verdict better") == 5
    assert all(line in caption for line in card.footer)


def test_a_record_that_loses_to_chance_says_so() -> None:
    assert "worse" in said(alerts(60, 2))


def test_under_thirty_alerts_no_verdict_is_given() -> None:
    assert "too few" in said(alerts(29, 29))


def test_what_waits_and_what_could_not_be_judged_is_said() -> None:
    holed = [
        Scored(
            "h",
            "cluster_approached",
            "BTC",
            "cluster_approached@2",
            Side.LONG,
            START_MS,
            OutcomeClass.UNJUDGED,
            START_MS,
        )
    ]
    text = said([*alerts(40, 30), *holed], cluster_approached=3)
    assert "3 alerts wait for their horizon, 1 could not be judged" in text
    assert "40 (+1 unjudged)" in text


def test_markets_are_shown_apart_below_all_of_them() -> None:
    rows = rows_of([*alerts(5, 1), *alerts(7, 2, "ETH")], by_market=True)
    assert [(row.market, row.record.n) for row in rows] == [("all", 12), ("BTC", 5), ("ETH", 7)]
    assert [row.market for row in rows_of([*alerts(5, 1), *alerts(7, 2, "ETH")], by_market=False)] == ["all"]
    assert [row.market for row in rows_of(alerts(5, 1), by_market=True)] == ["BTC"]


def test_nothing_judged_is_said_plainly() -> None:
    assert "Nothing is judged yet; 2 alerts wait" in said([], cluster_formed=2)


def test_the_reliability_chart_is_a_picture_that_changes_with_the_record() -> None:
    one, other = draw_reliability(alerts(40, 30), "BTC"), draw_reliability(alerts(40, 10), "BTC")
    assert one.startswith(PNG)
    assert one == draw_reliability(alerts(40, 30), "BTC")
    assert one != other != draw_reliability([], "BTC")


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncIterator[Asker]:
    store, charts = SqliteStore(None, "simulated", max_subscriptions=5), ChartFolder(tmp_path)
    commands = await commands_over(store, charts, bars=1100)
    short = config(kinds={name: {"judged_after_hours": 3.0} for name in find_kinds()}).kinds
    await Scorer(store, find_kinds(), short).score(commands._house.watcher.market_times())
    yield Asker(commands, CHAT)
    await charts.close()
    await store.close()


async def test_a_chat_asks_for_the_record_of_all_of_a_market_or_of_a_kind(asker: Asker) -> None:
    whole = await asker.says("/scorecard")
    assert whole.title == "Scorecard of all markets"
    assert whole.table is not None
    judged = await asker.commands._house.store.outcomes()
    assert {row[0].split()[0] for row in whole.table.rows} == {one.group.split("@")[0].split("_")[1] for one in judged}
    for asks in ("Do slow builds clear more violently", "Do sharp approaches clear", "Does a funding shock dissolve"):
        (claim,) = [line for line in whole.lines if line.startswith(asks)]
        assert "(n = " in claim
        assert len(claim) < 140
    one_kind = await asker.says("/scorecard btc approached")
    assert not any(line.startswith("Do slow builds") for line in one_kind.lines)
    assert one_kind.title == "Scorecard of BTC cluster approached"
    assert one_kind.table is not None
    assert [row[0] for row in one_kind.table.rows] == ["approached within 2 %"]
    assert "SIMULATED market" in as_text(one_kind)


async def test_what_a_chat_mistypes_is_answered(asker: Asker) -> None:
    assert "nosuch" in (await asker.says("/scorecard nosuch")).title
    assert (await asker.says("/scorecard BTC formed more")).title == "A market and a kind at most."


async def test_why_says_what_came_of_the_alert(asker: Asker) -> None:
    alerts_told = await asker.commands._house.store.recent(500)
    judged = {one.key: one for one in await asker.commands._house.store.outcomes()}
    done = next(one for one in alerts_told if one.alert_id in judged)
    text = as_text(await asker.says(f"/why {handle_of(done.alert_id)}"))
    assert f"What came of it: {judged[done.alert_id].outcome.value}, judged" in text
    open_still = next(one for one in alerts_told if one.alert_id not in judged)
    text = as_text(await asker.says(f"/why {handle_of(open_still.alert_id)}"))
    assert "judged when its horizon has passed" in text


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "short"
    write_simulation(5, 6.0, folder, ["DOGE"])
    return folder


def test_the_command_line_prints_the_record_for_people_and_for_machines(recording: Path, tmp_path: Path) -> None:
    settings, chart = tmp_path / "config.toml", tmp_path / "chart.png"
    settings.write_text("[estimate.baseline]\nready_hours = 24\n")
    base = ["--config", str(settings), "scorecard", str(recording)]
    told = CliRunner().invoke(main, [*base, "--chart", str(chart)])
    assert told.exit_code == 0, told.output
    assert "Scorecard of DOGE" in told.stdout
    assert chart.read_bytes().startswith(PNG)
    machine = CliRunner().invoke(main, [*base, "--json"])
    record = json.loads(machine.stdout)
    assert record["simulated"] is True
    approached = next(one for one in record["records"] if one["kind"] == "cluster_approached")
    assert approached["within_pct"] == 2.0
    assert approached["n"] > 0
    assert approached["rate"] == approached["reached"] / approached["n"]
    assert [claim["name"] for claim in record["claims"]] == ["slow_builds", "sharp_approaches", "funding_shocks"]


def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["scorecard", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "nowhere" in result.output
