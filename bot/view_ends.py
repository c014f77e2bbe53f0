"""A view of one venue ends when nobody has watched it for a while; what is stored of it stays."""

import time
from collections.abc import Callable, Sequence

from bot.markets.live import LiveFeed
from bot.markets.live_views import stored_bases
from bot.watch import Watcher
from storage.store import NewAlert, Store

ENDS_AFTER_S = 600.0
"""Who changes his mind within this time misses nothing."""


class ViewEnds:
    """``is_busy`` says whether a market's past is still being fetched; ``tell`` lets alerts be delivered."""

    def __init__(
        self,
        feed: LiveFeed,
        watcher: Watcher,
        store: Store,
        is_busy: Callable[[str], bool],
        tell: Callable[[Sequence[NewAlert]], None],
    ) -> None:
        self._feed, self._watcher, self._store = feed, watcher, store
        self._is_busy, self._tell = is_busy, tell
        self._unwatched_s: dict[str, float] = {}
        """Since when nobody watches a view, by the steady clock."""

    async def look(self, waiting: set[str]) -> None:
        """End what is due, and take off ``waiting``, of views that could not begin yet, what nobody watches.

        Raises StoreUnavailable; the view goes on then.
        """
        watched = set(stored_bases(one.subscription.market for one in await self._store.subscriptions()))
        waiting &= watched
        now_s, begun = time.monotonic(), self._feed.views.alone()
        self._unwatched_s = {base: self._unwatched_s.get(base, now_s) for base in begun if base not in watched}
        for base, since_s in list(self._unwatched_s.items()):
            if now_s - since_s >= ENDS_AFTER_S and not self._is_busy(base):
                self._feed.views.end(base)
                self._tell(await self._watcher.remove(base))
                del self._unwatched_s[base]
