"""What a playback prints: JSON lines for programs, or lines and a summary for people."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bot.message import from_event
from bot.playback import Tally
from detectors import figures
from detectors.engine import MarketEngine
from detectors.event import Event
from detectors.market import HOUR_MS, Market, Side

SIDE_STYLES = {Side.LONG: "green", Side.SHORT: "red", None: "cyan"}
_MOMENTS_A_REFRESH = 200


class Show(Protocol):
    def start(self, markets: Sequence[Market]) -> None: ...

    def note(self, text: str) -> None:
        """A sentence for the operator."""

    def moment(self, taken_at_ms: int) -> None:
        """Market time has come this far."""

    def alert(self, event: Event, reason: str, chart: Path | None, /) -> None: ...

    def finish(
        self, tally: Tally, engines: Mapping[str, MarketEngine], refusals: Mapping[str, int], charts: Path | None
    ) -> None: ...


def record(event: Event, reason: str) -> dict[str, Any]:
    """An alert as ``replay --json`` prints it; None where a key does not apply to its kind."""
    level = event.level
    return {
        "id": event.key,
        "kind": event.kind,
        "venue": event.venue,
        "market": event.symbol,
        "side": event.side,
        "taken_at_ms": event.taken_at_ms,
        "price": event.price,
        "low": level.low if level else None,
        "high": level.high if level else None,
        "centre": level.centre if level else None,
        "notional_usd": event.notional_usd,
        "share_of_open_interest": event.number("share_of_open_interest"),
        "build_hours": event.number("build_hours"),
        "build_class": event.value("build_class"),
        "distance_pct": event.number("distance_pct"),
        "headline": event.headline,
        "reason": reason,
    }


class JsonShow:
    """One object a line on standard output, and nothing else there."""

    def start(self, markets: Sequence[Market]) -> None: ...

    def note(self, text: str) -> None:
        click.echo(text, err=True)

    def moment(self, taken_at_ms: int) -> None: ...

    def alert(self, event: Event, reason: str, _chart: Path | None) -> None:
        click.echo(json.dumps(record(event, reason), ensure_ascii=False, allow_nan=False))

    def finish(
        self, tally: Tally, engines: Mapping[str, MarketEngine], refusals: Mapping[str, int], charts: Path | None
    ) -> None: ...


class RichShow:
    """Lines as they come and a summary; on a terminal also how far it has got. Plain when piped."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._markets: Sequence[Market] = ()
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._moments = 0

    def start(self, markets: Sequence[Market]) -> None:
        self._markets = markets
        names = ", ".join(f"{market.base} ({_sources(market)})" for market in markets)
        self._console.print(f"{'SIMULATED' if any(m.simulated for m in markets) else 'RECORDED'} markets: {names}")
        if self._console.is_terminal:
            self._live.start()

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"))

    def moment(self, taken_at_ms: int) -> None:
        self._moments += 1
        if self._live.is_started and self._moments % _MOMENTS_A_REFRESH == 0:
            self._live.update(Spinner("dots", f"playing {figures.moment(taken_at_ms)}"), refresh=True)

    def alert(self, event: Event, reason: str, chart: Path | None) -> None:
        line = Text(f"{figures.moment(event.taken_at_ms)}  ", style="dim")
        line.append(from_event(event, reason).title, style=SIDE_STYLES[event.side])
        line.append(f"  {reason}" + (f"  {chart}" if chart else ""), style="dim")
        self._console.print(line, soft_wrap=True)

    def finish(
        self, tally: Tally, engines: Mapping[str, MarketEngine], refusals: Mapping[str, int], charts: Path | None
    ) -> None:
        self._live.stop()
        print_summary(self._console, tally, engines, refusals, charts)


def print_summary(
    console: Console,
    tally: Tally,
    engines: Mapping[str, MarketEngine],
    refusals: Mapping[str, int],
    charts: Path | None,
) -> None:
    """Alerts by kind and market, daily rates, refusals, gaps, chart folder, time taken."""
    console.print()
    console.print(_summary(tally, engines))
    for text in _afterwords(tally, engines, refusals, charts):
        console.print(Text(text), soft_wrap=True)


def _sources(market: Market) -> str:
    if not market.open_interest_venues:
        return f"{market.venue}, no open interest: nothing is estimated"
    other = market.open_interest_venues != market.venues
    return market.venue + (f" prices, {'+'.join(market.open_interest_venues)} open interest" if other else "")


def _summary(tally: Tally, engines: Mapping[str, MarketEngine]) -> Table:
    """Alerts by kind and market, with each market's daily rate."""
    table = Table(title="Alerts", title_justify="left")
    table.add_column("kind")
    for market in engines:
        table.add_column(market, justify="right")
    for kind in sorted({kind for kind, _ in tally.alerts}):
        table.add_row(kind.replace("_", " "), *(str(tally.alerts[kind, market]) for market in engines))
    rates = [_rates(tally, market, engine) for market, engine in engines.items()]
    if all(rate[0] == figures.NOT_KNOWN for rate in rates):
        return table  # not one whole day
    table.add_section()
    table.add_row("a day, median", *(rate[0] for rate in rates))
    table.add_row("a day, 95th percentile", *(rate[1] for rate in rates))
    table.add_row("days without any", *(rate[2] for rate in rates))
    return table


def _rates(tally: Tally, market: str, engine: MarketEngine) -> tuple[str, str, str]:
    """Over whole days, without those in which the baseline is still learning."""
    daily = tally.daily(market, engine.settings.estimate.baseline.ready_hours * HOUR_MS)
    if not daily:
        return figures.NOT_KNOWN, figures.NOT_KNOWN, figures.NOT_KNOWN
    p95 = daily[min(len(daily) - 1, round(0.95 * (len(daily) - 1)))]
    return f"{statistics.median(daily):g}", f"{p95}", f"{daily.count(0)} of {len(daily)}"


def _afterwords(
    tally: Tally, engines: Mapping[str, MarketEngine], refusals: Mapping[str, int], charts: Path | None
) -> Iterable[str]:
    refused: Counter[str] = Counter(refusals)
    for base, engine in engines.items():
        refused.update({f"{reason} {base}": n for reason, n in engine.refused.items()})
    if refused:
        yield "Refused: " + ", ".join(f"{reason} ({n})" for reason, n in refused.most_common())
    if gaps := sum(engine.gaps for engine in engines.values()):
        yield f"Gaps that could not be bridged: {gaps}"
    if charts is not None:
        yield f"Charts: {charts}"
    yield f"{sum(tally.alerts.values())} alerts from {tally.snapshots:,} snapshots in {tally.seconds:.1f} s"
