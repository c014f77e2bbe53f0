"""The realised share: measured on receipts, and right for receipts that it has not seen."""

import pytest

from bot.markets.simulated import SimulatedFeed
from detectors.engine import EngineSettings
from detectors.event import Event, Fact, Label, Unit
from detectors.realised import HELD_TO, LEAST_RECEIPTS, Receipt, realised_share_of, receipt_of
from detectors.receipts import ReceiptMaker
from detectors.registry import find_kinds
from tests.storage.make import event

CONFIGURED = 0.2
FACTOR = 2.0
"""Sum of what is expected over sum of what is really liquidated, out of sample: no farther off than this."""


def receipts(share: float, count: int = 20) -> list[Receipt]:
    return [Receipt(n, 100.0 + n, share * (100.0 + n)) for n in range(count)]


@pytest.fixture(scope="module")
def simulated() -> list[Receipt]:
    feed = SimulatedFeed(2, 20.0, ["BTC"])
    (market,) = feed.load()
    maker = ReceiptMaker(market, EngineSettings(), find_kinds())
    for moment in feed.steps():
        maker.add(moment)
    return maker.receipts


def test_on_a_simulated_market_what_is_expected_is_liquidated_within_a_factor_of_two_where_it_was_not_measured(
    simulated: list[Receipt],
) -> None:
    early, late = simulated[:LEAST_RECEIPTS], simulated[LEAST_RECEIPTS:]
    found = realised_share_of(early, CONFIGURED)
    assert found is not None
    assert found.receipts == LEAST_RECEIPTS
    assert len(late) >= 3
    expected = sum(one.at_risk_usd for one in late) * found.share
    really = sum(one.liquidated_usd for one in late)
    assert 1 / FACTOR < expected / really < FACTOR
    plain = sum(one.at_risk_usd for one in late) * CONFIGURED
    assert abs(expected - really) < abs(plain - really), "the configured share is nearer"


def test_it_is_the_share_of_sums_held_to_the_configured_one() -> None:
    found = realised_share_of(receipts(0.6, 18), CONFIGURED)
    assert found is not None
    assert found.share == pytest.approx((18 * 0.6 + HELD_TO * CONFIGURED) / (18 + HELD_TO))
    assert not found.clamped


def test_too_few_receipts_say_nothing() -> None:
    assert realised_share_of(receipts(0.6, LEAST_RECEIPTS - 1), CONFIGURED) is None
    assert realised_share_of([], CONFIGURED) is None


def test_more_than_all_of_it_is_never_expected_and_said_to_be_cut() -> None:
    found = realised_share_of(receipts(1.8), CONFIGURED)
    assert found is not None
    assert (found.share, found.clamped) == (1.0, True)


def completed(**numbers: float) -> Event:
    facts = tuple(Fact(name, value, Unit.USD, Label.OBSERVED) for name, value in numbers.items())
    return event(kind="cluster_consumed", facts=facts)


def test_a_sweep_of_which_nobody_said_what_was_liquidated_is_no_receipt() -> None:
    assert receipt_of(completed(exposure_at_risk_usd=10.0)) is None
    found = receipt_of(completed(exposure_at_risk_usd=10.0, observed_liquidation_usd=0.0))
    assert found is not None
    assert (found.at_risk_usd, found.liquidated_usd) == (10.0, 0.0)
