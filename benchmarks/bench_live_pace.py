"""One part of `bench_live` alone."""

from collections.abc import Iterator

from benchmarks import bench_live
from benchmarks.report import Report


def run(*, quick: bool = False) -> Iterator[Report]:
    return bench_live.pace(quick=quick)
