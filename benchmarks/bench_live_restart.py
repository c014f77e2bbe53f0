"""A live start on a database that has a month of thirty markets and no checkpoint, as after an upgrade."""

from benchmarks.bench_live import measure
from benchmarks.report import Report


def run(*, quick: bool = False) -> list[Report]:
    markets, days = (4, 4) if quick else (30, 30)
    found = measure("restart", "live_child_stored", markets=markets, days=days)
    rows = (
        ("bars stored", f"{found['bars']:,}", ""),
        ("database, of it what each venue said", _size(found), ""),
        ("start to following", f"{found['first_tick_s']:.1f} s", "5 s"),
        ("markets to be made anew", str(found["rebuilt"]), ""),
        ("first market made anew: alerts are possible", f"{found['first_market_s']:.1f} s", "2 min"),
        ("all markets made anew", f"{found['all_s']:.0f} s", ""),
        ("CPU until then", f"{found['cpu_s']:.0f} s", ""),
        ("event loop late meanwhile, 99 of 100", f"{found['lag']['p99']:.0f} ms", "50 ms"),
        ("resident memory before and after", " and ".join(f"{mb:.0f} MB" for mb in found["rss_mb"]), "300 MB"),
    )
    title = f"A start without checkpoints: {markets} markets with {days} days on 3 venues"
    return [Report(title, ("what", "measured", "budget"), rows)]


def _size(found: dict[str, float]) -> str:
    return f"{found['size_mb']:.0f} MB, {found['bytes_a_bar']:.0f} bytes a bar, {found['of_venues']:.0f} of them"
