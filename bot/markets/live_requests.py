"""GET requests of a ccxt exchange, with less around each than in ccxt's own ``fetch``.

What a reply means, and which error it is, is still ccxt's to say. A session that trusts the environment asks it for a
proxy, and the home folder for a password, in two threads at every request, which is more than all the rest of a small
one: here the first to a host asks, and passwords are those in the proxy's address.
"""

import asyncio
import importlib
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from bot.turns import my_turn

_WITHIN_S = 10.0
_LARGE = 16_000
"""Bytes of a reply whose reading takes milliseconds."""


class Proxy(NamedTuple):
    address: URL | None
    headers: Mapping[str, str] | None


def proxy_of(url: URL) -> Proxy:
    """What the environment (``HTTPS_PROXY``, ``NO_PROXY``) says for the address."""
    found = None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)
    if not found:
        return Proxy(None, None)
    address = URL(found)
    if address.user is None:
        return Proxy(address, None)
    word = aiohttp.encode_basic_auth(address.user, address.password or "")
    return Proxy(address.with_user(None), {"Proxy-Authorization": word})


class Requests:
    """Stands in for ``exchange.fetch``, on the connections of the exchange's session; `close` it with the exchange."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self.by_ccxt = exchange.fetch
        self._errors: Any = importlib.import_module("ccxt.base.errors")
        shared: aiohttp.ClientSession = exchange.session
        self._trust_env = shared.trust_env
        self._session = aiohttp.ClientSession(
            connector=shared.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            # One deadline over all of a request is set below: three timers each are a tenth of its CPU.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": str(exchange.userAgent), "Accept-Encoding": "gzip, deflate"},
            skip_auto_headers=("Accept",),
        )
        self._proxies: dict[str | None, Proxy] = {}

    async def close(self) -> None:
        await self._session.close()

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """The reply's document, or its text where it is none. Raises ccxt's errors."""
        exchange = self._exchange
        if method != "GET" or headers or body:
            return await self.by_ccxt(url, method, headers, body)
        if exchange.closed_by_user:
            raise self._errors.ExchangeClosedByUser(f"{exchange.id} instance was closed by the user")
        try:
            async with asyncio.timeout(_WITHIN_S):
                response = await self._get(URL(url, encoded=True))
                read = await response.read()
        except (TimeoutError, aiohttp.ClientError, socket.gaierror) as error:
            raise self._as_ccxt(error)(f"{exchange.id} GET {url}") from error
        told = response.headers
        text = exchange.on_rest_response(
            response.status, response.reason, url, method, told, read.decode("utf-8", "replace"), None, None
        )
        document = exchange.parse_json(text)
        exchange.last_response_headers = told
        exchange.handle_errors(response.status, response.reason, url, method, told, text, document, {}, None)
        if response.status != 200:
            exchange.handle_http_status_code(response.status, response.reason, url, method, text)
        if len(read) > _LARGE:
            # Of large replies that came at once, each is handled in a round of the loop of its own.
            await my_turn()
            exchange.last_response_headers = told  # whoever is told the reply looks at them next
        return text if document is None else document

    async def _get(self, url: URL) -> aiohttp.ClientResponse:
        if not self._trust_env:
            return await self._session.get(url)
        proxy = self._proxies.get(url.host)
        if proxy is None:
            proxy = self._proxies[url.host] = await asyncio.to_thread(proxy_of, url)
        return await self._session.get(url, proxy=proxy.address, proxy_headers=proxy.headers)

    def _as_ccxt(self, error: Exception) -> Any:
        if isinstance(error, TimeoutError):
            return self._errors.RequestTimeout
        if isinstance(error, (aiohttp.ClientConnectionError, socket.gaierror)):
            return self._errors.ExchangeNotAvailable
        return self._errors.ExchangeError
