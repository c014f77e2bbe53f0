"""Only the venues that are used are imported, and they are ccxt's own."""

import json
import subprocess
import sys

from bot.markets.ccxt_alone import venue_class
from bot.markets.venues import VENUES

_CHILD = """
import json, sys
from bot.markets.ccxt_alone import venue_class
from bot.markets.venues import VENUES
kinds = {name: venue_class(rules.ccxt_class) for name, rules in VENUES.items()}
loaded = [name for name in sys.modules if name.startswith("ccxt.")]
import ccxt.pro
print(json.dumps({
    "ids": {name: kind().id for name, kind in kinds.items()},
    "loaded": len(loaded),
    "same": all(getattr(ccxt.pro, kind.__name__) is kind for kind in kinds.values()),
    "real": all(kind.__module__.startswith("ccxt.pro.") for kind in kinds.values()),
    "errors": ccxt.RateLimitExceeded.__module__,
    "other": venue_class("bitget").__name__,
}))
"""


def test_four_venues_are_ccxts_own_classes_and_the_other_hundred_stay_on_disk() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    assert found["ids"] == {name: rules.ccxt_class for name, rules in VENUES.items()}
    assert found["loaded"] < 60
    assert found["same"]
    assert found["real"]
    assert found["errors"] == "ccxt.base.errors"
    assert found["other"] == "bitget"


def test_a_name_that_is_no_venue_is_none() -> None:
    for name in ("nonesuch", "time", "base", "../okx", "a.b", ""):
        assert venue_class(name) is None
