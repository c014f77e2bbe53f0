"""A way to a PostgreSQL that can be cut and mended, as a network's: only what goes through it is gone meanwhile."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

_SOCKET = ".s.PGSQL.5432"


class Relay:
    """``url`` leads to the database of the one it is made with, while the way is open; it is once entered."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = Path(parse_qs(parts.query)["host"][0]) / _SOCKET
        self._folder = tempfile.TemporaryDirectory(prefix="relay-")
        self._way = Path(self._folder.name) / _SOCKET
        self.url = urlunsplit(parts._replace(query=f"host={quote(self._folder.name, safe='')}"))
        self.tried = 0
        """Connections made through it."""
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        self._listening = await asyncio.start_unix_server(self._pass_on, self._way)

    async def cut(self) -> None:
        assert self._listening is not None
        self._listening.close()
        self._way.unlink(missing_ok=True)
        for end in self._open:
            end.close()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tried += 1
        there, back = await asyncio.open_unix_connection(self._server)
        self._open |= {writer, back}
        for task in [asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))]:
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.cut()
        self._folder.cleanup()


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await source.read(65_536):
            to.write(some)
            await to.drain()
    to.close()
