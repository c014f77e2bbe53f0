"""Node by node, exposure adds up to the map; and a fit finds the weights behind what was liquidated."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors import truth_stick as stick
from detectors.fit import (
    ROUND_LEVERAGES,
    Evidence,
    FitResult,
    fit,
    fit_model,
    fitted,
    gain_of,
    gain_since,
    judged,
    on_nodes,
    realised_share,
    student,
)
from detectors.fit_task import event_and_spread
from detectors.leverage import LeverageModel
from detectors.liquidation_map import LiquidationMap
from detectors.map_settings import MapSettings
from detectors.market import HOUR_MS, LiquidationTotal, MarketSnapshot, PrintGap, Side
from detectors.node_exposure import node_exposure
from detectors.observed_history import ObservedHistory, observed_history
from detectors.truth_stick import evidence_of
from tests.detectors.histories import BAR_MS, PLAIN, RandomMarket, Tape, bars_of, random_market, straight

CROWDING = 5e-4


def of(snapshots: list[MarketSnapshot]) -> ObservedHistory:
    return observed_history(snapshots, CROWDING)


@pytest.mark.parametrize(
    "made_of", [RandomMarket(900), RandomMarket(900, missing_bars=0.05), RandomMarket(900, missing_open_interest=0.4)]
)
@pytest.mark.parametrize("model", [PLAIN, LeverageModel()], ids=["plain", "default"])
def test_weighted_nodes_add_up_to_what_the_map_consumes(model: LeverageModel, made_of: RandomMarket) -> None:
    settings, history = MapSettings(model), random_market(made_of)
    exposure = node_exposure(settings, history)
    weights = np.asarray(model.weights) / sum(model.weights)
    found = exposure.weighted(Side.LONG, weights) + exposure.weighted(Side.SHORT, weights)
    made = LiquidationMap(settings)
    consumed = np.array([made.update(*one).consumed.sum() for one in bars_of(history)])
    assert consumed.max() > 0
    assert np.allclose(found, consumed, rtol=1e-5, atol=1e-6 * consumed.max())


def tape_of_one_deposit(wait_bars: int) -> ObservedHistory:
    """1000 opened at 100 in one bar, and a fall of 5 % that begins so many bars later."""
    tape = Tape(100.0)
    tape.bar(100.0, 1000.0)
    tape.bar(100.0, 2000.0)
    tape.walk([100.0] * wait_bars, [2000.0] * wait_bars)
    tape.walk(straight(100, 95, 5), [2000.0] * 5)
    return of(tape.written)


def test_what_is_younger_than_an_hour_is_not_claimed_and_what_is_older_is() -> None:
    settings = MapSettings(replace(PLAIN, nodes=(25.0,), weights=(1.0,)))

    def taken(wait_bars: int) -> float:
        history = tape_of_one_deposit(wait_bars)
        found = node_exposure(settings, history.bars, youngest_ms=HOUR_MS)
        return float(found.consumed[Side.LONG].sum())

    # 25x lies 3.6 % away, which the fourth bar of the fall reaches
    assert taken(12 - 4) == 0.0
    assert taken(12 - 3) == pytest.approx(1000.0)


def test_only_distances_from_one_per_cent_on_are_claimed() -> None:
    settings = MapSettings(replace(PLAIN, nodes=(100.0, 50.0), weights=(0.5, 0.5)))
    found = node_exposure(settings, tape_of_one_deposit(20).bars, nearest=0.01).consumed[Side.LONG]
    assert found[0].sum() == 0.0  # 100x: 0.6 % away
    assert found[1].sum() > 0.0


def test_a_node_of_a_continuum_is_cut_where_one_per_cent_begins() -> None:
    nodes = tuple(float(1 / (distance + 0.004)) for distance in np.geomspace(0.0081, 0.02, 12))
    settings = MapSettings(replace(PLAIN, nodes=nodes, weights=(1.0,) * 12))
    found = node_exposure(settings, tape_of_one_deposit(20).bars, nearest=0.01).consumed[Side.LONG].sum(axis=1)
    cut = found / found[-1]
    assert cut[0] == 0.0
    assert ((cut > 0.02) & (cut < 0.98)).sum() == 1
    assert np.all(np.diff(cut) >= -1e-9)


def test_bars_in_which_liquidations_may_have_been_missed_are_no_evidence() -> None:
    history = random_market(RandomMarket(5 * 288))
    printed = {side: np.ones(len(history.close)) for side in Side}
    seen = ObservedHistory(history, history.close, printed, {})
    opened = history.opened_at_ms
    gaps = [PrintGap("bybit", int(opened[1000]) + 1, int(opened[1002]) + 1), PrintGap("okx", int(opened[-3]), None)]
    whole, heard = (evidence_of(MapSettings(PLAIN), one) for one in (seen, seen.with_gaps(gaps)))
    assert len(whole) - len(heard) == 3 + 3
    assert seen.with_gaps(gaps).until(1001).unheard is not None
    assert len(seen.with_gaps([]).until(7).bars.close) == 7


# --- fits


def made_up(true: dict[float, float], events: int, seed: int = 0, share: float = 0.2) -> tuple[LeverageModel, Evidence]:
    """Intervals in which single stretches of leverage are traded through, and draws around what ``true`` expects."""
    rng = np.random.default_rng(seed)
    prior = fit_model(LeverageModel())
    nodes = np.asarray(prior.nodes)
    count = 3000
    centres = rng.uniform(np.log(3), np.log(100), count)
    window = np.exp(-0.5 * ((np.log(nodes)[:, None] - centres) / 0.1) ** 2) * rng.exponential(1.0, count)
    weights = on_nodes(LeverageModel(tuple(true), tuple(true.values())), prior.nodes)
    rates = weights @ window
    scale = events / rates.sum()
    seen = rng.poisson(rates * scale).astype(float) * share / scale
    nothing = np.zeros((len(nodes), count))
    liquidated = {Side.LONG: seen, Side.SHORT: np.zeros(count)}
    return prior, Evidence({Side.LONG: window, Side.SHORT: nothing}, liquidated, days(count))


def fit_to(prior: LeverageModel, evidence: Evidence) -> FitResult:
    """Held to the default's weights, which replace exposure as any others here."""
    return fit(prior, evidence, evidence, on_nodes(LeverageModel(), prior.nodes), evidence)


