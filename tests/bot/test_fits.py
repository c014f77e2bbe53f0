"""Fits in the running bot: used from a defined moment on, silently, and the same after any restart."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot import fits
from bot.assumptions import configured_as
from bot.fit_words import BACK
from bot.fits import Fitter
from bot.watch import Watcher
from detectors.fit import FitResult, Gain, fit_model
from detectors.leverage import LeverageModel, NodeWeights
from detectors.market import HOUR_MS
from detectors.realised import RealisedShare
from detectors.registry import find_kinds
from storage.errors import StoreUnavailable
from storage.fits import StoredFit
from storage.sqlite import SqliteStore
from tests.bot.played import config, keys, market, moments, play_all, standing

SETTINGS = config().engine_settings()
MODEL = fit_model(LeverageModel())
FIT = StoredFit(
    fitted_at_ms=1,
    since_ms=0,
    until_ms=1,
    prints=99,
    accepted=True,
    reason="beats the weights before it by more than luck",
    gain=Gain(9.0, 2.0, 16.0, 17),
    before=NodeWeights((10.0,), (1.0,)),
    after=NodeWeights(MODEL.nodes, tuple(weight / sum(MODEL.weights) for weight in MODEL.weights)),
    configured=configured_as(SETTINGS),
    share=RealisedShare(0.55, 12),
)


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    """Not opened yet: they stand in the middle of the market (`standing`)."""
    made = SqliteStore(None, "simulated")
    yield made
    await made.close()


async def watching(store: SqliteStore, *, use: bool = True, bars: int | None = None) -> Watcher:
    """``bars``: opens the store, which was told of so many."""
    made = Watcher(store, SETTINGS, find_kinds(), evidence=False, checkpoint_every_ms=None, fits=use)
    if bars is not None:
        return await standing(store, bars, watching=made)
    await made.start([market()])
    return made


def state(one: Watcher) -> tuple[bytes, bytes]:
    engine = one.engines["BTC"]
    return engine.estimate.to_bytes(), engine.decisions()


async def test_a_fit_is_used_silently_and_a_restart_gives_the_same_map_to_the_last_bit(store: SqliteStore) -> None:
    live = await watching(store, bars=700)
    counts = await store.counts()
    before = state(live)
    assert await live.use_fit("BTC", FIT) == ()
    assert (await store.counts()).events == counts.events, "the switch was told"
    assert live.engines["BTC"].settings.estimate.map.leverage.nodes == MODEL.nodes
    assert state(live)[0] != before[0]
    (kept,) = await store.fits("BTC")
    assert kept.applies_from_ms == moments()[699][0].taken_at_ms

    checkpointed = await watching(store)
    assert state(checkpointed) == state(live)
    whole = SqliteStore(None, "simulated")  # the stored series and the stored fits, and nothing else
    await whole.open()
    await whole.note_fit("BTC", kept)
    replayed = await watching(whole)
    await play_all(replayed, moments()[:700])
    assert replayed.engines["BTC"].estimate.to_bytes() == live.engines["BTC"].estimate.to_bytes()
    await whole.close()

    told = keys(await play_all(live, moments()[700:]))
    store_again = await watching(store)
    assert state(store_again) == state(live)
    assert told is not None


async def test_ticks_go_on_while_the_map_is_made_anew(store: SqliteStore) -> None:
    live = await watching(store, bars=700)
    switching = asyncio.create_task(live.use_fit("BTC", FIT))
    await asyncio.sleep(0.01)
    assert not switching.done()
    for moment in moments()[700:720]:
        await live.take(moment)
    await switching
    again = await watching(store)
    assert state(again) == state(live)
    assert live.market_times()["BTC"] == moments()[719][0].taken_at_ms


async def test_a_checkpoint_while_the_map_is_made_anew_is_not_taken_for_one_of_the_new_map(store: SqliteStore) -> None:
    live = await watching(store, bars=700)
    switching = asyncio.create_task(live.use_fit("BTC", FIT))
    await asyncio.sleep(0.01)
    await live.checkpoint()
    await live.take(moments()[700][0:1])
    switching.cancel()
    await asyncio.gather(switching, return_exceptions=True)
    killed = await watching(store)
    whole = SqliteStore(None, "simulated")
    await whole.open()
    await whole.note_fit("BTC", FIT)
    replayed = await watching(whole)
    await play_all(replayed, moments()[:701])
    assert state(killed)[0] == state(replayed)[0], "the next start mixes old and new weights"
    await whole.close()


async def test_a_fit_that_is_not_accepted_changes_no_weight_but_its_share_is_used(store: SqliteStore) -> None:
    live = await watching(store, bars=300)
    before = state(live)
    await live.use_fit("BTC", replace(FIT, accepted=False))
    assert state(live) == before
    assert live.engines["BTC"].settings.realised_share == FIT.share
    assert (await store.fits("BTC"))[0].applies_from_ms is None
    assert (await watching(store)).engines["BTC"].settings.realised_share == FIT.share


async def test_turned_off_or_with_other_settings_no_fit_is_used(store: SqliteStore) -> None:
    await standing(store, 300)
    await store.note_fit("BTC", FIT)
    plain = SETTINGS.estimate.map.leverage.nodes
    assert (await watching(store)).engines["BTC"].settings.estimate.map.leverage.nodes == MODEL.nodes
    assert (await watching(store, use=False)).engines["BTC"].settings.estimate.map.leverage.nodes == plain
    await store.note_fit("BTC", replace(FIT, fitted_at_ms=2, configured="another"))
    assert (await watching(store)).engines["BTC"].settings.estimate.map.leverage.nodes == MODEL.nodes
    other = Watcher(store, config(estimate={"crowding_funding_8h": 0.001}).engine_settings(), find_kinds(), fits=True)
    await other.start([market()])
    assert other.engines["BTC"].settings.estimate.map.leverage.nodes == plain


# --- the job


def fitter(store: SqliteStore, live: Watcher, hours: float = 24.0, least_days: float = 2.0) -> Fitter:
    return Fitter(store, live, find_kinds(), hours, least_days=least_days)


async def test_a_market_is_fitted_when_it_is_due_and_a_refused_fit_is_kept_with_its_reason(store: SqliteStore) -> None:
    live = await watching(store, bars=860)
    assert await fitter(store, live, least_days=17).look() is None, "three days say nothing"
    job = fitter(store, live)
    assert await job.look() == "BTC"
    (kept,) = await store.fits("BTC")
    assert not kept.accepted
    assert "too" in kept.reason
    assert kept.prints > 0
    assert kept.fitted_at_ms == live.market_times()["BTC"]
    assert kept.until_ms - kept.since_ms == pytest.approx(860 * 300_000, abs=600_000)
    assert sum(kept.after.weights) == pytest.approx(1.0)
    assert await job.look() is None, "it was fitted a moment ago"
    await play_all(live, moments()[860:])
    assert live.market_times()["BTC"] - kept.fitted_at_ms > 24 * HOUR_MS
    assert await job.look() == "BTC"
    assert len(await store.fits("BTC")) == 2


async def test_an_accepted_fit_takes_the_place_of_the_weights_in_use(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watching(store, bars=800)
    result = FitResult(FIT.after, 0.5, 0.4, 99.0, 900, Gain(9.0, 2.0, 16.0, 17))
    asked: list[LeverageModel] = []

    def fit_history(*_: object, current: LeverageModel, pause: object) -> FitResult:
        asked.append(current)
        return result

    monkeypatch.setattr(fits, "fit_history", fit_history)
    assert await fitter(store, live).look() == "BTC"
    plain = SETTINGS.estimate.map.leverage
    assert asked == [plain]
    (kept,) = await store.fits("BTC")
    assert (kept.accepted, kept.after, kept.before.nodes) == (True, FIT.after, plain.nodes)
    assert kept.applies_from_ms == live.market_times()["BTC"]
    await play_all(live, moments()[800:])
    assert await fitter(store, live, hours=1.0).look() == "BTC"
    assert asked[1].weights == FIT.after.weights, "the weights to beat are those in use"


async def test_the_configured_weights_come_back_where_they_beat_the_fit_in_use_since(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watching(store, bars=800)
    plain = SETTINGS.estimate.map.leverage
    await live.use_fit("BTC", FIT)
    refused = FitResult(FIT.after, 0.5, 0.4, 99.0, 900, Gain(-1.0, -2.0, 1.0, 17))
    asked: list[int] = []
    gains = [Gain(3.0, -0.5, 6.5, 9), Gain(5.0, 1.0, 9.0, 16)]

    def back(_: object, __: object, current: LeverageModel, since_ms: int, pause: object) -> Gain:
        assert current.nodes == FIT.after.nodes
        asked.append(since_ms)
        return gains[len(asked) - 1]

    monkeypatch.setattr(fits, "fit_history", lambda *_, **__: refused)
    monkeypatch.setattr(fits, "back_to_configured", back)
    assert await fitter(store, live, hours=1.0).look() == "BTC"
    assert live.engines["BTC"].settings.estimate.map.leverage.nodes == FIT.after.nodes, "it could be luck"
    await play_all(live, moments()[800:840])
    assert await fitter(store, live, hours=1.0).look() == "BTC"
    assert asked == [FIT.until_ms] * 2
    kept = (await store.fits("BTC"))[-1]
    assert (kept.accepted, kept.reason, kept.after.nodes, kept.gain) == (True, BACK, plain.nodes, gains[1])
    in_use = live.engines["BTC"].settings.estimate.map.leverage
    assert (in_use.nodes, in_use.both_weights) == (plain.nodes, plain.both_weights)
    await play_all(live, moments()[840:])
    assert await fitter(store, live, hours=1.0).look() == "BTC"
    assert len(asked) == 2, "there is no fit in use to go back from"


async def test_a_switch_that_the_store_could_not_take_is_made_at_the_next_look(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watching(store, bars=400)

    async def full(*_: object, **__: object) -> int:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "put_before", full)
        with pytest.raises(StoreUnavailable):
            await live.use_fit("BTC", FIT)
    assert live.engines["BTC"].settings.estimate.map.leverage.nodes != MODEL.nodes
    assert await fitter(store, live).look() == "BTC"
    assert live.engines["BTC"].settings.estimate.map.leverage.nodes == MODEL.nodes
    assert (await store.fits("BTC"))[0].applies_from_ms is not None


async def test_a_market_that_is_still_being_fetched_is_not_fitted(store: SqliteStore) -> None:
    live = await watching(store, bars=700)
    waiting = Fitter(store, live, find_kinds(), 24.0, least_days=2.0, waiting_for=lambda _: "Still fetching")
    assert await waiting.look() is None
    assert await store.fits("BTC") == []


async def test_a_market_that_goes_while_it_is_fitted_keeps_no_fit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watching(store, bars=700)

    def gone(*_: object, **__: object) -> FitResult:
        del live.engines["BTC"]
        return FitResult(FIT.after, 0.5, 0.4, 99.0, 900, Gain(9.0, 2.0, 16.0, 17))

    monkeypatch.setattr(fits, "fit_history", gone)
    assert await fitter(store, live).look() is None
    assert await store.fits("BTC") == []


async def test_a_stop_breaks_a_fit_off_at_once(store: SqliteStore) -> None:
    live = await watching(store, bars=700)
    job = fitter(store, live)
    job.begin()
    await asyncio.sleep(0.05)
    await asyncio.wait_for(job.stop(), 2.0)
    assert await store.fits("BTC") == []
    assert job.failed == 0


async def test_a_fit_that_the_store_broke_off_is_tried_again_at_the_next_look_not_a_week_later(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await watching(store, bars=700)
    one, asked = fitter(store, live, hours=168.0), 0

    async def away(*_: object) -> None:
        nonlocal asked
        asked += 1
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "gaps", away)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await one.look()
    assert asked == 2
