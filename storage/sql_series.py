"""Snapshots: one row each, from which it is rebuilt to the last bit.

What a bar's row can derive (price = close, low and high = the bar's) is NULL, so that a five-minute row is about
80 bytes, and 40 to 80 more for each venue of a merged market. SQLite would store NaN as NULL too, so it is refused.
"""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from detectors.market import Bar, Funding, LiquidationTotal, Market, MarketSnapshot, OpenInterest, Print, Side
from storage import venue_samples
from storage.chats import Chat
from storage.sql import Connection, insert, listed, parts
from storage.sql import Cursor as Answer
from storage.store import Checkpoint, Cursor, StoredMarket

_COLUMNS = (
    "market_id, seq, view_id, taken_at_ms, price, low, high, bar_opened_at_ms, bar_interval_ms, bar_open, bar_high, "
    "bar_low, bar_close, bar_volume_base, bar_taker_buy_volume_base, open_interest_taken_at_ms, open_interest_base, "
    "open_interest_interval_ms, extra, by_venue"
)
_ONCE = "ON CONFLICT (market_id, bar_opened_at_ms) WHERE bar_opened_at_ms IS NOT NULL DO NOTHING"
_SAVE_CHECKPOINT = (
    "INSERT INTO checkpoints VALUES (?, ?, ?, ?) ON CONFLICT (market_id) "
    "DO UPDATE SET seq = excluded.seq, bar_opened_at_ms = excluded.bar_opened_at_ms, blob = excluded.blob"
)
_SENT_TOGETHER = 16
"""Snapshots: a server is at work on some while the next are encoded."""
_FUNDING = attrgetter("taken_at_ms", "rate", "interval_hours")
_PRINT = attrgetter("taken_at_ms", "side", "price", "amount_base", "notional_usd")
_TOTAL = attrgetter("started_at_ms", "interval_ms", "long_usd", "short_usd", "venue")
_NO_BAR = (None,) * 8
_NO_OPEN_INTEREST = (None,) * 3
_BEFORE_ALL = -(2**62)
"""Less than any ``seq``: what is put before the first has numbers below 1."""


@dataclass(slots=True)
class _Position:
    """Where a market's series stands."""

    market_id: int
    seq: int
    taken_at_ms: int | None
    bar_opened_at_ms: int | None


