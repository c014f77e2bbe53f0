"""Bar closes at venues with their real limits: with streams of closing candles and by REST alone."""

from collections.abc import Iterator
from typing import Any

from benchmarks.bench_live import measure
from benchmarks.report import Report

_CHILD = "live_child_closes"


def run(*, quick: bool = False) -> Iterator[Report]:
    apart = {
        "at once": measure("messages", _CHILD, rounds=10 if quick else 40, apart_s=0.0),
        "alone": measure("messages", _CHILD, rounds=1 if quick else 5, apart_s=0.001),
    }
    rows = tuple((f"{how} come", f"{one['ours']:.0f} µs", f"{one['ccxt']:.0f} µs") for how, one in apart.items())
    title = "CPU of one streamed candle"
    yield Report(title, ("when 500 markets'", "past ccxt's handler", "with watch_ohlcv_for_symbols"), rows)
    for markets in (20,) if quick else (100, 500):
        yield _closes(markets, quick=quick)


def _closes(markets: int, *, quick: bool) -> Report:
    found = measure("closes", _CHILD, markets=markets, closes=1 if quick else 3, push_every_s=1.0, tiers=not quick)
    stream, rest = found["stream"], found["rest"]

    def row(what: str, of: Any, budget: str = "") -> tuple[str, ...]:
        return (what, *(_range([of(one) for one in way["closes"]]) for way in (stream, rest)), budget)

    rows = (
        row("venue's delay over to half of the markets handed out, s", lambda one: one["p50_s"], "2"),
        row("to 99 of 100", lambda one: one["p99_s"], "2"),
        row("to the last", lambda one: one["last_s"], "2"),
        *(
            row(f"to {name}'s last", lambda one, name=name: one["venues"][name])
            for name in stream["closes"][0]["venues"]
        ),
        row("CPU of the feed, s", lambda one: one["cpu_s"]),
        *(
            (
                f"to the last rate settled at the first close, {name}",
                _rate(stream["closes"][0], name),
                _rate(rest["closes"][0], name),
                "300",
            )
            for name in stream["closes"][0]["venues"]
        ),
        ("event loop late, 99 of 100, ms", *(f"{way['lag_p99_ms']:.0f}" for way in (stream, rest)), "50"),
        ("429s at closes", *(str(sum(way["refused"].values())) for way in (stream, rest)), "0"),
        (
            "429s at the start, tiers asked for",
            *(str(sum(way["refused_at_start"].values())) for way in (stream, rest)),
            "0",
        ),
        ("tiers of all had after, s", f"{stream['tiers_s']:.0f}" if not quick else "not asked", "", ""),
    )
    title = f"Bar closes at real limits: 3 venues list 500 markets each, {markets} are watched"
    return Report(title, ("what", "OKX streamed", "REST alone", "budget"), rows)


def _rate(close: dict[str, Any], venue: str) -> str:
    return f"{close['rates'][venue]:.0f}" if venue in close["rates"] else ""


def _range(found: list[float]) -> str:
    return f"{min(found):.2f} to {max(found):.2f}" if len(found) > 1 else f"{found[0]:.2f}"
