"""One part of `bench_live` alone."""

from benchmarks import bench_live
from benchmarks.report import Report


def run(*, quick: bool = False) -> list[Report]:
    return bench_live.tick(quick=quick)
