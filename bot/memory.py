"""Gives memory back to the system: glibc keeps what was freed for the next time, and a small host has none to spare.
And keeps the collector from walking through all of it again and again, which holds the loop up."""

import asyncio
import ctypes
import gc
import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""``M_...`` of glibc's malloc.h."""
_ARENAS = 2
_LARGE_BYTES = 1 << 20
_YOUNG = 10_000
"""New objects before the collector looks at them: a table of five hundred markets is a few thousand."""


def settle() -> None:
    """What is there now is there to stay: the collector looks at it once more, and then no longer. Call it when a lot
    has been loaded; it holds the loop for a moment."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


def few_arenas() -> bool:
    """Let threads share glibc's heaps; whether that could be had. Before any thread is started.

    Each thread would get one of its own, up to eight a core, and what is freed in one serves no other. They wait for
    one interpreter anyway, so sharing costs no time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(_ARENA_MAX, _ARENAS))


def large_blocks_apart() -> bool:
    """Have glibc take blocks of a megabyte and more from the system one by one and give each back when it is freed;
    whether that could be had.

    By itself it takes them from its heaps once it has freed one of that size, where they leave holes: a venue's long
    message is eight megabytes as text, a chart's pixels are four.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return (
        mallopt is not None
        and bool(mallopt(_MMAP_THRESHOLD, _LARGE_BYTES))
        and bool(mallopt(_TRIM_THRESHOLD, 2 * _LARGE_BYTES))
    )


async def give_back() -> None:
    """Free what nothing refers to and return the pages. Off the loop, but for the collector, which holds it."""
    gc.collect()
    if sys.platform == "linux":
        await asyncio.to_thread(_trim)


def _trim() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
    if trim is not None:
        trim(0)


def resident_bytes() -> int | None:
    """What this process holds in memory; None where the system does not say."""
    if not _STATUS.exists():
        return None
    found = re.search(r"VmRSS:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) * 1024 if found else None
