"""Gives memory back to the system: glibc keeps what was freed for the next time, and a small host has none to spare."""

import asyncio
import ctypes
import gc
import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


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
