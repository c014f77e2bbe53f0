"""Observed liquidations, loss-free: the hook that keeps every record of a burst, and each venue's wire format.

ccxt's watch call drops all but the last records of a burst (measured: 2 of 50), so it only drives the connection, and
``handle_liquidation`` is replaced on the instance. A mark price on the same connection is its heartbeat.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bot.markets.live_types import BAR_MS, Listing, PrintSink, number, whole_ms
from bot.markets.venues import AmountUnit, Coverage, PrintSide, VenueRules
from detectors.market import LiquidationTotal, Print, Side

Record = tuple[Any, Any, Any, Any, Any]
"""Market id, time, side, price, amount: as the venue wrote them."""
_TOPICS_A_CALL = 200
_PULSE_S = 0.25
_CLOSE_WITHIN_S = 3.0


def _binance(message: Mapping[str, Any]) -> Iterator[Record]:
    order = message["o"]
    # ``p`` is the bankruptcy price, ``ap`` the average fill; ``z`` what was filled.
    yield order["s"], order["T"], order["S"], order["ap"], order["z"]


def _bybit(message: Mapping[str, Any]) -> Iterator[Record]:
    for one in message["data"]:
        yield one["s"], one["T"], one["S"], one["p"], one["v"]


def _okx(message: Mapping[str, Any]) -> Iterator[Record]:
    for one in message["data"]:
        for detail in one["details"]:
            yield one["instId"], detail["ts"], detail["side"], detail["bkPx"], detail["sz"]


_RECORDS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Record]]] = {
    "binance": _binance,
    "bybit": _bybit,
    "okx": _okx,
}
STREAMED = frozenset(_RECORDS)
_TELLS_ALL = frozenset({"binance", "okx"})
"""Their streams carry the liquidations of every market."""
_UNITS = {"okx": AmountUnit.CONTRACTS}


def read(
    rules: VenueRules, message: Mapping[str, Any], by_id: Mapping[str, Listing], refuse: Callable[[str], None]
) -> Iterator[tuple[str, Print]]:
    """The liquidations in one message of the venue, by base asset; what is malformed is refused and the rest kept."""
    unit = _UNITS.get(rules.name, AmountUnit.BASE)
    try:
        # The stream carries every market of the venue, and a cascade is tens of thousands of records in one message.
        records = [record for record in _RECORDS[rules.name](message) if record[0] in by_id]
    except (KeyError, TypeError, IndexError):
        refuse("print_not_understood")
        return
    for market_id, time, side_word, price_text, amount_text in records:
        listing = by_id[market_id]
        taken_at_ms, price, amount = whole_ms(time), number(price_text), number(amount_text)
        side = position_side(rules, side_word)
        if taken_at_ms is None or price is None or amount is None or side is None:
            refuse("print_not_a_number")
            continue
        price, amount_base = listing.price(price), listing.amount_base(amount, unit)
        yield listing.base, Print(taken_at_ms, side, price, amount_base, price * amount_base)


def position_side(rules: VenueRules, word: Any) -> Side | None:
    """The side of the position that was liquidated; None for a word that is neither buy nor sell."""
    sold = {"sell": True, "buy": False}.get(str(word).lower())
    if sold is None or rules.print_side is None:
        return None
    return Side.LONG if sold == (rules.print_side is PrintSide.ORDER) else Side.SHORT


def totals(rules: VenueRules, started_at_ms: int, info: Any) -> list[LiquidationTotal]:
    """Gate's sums of the five minutes from then on, of a row that is final (see `live_interest`)."""
    if rules.coverage is not Coverage.TOTALS or not isinstance(info, dict):
        return []
    long_usd, short_usd = (number(info.get(f"{side}_liq_usd"), signed=True) for side in ("long", "short"))
    if long_usd is None or short_usd is None or min(long_usd, short_usd) < 0:
        return []
    return [LiquidationTotal(started_at_ms, BAR_MS, long_usd, short_usd, rules.name)]


