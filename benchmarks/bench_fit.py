"""What a fit costs beside a running bot: processor time, and how late the loop comes to what is due meanwhile."""

import asyncio
import time

from benchmarks.report import Report
from bot.config import embedded
from bot.fits import Fitter
from bot.lag import LoopLag
from bot.markets.simulated import SimulatedFeed
from bot.watch import Watcher
from detectors.market import MarketSnapshot
from detectors.registry import find_kinds
from storage.fits import StoredFit
from storage.sqlite import SqliteStore

SEED = 5
DAYS = 30.0
_NAP_S = 0.005
_AT_ONCE = 1024


async def measure(days: float) -> tuple[StoredFit, float, float, LoopLag, LoopLag]:
    """The fit, its processor and wall seconds, and the loop's lag while idle and while fitting and switching."""
    store, kinds = SqliteStore(None, "simulated"), find_kinds()
    await store.open()
    feed = SimulatedFeed(SEED, days, ["BTC"])
    markets = feed.load()
    watcher = Watcher(
        store, embedded().engine_settings(), kinds, batch=_AT_ONCE, evidence=False, checkpoint_every_ms=None, fits=True
    )
    await watcher.start(markets)
    played: list[MarketSnapshot] = [snapshot for moment in feed.steps() for snapshot in moment]
    for start in range(0, len(played), _AT_ONCE):
        await watcher.take(played[start : start + _AT_ONCE])
    await watcher.flush()
    played.clear()
    watcher.batch = 1
    idle = LoopLag(_NAP_S)
    idle.start()
    await asyncio.sleep(2.0)
    await idle.stop()
    busy = LoopLag(_NAP_S)
    busy.start()
    used_s, begun_s = time.process_time(), time.perf_counter()
    await Fitter(store, watcher, kinds, 168.0, least_days=days - 1).look()
    used_s, took_s = time.process_time() - used_s, time.perf_counter() - begun_s
    await busy.stop()
    (fit,) = await store.fits("BTC")
    await store.close()
    return fit, used_s, took_s, idle, busy


def run(*, quick: bool = False) -> list[Report]:
    days = 4.0 if quick else DAYS
    fit, used_s, took_s, idle, busy = asyncio.run(measure(days))
    rows = tuple(
        (name, *(f"{lag.quantile_s(share) * 1000:.1f} ms" for share in (0.5, 0.99, 1.0)))
        for name, lag in (("idle", idle), ("fitting and switching", busy))
    )
    verdict = "used" if fit.accepted else "not used"
    return [
        Report(
            f"A fit of {days:g} days of BTC, simulated (seed {SEED}): {used_s:.1f} s processor, {took_s:.1f} s in all",
            ("the loop's lag", "median", "p99", "worst"),
            rows,
            (
                f"{verdict}: {fit.reason}; {fit.prints:,} liquidations",
                "budget: p99 50 ms",
            ),
        )
    ]
