"""The contract of every store: fits of leverage weights are kept for good, and the series can be read in parts."""

import math
from dataclasses import replace

from detectors.fit import Gain
from detectors.leverage import NodeWeights
from detectors.market import MarketSnapshot
from detectors.realised import RealisedShare
from storage.fits import StoredFit, in_force, newest_share
from storage.store import Store
from tests.storage.make import START_MS, look, snapshot, tick

BAR_MS = 300_000
FIT = StoredFit(
    fitted_at_ms=50,
    since_ms=10,
    until_ms=40,
    prints=123,
    accepted=True,
    reason="beats the weights before it by more than luck",
    gain=Gain(7.25, 0.1 + 0.2, 14.0, 17),
    before=NodeWeights((100.0, 10.0), (1 / 3, 2 / 3)),
    after=NodeWeights((125.0, 1 / 0.3), (0.1, 0.9), (0.7, 0.3)),
    configured="0123456789abcdef",
    share=RealisedShare(0.561, 17, clamped=False),
)
REFUSED = replace(
    FIT,
    fitted_at_ms=90,
    accepted=False,
    reason="too short",
    gain=Gain(total=1.0, days=3),
    share=RealisedShare(1.0, 9, clamped=True),
)


async def test_fits_come_back_to_the_last_bit_oldest_first_the_refused_ones_too(store: Store) -> None:
    assert await store.fits("BTC") == []
    for one in (REFUSED, FIT, replace(FIT, fitted_at_ms=70, share=None)):
        await store.note_fit("BTC", one)
    await store.note_fit("ETH", FIT)
    assert list(await store.fits("BTC")) == [FIT, replace(FIT, fitted_at_ms=70, share=None), REFUSED]
    assert REFUSED.gain.low == -math.inf


async def test_a_fit_is_never_changed_but_for_when_it_begins_to_apply(store: Store) -> None:
    await store.note_fit("BTC", FIT)
    await store.note_fit("BTC", replace(FIT, reason="another", applies_from_ms=60))
    await store.note_fit("BTC", replace(FIT, applies_from_ms=99))
    assert list(await store.fits("BTC")) == [replace(FIT, applies_from_ms=60)]


def test_in_force_is_the_newest_accepted_one_of_the_same_assumptions() -> None:
    fits = [FIT, replace(FIT, fitted_at_ms=60), REFUSED]
    assert in_force(fits, FIT.configured) == fits[1]
    assert in_force(fits, "others") is None
    assert in_force([REFUSED], FIT.configured) is None
    assert newest_share(fits, FIT.configured) == REFUSED.share
    assert newest_share(fits, "others") is None


async def test_the_series_in_parts_is_the_series(store: Store) -> None:
    for n in range(7):
        await store.commit_tick(tick(n))
        await store.commit_tick(replace(tick(n), snapshot=look(START_MS + (n + 1) * BAR_MS + 1000)))
    whole = list(await store.snapshots_since("BTC", None))
    parts: list[MarketSnapshot] = []
    after: int | None = None
    while page := await store.snapshots_page("BTC", after, 4):
        assert page[-1].bar is not None
        assert len(page) <= 4
        parts += page
        after = page[-1].bar.opened_at_ms
    assert parts == whole[:-1], "the look after the last bar is the only one missing"
    since = await store.snapshots_page("BTC", START_MS + 3 * BAR_MS + 17, 3)
    assert next(one.bar for one in since if one.bar is not None) == snapshot(4).bar
    assert await store.snapshots_page("ETH", None, 4) == []
