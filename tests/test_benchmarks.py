"""Each benchmark runs on a small input, and what it measures with is right. Nothing here is timed."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import (
    bench_chart,
    bench_fit,
    bench_map,
    bench_rates,
    bench_receipts,
    bench_score,
    bench_stick,
    bench_store,
    bench_truth,
)
from benchmarks.calibration import best_of, calibration_loop
from benchmarks.reference import reference_map
from benchmarks.report import Report, show
from bot import truth as truths
from bot.markets.simulated import write_simulation
from detectors import truth_measures
from detectors.leverage import LeverageModel
from detectors.map_history import map_from_history
from detectors.map_settings import MapSettings
from detectors.market import HOUR_MS, Bar, LiquidationTotal, MarketSnapshot, Side
from detectors.realised import Receipt
from tests.detectors.histories import BAR_MS, MARKET, START_MS, RandomMarket, random_market

CHECKOUT = Path(__file__).resolve().parents[1]


def test_the_plain_python_reference_gives_the_same_map() -> None:
    history = random_market(RandomMarket(bars=700, seed=4, bar_move=0.004))
    settings = bench_map.settings_with(16)
    made = map_from_history(settings, history)
    assert made.open_interest_base is not None
    assert np.allclose(made.known + made.unknown, reference_map(settings, history), rtol=1e-5, atol=1e-6)


def test_the_reference_refuses_what_it_cannot_do() -> None:
    holes = random_market(RandomMarket(bars=60, missing_bars=0.2))
    with pytest.raises(ValueError, match="gaps"):
        reference_map(bench_map.settings_with(4), holes)


def test_a_timing_returns_what_the_work_made_and_how_many_loops_it_took() -> None:
    timing, made = best_of(2, calibration_loop)
    assert made == calibration_loop()
    assert timing.seconds > 0
    assert timing.loops > 0


def test_the_map_benchmark_runs() -> None:
    found = bench_map.measure(nodes=4, history_days=0.5, rounds=1)
    assert found.bars == 144
    assert found.disagreement < 1e-6
    assert found.array_bytes > 0
    assert found.checkpoint_bytes > found.decisions_bytes > 0


def test_the_fit_benchmark_fits_in_the_running_bot() -> None:
    (report,) = bench_fit.run(quick=True)
    assert [row[0] for row in report.rows] == ["idle", "fitting and switching"]


def test_the_receipts_benchmark_holds_the_first_half_to_the_second() -> None:
    early, late = ([Receipt(n, 100.0, amount) for n in range(10)] for amount in (50.0, 25.0))
    assert bench_receipts.row("a market", early + late) == ("a market", "20", "0.45", "1.80", "0.80")
    (report,) = bench_receipts.run(quick=True)
    assert len(report.rows) == 1


def test_the_scoring_benchmark_judges_every_alert() -> None:
    *_, judged = bench_score.measure(500)
    assert judged == 500


def test_the_chart_benchmark_runs() -> None:
    (report,) = bench_chart.run(quick=True)
    assert [row[0] for row in report.rows][-1] == "chart / straightforward"


def test_the_truth_benchmark_gives_one_correlation_a_seed_and_map() -> None:
    found = bench_truth.measure([3, 4], days=1.0)
    others = {bench_truth.UNIFORM, bench_truth.FITTED, bench_truth.USED, bench_truth.TRUE_LEVERAGE, bench_truth.LIMIT}
    assert set(found) == {*bench_truth.MODELS, *others}
    assert all(len(values) == 2 and max(map(abs, values)) <= 1 for values in found.values())


def test_a_map_equal_to_the_truth_correlates_fully_and_a_flat_one_not_at_all() -> None:
    truth = np.array([0.0, 1.0, 5.0, 2.0])
    assert truth_measures.pearson(3 * truth, truth) == pytest.approx(1.0)
    assert truth_measures.pearson(np.ones(4), truth) == 0.0


def test_bins_cover_ten_per_cent_to_each_side_of_price_in_steps_of_a_quarter_per_cent() -> None:
    edges = truths.bin_edges(200.0)
    assert edges[0] == pytest.approx(180.0)
    assert 219.0 < edges[-1] <= 220.0
    assert np.allclose(edges[1:] / edges[:-1], 1.0025)


def test_ties_share_their_mean_rank() -> None:
    assert truth_measures.ranks(np.array([5.0, 1.0, 5.0, 9.0])).tolist() == [1.5, 0.0, 1.5, 3.0]


def test_a_correlation_that_the_baseline_explains_is_gone_from_the_partial_one() -> None:
    random = np.random.default_rng(1)
    move, noise, other = random.normal(size=(3, 4000))
    echo, truth = move + 0.5 * noise, move + 0.5 * other
    assert truth_measures.rank_correlation(echo, truth) > 0.7
    assert abs(truth_measures.partial_rank_correlation(echo, truth, [move])) < 0.05
    assert truth_measures.partial_rank_correlation(echo + other, truth, [move]) > 0.3


def test_the_stick_counts_no_exposure_nearer_than_one_per_cent() -> None:
    far = bench_stick.without_near_nodes(LeverageModel())
    assert len(far.nodes) < len(LeverageModel().nodes)
    assert min(far.log_distances[Side.LONG]) >= 0.01


def test_the_stick_counts_no_exposure_younger_than_an_hour() -> None:
    model = LeverageModel((20.0,), (1.0,))
    history = random_market(RandomMarket(bars=40, bar_move=0.0002, seed=2))
    made = map_from_history(MapSettings(model), history)
    low, high = history.close[-1] * 0.9, history.close[-1] * 1.1
    next_at_ms = int(history.opened_at_ms[-1]) + BAR_MS
    counted = bench_stick.reached(made, low, high, next_at_ms)
    later = bench_stick.reached(made, low, high, next_at_ms + 3 * HOUR_MS)
    assert 0 < counted[Side.LONG] < later[Side.LONG]
    assert later[Side.LONG] + later[Side.SHORT] == pytest.approx(float((made.known + made.unknown).sum()), rel=1e-5)


def test_hours_hold_the_moves_towards_each_side_and_skip_the_first_three_days() -> None:
    snapshots = []
    for number in range(80 * 12):
        opened_at = START_MS + number * BAR_MS
        bar = Bar(opened_at, BAR_MS, 100.0, 101.0, 98.0, 99.0, 5.0)
        whole = bar.closed_at_ms % HOUR_MS == 0
        total = LiquidationTotal(bar.closed_at_ms - HOUR_MS, HOUR_MS, float(number), 1.0, "binance")
        snapshots.append(
            MarketSnapshot(MARKET, bar.closed_at_ms, 99.0, 98.0, 101.0, bar, liquidations=(total,) if whole else ())
        )
    hours = bench_stick.read_hours(snapshots)
    assert hours.counted.tolist() == [False] * 72 + [True] * 8
    assert hours.liquidated_usd[Side.LONG][-1] == 80 * 12 - 1
    assert [float(one[0]) for one in hours.baselines[Side.LONG]] == pytest.approx([0.01, 0.02, 0.6, 1.2])
    assert [float(one[0]) for one in hours.baselines[Side.SHORT]] == pytest.approx([-0.01, 0.01, -0.6, 0.6])


def test_the_rates_benchmark_replays_in_a_process_of_its_own(tmp_path: Path) -> None:
    write_simulation(seed=2, days=6, out=tmp_path / "recording", markets=["BTC"])
    found = bench_rates.measure(tmp_path / "recording")
    assert found.peak_mb > 10
    assert len(bench_rates.whole_days(tmp_path / "recording")) == 3
    assert {alert.market for alert in found.alerts} <= {"BTC"}


def test_a_day_without_alerts_counts_as_a_silent_one() -> None:
    line = '{"market": "BTC/USDT:USDT", "kind": "cluster_formed", "build_class": "slow", "taken_at_ms": 172800001}'
    alerts = bench_rates.read_alerts([line, line])
    assert bench_rates.daily_counts(alerts, range(1, 4)) == {"BTC": [0, 2, 0]}


def test_a_report_without_rows_says_why() -> None:
    console = Console(file=io.StringIO(), record=True, width=80)
    show(Report("Title", ("what",), notes=("skipped: no recordings",)), console)
    assert console.export_text().split("\n") == ["", "Title", "skipped: no recordings", ""]


def test_a_piped_report_is_markdown() -> None:
    console = Console(file=io.StringIO(), record=True, width=80)
    show(Report("Title", ("what", "measured"), (("a chart", "91 ms"),)), console)
    assert "| a chart |    91 ms |" in console.export_text()


def test_the_command_names_its_benchmarks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], check=True, capture_output=True, text=True, cwd=CHECKOUT
    )
    shown = "".join(done.stdout.split())
    assert all(f"{name}|" in shown for name in ("map", "chart", "score", "rates", "stick", "simulator", "truth"))


def test_the_store_is_measured_on_both_backends() -> None:
    claims, ticks, locks = bench_store.run(quick=True)
    assert [row[0] for row in claims.rows] == ["SQLite"] * 3 + ["PostgreSQL"] * 3
    assert [row[0] for row in ticks.rows] == ["SQLite"] * 4 + ["PostgreSQL"] * 4
    assert [row[0] for row in locks.rows] == ["SQLite", "PostgreSQL"]
    assert all(len(row) == len(report.columns) for report in (claims, ticks, locks) for row in report.rows)
