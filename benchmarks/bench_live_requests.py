"""What the requests of a bar's close cost: each venue's worker alone, and one request in several ways."""

from benchmarks.bench_live import measure
from benchmarks.live_child import THREE
from benchmarks.report import Report

_WAYS = (
    ("ours", "as the bot asks"),
    ("ccxt", "ccxt's own fetch, without what puts the address together"),
    ("aiohttp", "an aiohttp session as it comes"),
    ("aiohttp, trust_env", "one that looks for a proxy in the environment"),
)


def run(*, quick: bool = False) -> list[Report]:
    markets = 50 if quick else 500
    found = measure("requests", "live_child_requests", markets=markets, closes=2 if quick else 5)
    rows = tuple(_row(name, found[name]) for name in THREE)
    title = f"CPU of a bar's close by REST, requests and reading alone: {markets} markets each"
    columns = ("venue", "requests", "the close", "a request with all around it")
    alone = tuple((text, f"{found['alone'][way] * 1e6:.0f} µs") for way, text in _WAYS)
    return [Report(title, columns, rows), Report("CPU of one small request", ("way", "CPU"), alone)]


def _row(name: str, closes: list[dict[str, float]]) -> tuple[str, ...]:
    spent = sorted(one["cpu_s"] for one in closes)
    each = sorted(one["cpu_s"] / one["requests"] * 1e6 for one in closes)
    asked = round(closes[0]["requests"])
    return (name, f"{asked:,}", f"{spent[0]:.2f} to {spent[-1]:.2f} s", f"{each[0]:.0f} to {each[-1]:.0f} µs")
