"""Settles deliveries together: while one commit is on its way, what comes meanwhile waits for the next."""

import asyncio
import logging
from collections.abc import Sequence

from storage.errors import StoreUnavailable
from storage.outbox import Delivery, Settlement
from storage.store import Store

log = logging.getLogger(__name__)


class Settler:
    """With a thousand chats a commit for each would be what everything waits for."""

    def __init__(self, store: Store, again_after_s: float) -> None:
        self._store, self._again_after_s = store, again_after_s
        self._waiting: list[tuple[Sequence[Delivery], Settlement, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self.stopping = False
        """Each commit is tried once; the next start then finds the deliveries claimed, as after a crash."""

    async def settle(self, deliveries: Sequence[Delivery], settlement: Settlement) -> None:
        """Returns once it is committed. Until then it is tried again, for what was sent must not be sent again because
        the disk was full for a while. Raises StoreUnavailable only while stopping."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((deliveries, settlement, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit(), name="settle")
        await asyncio.shield(done)

    async def _commit(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            error = await self._write([(deliveries, settlement) for deliveries, settlement, _ in batch])
            for _, _, done in batch:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

    async def _write(self, settled: Sequence[tuple[Sequence[Delivery], Settlement]]) -> Exception | None:
        while True:
            try:
                if len(settled) == 1:
                    await self._store.settle(*settled[0])
                else:
                    await self._store.settle_all(settled)
            except StoreUnavailable as error:
                if self.stopping:
                    return error
                log.warning("cannot settle a delivery yet: %s", error)
                await asyncio.sleep(self._again_after_s)
            except Exception as error:  # noqa: BLE001 - each that waits gets it
                return error
            else:
                return None