def days(count: int) -> NDArray[np.int64]:
    """Of a hundred intervals each."""
    return np.arange(count, dtype=np.int64) // 100


def near(prior: LeverageModel, weights: tuple[float, ...], low: float, high: float) -> float:
    return sum(weight for node, weight in zip(prior.nodes, weights, strict=True) if low < node < high)


def test_a_fit_finds_the_leverage_that_is_liquidated_and_the_share_that_is() -> None:
    prior, evidence = made_up({20.0: 0.8, 5.0: 0.2}, events=3000)
    found = fitted(prior, evidence)
    before = tuple(np.asarray(prior.weights) / sum(prior.weights))
    assert near(prior, found.weights, 18, 22) > 3 * near(prior, before, 18, 22)
    assert near(prior, found.weights, 30, 80) < 0.3 * near(prior, before, 30, 80)
    assert found.realised_share == pytest.approx(0.2, rel=0.1)


def test_longs_and_shorts_of_different_leverage_are_fitted_apart() -> None:
    prior, longs = made_up({20.0: 1.0}, events=2000)
    _, shorts = made_up({5.0: 1.0}, events=2000, seed=1)
    both = Evidence(
        {Side.LONG: longs.traded_through[Side.LONG], Side.SHORT: shorts.traded_through[Side.LONG]},
        {Side.LONG: longs.liquidated[Side.LONG], Side.SHORT: shorts.liquidated[Side.LONG]},
        longs.day,
    )
    found = fitted(prior, both)
    assert near(prior, found.weights, 18, 22) > 1.4 * near(prior, found.short_weights, 18, 22)
    assert near(prior, found.short_weights, 4.5, 5.5) > 1.4 * near(prior, found.weights, 4.5, 5.5)


def test_a_side_that_showed_nothing_follows_the_other() -> None:
    prior, evidence = made_up({20.0: 0.8, 5.0: 0.2}, events=3000)
    found = fitted(prior, evidence)
    before = tuple(np.asarray(prior.weights) / sum(prior.weights))
    assert near(prior, found.short_weights, 18, 22) > 2 * near(prior, before, 18, 22)


