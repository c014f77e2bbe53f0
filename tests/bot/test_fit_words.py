"""Old and new weights in words, with date, n and evidence."""

from dataclasses import replace

import pytest

from bot.assumptions import configured_as
from bot.fit_words import BACK, weights_in_words
from bot.message import NOT_ADVICE, SIMULATED
from bot.platforms.telegram.rendering import caption_of
from bot.replies import ESTIMATED
from detectors.fit import Gain
from detectors.leverage import NodeWeights
from detectors.market import DAY_MS
from storage.fits import StoredFit
from storage.sqlite import SqliteStore
from tests.bot.asking_by import Asker, commands_over
from tests.bot.played import CHAT

AT_MS = 1_767_571_200_000  # 2026-01-05
USED = StoredFit(
    fitted_at_ms=AT_MS,
    since_ms=AT_MS - 27 * DAY_MS,
    until_ms=AT_MS,
    prints=1412,
    accepted=True,
    reason="beats the weights before it on days it had not seen by more than luck",
    gain=Gain(5.12, 2.66, 7.6, 17),
    before=NodeWeights((100.0, 10.0), (0.25, 0.75)),
    after=NodeWeights((100.0, 10.0), (0.5, 0.5)),
    configured="ours",
    applies_from_ms=AT_MS + 1,
)
REFUSED = replace(
    USED,
    fitted_at_ms=AT_MS + 7 * DAY_MS,
    accepted=False,
    applies_from_ms=None,
    reason="does not beat the weights before it on days it had not seen",
    gain=Gain(-1.0, -4.0, 2.0, 17),
)


def test_the_weights_in_use_are_said_old_and_new_with_date_n_and_evidence() -> None:
    (said,) = weights_in_words([USED], "ours", AT_MS + 2)
    assert said.startswith(
        "Leverage weights: fitted 2026-01-05 (n = 1,412 in 27 days, gain +5.1, at least +2.7 (95 %), on 17 days it had "
        "not seen). 50x and more: 25% before, 50% now"
    )


def test_the_way_back_to_the_configured_weights_is_said_with_its_reason() -> None:
    back = replace(USED, reason=BACK, before=USED.after, after=USED.before)
    assert weights_in_words([back], "ours", AT_MS + 2) == [
        "Leverage weights: as configured again, 2026-01-05 (n = 1,412 in 27 days, gain +5.1, at least +2.7 (95 %), on "
        "17 days it had not seen). They beat the fit in use on the days since it was made by more than luck."
    ]


def test_longs_and_shorts_are_said_together() -> None:
    apart = replace(USED, after=NodeWeights((100.0, 10.0), (0.5, 0.5), (0.1, 0.9)))
    assert "50x and more: 25% before, 30% now" in weights_in_words([apart], "ours", AT_MS + 2)[0]


def test_a_fit_that_is_not_used_is_said_with_its_reason() -> None:
    later = AT_MS + 8 * DAY_MS
    (said,) = weights_in_words([REFUSED], "ours", later)
    assert said.startswith("Leverage weights: as configured. Not used: the fit of 2026-01-12 (n = 1,412")
    assert said.endswith("It does not beat the weights before it on days it had not seen.")
    used, refused = weights_in_words([USED, REFUSED], "ours", later)
    assert used.startswith("Leverage weights: fitted 2026-01-05")
    assert refused.startswith("Not used: the fit of 2026-01-12")


def test_what_was_fitted_later_or_under_other_assumptions_says_nothing() -> None:
    assert weights_in_words([USED, REFUSED], "ours", AT_MS) == []
    assert weights_in_words([USED, REFUSED], "others", AT_MS + 9 * DAY_MS) == []
    assert weights_in_words([], "ours", AT_MS) == []


@pytest.fixture
async def asker() -> Asker:
    return Asker(await commands_over(SqliteStore(None, "simulated")), CHAT)


async def test_map_and_why_say_what_the_estimate_is_made_with(asker: Asker) -> None:
    house = asker.commands._house
    configured = configured_as(house.watcher.assumptions.of("BTC", fitted=False))
    mine = replace(USED, configured=configured, fitted_at_ms=1, applies_from_ms=2)
    house.watcher.assumptions.take_fit("BTC", mine)
    for command in ("/map BTC", "/why"):
        answer = await asker.says(command)
        assert any("50x and more: 25% before, 50% now" in line for line in (*answer.lines, *answer.footer)), command
    house.watcher.assumptions.take_fit("BTC", replace(REFUSED, configured=configured, fitted_at_ms=3))
    answer = await asker.says("/map BTC")
    assert any(line.startswith("Not used: the fit of") for line in answer.lines)
    # Under a picture there is no room for all: what it is worth stays, and so do the levels.
    caption = caption_of(answer)
    assert answer.footer == (ESTIMATED, SIMULATED, NOT_ADVICE)
    assert all(label in caption for label in answer.footer)
    assert answer.table is not None
    assert sum(row[1] in caption for row in answer.table.rows) == len(answer.table.rows) >= 8
    assert "Price " in caption
    await house.store.close()
