"""Leverage tiers as venues publish them, and our own table where none does."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.markets import tier_table
from bot.markets.ccxt_errors import VenueError, VenueFatal
from bot.markets.live_types import Clock, Listing, VenueClient, number
from bot.markets.venues import AmountUnit, TierUnit
from detectors.leverage import MarginTier

AGAIN_S = 86_400.0
_AGAIN_AFTER_FAULT_S = 3_600.0
_AT_ONCE = 20
"""Tables asked for and noted together: OKX gives four a second, so that all of 500 markets take two minutes."""


def read(rows: Any, listing: Listing, unit: TierUnit, price: float | None) -> tuple[MarginTier, ...] | None:
    """ccxt's leverage tiers of one market, floors in USD; None for a table that cannot be right.

    ``price`` of the base asset is for a venue that counts contracts. Floors follow from the tops of the tiers before,
    which every venue tells.
    """
    if not isinstance(rows, list) or (unit is TierUnit.CONTRACTS and price is None):
        return None
    worth_usd = listing.amount_base(1.0, AmountUnit.CONTRACTS) * price if price and unit is TierUnit.CONTRACTS else 1.0
    told = []
    for row in rows:
        top, rate, most = (number(row.get(key)) for key in ("maxNotional", "maintenanceMarginRate", "maxLeverage"))
        if top is None or rate is None or most is None:
            return None
        told.append((top, rate, most))
    told.sort()
    tops = [0.0, *(top * worth_usd for top, _, _ in told)]
    tiers = [MarginTier(floor, rate, most) for floor, (_, rate, most) in zip(tops, told, strict=False)]
    return tuple(tiers) if _is_sound(tiers) else None


def _is_sound(tiers: Sequence[MarginTier]) -> bool:
    """Larger positions need more margin and get less leverage, and no tier is liquidated at once."""
    steps = itertools.pairwise(tiers)
    rising = all(one.floor_usd < two.floor_usd and one.rate <= two.rate for one, two in steps)
    return bool(tiers) and rising and all(tier.rate < 1 and tier.max_leverage >= 1 for tier in tiers)


@dataclass(frozen=True, slots=True)
class _Told:
    tiers: tuple[MarginTier, ...]
    at_ms: int


class TierTables:
    """What venues published last, asked for at the start and once a day."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}
        self._first_answers: list[asyncio.Event] = []

    async def keep(self, client: VenueClient, listings: Mapping[str, Listing]) -> None:
        """Ask one venue for ever, the largest markets first; what it told last stays where it fails."""
        if client.rules.tiers_unit is None:
            return
        self._first_answers.append(answered := asyncio.Event())
        while True:
            is_whole = await self._ask_all(client, list(listings.values()))
            answered.set()
            await self._clock.sleep(AGAIN_S if is_whole else _AGAIN_AFTER_FAULT_S)

    async def _ask_all(self, client: VenueClient, line: Sequence[Listing]) -> bool:
        """Some after others, each noted as it comes; whether the venue told something each time."""
        is_whole = True
        for start in range(0, len(line), _AT_ONCE):
            try:
                self._note(client, await client.tiers(line[start : start + _AT_ONCE]))
            except VenueFatal:
                return False
            except VenueError:
                is_whole = False
        return is_whole

    async def ask_once(self, client: VenueClient, listing: Listing) -> None:
        """Ask for a market that has just come; `keep` asks for it from tomorrow on."""
        if client.rules.tiers_unit is None:
            return
        self._first_answers.append(answered := asyncio.Event())
        with contextlib.suppress(VenueError):
            self._note(client, await client.tiers([listing]))
        answered.set()
        self._first_answers.remove(answered)

    def _note(self, client: VenueClient, told: Mapping[str, tuple[MarginTier, ...]]) -> None:
        now_ms = self._clock.now_ms()
        self._told.update({(client.rules.name, base): _Told(tiers, now_ms) for base, tiers in told.items()})

    async def asked(self, within_s: float) -> None:
        """Wait until every venue has been asked once, but not for longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.gather(*(answered.wait() for answered in self._first_answers))

    def of(self, base: str, venues: Iterable[str]) -> tuple[tuple[MarginTier, ...], str]:
        """The tiers of the first of ``venues`` that told them, or the table; and where they are from."""
        for venue in venues:
            if (known := self._told.get((venue, base))) is not None:
                return known.tiers, f"{venue}'s public tiers of {base}, {_day(known.at_ms)}"
        return tier_table.of(base)

    def are_told(self, base: str, venues: Iterable[str]) -> bool:
        """Whether one of ``venues`` has told them by now; else `of` is the table."""
        return any((venue, base) in self._told for venue in venues)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
