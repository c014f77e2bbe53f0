import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import figures
from detectors.event import Fact, Label, Unit


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (88_420.5, 1, "88,420.5"),
        (1_234_567.891, 2, "1,234,567.89"),
        (0.25208, 5, "0.25208"),
        (0.00001234, 8, "0.00001234"),
        (0.00001234, 2, "0.0000123"),
        (math.nan, 2, "not known"),
        (None, 2, "not known"),
    ],
)
def test_a_price_keeps_the_markets_precision_in_plain_decimals(value: float, decimals: int, shown: str) -> None:
    assert figures.price(value, decimals) == shown


@pytest.mark.parametrize(
    ("value", "decimals", "shown"), [(88_420.53, 2, "88,421"), (0.252081, 6, "0.25208"), (3_912.47, 2, "3,912.5")]
)
def test_an_estimated_level_is_not_quoted_finer_than_five_digits(value: float, decimals: int, shown: str) -> None:
    assert figures.level(value, decimals) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "$0"),
        (812, "$812"),
        (999.6, "$1K"),
        (950_000, "$950K"),
        (999_600, "$1M"),
        (42_100_000, "$42.1M"),
        (1_230_000_000, "$1.23B"),
        (-42_100_000, "-$42.1M"),
        (math.inf, "not known"),
    ],
)
def test_dollars_are_short(value: float, shown: str) -> None:
    assert figures.usd(value) == shown


@pytest.mark.parametrize(
    ("fraction", "signed", "shown"),
    [
        (0.018, True, "+1.8%"),
        (-0.02, True, "-2.0%"),
        (-0.02, False, "-2.0%"),
        (0.1532, False, "15.3%"),
        (0.0004, False, "0.04%"),
        (0.000001, False, "0.0001%"),
        (-1e-9, True, "0.0000%"),
    ],
)
def test_a_fraction_is_shown_as_per_cent_with_a_plain_minus(fraction: float, signed: bool, shown: str) -> None:
    assert figures.percent(fraction, signed=signed) == shown


@pytest.mark.parametrize(("rate", "shown"), [(0.000312, "+0.0312%"), (-0.01, "-1.0000%"), (0.0, "0.0000%")])
def test_a_funding_rate_is_signed_with_four_decimals(rate: float, shown: str) -> None:
    assert figures.funding(rate) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0 s"),
        (40_000, "40 s"),
        (59_700, "1 min"),
        (12 * 60_000, "12 min"),
        (200 * 60_000, "3 h 20 min"),
        (3 * 3_600_000, "3 h"),
        (76 * 3_600_000, "3 d 4 h"),
        (-5 * 60_000, "-5 min"),
    ],
)
def test_a_duration_takes_two_units_at_most(milliseconds: float, shown: str) -> None:
    assert figures.duration(milliseconds) == shown


def test_a_time_says_its_zone() -> None:
    assert figures.moment(1_760_131_200_000) == "2025-10-10 21:20 UTC"
    assert figures.clock(1_760_131_200_000) == "21:20 UTC"
    assert figures.day(1_760_131_200_000) == "10 Oct"


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (Fact("size", 182e6, Unit.USD, Label.ESTIMATED), "≈$182M"),
        (Fact("size", 182e6, Unit.USD, Label.OBSERVED), "$182M"),
        (Fact("open_interest", 12_345.0, Unit.BASE, Label.OBSERVED), "12.3K BTC"),
        (Fact("edge", 88_420.53, Unit.PRICE, Label.ESTIMATED), "≈88,421"),
        (Fact("fill", 88_420.53, Unit.PRICE, Label.OBSERVED), "88,420.53"),
        (Fact("share", 0.05, Unit.FRACTION, Label.CALCULATED), "5.0%"),
        (Fact("open_interest_change", 0.05, Unit.FRACTION, Label.CALCULATED), "+5.0%"),
        (Fact("funding_rate", 0.000312, Unit.FRACTION, Label.OBSERVED), "+0.0312%"),
        (Fact("distance_pct", 2.0, Unit.RATIO, Label.CALCULATED), "2.0%"),
        (Fact("distance", 18.4, Unit.BPS, Label.CALCULATED), "18 bps"),
        (Fact("built", 10 / 3, Unit.HOURS, Label.CALCULATED), "3 h 20 min"),
        (Fact("next_funding", 95, Unit.MINUTES, Label.OBSERVED), "1 h 35 min"),
        (Fact("touches", 1_234, Unit.COUNT, Label.OBSERVED), "1,234"),
        (Fact("z_score", 4.237, Unit.RATIO, Label.CALCULATED), "4.24"),
        (Fact("build_class", "fast", Unit.TEXT, Label.CALCULATED), "fast"),
        (Fact("liquidated", None, Unit.USD, Label.OBSERVED), "not known"),
        (Fact("liquidated", math.nan, Unit.USD, Label.ESTIMATED), "not known"),
    ],
)
def test_a_fact_is_shown_in_its_unit_and_marked_when_estimated(fact: Fact, shown: str) -> None:
    assert figures.fact_value(fact, base="BTC", price_decimals=2) == shown


@pytest.mark.parametrize("unit", list(Unit))
@given(value=st.none() | st.floats() | st.integers(-(10**15), 10**15))
def test_no_unit_ever_prints_nan_infinity_or_an_exponent(unit: Unit, value: float | None) -> None:
    fact = Fact("anything", value, unit, Label.OBSERVED)
    if value is not None and abs(value) > 1e15:
        return
    shown = figures.fact_value(fact, base="BTC", price_decimals=2).removesuffix(" BTC").lower()
    assert shown
    assert "nan" not in shown
    assert "inf" not in shown
    assert "e-" not in shown
    assert "e+" not in shown


@given(st.floats(1e-12, 1e9), st.integers(0, 10))
def test_a_printed_price_is_within_half_a_per_cent_of_the_price(price: float, decimals: int) -> None:
    assert float(figures.price(price, decimals).replace(",", "")) == pytest.approx(price, rel=5.1e-3)
