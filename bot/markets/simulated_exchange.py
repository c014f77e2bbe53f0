"""One simulated perpetual: many traders with known leverage, entries and stops, whose forced exits move the price."""

import math
import zlib
from dataclasses import dataclass

import numpy as np

from bot.markets.simulated_book import Book, Column, Floats
from bot.markets.simulated_crowd import MAJOR_TIERS, MINOR_TIERS, Crowd, Tiers
from bot.markets.simulated_traders import CLASS_DAYS, CLASS_SHARES, Traders, entered, patience, shared
from bot.markets.simulated_weather import BARS_A_DAY, STEPS_A_BAR, Weather
from detectors.market import HOUR_MS, MINUTE_MS, Bar, Funding, OpenInterest, Print, Side

BAR_MS = 5 * MINUTE_MS
STEP_MS = BAR_MS // STEPS_A_BAR
START_MS = 1_767_571_200_000
"""2026-01-05T00:00Z, a Monday."""
FUNDING_HOURS = 8.0

_ENTRY_STEPS = (3, 13, 23)
"""When inside a bar positions are opened."""
_PAST_DAYS = 20
"""How far back the positions open at the start were entered."""
_STILL_OPEN = 0.45
"""Share, about, of positions of the past that neither their stop nor their target has ended."""
_CHANGE = 5e-4
"""Standard deviation of a bar's wanted change of open interest, as a fraction of it."""
_RETURN_TO_NORMAL = 1 / BARS_A_DAY
"""Share of the way back to the usual open interest that a bar goes: new traders come within a day."""
_TEMPORARY = 0.6
"""Share of a forced order's impact that the market takes back."""
_RECOVERY = math.exp(-STEP_MS / (20 * MINUTE_MS))
_LARGEST_PUSH = 0.08
"""Log move beyond which forced orders find buyers at any size, as exchanges' price bands see to."""
_CLOSED_AGAINST = 0.7
"""Share of a forced exit that the other side uses to close; the rest is taken by newcomers."""
_CROWD_MEMORY = math.exp(-1 / (2 * BARS_A_DAY))
_TREND_FOLLOWING = 0.45
"""What a move of one daily volatility adds to the crowd's mood."""
_CROWDING = 0.2
_MOST_TILT = 0.6
"""How the crowd's mood tilts leverage (see `Crowd.leverage`), and at most."""
_APPETITE_MEMORY = math.exp(-1 / (7 * BARS_A_DAY))
_APPETITE_STEP = 0.0025


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedListing:
    """A market to simulate. ``impact`` is the log move per share of open interest forced out."""

    base: str
    price: float
    price_decimals: int
    open_interest_base: float
    lot_decimals: int
    daily_volatility: float
    position_usd: float
    """Median notional of one position."""
    turnover: float
    """Daily volume over open interest."""
    impact: float
    tiers: Tiers


LISTINGS = (
    SimulatedListing("BTC", 90_000.0, 1, 100_000.0, 3, 0.022, 20_000.0, 1.4, 0.04, MAJOR_TIERS),
    SimulatedListing("ETH", 3_100.0, 2, 2_000_000.0, 2, 0.029, 20_000.0, 1.7, 0.04, MAJOR_TIERS),
    SimulatedListing("DOGE", 0.25, 5, 1.8e9, 0, 0.034, 5_000.0, 2.2, 0.06, MINOR_TIERS),
    SimulatedListing("PEPE", 0.00001, 9, 1.2e13, -3, 0.040, 5_000.0, 2.6, 0.07, MINOR_TIERS),
)


@dataclass(frozen=True, slots=True)
class Closed:
    """What one bar brought."""

    bar: Bar
    open_interest: OpenInterest
    funding: tuple[Funding, ...]
    prints: tuple[Print, ...]


