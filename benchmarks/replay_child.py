"""Runs the bot's own command line, then says on standard error how much memory this process needed at its peak.

A process of its own, because memory once taken by an earlier benchmark would count.
"""

import re
import resource
import sys
from pathlib import Path

PEAK = "peak memory in kB: "
_STATUS = Path("/proc/self/status")


def peak_kb() -> int:
    """Peak resident memory of this process."""
    if _STATUS.exists():
        # getrusage would also count what the parent held when it started this process
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        if found:
            return int(found[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    from bot.cli import main

    main(standalone_mode=False)
    sys.stderr.write(f"{PEAK}{peak_kb()}\n")
