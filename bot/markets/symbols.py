"""Venue symbols such as ``BTCUSDT`` and ccxt's unified ones such as ``BTC/USDT:USDT``."""

QUOTES = ("USDT", "USDC", "USD")
_BARE_QUOTE = "USDC"
"""Hyperliquid writes ``BTC`` and settles in USDC."""


def parse(symbol: str) -> tuple[str, str]:
    """Base asset and unified symbol of a venue's linear perpetual: ``BTCUSDT`` gives ``BTC``, ``BTC/USDT:USDT``.

    A multiplier stays part of the base: ``1000PEPEUSDT`` is ``1000PEPE``, whose price and amounts are those of the
    contract, not of one PEPE.
    """
    compact = symbol.upper().removesuffix("-SWAP").replace("-", "").replace("_", "")
    for quote in QUOTES:
        base = compact.removesuffix(quote)
        if base and base != compact:
            return base, unified(base, quote)
    return compact, unified(compact, _BARE_QUOTE)


def unified(base: str, quote: str) -> str:
    """ccxt's name of a perpetual that is settled in its quote currency."""
    return f"{base}/{quote}:{quote}"


def folder(symbol: str) -> str:
    """The recording's folder name of a unified symbol: ``BTC/USDT:USDT`` gives ``BTCUSDT``."""
    return symbol.partition(":")[0].replace("/", "")
