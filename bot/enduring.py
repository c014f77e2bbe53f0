"""What goes wrong with one piece of work, and must not end what comes after it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bot.app import App
from storage.errors import StoreUnavailable, Superseded

log = logging.getLogger(__name__)


@contextmanager
def nothing_ends_it(app: App, what: str) -> Iterator[None]:
    """What goes wrong here is said and counted; what comes next is worth more than the process.

    Raises Superseded: another copy leads, so nothing that comes next is this one's to do.
    """
    try:
        yield
    except Superseded:
        raise
    except StoreUnavailable as error:
        log.warning("%s, and is tried again with the next prices: %s", what, error)
    except Exception:
        app.failed_ticks += 1
        log.exception(what)
