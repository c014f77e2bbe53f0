"""Markets by size. Pure."""

from collections.abc import Iterable

from detectors.engine import MarketEngine


def ranks(engines: Iterable[MarketEngine]) -> dict[str, int]:
    """Markets by open interest in USD: 1 is the largest. One whose open interest is not known is not in it, nor is
    the view of one venue alone."""
    views = [view for engine in engines if (view := engine.view()) is not None and not view.market.is_alone]
    sizes = {view.market.base: view.open_interest_usd for view in views if view.open_interest_usd is not None}
    return {base: n for n, base in enumerate(sorted(sizes, key=lambda one: (-sizes[one], one)), 1)}