def test_the_size_of_events_and_the_spread_of_rates_are_told_apart() -> None:
    rng = np.random.default_rng(5)
    rates = np.exp(rng.normal(0, 2, 20_000))
    seen = (3.0 * rng.poisson(rates * rng.gamma(4.0, 0.25, len(rates)) / 3.0)).astype(np.float64)
    event, spread = event_and_spread(seen, rates, 20.0)
    assert event == pytest.approx(3.0, rel=0.4)
    assert spread == pytest.approx(0.25, rel=0.3)
    plain, none = event_and_spread((3.0 * rng.poisson(rates / 3.0)).astype(np.float64), rates, 20.0)
    assert plain == pytest.approx(3.0, rel=0.2)
    assert none < 0.02


def test_weights_that_beat_others_since_are_told_from_those_that_do_not() -> None:
    _, evidence = made_up({20.0: 1.0}, events=3000)
    prior = fit_model(LeverageModel())
    right, wrong = (on_nodes(LeverageModel((leverage,), (1.0,)), prior.nodes) for leverage in (20.0, 5.0))
    assert gain_since(1500, (right, evidence), (wrong, evidence)).low > 0
    assert gain_since(1500, (wrong, evidence), (right, evidence)).low < 0
    assert gain_since(2400, (right, evidence), (wrong, evidence)).low < 0, "too few days"
    assert gain_since(3000, (right, evidence), (wrong, evidence)).days == 0


def test_the_days_that_are_judged_do_not_shape_the_exposure_they_are_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    history = random_market(RandomMarket(6 * 288))
    printed = {side: np.random.default_rng(3).exponential(1.0, len(history.close)) for side in Side}
    late = {side: amounts.copy() for side, amounts in printed.items()}
    for amounts in late.values():
        amounts[5 * 288 :] *= 50.0
    asked: list[tuple[Evidence, Evidence]] = []

    def note(prior: LeverageModel, evidence: Evidence, judged_on: Evidence, *rest: object) -> None:
        asked.append((evidence, judged_on))

    monkeypatch.setattr(stick, "fit", note)
    for seen in (printed, late):
        stick.fit_history(MapSettings(PLAIN), ObservedHistory(history, history.close, seen, {}))
    (whole, judged_on), (changed, still) = asked
    assert np.array_equal(judged_on.traded_through[Side.LONG], still.traded_through[Side.LONG])
    assert not np.array_equal(whole.traded_through[Side.LONG], changed.traded_through[Side.LONG])


def test_a_venue_that_joins_the_sum_of_open_interest_opens_no_positions_in_a_history() -> None:
    tape = Tape(100.0)
    tape.walk([100.0, 100.0], [1000.0, 1100.0])
    tape.market = replace(tape.market, open_interest_venues=("binance", "bybit"))
    tape.walk([100.0, 100.0], [2200.0, 2000.0])
    found = observed_history(tape.written, CROWDING).bars.open_interest_base
    assert found.tolist() == pytest.approx([1000.0, 1100.0, 1100.0, 1000.0])


def test_hourly_totals_of_several_venues_add_up_and_one_told_twice_counts_once() -> None:
    tape = Tape(100.0)
    tape.bar(100.0, 1000.0)
    ours = LiquidationTotal(tape.at_ms - BAR_MS, HOUR_MS, 5.0, 1.0, "binance")
    tape.written[0] = replace(tape.written[0], liquidations=(ours, replace(ours, venue="okx", long_usd=2.0), ours))
    (sums,) = observed_history(tape.written, CROWDING).totals_usd.values()
    assert sums == {Side.LONG: 7.0, Side.SHORT: 2.0}


def test_little_evidence_moves_the_weights_little() -> None:
    def moved(events: int) -> float:
        prior, evidence = made_up({20.0: 0.8, 5.0: 0.2}, events=events)
        before = np.asarray(prior.weights) / sum(prior.weights)
        return float(np.abs(np.array(fitted(prior, evidence).weights) - before).sum())

    assert moved(3) < 0.4 * moved(3000)


def test_a_market_where_nothing_was_liquidated_keeps_the_prior() -> None:
    prior, evidence = made_up({20.0: 1.0}, events=1)
    silent = replace(evidence, liquidated={side: np.zeros(len(evidence)) for side in Side})
    result = fit_to(prior, silent)
    assert result.found.weights == pytest.approx(tuple(np.asarray(prior.weights) / sum(prior.weights)))
    assert not result.believed