class Series:
    """All methods run inside the caller's transaction; after a rollback, call `forget`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._positions: dict[str, _Position] = {}
        self._views: dict[Market, int] = {}
        self._view_of: dict[str, tuple[Market, int]] = {}
        """By base the market that was seen last, and its view: a market is long to hash, and seldom another."""
        self._states: dict[int, bytes] = {}
        """Digest of the state last written, by market: three looks in four change none."""
        self._symbols: dict[int, tuple[str, str]] = {}
        """Venue and symbol by the number that stands for them."""
        self._symbol_numbers: dict[tuple[str, str], int] = {}
        self.chats: dict[Chat, int] = {}
        """Rows of chats that something was decided for; here, for it has to be forgotten with all the rest."""

    def forget(self) -> None:
        self.chats.clear()
        self._positions.clear()
        self._views.clear()
        self._view_of.clear()
        self._states.clear()
        self._symbols.clear()
        self._symbol_numbers.clear()

    def add(self, snapshots: Sequence[MarketSnapshot]) -> list[bool]:
        """Which were new. A bar is stored before if its open time is, a look if time has not moved on."""
        self._know([snapshot.market for snapshot in snapshots])
        new: list[bool] = []
        rows: list[tuple[Any, ...]] = []
        for snapshot in snapshots:
            at = self._position(snapshot.market.base)
            if snapshot.bar is None:
                known = at.taken_at_ms is not None and snapshot.taken_at_ms <= at.taken_at_ms
            elif at.bar_opened_at_ms is None or snapshot.bar.opened_at_ms > at.bar_opened_at_ms:
                known = False
            else:  # before the last bar: there, or missing so far
                self._insert(rows)
                rows = []
                known = self._has_bar(at.market_id, snapshot.bar.opened_at_ms)
            new.append(not known)
            if known:
                continue
            at.seq += 1
            rows.append((at.market_id, at.seq, self._view(snapshot.market), *self._encode(snapshot)))
            at.taken_at_ms = max(at.taken_at_ms or 0, snapshot.taken_at_ms)
            if snapshot.bar is not None:
                at.bar_opened_at_ms = max(at.bar_opened_at_ms or 0, snapshot.bar.opened_at_ms)
            if len(rows) == _SENT_TOGETHER:
                self._insert(rows)
                rows = []
        self._insert(rows)
        return new

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> list[Answer]:
        return insert(self._connection, f"snapshots ({_COLUMNS})", rows, _ONCE)

    def add_before(self, base: str, snapshots: Sequence[MarketSnapshot]) -> int:
        """Put bars before all that is stored, oldest first; how many were new. The checkpoint is of another series then
        and goes. Raises ValueError for one that is not older than the first that is stored, or is no bar."""
        at = self._position(base)
        first_seq, first_bar, first_ms = self._connection.execute(
            "SELECT MIN(seq), MIN(bar_opened_at_ms), MIN(taken_at_ms) FROM snapshots WHERE market_id = ?",
            (at.market_id,),
        ).fetchone()
        if first_bar is None and snapshots:
            # Looks alone, of a start that was broken off: their prices are in the bars.
            self._connection.execute(
                "DELETE FROM snapshots WHERE market_id = ? AND taken_at_ms <= ?",
                (at.market_id, snapshots[-1].taken_at_ms),
            )
            first_ms = None
        self._know([snapshot.market for snapshot in snapshots])
        inside: set[int] = set()
        rows: list[tuple[Any, ...]] = []
        seq = (1 if first_seq is None else first_seq) - len(snapshots)
        for snapshot in snapshots:
            known = snapshot.bar is not None and first_bar is not None and snapshot.bar.opened_at_ms >= first_bar
            if snapshot.bar is None or (first_ms is not None and not known and snapshot.taken_at_ms > first_ms):
                raise ValueError(f"{base} at {snapshot.taken_at_ms}: only bars older than what is stored go before it")
            if known:
                inside.add(snapshot.bar.opened_at_ms)
            else:
                rows.append((at.market_id, seq, self._view(snapshot.market), *self._encode(snapshot)))
                seq += 1
        self._check_inside(base, at.market_id, inside)
        added = sum(answer.rowcount for answer in self._insert(rows))
        if added:
            self._connection.execute("DELETE FROM checkpoints WHERE market_id = ?", (at.market_id,))
            last = snapshots[-1]
            at.taken_at_ms = max(at.taken_at_ms or 0, last.taken_at_ms)
            at.bar_opened_at_ms = max(at.bar_opened_at_ms or 0, last.bar.opened_at_ms if last.bar else 0)
        return added

    def _check_inside(self, base: str, market_id: int, opened_at_ms: set[int]) -> None:
        if not opened_at_ms:
            return
        found = self._connection.execute(
            "SELECT bar_opened_at_ms FROM snapshots WHERE market_id = ? AND bar_opened_at_ms BETWEEN ? AND ?",
            (market_id, min(opened_at_ms), max(opened_at_ms)),
        ).fetchall()
        if missing := opened_at_ms - {opened for (opened,) in found}:
            raise ValueError(f"{base} at {min(missing)}: a bar is missing inside what is stored")

    def _has_bar(self, market_id: int, bar_opened_at_ms: int) -> bool:
        return self._ask_seq(market_id, bar_opened_at_ms).fetchone() is not None

    def save_positions(self, states: Mapping[str, bytes | None]) -> None:
        """Write where markets stand, and their states unless None: once a transaction, whatever the ticks in it."""
        at = {base: self._position(base) for base in states}
        insert(
            self._connection,
            "markets (id, base, last_seq, taken_at_ms, bar_opened_at_ms)",
            [(one.market_id, base, one.seq, one.taken_at_ms, one.bar_opened_at_ms) for base, one in at.items()],
            "ON CONFLICT (id) DO UPDATE SET last_seq = excluded.last_seq, taken_at_ms = excluded.taken_at_ms, "
            "bar_opened_at_ms = excluded.bar_opened_at_ms",
        )
        changed = []
        for base, state in states.items():
            if state is not None and self._states.get(at[base].market_id) != (digest := blake2b(state).digest()):
                self._states[at[base].market_id] = digest
                changed.append((at[base].market_id, state))
        insert(self._connection, "states", changed, "ON CONFLICT (market_id) DO UPDATE SET blob = excluded.blob")

    def save_checkpoint(self, base: str, bar_opened_at_ms: int, blob: bytes) -> None:
        market_id = self._position(base).market_id
        asked = self._ask_seq(market_id, bar_opened_at_ms)
        earlier = self._connection.execute("SELECT seq FROM checkpoints WHERE market_id = ?", (market_id,))
        seq, before = self._seq(base, asked, bar_opened_at_ms), earlier.fetchone()
        self._connection.execute(_SAVE_CHECKPOINT, (market_id, seq, bar_opened_at_ms, blob))
        # A live feed looks every ten seconds: without this, looks would be most of the database.
        self._connection.execute(
            "DELETE FROM snapshots WHERE market_id = ? AND seq > ? AND seq <= ? AND bar_opened_at_ms IS NULL "
            "AND open_interest_taken_at_ms IS NULL AND extra IS NULL",
            (market_id, before[0] if before else 0, seq),
        )

    def load(self, base: str) -> StoredMarket:
        known = self._connection.execute(
            "SELECT id, taken_at_ms, bar_opened_at_ms FROM markets WHERE base = ?", (base,)
        ).fetchone()
        if known is None:
            return StoredMarket()
        market_id, taken_at_ms, bar_opened_at_ms = known
        checkpoint = self._connection.execute(
            "SELECT bar_opened_at_ms, blob FROM checkpoints WHERE market_id = ?", (market_id,)
        ).fetchone()
        state = self._connection.execute("SELECT blob FROM states WHERE market_id = ?", (market_id,)).fetchone()
        return StoredMarket(
            checkpoint=Checkpoint(*checkpoint) if checkpoint else None,
            state=state[0] if state else None,
            cursor=None if taken_at_ms is None else Cursor(taken_at_ms, bar_opened_at_ms),
        )

    def since(self, base: str, bar_opened_at_ms: int | None) -> list[MarketSnapshot]:
        known = self._connection.execute("SELECT id FROM markets WHERE base = ?", (base,)).fetchone()
        if known is None and bar_opened_at_ms is None:
            return []
        market_id = known[0] if known else -1
        after = _BEFORE_ALL
        if bar_opened_at_ms is not None:
            after = self._seq(base, self._ask_seq(market_id, bar_opened_at_ms), bar_opened_at_ms)
        rows = self._connection.execute(
            f"SELECT document, {_COLUMNS} FROM snapshots JOIN views ON views.id = view_id "
            "WHERE market_id = ? AND seq > ? ORDER BY seq",
            (market_id, after),
        )
        self._read_symbols()
        return list(_decode(rows, self._symbols))

    def page(self, base: str, after_ms: int | None, limit: int) -> list[MarketSnapshot]:
        known = self._connection.execute("SELECT id FROM markets WHERE base = ?", (base,)).fetchone()
        if known is None:
            return []
        after = None
        if after_ms is not None:
            after = self._connection.execute(
                "SELECT seq FROM snapshots WHERE market_id = ? AND bar_opened_at_ms <= ? "
                "ORDER BY bar_opened_at_ms DESC LIMIT 1",
                (known[0], after_ms),
            ).fetchone()
        rows = self._connection.execute(
            f"SELECT document, {_COLUMNS} FROM snapshots JOIN views ON views.id = view_id "
            "WHERE market_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (known[0], after[0] if after else _BEFORE_ALL, limit),
        )
        self._read_symbols()
        found = list(_decode(rows, self._symbols))
        while found and found[-1].bar is None:
            found.pop()
        return found

    def _ask_seq(self, market_id: int, bar_opened_at_ms: int) -> Answer:
        return self._connection.execute(
            "SELECT seq FROM snapshots WHERE market_id = ? AND bar_opened_at_ms = ?", (market_id, bar_opened_at_ms)
        )

    def _seq(self, base: str, asked: Answer, bar_opened_at_ms: int) -> int:
        found = asked.fetchone()
        if found is None:
            raise ValueError(f"{base} has no stored bar that opened at {bar_opened_at_ms}: commit its tick first")
        return int(found[0])

    def _position(self, base: str) -> _Position:
        if base not in self._positions:
            self._find_positions([base])
        return self._positions[base]

    def _view(self, market: Market) -> int:
        if (seen := self._seen_last(market)) is not None:
            return seen
        if market not in self._views:
            self._find_views([market])
        self._view_of[market.base] = market, self._views[market]
        return self._views[market]

    def _seen_last(self, market: Market) -> int | None:
        known = self._view_of.get(market.base)
        return known[1] if known is not None and known[0] is market else None

    def _encode(self, snapshot: MarketSnapshot) -> tuple[Any, ...]:
        return *_encode(snapshot), venue_samples.pack(snapshot.by_venue, snapshot.taken_at_ms, self._symbol_number)

    def _symbol_number(self, venue: str, symbol: str) -> int:
        self._read_symbols()
        key = (venue, symbol)
        if key not in self._symbol_numbers:
            insert = "INSERT INTO venue_symbols (venue, symbol) VALUES (?, ?) RETURNING id"
            number = int(self._connection.execute(insert, key).fetchone()[0])
            self._symbols[number], self._symbol_numbers[key] = key, number
        return self._symbol_numbers[key]

    def _read_symbols(self) -> None:
        """Once: this is the only writer."""
        if not self._symbols:
            rows = self._connection.execute("SELECT id, venue, symbol FROM venue_symbols").fetchall()
            self._symbols.update({number: (venue, symbol) for number, venue, symbol in rows})
            self._symbol_numbers.update({key: number for number, key in self._symbols.items()})

    def _know(self, markets: Sequence[Market]) -> None:
        """Find the rows of all of them at once, made on first sight: a start knows none of some hundred."""
        if bases := sorted({market.base for market in markets} - self._positions.keys()):
            self._find_positions(bases)
        others = dict.fromkeys(market for market in markets if self._seen_last(market) is None)
        if views := [market for market in others if market not in self._views]:
            self._find_views(views)

    def _find_positions(self, bases: Sequence[str]) -> None:
        insert = "INSERT INTO markets (base) VALUES (?) ON CONFLICT DO NOTHING"
        self._connection.executemany(insert, [(base,) for base in bases])
        for part in parts(bases):
            marks, values = listed([(base,) for base in part])
            found = self._connection.execute(
                f"SELECT base, id, last_seq, taken_at_ms, bar_opened_at_ms FROM markets WHERE base IN ({marks})", values
            )
            self._positions.update({base: _Position(*row) for base, *row in found.fetchall()})

    def _find_views(self, markets: Sequence[Market]) -> None:
        documents = {json.dumps(asdict(market)): market for market in markets}
        insert = "INSERT INTO views (document) VALUES (?) ON CONFLICT DO NOTHING"
        self._connection.executemany(insert, [(document,) for document in documents])
        for part in parts(list(documents)):
            marks, values = listed([(document,) for document in part])
            found = self._connection.execute(f"SELECT document, id FROM views WHERE document IN ({marks})", values)
            self._views.update({documents[document]: int(row) for document, row in found.fetchall()})


def _encode(snapshot: MarketSnapshot) -> tuple[Any, ...]:
    bar, interest = snapshot.bar, snapshot.open_interest
    price: float | None = snapshot.price
    low: float | None = snapshot.low
    high: float | None = snapshot.high
    bar_row: tuple[Any, ...] = _NO_BAR
    if bar is not None:
        price = None if price == bar.close else price
        low = None if low == bar.low else low
        high = None if high == bar.high else high
        bar_row = (bar.opened_at_ms, bar.interval_ms, bar.open, bar.high, bar.low, bar.close)
        bar_row += (bar.volume_base, bar.taker_buy_volume_base)
    interest_row: tuple[Any, ...] = _NO_OPEN_INTEREST
    if interest is not None:
        interest_row = (interest.taken_at_ms, interest.base, interest.interval_ms)
    row = (snapshot.taken_at_ms, price, low, high, *bar_row, *interest_row)
    if not all(map(math.isfinite, filter(None, row))):
        raise ValueError(f"{snapshot.market.base} at {snapshot.taken_at_ms}: a number is not finite; screen it first")
    return (*row, _extra(snapshot))


def _extra(snapshot: MarketSnapshot) -> str | None:
    if not (snapshot.funding or snapshot.prints or snapshot.liquidations):
        return None
    document = [
        [*map(_FUNDING, snapshot.funding)],
        [*map(_PRINT, snapshot.prints)],  # of a cascade, a thousand
        [*map(_TOTAL, snapshot.liquidations)],
    ]
    return json.dumps(document, separators=(",", ":"), allow_nan=False, check_circular=False)


def _decode(rows: Iterable[Any], symbols: Mapping[int, tuple[str, str]]) -> Iterator[MarketSnapshot]:
    markets: dict[str, Market] = {}
    for document, _, _, _, taken_at_ms, price, low, high, *rest in rows:
        if document not in markets:
            fields = json.loads(document)
            for name in ("venues", "open_interest_venues"):
                fields[name] = tuple(fields[name])
            markets[document] = Market(**fields)
        bar = Bar(*rest[:8]) if rest[0] is not None else None
        if bar is not None:
            price = bar.close if price is None else price
            low = bar.low if low is None else low
            high = bar.high if high is None else high
        funding, prints, liquidations = json.loads(rest[11]) if rest[11] else ((), (), ())
        yield MarketSnapshot(
            market=markets[document],
            taken_at_ms=taken_at_ms,
            price=price,
            low=low,
            high=high,
            bar=bar,
            open_interest=OpenInterest(*rest[8:11]) if rest[8] is not None else None,
            funding=tuple(Funding(*f) for f in funding),
            prints=tuple(Print(p[0], Side(p[1]), *p[2:]) for p in prints),
            liquidations=tuple(LiquidationTotal(*t) for t in liquidations),
            by_venue=venue_samples.unpack(rest[12], taken_at_ms, symbols) if rest[12] is not None else (),
        )
