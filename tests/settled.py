"""What is there when a run of tests begins stays frozen, also when a bot in it settles.

`bot.memory.settle` unfreezes all and has the collector walk through it: half a million objects of modules, a sixth of
a second for each bot that starts in a test, and in a fork a copy of every page.
"""

import gc
from types import SimpleNamespace

from bot import memory


def keep_frozen() -> None:
    """What is there now, until this process ends; new rubbish is collected as before."""
    gc.collect()
    gc.freeze()
    vars(memory)["gc"] = SimpleNamespace(**{**vars(gc), "freeze": _nothing, "unfreeze": _nothing})


def _nothing() -> None: ...