def test_a_fit_is_believed_where_it_beats_the_default_on_what_it_has_not_seen() -> None:
    prior, evidence = made_up({20.0: 0.8, 5.0: 0.2}, events=2000)
    result = fit_to(prior, evidence)
    assert result.gain.total > 0
    assert result.believed


def test_a_fit_to_a_market_that_has_changed_since_is_not_believed() -> None:
    prior, early = made_up({20.0: 1.0}, events=2000)
    _, late = made_up({4.0: 1.0}, events=2000, seed=1)
    late = late.cut(0, 750)  # the last stretch that is judged
    both = Evidence(
        {side: np.concatenate([early.traded_through[side], late.traded_through[side]], axis=1) for side in Side},
        {side: np.concatenate([early.liquidated[side], late.liquidated[side]]) for side in Side},
        days(3750),
    )
    result = fit_to(prior, both)
    assert fit_to(prior, early).believed
    assert result.gain.low < 0
    assert not result.believed


def null_market(seed: int, *, shifted: bool) -> tuple[LeverageModel, Evidence]:
    """Twenty days on which leverage tells nothing: liquidations as the default expects them, or, ``shifted``, others'.

    Storms of liquidation: the rate of a day is drawn from a wide distribution.
    """
    rng = np.random.default_rng(seed)
    prior = fit_model(LeverageModel())
    nodes = np.asarray(prior.nodes)
    count = 20 * 24
    storms = np.exp(rng.normal(0.0, 1.0, 20))[np.arange(count) // 24]
    traded, seen = {}, {}
    for side in Side:
        centres = rng.uniform(np.log(3), np.log(100), count)
        window = np.exp(-0.5 * ((np.log(nodes)[:, None] - centres) / 0.3) ** 2) * rng.exponential(1.0, count)
        rates = on_nodes(LeverageModel(), prior.nodes) @ window * storms
        traded[side] = window
        seen[side] = rng.poisson(np.roll(rates, count // 2 if shifted else 0) / rates.sum() * 150).astype(float)
    return prior, Evidence(traded, seen, np.arange(count) // 24)


@pytest.mark.parametrize("shifted", [False, True], ids=["the default is true", "nothing is"])
def test_where_leverage_tells_nothing_at_most_one_fit_in_twenty_is_believed(shifted: bool) -> None:
    believed = 0
    for seed in range(60):
        prior, evidence = null_market(seed, shifted=shifted)
        believed += judged(prior, evidence, on_nodes(LeverageModel(), prior.nodes), evidence).low > 0
    assert believed <= 3


def test_a_gain_that_one_lucky_day_made_is_none() -> None:
    steady, lucky = np.full(17, 1.0) + 0.5 * np.sin(np.arange(17)), np.full(17, -0.05)
    lucky[5] = 20.0
    assert gain_of(steady).low > 0
    assert gain_of(lucky).total > 0
    assert gain_of(lucky).low < 0
    assert gain_of(steady[:7]).low < 0, "too few days"


def test_the_weights_to_beat_are_those_in_use() -> None:
    around_15x = {
        node: float(np.exp(-0.5 * (np.log(node / 15) / 0.6) ** 2)) for node in fit_model(LeverageModel()).nodes
    }
    prior, evidence = made_up(around_15x, events=2000)
    in_use = fitted(prior, evidence).by_side
    assert fit_to(prior, evidence).believed
    again = fit(prior, evidence, evidence, in_use, evidence)
    assert not again.believed
    assert again.gain.total < 0


def test_student_s_t_is_the_tables() -> None:
    assert [student(freedom) for freedom in (7, 12, 30)] == pytest.approx([1.895, 1.782, 1.697], rel=0.02)


def test_the_fitted_model_has_the_round_leverages_and_the_users_other_assumptions() -> None:
    model = replace(LeverageModel(), turnover_daily=0.1, position_usd=1000.0)
    found = fit_model(model)
    assert set(ROUND_LEVERAGES) <= set(found.nodes)
    assert (found.turnover_daily, found.position_usd) == (0.1, 1000.0)


def test_the_realised_share_is_what_was_liquidated_over_what_was_traded_through() -> None:
    side = {Side.LONG: np.array([[10.0, 0.0]]), Side.SHORT: np.array([[0.0, 30.0]])}
    seen = {Side.LONG: np.array([2.0, 0.0]), Side.SHORT: np.array([0.0, 2.0])}
    assert realised_share(np.array([1.0]), Evidence(side, seen, days(2))) == pytest.approx(0.1)