class Exchange:
    """Steps one market bar by bar. All randomness comes from ``seed`` and the market's name."""

    def __init__(self, listing: SimulatedListing, seed: int) -> None:
        self.listing = listing
        root = np.random.SeedSequence([seed, zlib.crc32(listing.base.encode())])
        crowd, weather, self._rng = (np.random.default_rng(child) for child in root.spawn(3))
        lots_a_usd = 10.0**listing.lot_decimals / listing.price
        self._crowd = Crowd(crowd)
        self._traders = Traders(self._rng, self._crowd, listing.tiers, listing.position_usd, lots_a_usd)
        self._weather = Weather(weather, listing.daily_volatility)
        self._day = self._weather.day()
        self.price = listing.price
        self.bars = 0
        self.longs, self.shorts = Book(1), Book(-1)
        self._usual_lots = round(listing.open_interest_base * 10.0**listing.lot_decimals)
        self._outside = math.log(listing.price)
        """Log price without the temporary impact of forced orders."""
        self._push = 0.0
        self._clock = 0.0
        self._mood = 0.0
        """Positive: longs are crowded, pay funding and use more leverage; shorts less."""
        self._appetite = 0.0
        """Log of the open interest the market returns to, around the listing's."""
        self._mood_sum = 0.0
        self._populate()

    @property
    def lots(self) -> int:
        """Open interest in lots: what longs hold, and what shorts hold."""
        return self.longs.lots

    @property
    def leverage(self) -> Floats:
        """Leverage of both sides' crowds, float64[n], each of equal weight in what is opened."""
        return self._crowd.preferred

    def base(self, lots: float) -> float:
        """Lots as an amount of the base asset."""
        digits = self.listing.lot_decimals
        return round(lots / 10**digits, digits) if digits > 0 else lots * 10.0**-digits

    def step(self) -> Closed:
        """Trade one five-minute bar."""
        i = self.bars % BARS_A_DAY
        if i == 0 and self.bars:
            self._day = self._weather.day()
        activity = float(self._day.activity[i])
        opened_at_ms = START_MS + self.bars * BAR_MS
        before = self.price
        waiting = self._reposition(activity)
        low = high = self.price
        prints: list[Print] = []
        for step, outside in enumerate(self._day.returns[i].tolist()):
            self._outside += outside
            self._push *= _RECOVERY
            self._quote()
            at_ms = opened_at_ms + (step + 1) * STEP_MS
            low, high = min(low, self.price), max(high, self.price)
            for book in (self.longs, self.shorts):
                while book.sign * self.price <= book.nearest_exit:
                    self._force_out(book, at_ms, prints)
                    low, high = min(low, self.price), max(high, self.price)
            if step in _ENTRY_STEPS:
                for book, relative, entry_steps in waiting:
                    book.add(entered(relative[:, entry_steps == step], self.price))
        self._balance()
        self.bars += 1
        self._clock += activity / BARS_A_DAY
        change = math.log(self.price / before)
        trend = _TREND_FOLLOWING * change / self.listing.daily_volatility
        self._mood = self._mood * _CROWD_MEMORY + trend + float(self._day.crowding[i])
        volume, bought = self._volume(change, activity)
        bar = Bar(opened_at_ms, BAR_MS, before, high, low, self.price, volume, bought)
        interest = OpenInterest(bar.closed_at_ms, self.base(self.lots), BAR_MS)
        return Closed(bar, interest, self._funding(bar.closed_at_ms), tuple(prints))

    def _quote(self) -> None:
        tick = 10.0**-self.listing.price_decimals
        self.price = max(round(math.exp(self._outside + self._push), self.listing.price_decimals), tick)

    def _tilt(self, book: Book) -> float:
        return book.sign * min(max(_CROWDING * self._mood, -_MOST_TILT), _MOST_TILT)

    def _reposition(self, activity: float) -> list[tuple[Book, Floats, Floats]]:
        """Let traders leave of their own accord, and say who opens in this bar and at which step.

        What leaves is replaced, and open interest changes by the same lots on both sides.
        """
        rng = self._rng
        self._appetite = self._appetite * _APPETITE_MEMORY + _APPETITE_STEP * rng.standard_normal()
        usual = self._usual_lots * math.exp(self._appetite + 0.05 * abs(self._mood))
        noise = _CHANGE * activity * rng.standard_t(4) / math.sqrt(2)
        change = int(max(self.lots * noise + (usual - self.lots) * _RETURN_TO_NORMAL, -0.1 * self.lots))
        waiting = []
        for book in (self.longs, self.shorts):
            done = (book[Column.EXPIRES] <= self._clock) | (book[Column.TARGET] <= book.sign * self.price)
            left = book.remove(np.flatnonzero(done))
            wanted = change + int(left[Column.LOTS].sum())
            if wanted > 0:
                relative = self._traders.newcomers(book.sign, wanted, self._tilt(book), self._clock)
                waiting.append((book, relative, rng.choice(_ENTRY_STEPS, relative.shape[1])))
            elif wanted < 0:
                book.close_some(-wanted, rng.random())
        return waiting

    def _force_out(self, book: Book, at_ms: int, prints: list[Print]) -> None:
        """Close at market everything whose stop or liquidation the price has reached, which moves the price on."""
        open_lots = book.lots
        gone = book.remove(np.flatnonzero(book[Column.EXIT] >= book.sign * self.price))
        side = Side.LONG if book.sign > 0 else Side.SHORT
        liquidated = gone[Column.EXIT] == gone[Column.LIQUIDATION]
        for lots in gone[Column.LOTS, liquidated].tolist():
            amount = self.base(lots)
            prints.append(Print(at_ms, side, self.price, amount, amount * self.price))
        move = -book.sign * self.listing.impact * float(gone[Column.LOTS].sum()) / open_lots
        self._push = min(max(self._push + _TEMPORARY * move, -_LARGEST_PUSH), _LARGEST_PUSH)
        self._outside += (1 - _TEMPORARY) * move
        self._quote()

    def _balance(self) -> None:
        """Every contract has a long and a short: find the other side of what was forced out in this bar."""
        excess = self.longs.lots - self.shorts.lots
        if excess:
            larger, smaller = (self.longs, self.shorts) if excess > 0 else (self.shorts, self.longs)
            closed = int(abs(excess) * _CLOSED_AGAINST)
            larger.close_some(closed, self._rng.random())
            newcomers = self._traders.newcomers(smaller.sign, abs(excess) - closed, self._tilt(smaller), self._clock)
            smaller.add(entered(newcomers, self.price))

    def _volume(self, change: float, activity: float) -> tuple[float, float]:
        """Volume in base units, and what of it takers bought: more when the price rose."""
        surprise = change / self.listing.daily_volatility * math.sqrt(BARS_A_DAY)
        usual = self.lots * self.listing.turnover / BARS_A_DAY * activity**1.5
        lots = usual * (0.6 + 0.5 * min(abs(surprise), 10)) * self._rng.lognormal(-0.06, 0.35)
        bought = 0.5 + 0.2 * math.tanh(surprise / 2) + 0.05 * self._rng.standard_normal()
        return self.base(round(lots)), self.base(round(lots * min(max(bought, 0.05), 0.95)))

    def _funding(self, at_ms: int) -> tuple[Funding, ...]:
        """Every eight hours: what the crowd's mean mood since the last one makes the crowded side pay."""
        self._mood_sum += self._mood
        if at_ms % (FUNDING_HOURS * HOUR_MS):
            return ()
        mood = self._mood_sum / (FUNDING_HOURS * HOUR_MS / BAR_MS)
        self._mood_sum = 0.0
        # Near its usual value while the mood is ordinary, far from it when it is not.
        rate = 4.5e-5 + 3e-5 * mood + 1.2e-5 * mood**3 + 1e-5 * self._rng.standard_normal()
        return (Funding(at_ms, round(min(max(rate, -0.003), 0.003), 8), FUNDING_HOURS),)

    def _populate(self) -> None:
        """Positions already open at the start, entered along a made-up past and still alive after it."""
        rng = self._rng
        hours = 24 * _PAST_DAYS
        returns = self.listing.daily_volatility / math.sqrt(24) * rng.standard_normal(hours)
        past = self.listing.price * np.exp(np.concatenate(([0.0], np.cumsum(returns))))
        stock = CLASS_SHARES * CLASS_DAYS
        n = round(self._usual_lots / self._traders.mean_lots / _STILL_OPEN)
        for book in (self.longs, self.shorts):
            classes = rng.choice(len(stock), n, p=stock / stock.sum())
            relative = self._traders.draw(book.sign, classes, 0.0)
            # Those who stay less are met less often.
            stay = patience(relative[Column.LEVERAGE])
            met = rng.random(n) < stay
            age = 24 * (CLASS_DAYS[classes] * stay)[met] * rng.standard_exponential(int(met.sum()))
            hour = age.astype(np.int64).clip(max=hours)
            rows = entered(relative[:, met], past[hour])
            lowest, highest = (reach.accumulate(book.sign * past)[hour] for reach in (np.minimum, np.maximum))
            alive = (rows[Column.EXIT] < lowest) & (rows[Column.TARGET] > highest)
            rows = rows[:, alive]
            rows[Column.LOTS] = shared(self._usual_lots, rows[Column.LOTS])
            book.add(rows[:, rows[Column.LOTS] > 0])
