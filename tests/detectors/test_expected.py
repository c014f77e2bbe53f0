"""What a receipt expects to be liquidated, and whose share that is."""

from dataclasses import replace

import pytest

from detectors.realised import RealisedShare
from tests.detectors.histories import engine, run, story
from tests.detectors.test_kinds import SWEPT


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (None, "(20%, as configured)"),
        (RealisedShare(0.55, 12), "(55%, as in 12 earlier sweeps here)"),
        (RealisedShare(1.0, 12, clamped=True), "(all: in 12 earlier sweeps here more was liquidated than estimated)"),
    ],
)
def test_what_is_expected_is_the_market_s_own_share_where_it_is_known_and_says_which(
    measured: RealisedShare | None, words: str
) -> None:
    on = engine()
    on.settings = replace(on.settings, realised_share=measured)
    sweep = next(event for event in run(on, story()) if event.kind == "cluster_consumed")
    at_risk = sweep.number("exposure_at_risk_usd")
    assert at_risk
    share = SWEPT.realised_share if measured is None else measured.share
    assert sweep.number("expected_liquidation_usd") == pytest.approx(at_risk * share)
    (title,) = (fact.title for fact in sweep.facts if fact.name == "expected_liquidation_usd")
    assert title == f"expected to be liquidated {words}"