async def stream(rules: VenueRules, exchange: Any, listings: Collection[Listing], sink: PrintSink) -> None:
    """Run the venue's stream until it breaks; what is added to ``listings`` joins it. Raises ccxt's errors."""
    by_id: dict[str, Listing] = {}
    known: set[str] = set()

    def new_symbols() -> list[str]:
        # One that the venue has just taken off its list would have the whole subscription refused.
        new = [one for one in listings if one.symbol in exchange.markets and one.symbol not in known]
        by_id.update({exchange.market(one.symbol)["id"]: one for one in new})
        known.update(one.symbol for one in new)
        return [one.symbol for one in new]

    def handle(_client: Any, message: Any) -> None:
        sink.seen(list(read(rules, message, by_id, sink.refuse)))

    exchange.handle_liquidation = handle
    symbols = new_symbols()
    if not symbols:
        raise ConnectionError("there is no market to listen to")
    try:
        async with asyncio.TaskGroup() as tasks:
            for call in _calls(rules, exchange, symbols):
                tasks.create_task(_drive(call))
            tasks.create_task(_pulse(exchange, sink))
            while True:
                await asyncio.sleep(_PULSE_S)
                if (further := new_symbols()) and rules.name not in _TELLS_ALL:
                    tasks.create_task(_drive(partial(_watch_topics, exchange, further)))
    finally:
        # A connection left behind would be taken for a live one by the next call.
        left = _connections(exchange)
        for url in left:
            del exchange.clients[url]
        if left:
            await asyncio.wait([asyncio.create_task(one.close()) for one in left.values()], timeout=_CLOSE_WITHIN_S)


def _connections(exchange: Any) -> dict[str, Any]:
    """By address; without that of closing candles, which has a handler of its own and must not pass for a heartbeat."""
    every = dict(exchange.clients or {})
    return {url: one for url, one in every.items() if one.on_message_callback == exchange.handle_message}


def _calls(rules: VenueRules, exchange: Any, symbols: Sequence[str]) -> list[Callable[[], Any]]:
    """What to watch: liquidations, and a mark price that beats on the same connection."""
    heart = symbols[0]
    match rules.name:
        case "binance":
            return [
                lambda: exchange.watch_liquidations_for_symbols([]),
                lambda: exchange.watch_mark_price(heart),
            ]
        case "okx":
            return [
                lambda: exchange.watch_liquidations_for_symbols(None),
                lambda: exchange.watch_mark_price(heart),
            ]
        case _:
            batches = [symbols[i : i + _TOPICS_A_CALL] for i in range(0, len(symbols), _TOPICS_A_CALL)]
            return [
                *(lambda batch=batch: _watch_topics(exchange, batch) for batch in batches),
                lambda: exchange.watch_ticker(heart),
            ]


async def _watch_topics(exchange: Any, symbols: Sequence[str]) -> Any:
    """One frame subscribes many of Bybit's topics; ccxt's own method takes one symbol a call."""
    url = await exchange.get_url_by_market_type(symbols[0], False, "watchLiquidations", {})
    hashes = [f"liquidations::{symbol}" for symbol in symbols]
    return await exchange.watch_topics(url, hashes, [f"allLiquidation.{exchange.market_id(one)}" for one in symbols])


async def _drive(call: Callable[[], Any]) -> None:
    while True:
        try:
            await call()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # ccxt cancels what waits on a connection that it closes.
            raise ConnectionError("the connection was closed") from error


async def _pulse(exchange: Any, sink: PrintSink) -> None:
    """Tell the sink whenever something new has come in, whichever message it was."""
    last: dict[str, Any] = {}
    while True:
        await asyncio.sleep(_PULSE_S)
        for url, client in _connections(exchange).items():
            if client.last_message_at is not None and client.last_message_at != last.get(url):
                last[url] = client.last_message_at
                sink.beat()
