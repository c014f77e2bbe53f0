"""Which markets are checkpointed when."""

from bot.checkpointing import Checkpoints
from detectors.market import HOUR_MS

BAR_MS = HOUR_MS // 12
MARKETS = [f"M{n}" for n in range(25)]


def close(checkpoints: Checkpoints, at_ms: int, markets: list[str] = MARKETS) -> list[str]:
    """Every market's bar; those that were kept."""
    kept = []
    for market in markets:
        checkpoints.stands_at(market, at_ms)
        for due, bar in checkpoints.due():
            assert bar in {at_ms - BAR_MS, at_ms}, "where it stands"
            checkpoints.kept(due, bar)
            kept.append(due)
    return kept


def test_nothing_is_kept_that_was_not_asked_for() -> None:
    assert close(Checkpoints(None), BAR_MS) == []


def test_what_is_asked_for_in_turns_is_spread_over_ten_closes_and_leaves_none_out() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.ask_in_turns(MARKETS)
    kept = [close(checkpoints, n * BAR_MS) for n in range(1, 11)]
    assert max(map(len, kept)) == 3
    assert sorted(market for some in kept for market in some) == sorted(MARKETS)


def test_a_market_is_kept_at_a_bar_alone_and_not_twice_at_one() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.stands_at("M0", BAR_MS)
    checkpoints.stands_at("M0", None)
    checkpoints.ask(["M0"])
    assert list(checkpoints.due()) == []
    checkpoints.stands_at("M0", 2 * BAR_MS)
    assert list(checkpoints.due()) == [("M0", 2 * BAR_MS)]
    checkpoints.kept("M0", 2 * BAR_MS)
    checkpoints.ask(["M0"])
    assert list(checkpoints.due()) == []


def test_one_that_was_made_anew_is_kept_again_at_the_same_bar() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.stands_at("M0", BAR_MS)
    checkpoints.kept("M0", BAR_MS)
    checkpoints.made_anew("M0")
    assert list(checkpoints.due()) == [("M0", BAR_MS)]


def test_what_could_not_be_kept_stays_due() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.ask(["M0"])
    checkpoints.stands_at("M0", BAR_MS)
    assert list(checkpoints.due()) == list(checkpoints.due()) == [("M0", BAR_MS)]


def test_by_market_time_the_first_bar_of_each_stretch_is_kept() -> None:
    checkpoints = Checkpoints(HOUR_MS)
    kept = [close(checkpoints, n * BAR_MS, ["M0"]) for n in range(1, 26)]
    assert [bool(one) for one in kept] == [n in {1, 12, 24} for n in range(1, 26)]


def test_a_market_that_is_forgotten_is_kept_no_more() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.ask(["M0"])
    checkpoints.ask_in_turns(["M0"])
    checkpoints.stands_at("M0", BAR_MS)
    checkpoints.forget("M0")
    assert list(checkpoints.due()) == []
