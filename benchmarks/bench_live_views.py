"""What views of single venues (`BTC@okx`) cost beside the merged ones."""

from benchmarks.bench_live import measure
from benchmarks.report import Report


def run(*, quick: bool = False) -> list[Report]:
    markets, views, days = (4, 4, 2) if quick else (10, 20, 4)
    found = measure("views", "live_child_stored", markets=markets, views=views, days=days, closes=2 if quick else 5)
    rows = [
        (
            name,
            f"{one['rss_mb']:.0f} MB",
            f"{one['close_cpu_s'][0]:.2f} to {one['close_cpu_s'][-1]:.2f} s",
            f"{one['past_cpu_s']:.0f} s" if one is found["with"] else "",
        )
        for name, one in ((f"{markets} markets", found["without"]), (f"and {views} views", found["with"]))
    ]
    title = f"Views of one venue: {markets} markets on 3 venues with {days} days of past"
    return [Report(title, ("watched", "resident memory", "CPU of a bar's close", "CPU of their past"), tuple(rows))]
