"""What one market's estimate is made with: the settings, its venues' leverage tiers, and what was fitted to it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from detectors.engine import STATE_VERSION, EngineSettings
from detectors.leverage import BINANCE_BTC_TIERS, LeverageModel
from storage.fits import StoredFit, in_force, newest_share
from storage.market_facts import StoredTiers
from storage.store import Store


class Assumptions:
    """Of every market. ``tiers``: its leverage tiers; a market that is missing has those of the settings."""

    def __init__(self, settings: EngineSettings, *, uses_fits: bool) -> None:
        self._settings, self._uses_fits = settings, uses_fits
        self.configured = configured_as(settings)
        self.tiers: dict[str, StoredTiers] = {}
        self._fits: dict[str, tuple[StoredFit, ...]] = {}

    async def load_fits(self, store: Store, market: str) -> None:
        if self._uses_fits:
            self._fits[market] = tuple(await store.fits(market))

    def take_fit(self, market: str, fit: StoredFit) -> None:
        """Add a fit, or put it in the place of the one that was made at the same time."""
        others = [one for one in self.fits(market) if one.fitted_at_ms != fit.fitted_at_ms]
        self._fits[market] = tuple(sorted([*others, fit], key=lambda one: one.fitted_at_ms))

    def fits(self, market: str) -> tuple[StoredFit, ...]:
        """What was fitted to the market, oldest first; those not used included."""
        return self._fits.get(market, ())

    def in_force(self, market: str) -> StoredFit | None:
        """The fit that the market's estimate is made with; None: the configured weights."""
        return in_force(self.fits(market), self.configured)

    def of(self, market: str, *, fitted: bool = True) -> EngineSettings:
        """What the market's estimate is made with; without ``fitted``: as if nothing had been fitted to it."""
        settings = with_tiers(self._settings, self.tiers.get(market))
        return with_fits(settings, self.fits(market), self.configured) if fitted else settings


def with_tiers(settings: EngineSettings, tiers: StoredTiers | None) -> EngineSettings:
    """The settings with a market's own leverage tiers, unless the user gave some."""
    if tiers is None or settings.estimate.map.leverage.tiers != BINANCE_BTC_TIERS:
        return settings
    return with_leverage(settings, replace(settings.estimate.map.leverage, tiers=tiers.tiers))


def with_fits(settings: EngineSettings, fits: Sequence[StoredFit], configured: str) -> EngineSettings:
    """The settings with the weights of the fit in force and the realised share last measured; ``fits`` oldest first."""
    settings = replace(settings, realised_share=newest_share(fits, configured))
    fit = in_force(fits, configured)
    if fit is None:
        return settings
    return with_leverage(settings, settings.estimate.map.leverage.with_weights(fit.after))


def with_leverage(settings: EngineSettings, leverage: LeverageModel) -> EngineSettings:
    """The settings with another leverage model, everything else as it is."""
    estimate = replace(settings.estimate, map=replace(settings.estimate.map, leverage=leverage))
    return replace(settings, estimate=estimate)


def configured_as(settings: EngineSettings) -> str:
    """What a fit stands on: whoever changes it has chosen anew, and no earlier fit is used."""
    stands_on = (settings.estimate.map, settings.estimate.crowding_funding_8h)
    return hashlib.sha256(repr(stands_on).encode()).hexdigest()[:16]


def fingerprint(settings: EngineSettings) -> bytes:
    """What an estimate and its clusters depend on, in 16 bytes; put before each state and checkpoint."""
    return hashlib.sha256(repr((STATE_VERSION, settings.estimate, settings.clusters)).encode()).digest()[:16]


def decisions_of(state: bytes | None, seal: bytes) -> tuple[bytes | None, bool]:
    """What was decided, and whether with other settings than ``seal`` stands for."""
    return state[len(seal) :] if state else None, state is not None and not state.startswith(seal)
