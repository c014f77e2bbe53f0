"""The venues of one run: their clients on one shared session, and what each lists."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp

from bot.markets.ccxt_alone import venue_class
from bot.markets.ccxt_errors import VenueError
from bot.markets.feed import NoVenue, Refusals
from bot.markets.live_client import CcxtClient
from bot.markets.live_exchange import Rewrite, make_exchange
from bot.markets.live_types import Clock, Listing, VenueClient
from bot.markets.venues import VenueRules, rules_for

ClientFactory = Callable[[VenueRules], VenueClient]
_T = TypeVar("_T")
_CLOSE_WITHIN_S = 5.0
_TIME_WITHIN_S = 5.0
_BELIEVED = 0.5
"""A list that is shorter than this part of the one before is a fault of the venue's, not so many delistings."""


@dataclass(slots=True)
class Reached:
    """A venue that answered, by base asset: ``listings``, those followed (all, before any is chosen), and ``offered``,
    all that it listed when it was last asked."""

    client: VenueClient
    listings: dict[str, Listing]
    offered: Mapping[str, Listing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.offered = self.offered or dict(self.listings)


class Venues:
    """``names`` as the user wrote them, in order of preference. ``rewrite`` repoints each ccxt instance (local venues);
    ``clients`` replaces ccxt altogether (tests)."""

    def __init__(
        self,
        names: Sequence[str],
        clock: Clock,
        refusals: Refusals,
        *,
        rewrite: Rewrite | None = None,
        clients: ClientFactory | None = None,
        within_s: float = 30.0,
    ) -> None:
        self.names = tuple(dict.fromkeys(rules_for(name).name for name in names))
        self.reached: dict[str, Reached] = {}
        self.faults: dict[str, VenueError] = {}
        self._clock, self._refusals = clock, refusals
        self._rewrite, self._clients, self._within_s = rewrite, clients, within_s
        self._made: list[VenueClient] = []
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Load every venue's markets at once. Raises `NoVenue` if none answers; a few that do not are in `faults`."""
        if self._clients is None:
            # The imports take a while, which would hold up everything else on the loop.
            for name in self.names:
                await asyncio.to_thread(venue_class, rules_for(name).ccxt_class)
            self._session = aiohttp.ClientSession(trust_env=self._rewrite is None)
        await asyncio.gather(*(self._load(name) for name in self.names))
        # In the user's order, whoever answered first.
        self.reached = {name: self.reached[name] for name in self.names if name in self.reached}
        if not self.reached:
            await self.close()
            alike: dict[str, list[str]] = {}
            for name in self.names:
                error = self.faults[name]
                alike.setdefault(explain(error), []).append(name)
            why = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())
            raise NoVenue(f"No venue can be reached ({why}). `python -m bot check` shows more.")

    async def _load(self, name: str) -> None:
        try:
            await self.reach(name)
        except VenueError as error:
            self.faults[name] = error

    async def reach(self, name: str) -> Reached:
        """Load one venue's markets, and what time it has, once. Raises `VenueError`."""
        if name in self.reached:
            return self.reached[name]
        client = self._make(rules_for(name))
        self._made.append(client)
        try:
            self.reached[name] = Reached(client, dict(await asyncio.wait_for(client.load(), self._within_s)))
        except TimeoutError as error:
            fix = "check the network, or take it out of source.venues"
            raise VenueError(f"no answer within {self._within_s:g} s", fix=fix) from error
        finally:
            if name not in self.reached:
                self._made = [one for one in self._made if one is not client]
                await _close([client])
        self.faults.pop(name, None)
        with contextlib.suppress(VenueError, TimeoutError):  # it is asked again soon
            await asyncio.wait_for(client.ask_time(), _TIME_WITHIN_S)
        return self.reached[name]

    def now_ms(self) -> int:
        """By the slowest clock of a venue that was reached: ours may be minutes off."""
        return min((one.client.now_ms() for one in self.reached.values()), default=self._clock.now_ms())

    def offered(self) -> dict[str, Mapping[str, Listing]]:
        """By venue, then by base asset."""
        return {name: one.offered for name, one in self.reached.items()}

    async def reload(self, name: str) -> None:
        """Ask a venue that was reached what it lists now. Raises `VenueError`; what was offered stays then."""
        one = self.reached[name]
        try:
            told = await asyncio.wait_for(one.client.load(), self._within_s)
        except TimeoutError as error:
            raise VenueError(f"no answer within {self._within_s:g} s") from error
        if len(told) < _BELIEVED * len(one.offered):
            raise VenueError(f"lists only {len(told)} markets, {len(one.offered)} an hour ago: not believed")
        one.offered = told

    def _make(self, rules: VenueRules) -> VenueClient:
        if self._clients is not None:
            return self._clients(rules)
        assert self._session is not None
        exchange = make_exchange(rules, self._session, self._clock, self._rewrite)
        return CcxtClient(rules, exchange, self._clock, self._refusals)

    async def ask(
        self, call: Callable[[Reached], Awaitable[Mapping[str, _T]]], failed: Callable[[str, VenueError], None]
    ) -> dict[str, Mapping[str, _T]]:
        """``call`` for every venue reached, at once; of one that fails, ``failed`` is told and the answer is empty."""

        async def one(venue: str) -> Mapping[str, _T]:
            try:
                return await call(self.reached[venue])
            except VenueError as error:
                failed(venue, error)
                return {}

        told = await asyncio.gather(*(one(venue) for venue in self.reached))
        return dict(zip(self.reached, told, strict=True))

    async def close(self) -> None:
        made, self._made = self._made, []
        await _close(made)
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _close(clients: Sequence[VenueClient]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await asyncio.gather(*(client.close() for client in clients))


def explain(error: VenueError) -> str:
    """The reason, and the fix where there is one."""
    return f"{error.reason}: {error.fix}" if error.fix else error.reason
