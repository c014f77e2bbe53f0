"""What a life that does not get on waits for: written down while it hangs, since it may never do so again."""

import asyncio
import faulthandler
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

NAME = "stacks.txt"
SLOW_S = 6.0
"""A life takes half a second of one core; one that takes so long is written down, whatever comes of it."""


def tasks() -> str:
    """Every task of this loop, each down to the innermost thing that it awaits; `Task.print_stack` stops before."""
    said = []
    for task in asyncio.all_tasks():
        frames = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in _frames(task.get_coro()))
        said.append(f"{task.get_name()}\n{''.join(frames.format())}")
    return "\n".join(said)


def _frames(awaited: Any) -> Iterator[Any]:
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


def note(folder: Path, heading: str, *details: str) -> None:
    """Append what tasks and threads do now."""
    with (folder / NAME).open("a") as file:
        print(f"== {heading}", *details, tasks(), sep="\n", file=file, flush=True)
        faulthandler.dump_traceback(file)


@contextmanager
def watched(folder: Path, ends_after_s: float) -> Iterator[None]:
    """Note the stacks every few seconds. Where not even the event loop gets on, the process ends by itself."""
    loop, began_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()

    async def look() -> None:
        while True:
            await asyncio.sleep(SLOW_S)
            note(folder, f"after {loop.time() - began_s:.1f} s")

    looking = asyncio.create_task(look(), name="slowness watch")
    end: TextIO = (folder / f"{NAME}.end").open("w")
    faulthandler.dump_traceback_later(ends_after_s, exit=True, file=end)
    try:
        yield
    finally:
        looking.cancel()
        faulthandler.cancel_dump_traceback_later()
        end.close()


def found(folder: Path) -> str:
    """What was noted, and taken away so that it is told once; empty where all went well."""
    said = ""
    for file in (folder / NAME, folder / f"{NAME}.end"):
        with suppress(FileNotFoundError):
            said += file.read_text()
            file.unlink()
    return said
