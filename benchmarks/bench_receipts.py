"""What receipts expect against what is then liquidated: the share of a market's first half, held to its second."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.report import SHARED, Report
from bot.markets.feed import ReplayableFeed
from bot.markets.recorded import RecordedFeed
from bot.markets.simulated import SimulatedFeed
from detectors.engine import EngineSettings
from detectors.realised import Receipt, realised_share_of
from detectors.receipts import ReceiptMaker
from detectors.registry import find_kinds

SEEDS = range(1, 11)
DAYS = 30.0
WINTER = "winter-2025"
CONFIGURED = 0.2


def receipts_of(feed: ReplayableFeed) -> list[Receipt]:
    """Of the only market of an unloaded feed, with the default weights."""
    (market,) = feed.load()
    maker = ReceiptMaker(market, EngineSettings(), find_kinds())
    for moment in feed.steps():
        maker.add(moment)
    return maker.receipts


def row(name: str, receipts: Sequence[Receipt]) -> tuple[str, ...]:
    half = len(receipts) // 2
    early, late = receipts[:half], receipts[half:]
    found = realised_share_of(early, CONFIGURED)
    at_risk, seen = sum(one.at_risk_usd for one in late), sum(one.liquidated_usd for one in late)
    if found is None or not seen:
        return (name, f"{len(receipts)}", "too few", "", "")
    share = "1.00, cut" if found.clamped else f"{found.share:.2f}"
    return (
        name,
        f"{len(receipts)}",
        share,
        f"{found.share * at_risk / seen:.2f}",
        f"{CONFIGURED * at_risk / seen:.2f}",
    )


def measure(feeds: Mapping[str, ReplayableFeed]) -> Iterable[tuple[str, ...]]:
    return (row(name, receipts_of(feed)) for name, feed in feeds.items())


def run(*, quick: bool = False) -> list[Report]:
    days, seeds = (4.0, range(1, 2)) if quick else (DAYS, SEEDS)
    feeds: dict[str, ReplayableFeed] = {f"simulated, seed {seed}": SimulatedFeed(seed, days, ["BTC"]) for seed in seeds}
    if not quick and (SHARED / "markets" / WINTER).is_dir():
        feeds |= {
            f"{WINTER}, {base}": RecordedFeed(SHARED / "markets" / WINTER, [base]) for base in ("BTC", "ETH", "SOL")
        }
    return [
        Report(
            "Receipts: the share of the first half's sweeps, and what it expects of the second half's over what came",
            ("market", "receipts", "share", "expected over liquidated", "with the configured 20 %"),
            tuple(measure(feeds)),
        )
    ]
